// The exclusive producer: nothing in the ring until commit, and a successor that goes on where the dead one's last
// published batch ends, whatever of the three steps it died behind.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "core/closing.hpp"
#include "core/producer_side.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::TakeOver;

class ExclusiveProducer : public ::testing::Test {
 protected:
  void SetUp() override {
    std::memset(segment_.view().data_writable + 16, 0xa5, kCapacity - 16);
    segment_.add_group();
    ASSERT_EQ(take_over(first_), TakeOver::ok);
  }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::Side& side() const noexcept { return view().side(); }
  [[nodiscard]] Owner owner_word() const { return side().close.exclusive_owner.load(); }

  TakeOver take_over(core::ProducerState& producer) {
    Owner holder = 0;
    return core::take_over_producer(view(), producer, holder);
  }
  /// A batch of two messages of 16 bytes behind `position`, and the end mark, but for the first head: step 1 of a commit.
  std::uint64_t put_inner(std::uint64_t position) {
    segment_.put_head(position + 32, RecordState::committed, 16);
    segment_.put_head(position + 64, RecordState::none, 0);
    return position + 64;
  }

  CoreSegment segment_{{.producers = ProducerMode::exclusive}};
  core::ProducerState first_ = segment_.producer(0);
  core::ProducerState successor_ = segment_.producer(1);
};

TEST_F(ExclusiveProducer, AClaimWritesNothingToTheRing) {
  const core::ClaimTaken taken = segment_.claim(first_, 4096);
  EXPECT_EQ(taken.position, 0U);
  EXPECT_EQ(segment_.head(0), 0U);
  EXPECT_EQ(segment_.claim_position(), 0U);
  EXPECT_EQ(core::abort(view(), first_, taken.position, 4096), Outcome::ok);
  EXPECT_EQ(segment_.head(0), 0U);
  EXPECT_EQ(segment_.claim(first_, 64).position, 0U) << "an abort leaves no trace";
}

TEST_F(ExclusiveProducer, ACommitPublishesWhatWasUsedAndGivesTheRestBack) {
  const core::ClaimTaken taken = segment_.claim(first_, 4096);
  EXPECT_EQ(core::commit(view(), first_, taken.position, 4096, 64, make_head(RecordState::committed, 40, 0)),
            Outcome::ok);
  EXPECT_EQ(segment_.state_at(0), RecordState::committed);
  EXPECT_EQ(segment_.head(64), 0U);
  EXPECT_EQ(segment_.claim_position(), 64U);
  EXPECT_EQ(segment_.claim(first_, 64).position, 64U);
}

TEST_F(ExclusiveProducer, OnlyOneLivesAtATimeAndIsNamed) {
  Owner holder = 0;
  EXPECT_EQ(core::take_over_producer(view(), successor_, holder), TakeOver::in_use);
  EXPECT_EQ(holder, first_.owner);
  core::leave_producer(view(), first_);
  EXPECT_EQ(owner_word(), 0U);
  EXPECT_EQ(take_over(successor_), TakeOver::ok);
  EXPECT_EQ(owner_word(), successor_.owner);
}

TEST_F(ExclusiveProducer, DiedBeforeThePublicationNothingIsSeenOfTheBatch) {
  segment_.send(first_, 16);
  put_inner(32);
  segment_.end(first_.owner);
  ASSERT_EQ(take_over(successor_), TakeOver::ok);
  EXPECT_EQ(successor_.position, 32U);
  EXPECT_EQ(segment_.head(32), 0U);
}

TEST_F(ExclusiveProducer, DiedBehindThePublicationTheBatchIsWholeAndTheSuccessorFollows) {
  segment_.send(first_, 16);
  const std::uint64_t end = put_inner(32);
  segment_.put_head(32, RecordState::committed, 16);
  core::writable_record_at(view(), 32).time.store(500);
  side().claim.last_time.store(100);
  segment_.end(first_.owner);
  ASSERT_EQ(segment_.claim_position(), 32U) << "the state to be mended";
  ASSERT_EQ(take_over(successor_), TakeOver::ok);
  EXPECT_EQ(segment_.claim_position(), end);
  EXPECT_EQ(successor_.position, end);
  EXPECT_GE(successor_.time, 500U) << "time must not decrease";
  EXPECT_EQ(segment_.send(successor_, 8), end);
}

TEST_F(ExclusiveProducer, ItsSuccessorsTimeDoesNotGoBackToThatOfABatchThatWasStampedEarlier) {
  side().claim.last_time.store(1'000'000);
  segment_.put_head(0, RecordState::committed, 16);
  core::store_time(view(), 0, 5);
  segment_.put_head(32, RecordState::none, 0);
  segment_.end(first_.owner);
  ASSERT_EQ(take_over(successor_), TakeOver::ok);
  EXPECT_EQ(successor_.position, 32U);
  EXPECT_EQ(successor_.time, 1'000'000U);
}

TEST_F(ExclusiveProducer, ItsSuccessorReadsNoTimeInASkippedRecord) {
  side().claim.last_time.store(1'000'000);
  segment_.put_head(0, RecordState::skipped, 32);
  segment_.put_head(32, RecordState::none, 0);
  segment_.end(first_.owner);
  ASSERT_EQ(take_over(successor_), TakeOver::ok);
  EXPECT_EQ(successor_.position, 32U);
  EXPECT_EQ(successor_.time, 1'000'000U);
}

