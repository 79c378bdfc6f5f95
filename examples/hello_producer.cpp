#include <ipcq/ipcq.hpp>

int main() {
  auto queue = ipcq::Queue::open_or_create("hello");
  ipcq::Producer producer = queue.producer();
  ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 64});  // room in the ring itself
  for (std::string_view word : {"hello", "from", "ipcq"}) claim.append_copy(std::as_bytes(std::span(word)));
  claim.commit();  // all three appear at once
  queue.close();   // end of the stream
}
