// The exclusive consumer: `retired` is its own word; what it left open when it died comes again one message at a time.
#include "core/exclusive_consumer.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "core/closing.hpp"
#include "core/event_count.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::Join;
using core::LeaseStep;
using core::LeaseTaken;

class ExclusiveConsumer : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(join(first_), Join::ok); }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }

  core::ExclusiveState consumer(std::uint32_t number) {
    core::ExclusiveState state;
    state.owner = segment_.attach(number, layout::RowKind::consumer);
    return state;
  }
  Join join(core::ExclusiveState& state) {
    Owner holder = 0;
    return core::join_exclusive(view(), group_.row, group_.incarnation, state, holder);
  }
  LeaseTaken lease(core::ExclusiveState& state, bool nothing_open, std::uint32_t messages = 64) {
    return core::lease_exclusive(view(), group_.row, group_.incarnation, state, {.max_messages = messages}, nothing_open);
  }
  Outcome ack(const core::ExclusiveState& state, const LeaseTaken& taken) {
    return core::ack_exclusive(view(), group_.row, state, taken.end);
  }
  void send(int messages) {
    for (int i = 0; i < messages; ++i) segment_.send(producer_, 8);
  }
  void abort_claims(std::uint32_t claims) {
    for (std::uint32_t i = 0; i < claims; ++i) {
      const core::ClaimTaken taken = segment_.claim(producer_, 16);
      ASSERT_EQ(core::abort(view(), producer_, taken.position, 16), Outcome::ok);
    }
  }

  CoreSegment segment_{{.capacity = 4 * kCapacity}};
  core::GroupId group_ = segment_.add_group({.name = "default", .consumers = ConsumerMode::exclusive});
  core::ProducerState producer_ = segment_.producer(0);
  core::ExclusiveState first_ = consumer(1);
};

TEST_F(ExclusiveConsumer, AnAckWakesWhoWaitsForRoom) {
  send(1);
  const LeaseTaken taken = lease(first_, true);
  core::arm(view().side().space);
  ASSERT_EQ(ack(first_, taken), Outcome::ok);
  EXPECT_FALSE(core::somebody_waits(view().side().space));
}

TEST_F(ExclusiveConsumer, TheRoomOfWhatWasSkippedIsFreedAndToldOfWhenNothingIsOpenBeforeIt) {
  send(1);
  const LeaseTaken open = lease(first_, true);
  abort_claims(2);
  core::arm(view().side().space);
  EXPECT_EQ(lease(first_, false).step, LeaseStep::nothing);
  EXPECT_EQ(row().retired.load(), 0U) << "the lease before it is open";
  ASSERT_EQ(ack(first_, open), Outcome::ok);
  core::arm(view().side().space);
  EXPECT_EQ(lease(first_, true).step, LeaseStep::nothing);
  EXPECT_EQ(row().retired.load(), segment_.claim_position());
  EXPECT_FALSE(core::somebody_waits(view().side().space));
}

TEST_F(ExclusiveConsumer, LeasesFollowEachOtherAndAnAckMovesRetired) {
  send(4);
  const LeaseTaken one = lease(first_, true, 2);
  const LeaseTaken two = lease(first_, false, 2);
  EXPECT_EQ(one.begin, 0U);
  EXPECT_EQ(two.begin, one.end);
  EXPECT_EQ(row().leased_to.load(), two.end);
  EXPECT_EQ(row().retired.load(), 0U);
  EXPECT_EQ(ack(first_, one), Outcome::ok);
  EXPECT_EQ(row().retired.load(), one.end);
}

TEST_F(ExclusiveConsumer, OnlyOneLivesAtATime) {
  core::ExclusiveState second = consumer(2);
  Owner holder = 0;
  EXPECT_EQ(core::join_exclusive(view(), group_.row, group_.incarnation, second, holder), Join::in_use);
  EXPECT_EQ(holder, first_.owner);
  core::leave_exclusive(view(), group_.row, first_);
  EXPECT_EQ(join(second), Join::ok);
}

TEST_F(ExclusiveConsumer, WhatTheDeadHadOpenComesAgainOneByOneAndIsCounted) {
  send(3);
  std::ignore = lease(first_, true, 2);
  segment_.end(first_.owner);
  for (std::uint32_t death = 1; death <= 2; ++death) {
    core::ExclusiveState next = consumer(1 + death);
    ASSERT_EQ(join(next), Join::ok);
    const LeaseTaken again = lease(next, true);
    EXPECT_EQ(again.begin, 0U);
    EXPECT_EQ(again.messages, 1U);
    EXPECT_EQ(again.deliveries, death);
    segment_.end(next.owner);
  }
}

