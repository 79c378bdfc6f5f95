// Repair of positions: claim_position, and what groups have finished. Each is derived from the records and the words that
// are still right, and where nothing tells, that is said.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "idle_queue.hpp"

namespace ipcq::unit {
namespace {

using core::RepairStep;

class RepairOfPositions : public IdleQueue {
 protected:
  static constexpr std::uint64_t kNowhere = std::uint64_t{1} << 30;
  [[nodiscard]] std::uint64_t retired_offset() const { return offset_of(&row().retired); }
};

// ---- claim_position

TEST_F(RepairOfPositions, a_claim_position_within_a_record_goes_to_the_end_of_the_records_whatever_another_group_says) {
  claim_line().claim_position.store(kEnd - kRecord + 16);
  segment_.put_head(kEnd - kRecord + 16, RecordState::none, 0, 0x1234);  // payload
  row().retired.store(kNowhere);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "side.claim_position", kSideClaimPosition, "inside a record"));
  EXPECT_EQ(segment_.claim_position(), kEnd);
  EXPECT_EQ(drain(other_), messages(0, 7));
}

TEST_F(RepairOfPositions, a_claim_position_within_a_record_stays_where_the_records_end_in_something_that_is_none) {
  const std::uint64_t within = kEnd - kRecord + 16;
  claim_line().claim_position.store(within);
  segment_.put_head(within, RecordState::none, 0, 0x1234);
  segment_.put_head(kEnd, RecordState::claimed, 17, 5);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "ring.tiles", ring_offset(kEnd - kRecord), "from 896 to 912"));
  EXPECT_TRUE(mended(steps, "side.end_mark", ring_offset(within)));
  EXPECT_EQ(segment_.claim_position(), within);
  EXPECT_EQ(drain(group_), messages(0, 6));
}

TEST_F(RepairOfPositions,
       a_claim_position_that_fits_nothing_is_not_guessed_where_the_records_end_in_something_that_is_none) {
  claim_line().claim_position.store(3);
  segment_.put_head(kEnd, RecordState::claimed, 17, 5);
  const std::vector<RepairStep> steps = core::repair_alone(view());
  EXPECT_TRUE(gave_up(steps, "side.claim_position", kSideClaimPosition, "nothing can be mended"));
  EXPECT_TRUE(segment_.poisoned());
  EXPECT_EQ(segment_.claim_position(), 3U);
}

TEST_F(RepairOfPositions, a_claim_position_before_published_records_goes_behind_them) {
  claim_line().claim_position.store(6 * kRecord);
  EXPECT_TRUE(names("side.end_mark", ring_offset(6 * kRecord)));
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "side.claim_position", kSideClaimPosition, "published records stand up to there"));
  EXPECT_EQ(segment_.claim_position(), kEnd);
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfPositions, records_behind_claim_position_that_end_in_something_that_is_none_are_given_up) {
  claim_line().claim_position.store(6 * kRecord);
  segment_.put_head(kEnd, RecordState::committed, 60000);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "side.end_mark", ring_offset(6 * kRecord), "should a message have stood there"));
  EXPECT_EQ(segment_.claim_position(), 6 * kRecord);
  EXPECT_EQ(segment_.head(6 * kRecord), 0U);
  EXPECT_EQ(drain(group_), messages(0, 5));
}

// ---- what a group has finished

TEST_F(RepairOfPositions, a_group_goes_on_where_the_first_range_of_its_ledger_begins) {
  row().retired.store(kNowhere);
  write(0, {4 * kRecord, 5 * kRecord, EntryState::redeliverable, 1, 0});
  write(1, {0, kRecord, static_cast<EntryState>(6), 1, 0});               // of no state that there is
  write(2, {8, kRecord, EntryState::redeliverable, 1, 0});                // begins nowhere
  write(3, {kRecord, kRecord, EntryState::redeliverable, 1, 0});          // is empty
  write(4, {2 * kRecord, 3 * kRecord, EntryState::redeliverable, 1, 0});  // the first
  write(5, {3 * kRecord, 4 * kRecord, EntryState::redeliverable, 1, 0});  // follows it
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "group.retired", retired_offset(), "is 256: where the first range of its ledger begins"));
  EXPECT_EQ(drain(group_), messages(2, 7));
  EXPECT_EQ(drain(other_), messages(0, 7));
}

TEST_F(RepairOfPositions, a_range_that_begins_within_a_record_does_not_tell_where_its_group_goes_on) {
  row().retired.store(3);
  write(0, {kRecord + 80, 2 * kRecord, EntryState::redeliverable, 1, 0});
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "group.retired", retired_offset(), "was 3, is 0: the last boundary that is known"));
  EXPECT_TRUE(gave_up(steps, "ledger.range", offset_of(&entry(0).word)));
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfPositions, a_least_retired_within_a_record_does_not_tell_where_a_group_goes_on) {
  row().retired.store(3);
  claim_line().least_retired.store(16);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "group.retired", retired_offset(), "nothing tells what it has finished before 3"));
  EXPECT_EQ(row().retired.load(), kEnd);
  EXPECT_EQ(drain(other_), messages(0, 7));
}

TEST_F(RepairOfPositions, a_group_goes_on_at_the_least_retired_where_records_behind_that_cannot_be_read) {
  row().retired.store(kNowhere);
  other_row().retired.store(2 * kRecord);
  segment_.put_head(4 * kRecord, RecordState::none, 0);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "group.retired", retired_offset(), ", is 0: the last boundary"));
  EXPECT_TRUE(gave_up(steps, "ring.tiles", ring_offset(4 * kRecord), "from 512 to 1024"));
  EXPECT_EQ(drain(group_), messages(0, 3));
  EXPECT_EQ(drain(other_), messages(2, 3));
}

