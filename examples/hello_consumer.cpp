#include <iostream>
#include <ipcq/ipcq.hpp>

int main() {
  auto queue = ipcq::Queue::open_or_create("hello");
  ipcq::Consumer consumer = queue.consumer();
  while (ipcq::Lease lease = consumer.lease()) {  // waits; ends when the queue is closed and drained
    for (const ipcq::Message& message : lease) std::cout << message.text() << std::endl;  // read in place
    lease.ack();  // finished: the room is free again
  }
  ipcq::remove("hello", {.force = true});  // force: this consumer is still attached
}
