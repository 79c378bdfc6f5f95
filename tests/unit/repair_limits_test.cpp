// Repair where it is short of something: of free ledger entries, of anything that tells, of an empty queue.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "core/repair.hpp"
#include "damaged_queue.hpp"

namespace ipcq::unit {
namespace {

using core::Finding;
using core::RepairStep;
using core::verify;

class RepairLimits : public DamagedQueue {
 protected:
  [[nodiscard]] bool is_sound() const {
    const std::vector<Finding> findings = verify(view());
    return std::all_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.recoverable; });
  }
};

TEST_F(RepairLimits, AGapInAFullLedgerComesAgainWithItsNeighbour) {
  for (int i = 0; i < 16; ++i) std::ignore = segment_.send(producer_, 100);
  std::vector<core::LeaseTaken> leases;
  for (int i = 0; i < 8; ++i) leases.push_back(lease(2));
  segment_.end(producer_.owner);
  segment_.end(consumer_);
  entry(leases[3].entry).begin.store(leases[3].begin + 128);
  ASSERT_FALSE(is_sound());
  const std::vector<RepairStep> steps = core::repair_alone(view());
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(), [](const RepairStep& step) { return step.given_up; }));
  EXPECT_TRUE(is_sound()) << ::testing::PrintToString(verify(view()));
  EXPECT_EQ(drain(group_).size(), 16U);
  EXPECT_EQ(drain(other_).size(), 16U);
}

TEST_F(RepairLimits, AGroupOfWhichNothingTellsWhatItFinishedGoesOnAtTheEndAndThatIsSaid) {
  fill();
  segment_.end(producer_.owner);
  segment_.end(consumer_);
  view().group(other_.row).retired.store(1 << 30);
  view().side().claim.least_retired.store(1 << 30);
  const std::vector<RepairStep> steps = core::repair_alone(view());
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(), [](const RepairStep& step) {
    return step.given_up && step.text.find("'other'") != std::string::npos;
  }));
  EXPECT_TRUE(is_sound()) << ::testing::PrintToString(verify(view()));
  EXPECT_EQ(drain(other_).size(), 0U);
  EXPECT_GT(drain(group_).size(), 0U) << "the other group's are all there";
}

TEST_F(RepairLimits, ARangeThatIsNotFinishedBeforeRetiredIsBelieved) {
  fill();
  segment_.end(producer_.owner);
  segment_.end(consumer_);
  row().retired.store(first_.end);
  ASSERT_FALSE(is_sound());
  core::repair_alone(view());
  EXPECT_TRUE(is_sound()) << ::testing::PrintToString(verify(view()));
  EXPECT_TRUE(drain(group_).contains(first_.begin));
}

TEST_F(RepairLimits, WhereNothingTellsWhatIsRightNothingIsGuessedAndTheQueueStaysPoisoned) {
  fill();
  segment_.end(producer_.owner);
  segment_.end(consumer_);
  view().side().claim.claim_position.store(3);
  view().side().claim.least_retired.store(5);
  row().retired.store(7);
  view().group(other_.row).retired.store(9);
  const std::vector<RepairStep> steps = core::repair_alone(view());
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(), [](const RepairStep& step) { return step.given_up; }));
  EXPECT_FALSE(is_sound());
  EXPECT_TRUE(segment_.poisoned());
  EXPECT_EQ(segment_.claim_position(), 3U);
}

TEST_F(RepairLimits, WhatAVersionOfTheFutureMayKnowIsLeftAndKeepsNobodyOut) {
  fill();
  segment_.end(producer_.owner);
  segment_.end(consumer_);
  view().frozen().flags.fetch_or(64 | layout::flag::kPoisoned);
  core::repair_alone(view());
  EXPECT_FALSE(segment_.poisoned());
  EXPECT_EQ(view().frozen().flags.load(), 64U);
  expect_broken("flags.known", 12, false);
}

// While the producer and the consumer live.
TEST_F(RepairLimits, AnEndMarkIsMendedUnderTheMutexWhileOthersLive) {
  fill();
  const std::uint64_t position = segment_.claim_position();
  segment_.put_head(position, RecordState::claimed, 64, producer_.owner);
  ASSERT_FALSE(is_sound());
  core::repair_in_use(view(), verify(view()));
  EXPECT_TRUE(is_sound()) << ::testing::PrintToString(verify(view()));
  EXPECT_EQ(core::ack(view(), group_.row, group_.incarnation, first_.entry, first_.word), Outcome::ok)
      << "what the living hold is theirs";
}

TEST_F(RepairLimits, a_quota_that_none_can_be_is_mended_while_others_live_and_what_they_hold_stays_theirs) {
  fill();
  quota(0).message_interval[1].store(1);
  quota(1).byte_burst[0].store(7);
  const std::vector<Finding> findings = verify(view());
  ASSERT_FALSE(is_sound());
  EXPECT_TRUE(std::all_of(findings.begin(), findings.end(), core::mends_in_use)) << ::testing::PrintToString(findings);
  core::repair_in_use(view(), findings);
  EXPECT_TRUE(is_sound()) << ::testing::PrintToString(verify(view()));
  EXPECT_EQ(quota(0).message_interval[1].load(), 0U);
  EXPECT_EQ(core::ack(view(), group_.row, group_.incarnation, first_.entry, first_.word), Outcome::ok);
}

TEST_F(RepairLimits, APublishedRecordAtTheEndIsNoBrokenOffClaimAndIsLeftWhileOthersLive) {
  fill();
  const std::uint64_t position = segment_.claim_position();
  segment_.put_head(position, RecordState::committed, 48);
  core::repair_in_use(view(), verify(view()));
  EXPECT_FALSE(is_sound());
  EXPECT_NE(segment_.head(position), 0U);
}

TEST_F(RepairLimits, AnIndexIsRebuiltWhileOthersLiveUnlessTheLedgerItselfIsTorn) {
  fill();
  row().index_count.store(1);
  core::repair_in_use(view(), verify(view()));
  EXPECT_TRUE(is_sound());
  row().index_count.store(1);
  entry(fourth_.entry).end.store(fourth_.end + 16);
  const std::uint16_t place = view().index(group_.row)[0];
  core::repair_in_use(view(), verify(view()));
  EXPECT_FALSE(is_sound());
  EXPECT_EQ(view().index(group_.row)[0], place);
  EXPECT_EQ(row().index_count.load(), 1U);
}

}  // namespace
}  // namespace ipcq::unit
