// Closing: the flag first, then where the stream ends; a group has ended when it has finished everything before that, and
// whoever finishes the last of it wakes those who wait for the end.
#include "core/closing.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "core/event_count.hpp"
#include "core/lease.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;

class Closing : public LedgerBench {
 protected:
  [[nodiscard]] LeaseTaken lease(Owner owner, std::uint32_t min_messages = 1) const {
    return core::lease(view(), group_.row, group_.incarnation, owner, {.min_messages = min_messages}, 0);
  }
  [[nodiscard]] LeaseStep step() const { return lease(owner_).step; }
  [[nodiscard]] Outcome ack(const LeaseTaken& taken) const {
    return core::ack(view(), group_.row, group_.incarnation, taken.entry, taken.word);
  }
  void set_flag() const { view().frozen().flags.fetch_or(layout::flag::kClosed); }

  core::ProducerState producer_ = segment_.producer(0);
  Owner owner_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(Closing, EndsTheStreamWhereEverythingClaimedEnds) {
  segment_.send(producer_, 8);
  const core::ClaimTaken open = segment_.claim(producer_, 64);
  core::close(view());
  EXPECT_TRUE(core::is_closed(view()));
  EXPECT_EQ(core::closed_at(view()), open.position + 64);
  core::ClaimTaken refused;
  EXPECT_EQ(core::claim(view(), producer_, 64, 0, refused), Outcome::closed);
  EXPECT_EQ(core::commit(view(), producer_, open.position, 64, 64, make_head(RecordState::committed, 48, 0)), Outcome::ok)
      << "a claim begun before may commit";
}

TEST_F(Closing, WakesBothDirections) {
  const std::uint32_t data = core::arm(view().side().data);
  const std::uint32_t space = core::arm(view().side().space);
  core::close(view());
  EXPECT_NE(view().side().data.word.load(), data);
  EXPECT_NE(view().side().space.word.load(), space);
}

TEST_F(Closing, DiedBehindTheFlagIsFinishedByWhoeverMeetsIt) {
  segment_.send(producer_, 8);
  set_flag();
  EXPECT_EQ(step(), LeaseStep::leased);
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
  core::finish_close(view());
  EXPECT_EQ(core::closed_at(view()), segment_.claim_position());
  core::finish_close(view());
  EXPECT_EQ(core::closed_at(view()), segment_.claim_position());
}

TEST_F(Closing, WithoutTheFlagNothingIsFinished) {
  core::finish_close(view());
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
}

TEST_F(Closing, AGroupHasEndedWhenEverythingIsFinishedAndNotBefore) {
  segment_.send(producer_, 8);
  const LeaseTaken open = lease(owner_);
  core::close(view());
  const Owner other = segment_.attach(2, layout::RowKind::consumer);
  EXPECT_EQ(lease(other).step, LeaseStep::nothing) << "it may come back";
  ASSERT_EQ(core::requeue(view(), group_.row, open.entry, open.word), Outcome::ok);
  const LeaseTaken again = lease(other);
  ASSERT_EQ(again.step, LeaseStep::leased);
  ASSERT_EQ(ack(again), Outcome::ok);
  EXPECT_EQ(step(), LeaseStep::drained);
}

TEST_F(Closing, AnEmptyQueueHasEndedAtOnce) {
  core::close(view());
  EXPECT_EQ(step(), LeaseStep::drained);
}

TEST_F(Closing, SkippedRecordsAtTheEndDoNotKeepAGroupFromIt) {
  segment_.send(producer_, 8);
  const core::ClaimTaken skipped = segment_.claim(producer_, 64);
  ASSERT_EQ(core::abort(view(), producer_, skipped.position, 64), Outcome::ok);
  core::close(view());
  ASSERT_EQ(ack(lease(owner_)), Outcome::ok);
  EXPECT_EQ(step(), LeaseStep::drained);
}

TEST_F(Closing, WhatIsThereIsTakenThoughItIsLessThanWasWaitedFor) {
  segment_.send(producer_, 8);
  EXPECT_EQ(lease(owner_, 10).step, LeaseStep::nothing);
  core::close(view());
  EXPECT_EQ(lease(owner_, 10).step, LeaseStep::leased) << "no more can come";
}

TEST_F(Closing, TheLastAckWakesWhoeverWaitsForTheEnd) {
  segment_.send(producer_, 8);
  const LeaseTaken open = lease(owner_);
  core::close(view());
  const std::uint32_t armed = core::arm(view().side().data);
  ASSERT_EQ(ack(open), Outcome::ok);
  EXPECT_NE(view().side().data.word.load(), armed);
}

TEST_F(Closing, WhoeverRetiresForTheLastAckerWakesWhoeverWaitsForTheEnd) {
  // The acker is preempted behind its exchange; another's lease retires for it, and the acker finds nothing to retire.
  segment_.send(producer_, 8);
  const LeaseTaken open = lease(owner_);
  core::close(view());
  const std::uint32_t armed = core::arm(view().side().data);
  entry(open.entry).word.store(core::make_word(EntryState::done, 0, core::word_sequence(open.word), 0));
  const Owner other = segment_.attach(2, layout::RowKind::consumer);
  EXPECT_EQ(lease(other).step, LeaseStep::drained);
  core::retire_and_publish(view(), group_.row, group_.incarnation);
  EXPECT_NE(view().side().data.word.load(), armed);
}

TEST_F(Closing, IsTakenBackWhole) {
  core::close(view());
  EXPECT_TRUE(core::reopen(view()));
  EXPECT_FALSE(core::is_closed(view()));
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
  segment_.send(producer_, 8);
  EXPECT_EQ(step(), LeaseStep::leased);
}

TEST_F(Closing, AReopenThatDiedHalfWayIsACloseToBeFinished) {
  core::close(view());
  segment_.end(producer_.owner);
  view().side().close.closed_at.store(core::kNoPosition);  // its first store, and not its second
  core::finish_close(view());
  EXPECT_EQ(core::closed_at(view()), segment_.claim_position());
}

}  // namespace
}  // namespace ipcq::unit
