// A claim that died between two of its steps, built by hand: what the next one who looks finds, and that nobody is
// abandoned but an owner whose claim still stands where it was made.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>

#include "core/event_count.hpp"
#include "core/producer_side.hpp"
#include "core/room.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

constexpr std::uint64_t kNeed = 96;

class ClaimSteps : public ::testing::Test {
 protected:
  void SetUp() override {
    // Whatever a step does not write is garbage, as in the second lap of a ring.
    std::memset(segment_.view().data_writable + 512, 0xa5, kCapacity - 512);
    segment_.add_group();
    segment_.send(living_, 8);
    at_ = segment_.claim_position();
  }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::Side& side() const noexcept { return view().side(); }

  // The steps of claim_shared(), one by one.
  void step_0() const { view().row(core::owner_row(mortal_)).open_claim.store(at_); }
  void step_1() const { segment_.put_head(at_ + kNeed, RecordState::none, 0); }
  void step_2() const { segment_.put_head(at_, RecordState::claimed, kNeed, mortal_); }
  void step_3() const { side().claim.claim_position.store(at_ + kNeed); }
  void die_in_the_mutex() const {
    segment_.end(mortal_);
    die_holding(side().producer_lock.mutex);
  }
  /// That a living producer claims at this position, and Z: behind its claim is nothing.
  void expect_next_claim_at(std::uint64_t position) {
    EXPECT_EQ(segment_.claim(living_, kNeed).position, position);
    EXPECT_EQ(segment_.head(position), make_head(RecordState::claimed, kNeed, living_.owner));
    EXPECT_EQ(segment_.head(position + kNeed), 0U);
    EXPECT_EQ(segment_.claim_position(), position + kNeed);
  }

  CoreSegment segment_;
  core::ProducerState living_ = segment_.producer(0);
  Owner mortal_ = segment_.attach(1);
  std::uint64_t at_ = 0;
};

TEST_F(ClaimSteps, DiedBehindStepZeroNothingHappened) {
  step_0();
  die_in_the_mutex();
  EXPECT_TRUE(core::abandon_claim_of(view(), mortal_));
  EXPECT_EQ(segment_.claim_position(), at_);
  EXPECT_EQ(segment_.head(at_), 0U);
  expect_next_claim_at(at_);
}

TEST_F(ClaimSteps, DiedBehindStepOneNothingHappened) {
  step_0();
  step_1();
  die_in_the_mutex();
  expect_next_claim_at(at_);
}

TEST_F(ClaimSteps, DiedBehindStepTwoTheHeadIsZeroedByWhoeverLocksNext) {
  step_0();
  step_1();
  step_2();
  die_in_the_mutex();
  ASSERT_EQ(core::lock_producer_side(view(), 0), core::Locked::yes);
  EXPECT_EQ(segment_.head(at_), 0U);
  core::unlock_producer_side(view());
  EXPECT_EQ(side().close.recoveries.load(), 1U);
  expect_next_claim_at(at_);
}

TEST_F(ClaimSteps, DiedBehindStepTwoTheClaimIsZeroedAndNotSkippedByAnAbandon) {
  step_0();
  step_1();
  step_2();
  die_in_the_mutex();
  EXPECT_TRUE(core::abandon(view(), at_, mortal_));
  EXPECT_EQ(segment_.head(at_), 0U) << "skipped here, a group would retire past claim_position";
  EXPECT_EQ(segment_.claim_position(), at_);
  EXPECT_EQ(side().close.abandoned_claims.load(), 0U);
}

TEST_F(ClaimSteps, DiedBehindStepThreeInTheMutexTheClaimIsAbandonedWhole) {
  step_0();
  step_1();
  step_2();
  step_3();
  die_in_the_mutex();
  EXPECT_TRUE(core::abandon_claim_of(view(), mortal_));
  EXPECT_EQ(segment_.head(at_), make_head(RecordState::skipped, kNeed, 0));
  EXPECT_EQ(segment_.head(at_ + kNeed), 0U) << "the repair of the mutex found the end mark at claim_position";
  EXPECT_EQ(side().close.abandoned_claims.load(), 1U);
  expect_next_claim_at(at_ + kNeed);
}

TEST_F(ClaimSteps, AConsumerRepairsThroughAWindow) {
  void* dormant =
      ::mmap(nullptr, kCapacity, PROT_NONE, MAP_SHARED, segment_.fd(), static_cast<off_t>(view().control_bytes));
  ASSERT_NE(dormant, MAP_FAILED);
  core::View consumer = view();
  consumer.data_writable = nullptr;
  consumer.data_dormant = static_cast<std::byte*>(dormant);
  step_0();
  step_1();
  step_2();
  step_3();
  die_in_the_mutex();
  EXPECT_TRUE(core::abandon(consumer, at_, mortal_)) << "one window for the repair, one for the head, on the same page";
  EXPECT_EQ(segment_.head(at_), make_head(RecordState::skipped, kNeed, 0));
  EXPECT_FALSE(segment_.poisoned());
  ::munmap(dormant, kCapacity);
}

