// Processes are killed while they sleep in the queue: they take no wake-up with them, and nobody pays for them afterwards.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <string>
#include <thread>
#include <vector>

#include "crash_test.hpp"
#include "support/waiting.hpp"

namespace ipcq::crash {
namespace {

/// Sleeps for messages, and reports when it got each.
const ChildRole kSleepingConsumer("sleeping consumer", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer({.wait = WaitStrategy::sleep});
  self.report("waiting");
  while (Lease lease = consumer.lease()) {
    self.report(std::to_string(monotonic_ns()));
    require(lease.ack() == Outcome::ok, "ack");
  }
  return 0;
});

/// Sleeps for room that does not come.
const ChildRole kSleepingProducer("sleeping producer", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer({.wait = WaitStrategy::sleep});
  self.report("waiting");
  static_cast<void>(producer.claim(Room::equal(1, kPayload)));
  return 0;
});

/// Many consumers that sleep for messages, in threads of one process. Arguments: how many.
const ChildRole kSleepers("sleepers", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  const std::uint64_t count = self.number(0);
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < count; ++i) {
    threads.emplace_back([&queue] {
      Consumer consumer = queue.consumer({.wait = WaitStrategy::sleep});
      static_cast<void>(consumer.lease());
    });
  }
  const auto own = static_cast<std::uint32_t>(::getpid());
  support::wait_until("all sleep", [&] {
    std::uint64_t asleep = 0;
    for (const EndpointInfo& endpoint : queue.inspect().endpoints) {
      if (endpoint.pid == own) asleep += endpoint.waits;
    }
    return asleep >= count;
  });
  self.report("waiting");
  return self.hold();
});

/// Lets what the dead have left behind be noticed once, and then sends and takes messages without one system call.
const ChildRole kPaysNothing("pays nothing", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const auto one_message = [&](Outcome& outcome) {
    Claim batch = producer.claim(Room::equal(1, 64), now);
    outcome = batch.outcome();
    if (!batch) return;
    batch.append(64);
    outcome = batch.commit();
    if (outcome != Outcome::ok) return;
    Lease lease = consumer.lease({.deadline = now});
    outcome = lease ? lease.ack() : lease.outcome();
  };
  Outcome outcome = Outcome::ok;
  one_message(outcome);
  require(outcome == Outcome::ok, to_string(outcome));
  self.forbid_system_calls();
  for (int i = 0; i < 20'000 && outcome == Outcome::ok; ++i) one_message(outcome);
  self.report(to_string(outcome));
  self.leave(outcome == Outcome::ok ? 0 : 1);
  return 0;
});

class WaiterDeath : public CrashTest {
 protected:
  static ChildProcess asleep(const ChildRole& role) {
    ChildProcess process(role, {});
    EXPECT_EQ(process.next_report(), "waiting");
    EXPECT_TRUE(process.wait_until_asleep());
    return process;
  }
};

TEST_F(WaiterDeath, a_killed_waiter_takes_no_wake_up_with_it) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ChildProcess survivor = asleep(kSleepingConsumer);
  // Without its wake-up the survivor finds the message at its next backstop, up to 50 ms later. Counted are the rounds in
  // which it was much faster: all of them but for a busy machine, a fifth of them if the dead took the wake-up.
  constexpr int kRounds = 20;
  constexpr std::int64_t kPromptNs = 10'000'000;
  int prompt = 0;
  for (std::uint64_t round = 1; round <= kRounds; ++round) {
    ChildProcess dead = asleep(kSleepingConsumer);
    ASSERT_TRUE(survivor.wait_until_asleep());
    dead.signal(SIGKILL);  // and at once, before it is gone:
    const std::int64_t sent = monotonic_ns();
    send(producer, {round});
    const std::string report = survivor.next_report();
    ASSERT_NE(report.front(), '<') << report;
    if (std::stoll(report) - sent < kPromptNs) ++prompt;
    dead.kill();
  }
  EXPECT_GT(prompt, kRounds * 3 / 4);
}

TEST_F(WaiterDeath, after_the_death_of_waiters_nobody_pays_a_system_call_for_them) {
  const Queue queue = create();
  constexpr int kProcesses = 20;
  constexpr int kThreads = 50;  // a thousand in all
  for (int i = 0; i < kProcesses; ++i) {
    ChildProcess sleepers(kSleepers, {std::to_string(kThreads)});
    ASSERT_EQ(sleepers.next_report(), "waiting");
    sleepers.kill();
  }
  {
    Producer producer = queue.producer();
    send_each(producer, ids("1-63"));
    for (int i = 0; i < 5; ++i) asleep(kSleepingProducer).kill();
    Consumer consumer = queue.consumer();
    ASSERT_EQ(receive(consumer, kRingful).ids(), ids("1-63"));
  }
  EXPECT_TRUE(ChildProcess(kPaysNothing, {}).succeeds());
}

}  // namespace
}  // namespace ipcq::crash
