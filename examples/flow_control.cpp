// Flow control. The queue lets Q messages a second pass. A producer that sends M at a time waits T = M / Q between its
// claims, and two of them twice that: none of them sleeps, counts or looks at a clock. The queue does, without a daemon.
#include <chrono>
#include <cstdint>
#include <iostream>
#include <ipcq/ipcq.hpp>
#include <span>
#include <string>

#include "processes.hpp"

namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

// [snippet]
constexpr double kPerSecond = 400;  // Q
constexpr std::uint32_t kSent = 4;  // M
constexpr std::uint32_t kBatches = 25;
constexpr int kProducers = 2;
constexpr duration<double> kWait(kSent / kPerSecond);  // T

ipcq::Queue open() {
  return ipcq::Queue::open_or_create("flow", {.quota = {.messages_per_second = kPerSecond, .burst_messages = kSent}});
}

int produce() {
  ipcq::Producer producer = open().producer();
  for (std::uint32_t i = 0; i < kBatches; ++i) {
    ipcq::Claim claim = producer.claim({.messages = kSent, .bytes = kSent * 8});  // sleeps until its turn comes
    for (std::uint32_t j = 0; j < kSent; ++j) {
      const std::string text = "msg" + std::to_string(j);
      claim.append_copy(std::as_bytes(std::span(text)));
    }
    if (claim.commit() != ipcq::Outcome::ok) return 1;
  }
  return 0;
}

int consume() {
  ipcq::Consumer consumer = open().consumer();
  std::uint32_t count = 0;
  steady_clock::time_point first, last;  // when they were sent
  while (ipcq::Lease lease = consumer.lease()) {
    for (const ipcq::Message& message : lease) {
      last = steady_clock::now() - lease.age(message);
      if (count++ == 0) first = last;
    }
    lease.ack();
  }
  const duration<double> took = last - first;
  const duration<double> least = (count / kSent - 1) * kWait;
  std::cout << count << " messages of " << kProducers << " producers, " << kSent << " at a time, at " << kPerSecond
            << " a second\n"
            << "from the first to the last: " << (took >= 0.95 * least ? "not less" : "less") << " than "
            << duration<double, std::milli>(least).count() << " ms\n";
  return 0;
}

// Who may not wait is told how long it would be.
void be_refused() {
  ipcq::Producer producer = open().producer();
  for (;;) {
    ipcq::Claim claim = producer.claim({.messages = kSent, .bytes = kSent * 8}, ipcq::now);
    if (claim) {
      for (std::uint32_t j = 0; j < kSent; ++j) claim.append(8);
      claim.commit();
      continue;
    }
    std::cout << "a claim that may not wait: " << to_string(claim.outcome()) << ", it would pass within "
              << (claim.retry_after() <= kWait ? "T" : "more than T") << "\n";
    return;
  }
}
// [/snippet]

}  // namespace

int main() {
  example::Processes producers, consumers;
  consumers.start(consume);
  for (int i = 0; i < kProducers; ++i) producers.start(produce);
  const bool produced = producers.wait();
  ipcq::Queue::open("flow").close();
  const bool consumed = consumers.wait();
  ipcq::Queue::open("flow").reopen();
  be_refused();
  ipcq::remove("flow");
  return produced && consumed ? 0 : 1;
}