TEST_F(ClaimSteps, TheRepairIsIdempotent) {
  step_0();
  step_1();
  step_2();
  for (int i = 0; i < 3; ++i) {
    die_in_the_mutex();
    ASSERT_EQ(core::lock_producer_side(view(), 0), core::Locked::yes);
    core::unlock_producer_side(view());
    EXPECT_EQ(segment_.head(at_), 0U);
    EXPECT_EQ(segment_.claim_position(), at_);
  }
}

class Abandon : public ClaimSteps {
 protected:
  void SetUp() override {
    ClaimSteps::SetUp();
    step_0();
    step_1();
    step_2();
    step_3();
    segment_.end(mortal_);
  }
  /// That an abandon changes nothing now.
  void expect_untouched() {
    const std::uint64_t before = segment_.head(at_);
    EXPECT_TRUE(core::abandon(view(), at_, mortal_)) << "looked at, and nothing was to be done";
    EXPECT_EQ(segment_.head(at_), before);
    EXPECT_EQ(side().close.abandoned_claims.load(), 0U);
  }
};

TEST_F(Abandon, SkipsTheWholeRange) {
  EXPECT_TRUE(core::abandon(view(), at_, mortal_));
  EXPECT_EQ(segment_.head(at_), make_head(RecordState::skipped, kNeed, 0));
}

TEST_F(Abandon, LeavesACommittedBatchAlone) {
  segment_.put_head(at_, RecordState::committed, 8, 0x1234);
  expect_untouched();
}

TEST_F(Abandon, LeavesASkippedRangeAlone) {
  segment_.put_head(at_, RecordState::skipped, 32);
  expect_untouched();
}

TEST_F(Abandon, LeavesAnotherIncarnationsClaimAlone) {
  segment_.put_head(at_, RecordState::claimed, kNeed, core::make_owner(1, core::owner_incarnation(mortal_) + 1));
  expect_untouched();
}

TEST_F(Abandon, LeavesAnotherRowsClaimAlone) {
  segment_.put_head(at_, RecordState::claimed, kNeed, living_.owner);
  expect_untouched();
}

TEST_F(Abandon, WritesNothingAtClaimPositionOrBehindIt) {
  side().claim.claim_position.store(at_);
  expect_untouched();
}

TEST_F(Abandon, WritesNothingBeforeTheLeastRetired) {
  view().group(0).retired.store(at_ + 16);
  expect_untouched();
}

TEST_F(Abandon, ByTheRowDoesNothingWhenTheRowNamesNoPosition) {
  for (const std::uint64_t position : {core::kNoPosition, at_ + 8}) {
    view().row(core::owner_row(mortal_)).open_claim.store(position);
    EXPECT_TRUE(core::abandon_claim_of(view(), mortal_));
    EXPECT_EQ(segment_.state_at(at_), RecordState::claimed);
  }
}

TEST_F(Abandon, WakesBothDirections) {
  const std::uint32_t data = core::arm(side().data);
  const std::uint32_t space = core::arm(side().space);
  EXPECT_TRUE(core::abandon(view(), at_, mortal_));
  EXPECT_NE(side().data.word.load(), data) << "messages may lie behind it";
  EXPECT_NE(side().space.word.load(), space) << "it is room";
}

TEST_F(Abandon, SaysSoWhenALivingHolderKeepsTheMutexAndChangesNothing) {
  std::thread([&] {
    ASSERT_EQ(side().producer_lock.mutex.lock(os::kNoDeadline), os::LockResult::clean);
    bool done = true;
    std::thread([&] { done = core::abandon(view(), at_, mortal_); }).join();
    EXPECT_FALSE(done);
    EXPECT_EQ(segment_.state_at(at_), RecordState::claimed);
    side().producer_lock.mutex.unlock();
  }).join();
  EXPECT_FALSE(segment_.poisoned());
}

TEST_F(Abandon, TurnsALaterCommitOrAbortIntoDisowned) {
  core::ProducerState late;
  late.owner = mortal_;
  EXPECT_TRUE(core::abandon(view(), at_, mortal_));
  EXPECT_EQ(core::commit(view(), late, at_, kNeed, 32, make_head(RecordState::committed, 8, 0)), Outcome::disowned);
  EXPECT_EQ(core::abort(view(), late, at_, kNeed), Outcome::disowned);
  EXPECT_EQ(segment_.head(at_), make_head(RecordState::skipped, kNeed, 0));
}

TEST_F(Abandon, AndACommitAtOnceAgreeOnOneOutcome) {
  core::ProducerState late;
  late.owner = mortal_;
  Outcome outcome = Outcome::empty;
  race(
      scaled(20'000),
      [&] { outcome = core::commit(view(), late, at_, kNeed, kNeed, make_head(RecordState::committed, kNeed - 16, 0)); },
      [&] { core::abandon(view(), at_, mortal_); },
      [&] {
        EXPECT_EQ(outcome == Outcome::ok, segment_.state_at(at_) == RecordState::committed);
        EXPECT_EQ(outcome == Outcome::disowned, segment_.state_at(at_) == RecordState::skipped);
        step_2();
      });
}

}  // namespace
}  // namespace ipcq::unit
