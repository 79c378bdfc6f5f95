// Repair of a queue with one producer and a group with one consumer: claim_position may lag, and positions alone tell all.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/repair.hpp"
#include "exclusive_queue.hpp"

namespace ipcq::unit {
namespace {

using core::RepairStep;

class RepairOfOne : public ExclusiveQueue {
 protected:
  static bool has(const std::vector<RepairStep>& steps, std::string_view invariant, bool given_up, std::string_view text) {
    return std::any_of(steps.begin(), steps.end(), [&](const RepairStep& step) {
      return step.invariant == invariant && step.given_up == given_up && step.text.find(text) != std::string::npos;
    });
  }
  void call_for_a_repair() const { row().takeover_count.store(9999); }
  std::vector<RepairStep> repair() {
    std::vector<RepairStep> steps = core::repair_alone(view());
    EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
    EXPECT_EQ(core::repair_alone(view()).size(), 0U);
    return steps;
  }
};

TEST_F(RepairOfOne, a_claimed_head_among_the_messages_is_given_up_to_the_next_place_that_is_known) {
  segment_.put_head(3 * kRecord, RecordState::claimed, kRecord, core::make_owner(1, 1));
  EXPECT_TRUE(names("ring.claim", false));
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(has(steps, "ring.tiles", true, "from 384 to 512")) << ::testing::PrintToString(steps);
  EXPECT_EQ(segment_.state_at(3 * kRecord), RecordState::skipped);
  EXPECT_EQ(segment_.state_at(4 * kRecord), RecordState::committed);
}

TEST_F(RepairOfOne, a_batch_that_was_finished_before_it_was_counted_is_counted) {
  view().side().claim.claim_position.store(kEnd - kRecord);
  row().retired.store(kEnd);
  EXPECT_EQ(broken().size(), 0U);
  call_for_a_repair();
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(has(steps, "side.claim_position", false, "published records stand up to there"));
  EXPECT_EQ(segment_.claim_position(), kEnd);
  EXPECT_EQ(row().retired.load(), kEnd);
}

TEST_F(RepairOfOne, a_claim_position_within_a_record_behind_which_all_is_finished_goes_to_the_end) {
  const std::uint64_t within = (kMessages - 1) * kRecord + 16;
  view().side().claim.claim_position.store(within);
  segment_.put_head(within, RecordState::none, 0, 0x1234);
  row().retired.store(kEnd);
  EXPECT_TRUE(names("side.claim_position", false));
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(has(steps, "side.claim_position", false, "it is inside a record; those that follow 128 end there"))
      << ::testing::PrintToString(steps);
  EXPECT_EQ(segment_.claim_position(), kEnd);
}

TEST_F(RepairOfOne, where_nothing_tells_what_is_finished_it_goes_on_at_the_end) {
  row().retired.store(3);
  view().side().claim.least_retired.store(kEnd + kRecord);
  EXPECT_TRUE(names("group.retired", false));
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(has(steps, "group.retired", true, "'one'")) << ::testing::PrintToString(steps);
  EXPECT_TRUE(has(steps, "side.least_retired", false, "was 896, is 768")) << ::testing::PrintToString(steps);
  EXPECT_EQ(row().retired.load(), kEnd);
}

TEST_F(RepairOfOne, more_finished_than_the_ring_holds_is_damage) {
  row().retired.store(kEnd + kCapacity);
  EXPECT_TRUE(names("group.retired", false));
  std::ignore = repair();
  EXPECT_EQ(row().retired.load(), kRecord) << "what was said to be finished by all before";
}

TEST_F(RepairOfOne, an_uncounted_batch_that_fills_the_ring_is_counted_to_its_last_byte) {
  core::ProducerState producer = segment_.producer(0);
  Owner holder = 0;
  ASSERT_EQ(core::take_over_producer(view(), producer, holder), core::TakeOver::ok);
  core::ClaimTaken taken;
  std::uint64_t last = 0;
  for (std::uint64_t need = kRecord; need >= 16; need = need == kRecord ? 16 : 0) {
    while (core::claim(view(), producer, need, 0, taken) == Outcome::ok) {
      core::store_time(view(), taken.position, taken.time);
      ASSERT_EQ(
          core::commit(view(), producer, taken.position, need, need, make_head(RecordState::committed, need - 16, 0)),
          Outcome::ok);
      last = taken.position;
    }
  }
  core::leave_producer(view(), producer);
  segment_.end(producer.owner);
  const std::uint64_t full = row().retired.load() + kCapacity - 16;
  ASSERT_EQ(segment_.claim_position(), full);
  view().side().claim.claim_position.store(last);
  call_for_a_repair();
  std::ignore = repair();
  EXPECT_EQ(segment_.claim_position(), full);
}

TEST(RepairOfOneWithoutDeadLetter, what_is_parked_comes_again) {
  const CoreSegment segment({.producers = ProducerMode::exclusive});
  auto& row = segment.view().group(segment.add_group({.name = "one", .consumers = ConsumerMode::exclusive}).row);
  row.parked_at.store(0);
  row.parked_why.store(static_cast<std::uint32_t>(core::Parked::full));
  row.parked_tried_ns.store(1);
  const std::vector<RepairStep> steps = core::repair_alone(segment.view());
  ASSERT_EQ(steps.size(), 1U) << ::testing::PrintToString(steps);
  EXPECT_STREQ(steps[0].invariant, "group.parked_at");
  EXPECT_EQ(row.parked_at.load(), core::kNoPosition);
  EXPECT_EQ(core::verify(segment.view()).size(), 0U);
}

// ---- what verify says of positions ahead of what is counted

class VerifyOfOne : public RepairOfOne {};

TEST_F(VerifyOfOne, names_claim_position_where_what_is_finished_ends_within_an_uncounted_record) {
  view().side().claim.claim_position.store(kEnd - 2 * kRecord);
  row().retired.store(kEnd - kRecord + 16);
  EXPECT_TRUE(names("side.claim_position", false)) << ::testing::PrintToString(broken());
}

TEST_F(VerifyOfOne, names_a_record_that_is_missing_among_those_counted) {
  segment_.put_head(4 * kRecord, RecordState::none, 0);
  const std::vector<core::Finding> findings = broken();
  ASSERT_EQ(findings.size(), 1U) << ::testing::PrintToString(findings);
  EXPECT_STREQ(findings[0].invariant, "ring.tiles");
  EXPECT_EQ(findings[0].offset, ring_offset(4 * kRecord));
}

TEST_F(VerifyOfOne, leaves_a_batch_that_is_not_counted_yet_to_its_living_producer) {
  view().side().claim.claim_position.store(kEnd - kRecord);
  const Owner living = segment_.attach(2);
  view().side().close.exclusive_owner.store(living);
  EXPECT_FALSE(names("side.claim_position", true)) << "he counts it";
  segment_.end(living);
  EXPECT_TRUE(names("side.claim_position", true)) << "his successor does";
  EXPECT_EQ(broken().size(), 0U);
}

}  // namespace
}  // namespace ipcq::unit
