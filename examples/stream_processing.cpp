// Stream processing. Several producers feed one stream; its consumer sees each message at once and all of them in time
// order: enqueue times never decrease along the ring, whoever sent the messages.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <ipcq/ipcq.hpp>
#include <string>
#include <thread>

#include "processes.hpp"

namespace {

using namespace std::chrono_literals;

// [snippet]
constexpr std::uint16_t kProducers = 3;
constexpr std::uint32_t kMessages = 100;  // of each producer

int produce(std::uint16_t number) {
  ipcq::Producer producer = ipcq::Queue::open_or_create("stream").producer();
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    const std::string text = "message_" + std::to_string(i);
    if (producer.send(text, number) != ipcq::Outcome::ok) return 1;
    std::this_thread::sleep_for(1ms);
  }
  return 0;
}

int consume() {
  ipcq::Consumer consumer = ipcq::Queue::open_or_create("stream").consumer();
  std::array<std::uint32_t, kProducers> next{};  // of each producer: the message that is due
  std::uint32_t out_of_time = 0, out_of_turn = 0;
  std::uint64_t last_time = 0;
  std::chrono::nanoseconds age_sum{}, age_max{};
  while (ipcq::Lease lease = consumer.lease()) {  // wakes at each commit; ends when the stream is closed and drained
    for (const ipcq::Message& message : lease) {
      if (message.time < last_time) ++out_of_time;
      last_time = message.time;
      if (message.text() != "message_" + std::to_string(next.at(message.tag)++)) ++out_of_turn;
      const std::chrono::nanoseconds age = lease.age(message);  // since it was enqueued
      age_sum += age;
      age_max = std::max(age_max, age);
    }
    lease.ack();
  }
  std::uint32_t total = 0;
  for (const std::uint32_t count : next) total += count;
  std::cout << total << " messages of " << kProducers << " producers in one stream\n"
            << out_of_time << " with an enqueue time before that of their predecessor\n"
            << out_of_turn << " out of their producer's order\n";
  if (total != 0) {
    std::cerr << "age when seen: mean " << age_sum.count() / 1000 / total << " us, highest " << age_max.count() / 1000
              << " us\n";
  }
  return 0;
}
// [/snippet]

}  // namespace

int main() {
  example::Processes producers, consumers;
  consumers.start(consume);
  for (std::uint16_t number = 0; number < kProducers; ++number) {
    producers.start([number] { return produce(number); });
  }
  const bool produced = producers.wait();
  ipcq::Queue::open("stream").close();  // end of the stream: the consumer drains it and ends
  const bool consumed = consumers.wait();
  ipcq::remove("stream");
  return produced && consumed ? 0 : 1;
}