TEST_F(ExclusiveProducer, ADeathInTheMutexLeavesThePublishedBatchAtClaimPositionAlone) {
  const std::uint64_t end = put_inner(0);
  segment_.put_head(0, RecordState::committed, 16);
  segment_.end(first_.owner);
  die_holding(side().producer_lock.mutex);
  ASSERT_EQ(core::lock_producer_side(view(), 0), core::Locked::yes);
  core::unlock_producer_side(view());
  EXPECT_EQ(segment_.state_at(0), RecordState::committed);
  ASSERT_EQ(take_over(successor_), TakeOver::ok);
  EXPECT_EQ(successor_.position, end);
}

TEST_F(ExclusiveProducer, ATakeOverThatDiedBeforeItsOwnerWordIsDoneAgain) {
  const std::uint64_t end = put_inner(0);
  segment_.put_head(0, RecordState::committed, 16);
  segment_.end(first_.owner);
  ASSERT_TRUE(core::walk_claim_position(view()));
  segment_.end(successor_.owner);  // behind its step 1
  core::ProducerState third = segment_.producer(2);
  ASSERT_EQ(take_over(third), TakeOver::ok);
  EXPECT_EQ(third.position, end);
}

TEST_F(ExclusiveProducer, TheWalkOverARingFullOfOneBatchEnds) {
  for (std::uint64_t at = 0; at < kCapacity - 16; at += 16) segment_.put_head(at, RecordState::committed, 0);
  segment_.put_head(kCapacity - 16, RecordState::none, 0);
  EXPECT_TRUE(core::walk_claim_position(view()));
  EXPECT_EQ(segment_.claim_position(), kCapacity - 16);
}

TEST_F(ExclusiveProducer, RecordsThatContradictThemselvesAreNotWalkedOver) {
  // No end at all, and a length that cannot be.
  for (std::uint64_t at = 0; at < kCapacity; at += 16) segment_.put_head(at, RecordState::committed, 0);
  segment_.end(first_.owner);
  EXPECT_EQ(take_over(successor_), TakeOver::damaged);
  EXPECT_EQ(segment_.claim_position(), 0U);
  segment_.put_head(0, RecordState::skipped, 0);
  EXPECT_EQ(take_over(successor_), TakeOver::damaged);
  EXPECT_EQ(owner_word(), first_.owner);
  EXPECT_FALSE(segment_.poisoned());
}

TEST_F(ExclusiveProducer, NobodyAbandonsItsClaim) {
  const core::ClaimTaken taken = segment_.claim(first_, 64);
  segment_.end(first_.owner);
  EXPECT_TRUE(core::abandon_claim_of(view(), first_.owner));
  EXPECT_EQ(segment_.head(taken.position), 0U);
}

TEST_F(ExclusiveProducer, WhoWasTakenOverFromLearnsItWhenItLooksForRoom) {
  segment_.send(first_, 16);
  first_.limit = 0;  // short, as far as it knows
  side().close.exclusive_owner.store(successor_.owner);
  core::ClaimTaken taken;
  EXPECT_EQ(core::claim(view(), first_, 64, 0, taken), Outcome::disowned);
}

TEST_F(ExclusiveProducer, CloseIsFinishedByTheLivingProducerWhereItsOpenClaimEnds) {
  const core::ClaimTaken taken = segment_.claim(first_, 64);
  core::close(view());
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition) << "where the stream ends is not known yet";
  EXPECT_EQ(core::commit(view(), first_, taken.position, 64, 64, make_head(RecordState::committed, 48, 0)), Outcome::ok);
  EXPECT_EQ(core::closed_at(view()), 64U);
}

TEST_F(ExclusiveProducer, CloseIsFinishedByTheLivingProducerWhenItAbortsAndWhenItLeaves) {
  const core::ClaimTaken taken = segment_.claim(first_, 64);
  core::close(view());
  ASSERT_EQ(core::closed_at(view()), core::kNoPosition);
  ASSERT_EQ(core::abort(view(), first_, taken.position, 64), Outcome::ok);
  EXPECT_EQ(core::closed_at(view()), taken.position);

  ASSERT_TRUE(core::reopen(view()));
  view().frozen().flags.fetch_or(layout::flag::kClosed);
  core::leave_producer(view(), first_);
  EXPECT_EQ(core::closed_at(view()), taken.position);
}

TEST_F(ExclusiveProducer, ItsTimesNeverGoBack) {
  const std::uint64_t later = view().stamp() + 1'000'000'000'000;
  first_.time = later;
  EXPECT_EQ(segment_.claim(first_, 64).time, later);
}

TEST_F(ExclusiveProducer, ACloseBehindWhatItsDeadProducerCannotHaveWrittenHasNoEnd) {
  segment_.put_head(segment_.claim_position(), RecordState::claimed, 64, first_.owner);
  segment_.end(first_.owner);
  core::close(view());
  EXPECT_TRUE(core::is_closed(view()));
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
}

TEST_F(ExclusiveProducer, CloseIsFinishedByWhoeverLooksOnceTheProducerIsDead) {
  core::close(view());
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
  const std::uint64_t end = put_inner(0);
  segment_.put_head(0, RecordState::committed, 16);  // published, and died before claim_position
  segment_.end(first_.owner);
  core::finish_close(view());
  EXPECT_EQ(core::closed_at(view()), end);
  EXPECT_TRUE(core::reopen(view()));
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
  EXPECT_FALSE(core::is_closed(view()));
}

}  // namespace
}  // namespace ipcq::unit