TEST_F(RepairOfPositions, what_a_group_has_finished_within_a_record_is_taken_back_to_the_records_begin) {
  row().retired.store(kRecord + 16);
  claim_line().least_retired.store(3);  // tells nothing
  EXPECT_TRUE(names("group.retired", retired_offset()));
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "group.retired", retired_offset(), "was 144, is 128: the boundary before it"));
  EXPECT_EQ(drain(group_), messages(1, 7));
}

TEST_F(RepairOfPositions, what_a_group_has_finished_stays_where_no_record_before_it_can_be_read) {
  row().retired.store(kRecord + 16);
  segment_.put_head(0, RecordState::none, 0);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "ring.tiles", ring_offset(0), "from 0 to 144"));
  EXPECT_TRUE(gave_up(steps, "ring.tiles", ring_offset(kRecord + 16), "from 144 to 1024"));
  EXPECT_EQ(drain(group_).size(), 0U);
  EXPECT_EQ(drain(other_).size(), 0U);
}

TEST_F(RepairOfPositions, what_a_group_has_finished_stays_at_a_record_that_cannot_be_read) {
  row().retired.store(kRecord);
  segment_.put_head(kRecord, RecordState::none, 0);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "ring.tiles", ring_offset(kRecord), "from 128 to 1024"));
  EXPECT_EQ(drain(group_).size(), 0U);
  EXPECT_EQ(drain(other_), messages(0, 0));
}

// ---- ranges that are not finished, before what is

TEST_F(RepairOfPositions, a_range_before_what_is_finished_that_begins_nowhere_is_given_up) {
  row().retired.store(2 * kRecord);
  write(0, {8, 2 * kRecord, EntryState::redeliverable, 1, 0});
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "ledger.range", offset_of(&entry(0).begin), "[8, 256) was not finished"));
  EXPECT_EQ(row().retired.load(), 2 * kRecord);
  EXPECT_EQ(drain(group_), messages(2, 7));
}

TEST_F(RepairOfPositions, a_range_of_the_rings_last_turn_is_given_up_though_records_lead_from_its_place) {
  for (auto* group : {&row(), &other_row()}) group->retired.store(kEnd);
  core::ProducerState producer = segment_.producer(5);
  while (segment_.claim_position() <= kCapacity) std::ignore = segment_.send(producer, kRecord - 16);
  segment_.end(producer.owner);
  const std::uint64_t finished = segment_.claim_position() - 2 * kRecord;
  for (auto* group : {&row(), &other_row()}) group->retired.store(finished);
  write(0, {0, kRecord, EntryState::redeliverable, 1, 0});
  EXPECT_TRUE(gave_up(repair(), "ledger.range", offset_of(&entry(0).begin), "[0, 128) was not finished"));
  EXPECT_EQ(row().retired.load(), finished);
}

TEST_F(RepairOfPositions, a_range_before_what_is_finished_with_a_claim_behind_it_is_given_up) {
  row().retired.store(2 * kRecord);
  write(0, {0, kRecord, EntryState::redeliverable, 1, 0});
  segment_.put_head(kRecord, RecordState::claimed, kRecord, producer_.owner);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "ledger.range", offset_of(&entry(0).begin), "[0, 128) was not finished"));
  EXPECT_EQ(drain(group_), messages(2, 7));
}

TEST_F(RepairOfPositions, a_range_that_is_finished_before_what_is_retired_is_freed_and_nothing_is_said_to_be_lost) {
  row().retired.store(2 * kRecord);
  write(0, {0, kRecord, EntryState::done, 1, 0});
  write(1, {kRecord, 2 * kRecord, EntryState::done, 1, 0});
  EXPECT_TRUE(names("ledger.tiles", offset_of(&entry(0).begin)));
  for (const RepairStep& step : repair()) EXPECT_FALSE(step.given_up) << step.text;
  EXPECT_EQ(read(0).state, EntryState::free);
  EXPECT_EQ(read(1).state, EntryState::free);
  EXPECT_EQ(drain(group_), messages(2, 7));
}

// ---- the least of all, and no group at all

TEST_F(RepairOfPositions, a_least_retired_that_is_no_position_is_mended_along_with_the_rest) {
  row().retired.store(kRecord);
  other_row().retired.store(kRecord);
  claim_line().least_retired.store(3);
  EXPECT_EQ(broken().size(), 0U) << "it lags, and nobody reads it as a place";
  row().index_count.store(1);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "side.least_retired", offset_of(&claim_line().least_retired), "was 3, is 128"));
  EXPECT_EQ(claim_line().least_retired.load(), kRecord);
}

TEST_F(RepairOfPositions, a_queue_of_which_no_group_is_left_at_all_stays_poisoned) {
  for (auto* group : {&row(), &other_row()}) {
    group->state.store(0);
    group->incarnation.store(0);
  }
  EXPECT_TRUE(names("group.none", view().groups_offset));
  std::ignore = core::repair_alone(view());
  EXPECT_TRUE(names("group.none", view().groups_offset)) << "there is nothing to call back";
  EXPECT_TRUE(segment_.poisoned());
}

}  // namespace
}  // namespace ipcq::unit
