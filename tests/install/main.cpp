// What a user's first program does: one message into a queue and out of it again.
#include <cstdio>
#include <ipcq/ipcq.hpp>
#include <string>

int main() {
  using namespace std::chrono_literals;
  const ipcq::Queue queue = ipcq::Queue::create("installed");
  ipcq::Producer producer = queue.producer();
  ipcq::Consumer consumer = queue.consumer();
  if (producer.send("as installed", 7, 5s) != ipcq::Outcome::ok) return 1;
  std::string payload;
  std::uint16_t tag = 0;
  if (consumer.receive(payload, 5s, &tag) != ipcq::Outcome::ok || payload != "as installed" || tag != 7) return 2;
  std::puts("sent and received");
  return 0;
}
