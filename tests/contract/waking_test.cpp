// What wakes those who wait for others: aborts, requeues and group removals; and who is named when nothing does.
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using support::Background;

/// Waits for one batch in a thread of its own, and acks it.
class Reader {
 public:
  explicit Reader(Consumer& consumer)
      : thread_([this, &consumer] {
          ipcq::Lease lease = consumer.lease({.deadline = kPatience});
          outcome_ = lease.outcome();
          deliveries_ = lease.deliveries();
          texts_ = texts_of(lease);
          if (lease) lease.ack();
        }) {
    thread_.wait_until_asleep();
  }
  /// Waits until the batch is there.
  const Texts& texts() {
    thread_.join();
    return texts_;
  }
  [[nodiscard]] Outcome outcome() const { return outcome_; }
  [[nodiscard]] std::uint32_t deliveries() const { return deliveries_; }
  [[nodiscard]] bool finished() const { return thread_.finished(); }

 private:
  Texts texts_;
  Outcome outcome_ = Outcome::empty;
  std::uint32_t deliveries_ = 0;
  Background thread_;  // last: it uses the others
};

class BehindAnOpenClaim : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, BehindAnOpenClaim, modes_of_shared_producers(), name_of);

TEST_P(BehindAnOpenClaim, ACommittedBatchAppearsWhenTheClaimIsAborted) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = one.claim({.messages = 1, .bytes = 5}, now);
  put(two, {"behind"});
  Reader reader(consumer);
  EXPECT_FALSE(reader.finished());
  claim.abort();
  EXPECT_EQ(reader.texts(), Texts{"behind"});
}

TEST_P(BehindAnOpenClaim, ACommittedBatchAppearsWhenTheClaimIsCommitted) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = one.claim({.messages = 1, .bytes = 5}, now);
  put(two, {"behind"});
  Reader reader(consumer);
  EXPECT_FALSE(reader.finished());
  claim.append_copy(bytes_of("front"));
  claim.commit();
  EXPECT_EQ(reader.texts(), (Texts{"front", "behind"}));
}

TEST_P(BehindAnOpenClaim, AnAbortBehindItDoesNotShowWhatFollows) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim front = one.claim({.messages = 1, .bytes = 5}, now);
  ipcq::Claim behind = two.claim({.messages = 1, .bytes = 6}, now);
  Reader reader(consumer);
  behind.abort();
  put(two, {"later"});
  EXPECT_FALSE(reader.finished());
  front.append_copy(bytes_of("front"));
  front.commit();
  EXPECT_EQ(reader.texts(), (Texts{"front", "later"}));
}

TEST_P(BehindAnOpenClaim, ALeaseIsBlockedAndNamesTheClaimsOwner) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 5}, now);
  EXPECT_EQ(take(consumer).outcome(), Outcome::blocked);

  const auto before = steady_clock::now();
  const ipcq::Lease lease = consumer.lease({.deadline = milliseconds(20)});
  EXPECT_GE(steady_clock::now() - before, milliseconds(20)) << "it waited for the living owner";
  EXPECT_EQ(lease.outcome(), Outcome::blocked);
  const std::optional<BlockedBy> by = lease.blocked_by();
  ASSERT_TRUE(by);
  EXPECT_EQ(by->what, "claim");
  EXPECT_EQ(by->pid, static_cast<std::uint32_t>(::getpid()));
  EXPECT_FALSE(by->command.empty());
  EXPECT_GE(by->age, milliseconds(10));
}

TEST_P(BehindAnOpenClaim, WhatIsInFrontOfItCanBeLeased) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  put(one, {"front"});
  const ipcq::Claim claim = one.claim({.messages = 1, .bytes = 5}, now);
  put(two, {"behind"});
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(texts_of(lease), Texts{"front"});
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(BehindAnOpenClaim, AProducerWaitingForRoomGetsItFromAnAbort) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  ipcq::Claim claim = one.claim({.messages = 4, .bytes = kSmallestCapacity - 1024}, now);
  ASSERT_TRUE(claim);
  Outcome outcome = Outcome::empty;
  Background waiter([&] { outcome = two.send(std::string(4000, 'x'), 0, kPatience); });
  waiter.wait_until_asleep();
  claim.abort();
  waiter.join();
  EXPECT_EQ(outcome, Outcome::ok);
}

class WakingInASharedGroup : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, WakingInASharedGroup, modes_of_shared_consumers(), name_of);