TEST_F(ExclusiveConsumer, BehindWhatTheDeadHadOpenLeasesAreWholeAgain) {
  send(5);
  std::ignore = lease(first_, true, 2);
  segment_.end(first_.owner);
  core::ExclusiveState next = consumer(2);
  ASSERT_EQ(join(next), Join::ok);
  for (int i = 0; i < 2; ++i) {
    const LeaseTaken again = lease(next, true);
    EXPECT_EQ(again.messages, 1U);
    EXPECT_EQ(ack(next, again), Outcome::ok);
  }
  const LeaseTaken fresh = lease(next, true);
  EXPECT_EQ(fresh.messages, 3U);
  EXPECT_EQ(fresh.deliveries, 0U);
}

TEST_F(ExclusiveConsumer, ADeathWithNothingOpenCountsNothing) {
  send(2);
  const LeaseTaken taken = lease(first_, true);
  EXPECT_EQ(ack(first_, taken), Outcome::ok);
  segment_.end(first_.owner);
  core::ExclusiveState next = consumer(2);
  ASSERT_EQ(join(next), Join::ok);
  EXPECT_EQ(next.deliveries, 0U);
  send(3);
  EXPECT_EQ(lease(next, true).messages, 3U);
}

TEST_F(ExclusiveConsumer, ADeathOfOneThatTookNothingCountsNothingThoughAnEarlierOneGaveMessagesBack) {
  send(3);
  std::ignore = lease(first_, true);
  core::leave_exclusive(view(), group_.row, first_);  // it gave them back and went
  core::ExclusiveState idle = consumer(2);
  ASSERT_EQ(join(idle), Join::ok);
  segment_.end(idle.owner);
  core::ExclusiveState next = consumer(3);
  ASSERT_EQ(join(next), Join::ok);
  EXPECT_EQ(next.deliveries, 0U);
  EXPECT_EQ(lease(next, true).messages, 3U);
}

TEST_F(ExclusiveConsumer, ThatWasTakenOverFromMovesNothingPastSkippedRecordsEither) {
  abort_claims(3);
  row().owner.store(core::make_owner(2, 9));
  std::ignore = lease(first_, true);
  EXPECT_EQ(row().retired.load(), 0U) << "it is the successor's word";
}

TEST_F(ExclusiveConsumer, ThatWasTakenOverFromDoesNotMoveRetired) {
  send(2);
  const LeaseTaken taken = lease(first_, true);
  row().owner.store(core::make_owner(2, 9));
  EXPECT_EQ(ack(first_, taken), Outcome::disowned);
  EXPECT_EQ(row().retired.load(), 0U);
}

TEST_F(ExclusiveConsumer, DoesNotJoinWhereWhatCameBackEndsBeyondTheRing) {
  core::leave_exclusive(view(), group_.row, first_);
  row().again_to.store(row().retired.load() + 8 * view().capacity);
  core::ExclusiveState second = consumer(2);
  EXPECT_EQ(join(second), Join::damaged);
  EXPECT_EQ(row().owner.load(), 0U);
}

TEST_F(ExclusiveConsumer, CountsNoFurtherThanThereAreNumbers) {
  send(1);
  ASSERT_EQ(lease(first_, true).step, LeaseStep::leased);
  row().takeover_retired.store(row().retired.load());
  row().takeover_count.store(core::kDeliveriesMax);
  segment_.end(first_.owner);
  core::ExclusiveState second = consumer(2);
  ASSERT_EQ(join(second), Join::ok);
  EXPECT_EQ(second.deliveries, core::kDeliveriesMax);
}

TEST_F(ExclusiveConsumer, SkippedRecordsAloneArePassedWhileNothingIsOpen) {
  abort_claims(10);
  EXPECT_EQ(lease(first_, true).step, LeaseStep::nothing);
  EXPECT_EQ(row().retired.load(), 160U);
}

TEST_F(ExclusiveConsumer, SkippedRecordsThatWerePassedWhileALeaseWasOpenAreRetiredWhenItIsFinished) {
  // As many skipped records behind an open lease as one walk takes: the consumer's place is behind them then.
  send(1);
  const LeaseTaken open = lease(first_, true);
  abort_claims(core::kWalkRecordsMax);
  EXPECT_EQ(lease(first_, false).step, LeaseStep::nothing);
  EXPECT_EQ(ack(first_, open), Outcome::ok);
  core::close(view());
  EXPECT_EQ(lease(first_, true).step, LeaseStep::drained) << "nothing is left: the stream must end";
  EXPECT_EQ(row().retired.load(), segment_.claim_position()) << "their room must come back";
}

}  // namespace
}  // namespace ipcq::unit
