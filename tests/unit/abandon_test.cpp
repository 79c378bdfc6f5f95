// Abandon: what a dead producer had claimed is skipped, what he had committed is not, and if the verdict was wrong only one wins.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <random>

#include "core/head_window.hpp"
#include "core/producer_side.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

class AbandonedClaim : public ::testing::Test {
 protected:
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }

  CoreSegment segment_;
  core::GroupId group_ = segment_.add_group();
  core::ProducerState producer_ = segment_.producer(0);
};

TEST_F(AbandonedClaim, IsNotABatchThatWasCommittedWhateverItsTagAndFlagsAre) {
  const core::ClaimTaken taken = segment_.claim(producer_, 32);
  // They read as the producer's name.
  const std::uint64_t committed = make_head(RecordState::committed, 16, producer_.owner);
  ASSERT_EQ(core::commit(view(), producer_, taken.position, 32, 32, committed), Outcome::ok);
  EXPECT_TRUE(core::abandon(view(), taken.position, producer_.owner));
  EXPECT_EQ(segment_.head(taken.position), committed);
  EXPECT_EQ(view().side().close.abandoned_claims.load(), 0U);
}

TEST_F(AbandonedClaim, IsLookedForWhereARecordCanBeginOnly) {
  EXPECT_TRUE(core::HeadWindow(view(), 16));
  EXPECT_FALSE(core::HeadWindow(view(), 8));
  EXPECT_FALSE(core::HeadWindow(view(), 4095));
}

// Should a living producer be judged dead.
TEST_F(AbandonedClaim, OrCommittedAtOnceIsOneOfThemAndBothKnowWhich) {
  core::ClaimTaken taken = segment_.claim(producer_, 32);
  Outcome committed = Outcome::ok;
  std::uint64_t abandoned = 0;
  // Both look at the head within a few dozen nanoseconds of each other only if the commit is late by as long as the other
  // needs to come there: a system call and a mutex.
  constexpr std::uint64_t kLate_ns = 4'000;
  std::mt19937_64 random(3);
  race(
      scaled(10'000),
      [&] {
        const auto begin = std::chrono::steady_clock::now();
        const std::chrono::nanoseconds late(pick(random, 0, kLate_ns));
        while (std::chrono::steady_clock::now() - begin < late) {
        }
        committed = core::commit(view(), producer_, taken.position, 32, 32, make_head(RecordState::committed, 16, 0));
      },
      [&] { core::abandon(view(), taken.position, producer_.owner); },
      [&] {
        const bool skipped = segment_.state_at(taken.position) == RecordState::skipped;
        ASSERT_EQ(committed, skipped ? Outcome::disowned : Outcome::ok);
        abandoned += skipped ? 1 : 0;
        ASSERT_EQ(view().side().close.abandoned_claims.load(), abandoned);
        view().group(group_.row).retired.store(segment_.claim_position());
        taken = segment_.claim(producer_, 32);
      });
}

}  // namespace
}  // namespace ipcq::unit