TEST_P(WakingInASharedGroup, ARequeueWakesAnotherMember) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  put(producer, {"a"});
  ipcq::Lease lease = take(one);
  Reader reader(two);
  EXPECT_FALSE(reader.finished());
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  EXPECT_EQ(reader.texts(), Texts{"a"});
  EXPECT_EQ(reader.deliveries(), 1U);
}

TEST_P(WakingInASharedGroup, ADestroyedLeaseWakesAnotherMember) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  put(producer, {"a"});
  std::optional<ipcq::Lease> lease = take(one);
  Reader reader(two);
  lease.reset();
  EXPECT_EQ(reader.texts(), Texts{"a"});
}

TEST_P(WakingInASharedGroup, OneCommitServesEverySleepingMember) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  std::uint32_t taken[2] = {0, 0};
  const auto take_one = [](Consumer& consumer, std::uint32_t& count) {
    ipcq::Lease lease = consumer.lease({.max_messages = 1, .deadline = kPatience});
    count = lease.size();
    lease.ack();
  };
  Background first([&] { take_one(one, taken[0]); });
  Background second([&] { take_one(two, taken[1]); });
  first.wait_until_asleep();
  second.wait_until_asleep();
  put(producer, {"a", "b"});
  first.join();
  second.join();
  EXPECT_EQ(taken[0], 1U);
  EXPECT_EQ(taken[1], 1U);
}

TEST_P(WakingInASharedGroup, RemovalOfTheGroupTellsItsWaitingMembers) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "a"}, {.name = "b"}};
  const Queue queue = create(wanted);
  Consumer member = queue.consumer("a");
  Reader reader(member);
  queue.remove_group("a", true);
  EXPECT_EQ(reader.texts(), Texts{});
  EXPECT_EQ(reader.outcome(), Outcome::group_removed);
}

TEST_P(WakingInASharedGroup, AFreedEntryWakesAMemberThatHadTooManyLeases) {
  CreateOptions wanted = options();
  wanted.ledger_entries = 4;
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  put_numbers(producer, 5);
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(take(one, 1));
  const ipcq::Lease refused = two.lease({.deadline = milliseconds(5)});
  EXPECT_EQ(refused.outcome(), Outcome::too_many_leases);
  const std::optional<BlockedBy> by = refused.blocked_by();
  ASSERT_TRUE(by) << "the oldest holder is named";
  EXPECT_EQ(by->what, "lease");
  EXPECT_EQ(by->pid, static_cast<std::uint32_t>(::getpid()));

  Reader reader(two);
  EXPECT_FALSE(reader.finished());
  for (ipcq::Lease& lease : leases) EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(reader.texts(), Texts{"4"});
}

class ShortOfRoom : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ShortOfRoom, every_mode(), name_of);

TEST_P(ShortOfRoom, AClaimNamesTheHolderOfTheLeaseThatKeepsTheRoom) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  fill(producer, 1000);
  ipcq::Lease lease = take(consumer, 4096);
  const ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1000}, milliseconds(5));
  EXPECT_EQ(claim.outcome(), Outcome::full);
  const std::optional<BlockedBy> by = claim.blocked_by();
  ASSERT_TRUE(by);
  EXPECT_EQ(by->what, "lease");
  EXPECT_EQ(by->pid, static_cast<std::uint32_t>(::getpid()));
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(ShortOfRoom, AnAckOfTheFirstMessagesEndsTheWait) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::uint32_t sent = fill(producer, 1000);
  ipcq::Lease lease = take(consumer, 4096);
  Outcome outcome = Outcome::empty;
  Background waiter([&] { outcome = producer.send(std::string(1000, 'x'), 0, kPatience); });
  waiter.wait_until_asleep();
  EXPECT_EQ(lease.ack(sent / 2), Outcome::ok);
  waiter.join();
  EXPECT_EQ(outcome, Outcome::ok);
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(ShortOfRoom, ALargeClaimWaitsForAsManyAcksAsItNeeds) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::uint32_t sent = fill(producer, 1000);
  Outcome outcome = Outcome::empty;
  Background waiter([&] { outcome = producer.send(std::string(30'000, 'x'), 0, kPatience); });
  std::uint32_t acked = 0;
  while (acked < sent && !waiter.finished()) {
    waiter.wait_until_asleep();
    ipcq::Lease lease = take(consumer, 1);
    if (!lease || lease.begin()->payload.size() != 1000) break;
    ++acked;
    lease.ack();
  }
  waiter.join();
  EXPECT_EQ(outcome, Outcome::ok);
  EXPECT_GE(acked, 28U) << "fewer acks cannot have made 30,000 bytes of room";
}

}  // namespace
}  // namespace ipcq::contract
