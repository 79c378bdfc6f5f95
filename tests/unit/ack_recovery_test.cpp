// Ack, requeue and recovery change a leased word by compare-exchange of the exact word: one of them wins, and a stale
// handle never touches a newer lease.
#include <gtest/gtest.h>

#include <cstdint>
#include <thread>

#include "core/event_count.hpp"
#include "core/lease.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;

class AckAgainstRecovery : public LedgerBench {
 protected:
  void SetUp() override {
    for (int i = 0; i < 4; ++i) segment_.send(producer_, 8);
  }
  [[nodiscard]] LeaseTaken lease(Owner owner, std::uint32_t messages = 1) const {
    const LeaseTaken taken = core::lease(view(), group_.row, group_.incarnation, owner, {.max_messages = messages}, 0);
    EXPECT_EQ(taken.step, LeaseStep::leased);
    return taken;
  }
  [[nodiscard]] Outcome ack(const LeaseTaken& taken) const {
    return core::ack(view(), group_.row, group_.incarnation, taken.entry, taken.word);
  }
  [[nodiscard]] Outcome requeue(const LeaseTaken& taken) const {
    return core::requeue(view(), group_.row, taken.entry, taken.word);
  }
  [[nodiscard]] EntryState state_of(const LeaseTaken& taken) const { return read(taken.entry).state; }

