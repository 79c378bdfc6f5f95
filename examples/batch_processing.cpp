// Batch processing. The producer sends M messages at a time, the consumer takes B at a time and hands the batch back as
// processed; neither knows the other's figure. N = B / M batches of the producer make one batch of the consumer.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <ipcq/ipcq.hpp>
#include <set>
#include <string>
#include <thread>

#include "processes.hpp"

namespace {

using namespace std::chrono_literals;

// [snippet]
constexpr std::uint32_t kMessages = 100;
constexpr std::uint32_t kSent = 5;     // M
constexpr std::uint32_t kTaken = 20;   // B
constexpr std::size_t kRoomEach = 16;  // bytes of "message_99", and some

int produce() {
  const auto queue = ipcq::Queue::open_or_create("batches");
  ipcq::Producer producer = queue.producer();
  std::uint16_t batch = 0;
  for (std::uint32_t i = 0; i < kMessages; i += kSent, ++batch) {
    ipcq::Claim claim = producer.claim({.messages = kSent, .bytes = kSent * kRoomEach});
    for (std::uint32_t j = i; j < i + kSent; ++j) {
      const std::string text = "message_" + std::to_string(j);
      claim.append_copy(std::as_bytes(std::span(text)), batch);  // the tag, 16 bits of ours, tells the batches apart
    }
    claim.commit();
    std::this_thread::sleep_for(1ms);  // the next ones take a moment to come up
  }
  queue.close();
  return 0;
}

int consume() {
  ipcq::Consumer consumer = ipcq::Queue::open_or_create("batches").consumer();
  // Sleeps until kTaken messages are there, however they were sent. At the end of the stream it takes what is left.
  while (ipcq::Lease lease = consumer.lease({.max_messages = kTaken, .min_messages = kTaken})) {
    std::string first, last;
    std::set<std::uint16_t> sent;
    for (const ipcq::Message& message : lease) {
      if (first.empty()) first = message.text();
      last = message.text();
      sent.insert(message.tag);
    }
    std::cout << "received " << lease.size() << " messages, " << first << " to " << last << ", sent in " << sent.size()
              << " batches" << std::endl;
    lease.ack();  // processed; a consumer that dies before this line leaves the whole batch to the next one
  }
  return 0;
}
// [/snippet]

}  // namespace

int main() {
  example::Processes processes;
  processes.start(produce);
  processes.start(consume);
  const bool succeeded = processes.wait();
  ipcq::remove("batches");
  return succeeded ? 0 : 1;
}
