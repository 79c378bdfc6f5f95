// Calls that never sleep for long never come to a backstop: they must find the dead all the same.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <ipcq/ipcq.hpp>
#include <string>
#include <vector>

#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"
#include "support/waiting.hpp"

namespace ipcq::unit {
namespace {

using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::require;

constexpr const char* kQueue = "polled";
const std::string kPayload(1000, 'x');

/// Holds the oldest message of the queue, each of the oldest three by a lease of its own, or an open claim. Arguments:
/// directory, "lease", "leases" or "claim".
const ChildRole kHolds("holds what others wait for", [](Child& self) -> int {
  const Queue queue = Queue::open(kQueue, {.directory = self.argument(0)});
  Producer producer;
  Claim claim;
  Consumer consumer;
  std::vector<Lease> leases;
  if (self.argument(1) == "claim") {
    producer = queue.producer();
    claim = producer.claim({.bytes = 100}, now);
    require(static_cast<bool>(claim), "no claim");
  } else {
    consumer = queue.consumer();
    const std::size_t count = self.argument(1) == "leases" ? 3 : 1;
    while (leases.size() < count) {
      leases.push_back(consumer.lease({.max_messages = 1, .deadline = now}));
      require(static_cast<bool>(leases.back()), "no lease");
    }
  }
  self.report("holding");
  return self.hold();
});

struct Poll {
  const char* name;
  const char* held;
  Deadline deadline;
};
inline void PrintTo(const Poll& poll, std::ostream* out) { *out << poll.name; }

class DeadAndPolling : public ::testing::TestWithParam<Poll> {
 protected:
  support::ScratchDirectory scratch_;
};

TEST_P(DeadAndPolling, AProducerThatWaitsForAMomentAtMostDropsBehindWhatTheDeadHeld) {
  const Queue queue = Queue::create(
      kQueue, {.capacity_bytes = 64 * 1024, .overflow = Overflow::drop_oldest, .directory = scratch_.path()});
  Producer producer = queue.producer();
  const std::string held = GetParam().held;
  const auto send = [&] { return producer.send(kPayload, 0, GetParam().deadline); };
  if (held == "lease") {
    ASSERT_EQ(send(), Outcome::ok);
  }
  ChildProcess holder(kHolds, {scratch_.path(), held});
  ASSERT_EQ(holder.next_report(), "holding");
  while (producer.send(kPayload, 0, now) == Outcome::ok) {
  }
  EXPECT_EQ(send(), Outcome::full) << "it lives, and is never robbed";
  holder.kill();
  // Calls may look for the dead now and then only, so not the first one must succeed; but one must.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  Outcome outcome = send();
  while (outcome == Outcome::full && std::chrono::steady_clock::now() < patience) outcome = send();
  EXPECT_EQ(outcome, Outcome::ok);
}

INSTANTIATE_TEST_SUITE_P(Held, DeadAndPolling,
                         ::testing::Values(Poll{"lease_now", "lease", now}, Poll{"claim_now", "claim", now},
                                           Poll{"lease_5ms", "lease", std::chrono::milliseconds(5)},
                                           Poll{"claim_5ms", "claim", std::chrono::milliseconds(5)}),
                         [](const auto& poll) { return std::string(poll.param.name); });

/// How a consumer waits, and for how long at a time.
struct Wait {
  const char* name;
  WaitStrategy strategy;
  Deadline deadline;
};
inline void PrintTo(const Wait& wait, std::ostream* out) { *out << wait.name; }

class DeadBehindTheLiving : public ::testing::TestWithParam<Wait> {
 protected:
  support::ScratchDirectory scratch_;
};

// The front of the ledger is a living member's, so nobody has a reason to ask who holds the next lease but a look for the dead.
TEST_P(DeadBehindTheLiving, AConsumerGetsWhatTheyHeldHoweverItWaits) {
  const Queue queue = Queue::create(kQueue, {.directory = scratch_.path()});
  Producer producer = queue.producer();
  for (int i = 0; i < 2; ++i) ASSERT_EQ(producer.send(kPayload, 0, now), Outcome::ok);
  Consumer oldest = queue.consumer();
  const Lease front = oldest.lease({.max_messages = 1, .deadline = now});
  ASSERT_TRUE(front);
  ChildProcess holder(kHolds, {scratch_.path(), "lease"});
  ASSERT_EQ(holder.next_report(), "holding");
  Consumer waiting = queue.consumer({.wait = GetParam().strategy});
  ASSERT_EQ(waiting.lease({.deadline = now}).outcome(), Outcome::empty);
  holder.kill();
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(15);
  Lease again = waiting.lease({.deadline = GetParam().deadline});
  while (again.outcome() == Outcome::empty && std::chrono::steady_clock::now() < patience)
    again = waiting.lease({.deadline = GetParam().deadline});
  EXPECT_EQ(again.outcome(), Outcome::ok);
  EXPECT_EQ(again.deliveries(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Waits, DeadBehindTheLiving,
                         ::testing::Values(Wait{"not_at_all", WaitStrategy::adaptive, now},
                                           Wait{"a_moment", WaitStrategy::sleep, std::chrono::milliseconds(5)},
                                           Wait{"spinning", WaitStrategy::spin, std::chrono::seconds(15)},
                                           Wait{"sleeping", WaitStrategy::sleep, std::chrono::seconds(15)}),
                         [](const auto& wait) { return std::string(wait.param.name); });

TEST(DeadAndWaiting, AProducerThatSpinsDropsBehindWhatTheDeadHeld) {
  const support::ScratchDirectory scratch;
  const Queue queue = Queue::create(
      kQueue, {.capacity_bytes = 64 * 1024, .overflow = Overflow::drop_oldest, .directory = scratch.path()});
  Producer producer = queue.producer({.wait = WaitStrategy::spin});
  ASSERT_EQ(producer.send(kPayload, 0, now), Outcome::ok);
  ChildProcess holder(kHolds, {scratch.path(), "lease"});
  ASSERT_EQ(holder.next_report(), "holding");
  while (producer.send(kPayload, 0, now) == Outcome::ok) {
  }
  holder.kill();
  EXPECT_EQ(producer.send(kPayload, 0, std::chrono::seconds(15)), Outcome::ok);
}

TEST(DeadAndWaiting, AConsumerThatWaitsForALedgerEntryGetsWhatTheDeadHeldBehindALivingLease) {
  const support::ScratchDirectory scratch;
  const Queue queue = Queue::create(kQueue, {.ledger_entries = 4, .directory = scratch.path()});
  Producer producer = queue.producer();
  for (int i = 0; i < 5; ++i) ASSERT_EQ(producer.send(kPayload, 0, now), Outcome::ok);
  Consumer consumer = queue.consumer();
  const Lease oldest = consumer.lease({.max_messages = 1, .deadline = now});
  ASSERT_TRUE(oldest);
  ChildProcess holder(kHolds, {scratch.path(), "leases"});
  ASSERT_EQ(holder.next_report(), "holding");
  ASSERT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::too_many_leases);
  holder.kill();
  Consumer waiting = queue.consumer();
  const Lease again = waiting.lease({.deadline = std::chrono::seconds(30)});
  EXPECT_EQ(again.outcome(), Outcome::ok);
  EXPECT_EQ(again.deliveries(), 1U);
}

}  // namespace
}  // namespace ipcq::unit