  core::ProducerState producer_ = segment_.producer(0);
  Owner owner_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(AckAgainstRecovery, AnAckLeavesRetiringToTheNextLeaseWhileNobodyWaits) {
  const LeaseTaken first = lease(owner_);
  EXPECT_EQ(ack(first), Outcome::ok);
  EXPECT_EQ(state_of(first), EntryState::done);
  EXPECT_EQ(retired(), 0U);
  std::ignore = lease(owner_);
  EXPECT_EQ(retired(), first.end);
}

TEST_F(AckAgainstRecovery, AnAckRetiresAndWakesWhenAProducerWaitsForRoom) {
  const LeaseTaken first = lease(owner_);
  const std::uint32_t armed = core::arm(view().side().space);
  EXPECT_EQ(ack(first), Outcome::ok);
  EXPECT_EQ(retired(), first.end);
  EXPECT_NE(view().side().space.word.load(), armed);
}

TEST_F(AckAgainstRecovery, AnAckWhoseGroupIsHeldByAnotherStandsAllTheSame) {
  const LeaseTaken first = lease(owner_);
  core::arm(view().side().space);
  std::thread([&] {
    ASSERT_EQ(row().mutex.lock(os::kNoDeadline), os::LockResult::clean);
    Outcome outcome = Outcome::disowned;
    std::thread([&] { outcome = ack(first); }).join();
    EXPECT_EQ(outcome, Outcome::ok);
    EXPECT_EQ(state_of(first), EntryState::done);
    EXPECT_EQ(retired(), 0U) << "whoever waits retires by himself";
    row().mutex.unlock();
  }).join();
}

TEST_F(AckAgainstRecovery, ASecondAckOrRequeueOfAFinishedRangeIsDisowned) {
  const LeaseTaken first = lease(owner_);
  EXPECT_EQ(ack(first), Outcome::ok);
  EXPECT_EQ(ack(first), Outcome::disowned);
  EXPECT_EQ(requeue(first), Outcome::disowned);
  EXPECT_EQ(state_of(first), EntryState::done);
}

TEST_F(AckAgainstRecovery, WhatRecoveryGaveBackIsNoLongerTheDeadsToFinish) {
  const LeaseTaken first = lease(owner_);
  segment_.end(owner_);
  EXPECT_TRUE(core::redeliver_dead(view(), group_.row));
  EXPECT_EQ(state_of(first), EntryState::redeliverable);
  EXPECT_EQ(read(first.entry).deliveries, 1U);
  EXPECT_EQ(ack(first), Outcome::disowned);
  EXPECT_EQ(requeue(first), Outcome::disowned);
  EXPECT_EQ(read(first.entry).deliveries, 1U) << "counted once";
  EXPECT_EQ(row().recovered_leases.load(), 1U);
}

TEST_F(AckAgainstRecovery, WhatWasFinishedBeforeTheVerdictStaysFinished) {
  const LeaseTaken acked = lease(owner_);
  const LeaseTaken requeued = lease(owner_);
  EXPECT_EQ(ack(acked), Outcome::ok);
  EXPECT_EQ(requeue(requeued), Outcome::ok);
  segment_.end(owner_);
  EXPECT_FALSE(core::redeliver_dead(view(), group_.row));
  EXPECT_EQ(state_of(acked), EntryState::done);
  EXPECT_EQ(read(requeued.entry).deliveries, 1U);
}

TEST_F(AckAgainstRecovery, ALivingOwnersLeaseIsNeverGivenBack) {
  const LeaseTaken first = lease(owner_);
  EXPECT_FALSE(core::redeliver_dead(view(), group_.row));
  EXPECT_EQ(state_of(first), EntryState::leased);
}

TEST_F(AckAgainstRecovery, AnEarlierIncarnationsLeaseIsGivenBackThoughItsRowIsUsedAgain) {
  const LeaseTaken first = lease(owner_);
  segment_.end(owner_);
  segment_.attach(1, layout::RowKind::consumer);
  EXPECT_TRUE(core::redeliver_dead(view(), group_.row));
  EXPECT_EQ(state_of(first), EntryState::redeliverable);
}

TEST_F(AckAgainstRecovery, AStaleHandleOfTheSameOwnerAndEntryMissesTheNewerLease) {
  const LeaseTaken stale = lease(owner_);
  EXPECT_EQ(requeue(stale), Outcome::ok);
  const LeaseTaken fresh = lease(owner_);
  ASSERT_EQ(fresh.entry, stale.entry);
  ASSERT_EQ(fresh.begin, stale.begin);
  EXPECT_EQ(ack(stale), Outcome::disowned);
  EXPECT_EQ(requeue(stale), Outcome::disowned);
  EXPECT_EQ(state_of(fresh), EntryState::leased);
  EXPECT_EQ(ack(fresh), Outcome::ok);
}

TEST_F(AckAgainstRecovery, AStaleHandleMissesWhenItsEntryHoldsANewRange) {
  const LeaseTaken stale = lease(owner_);
  EXPECT_EQ(ack(stale), Outcome::ok);
  // Lease and ack until the entry comes round again, with no delivery before: but for the sequence the word is the same.
  LeaseTaken fresh = lease(owner_);
  while (fresh.entry != stale.entry) {
    EXPECT_EQ(ack(fresh), Outcome::ok);
    segment_.send(producer_, 8);
    fresh = lease(owner_);
  }
  EXPECT_EQ(core::word_deliveries(fresh.word), core::word_deliveries(stale.word));
  EXPECT_EQ(core::word_owner(fresh.word), core::word_owner(stale.word));
  EXPECT_EQ(ack(stale), Outcome::disowned);
  EXPECT_EQ(state_of(fresh), EntryState::leased);
}

TEST_F(AckAgainstRecovery, AfterAnAckOfTheFirstMessagesTheOldHandleMissesBothParts) {
  const LeaseTaken before = lease(owner_, 4);
  LeaseTaken rest = before;
  const std::uint64_t cut = before.begin + 2 * detail::record_bytes(8, 16);
  EXPECT_EQ(core::ack_first(view(), group_.row, group_.incarnation, cut, 0, rest), Outcome::ok);
  EXPECT_EQ(rest.begin, cut);
  EXPECT_EQ(retired(), cut);
  EXPECT_TRUE(is_whole());
  EXPECT_EQ(ack(before), Outcome::disowned);
  EXPECT_EQ(requeue(before), Outcome::disowned);
  EXPECT_EQ(state_of(rest), EntryState::leased);
  EXPECT_EQ(ack(rest), Outcome::ok);
}

TEST_F(AckAgainstRecovery, AnAckOfTheFirstMessagesOfWhatRecoveryGaveBackIsDisowned) {
  LeaseTaken taken = lease(owner_, 4);
  segment_.end(owner_);
  EXPECT_TRUE(core::redeliver_dead(view(), group_.row));
  EXPECT_EQ(core::ack_first(view(), group_.row, group_.incarnation, taken.begin + 32, 0, taken), Outcome::disowned);
  EXPECT_EQ(ranges(), (std::vector<Range>{{taken.begin, taken.end, EntryState::redeliverable, 1, 0}}));
}

TEST_F(AckAgainstRecovery, OfAckAndRecoveryAtOnceExactlyOneWins) {
  LeaseTaken taken;
  Outcome outcome = Outcome::empty;
  bool recovered = false;
  const auto next = [&] {
    segment_.send(producer_, 8);
    const Owner mortal = segment_.attach(2, layout::RowKind::consumer);
    taken = lease(mortal, 1);
    segment_.end(mortal);
  };
  next();
  race(
      scaled(20'000), [&] { outcome = ack(taken); }, [&] { recovered = core::redeliver_dead(view(), group_.row); },
      [&] {
        EXPECT_NE(outcome == Outcome::ok, recovered);
        EXPECT_EQ(state_of(taken), recovered ? EntryState::redeliverable : EntryState::done);
        if (recovered) {
          EXPECT_EQ(ack(lease(owner_, 1)), Outcome::ok);
        }
        next();
      });
}

}  // namespace
}  // namespace ipcq::unit
