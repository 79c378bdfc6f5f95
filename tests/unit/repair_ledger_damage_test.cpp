// Repair of a ledger: ranges that cannot be, that overlap, that leave gaps, and what lies before everything finished.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "idle_queue.hpp"

namespace ipcq::unit {
namespace {

using core::RepairStep;

class RepairOfALedger : public IdleQueue {
 protected:
  static Range again(std::uint64_t first, std::uint64_t beyond, std::uint32_t deliveries = 2) {
    return {first * kRecord, beyond * kRecord, EntryState::redeliverable, deliveries, 0};
  }
  static Range done(std::uint64_t first, std::uint64_t beyond) {
    return {first * kRecord, beyond * kRecord, EntryState::done, 1, 0};
  }
  void send_more(int count) {
    core::ProducerState producer = segment_.producer(5);
    for (int i = 0; i < count; ++i) std::ignore = segment_.send(producer, kRecord - 16);
    segment_.end(producer.owner);
  }
  void skip(std::uint64_t message) { segment_.put_head(message * kRecord, RecordState::skipped, kRecord); }
  [[nodiscard]] std::uint64_t word_offset(std::uint32_t number) const { return offset_of(&entry(number).word); }
};

// ---- ranges that cannot be

TEST_F(RepairOfALedger, a_range_beyond_everything_claimed_is_given_up_and_its_messages_come) {
  write(0, {0, kEnd + kRecord, EntryState::redeliverable, 2, 0});
  index_first(1);
  EXPECT_TRUE(names("ledger.range", offset_of(&entry(0).begin)));
  EXPECT_TRUE(gave_up(repair(), "ledger.range", word_offset(0), "of state 3, was [0, 1152), which cannot be"));
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfALedger, a_range_that_ends_within_a_record_is_given_up_and_its_messages_come) {
  write(0, {0, kRecord + 16, EntryState::redeliverable, 2, 0});
  index_first(1);
  EXPECT_TRUE(names("ledger.boundary", offset_of(&entry(0).end)));
  EXPECT_TRUE(gave_up(repair(), "ledger.range", word_offset(0), "was [0, 144)"));
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfALedger, a_finished_range_that_begins_before_what_is_retired_is_cut) {
  row().retired.store(2 * kRecord);
  write(0, done(1, 3));
  index_first(1);
  EXPECT_TRUE(names("ledger.tiles", offset_of(&entry(0).begin)));
  EXPECT_TRUE(mended(repair(), "ledger.tiles", offset_of(&entry(0).begin), "was [128, 384), is [256, 384)"));
  EXPECT_EQ(drain(group_), messages(3, 7));
}

TEST_F(RepairOfALedger, of_two_ranges_with_one_begin_the_longer_holds) {
  write(0, again(0, 1));
  write(1, again(0, 2));
  index_first(2);
  EXPECT_TRUE(names("ledger.tiles", offset_of(&entry(1).begin)));
  std::ignore = repair();
  EXPECT_EQ(read(0).state, EntryState::free);
  EXPECT_EQ(read(1), again(0, 2));
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfALedger, of_ranges_that_overlap_the_later_begin_wins) {
  write(0, again(2, 4));
  write(1, again(0, 3, 1));
  index_first(2);
  EXPECT_TRUE(mended(repair(), "ledger.tiles", offset_of(&entry(1).begin), "was [0, 384), is [0, 256)"));
  EXPECT_EQ(read(0), again(2, 4));
  EXPECT_EQ(drain(group_), messages(0, 7));
}

// ---- gaps

TEST_F(RepairOfALedger, a_gap_is_filled_with_the_last_entry_that_is_free) {
  write(0, again(0, 1));
  for (std::uint32_t i = 1; i < 7; ++i) write(i, again(i + 1, i + 2));
  index_first(7);
  EXPECT_TRUE(gave_up(repair(), "ledger.tiles", offset_of(&row().retired), "what became of [128, 256): it comes again"));
  EXPECT_EQ(read(7), again(1, 2, 1));
  EXPECT_EQ(drain(group_), messages(0, 7));
}

// What was finished behind the gap comes with it, but skipped room ends no range: it goes to the next one.
TEST_F(RepairOfALedger, a_gap_in_a_full_ledger_takes_what_is_finished_behind_it_but_for_skipped_room) {
  send_more(2);
  skip(3);
  write(0, again(0, 1));
  write(1, done(2, 4));
  for (std::uint32_t i = 2; i < 8; ++i) write(i, again(i + 2, i + 3));
  index_first(8);
  EXPECT_TRUE(gave_up(repair(), "ledger.tiles", offset_of(&row().retired), "[128, 256)"));
  EXPECT_EQ(read(1), again(1, 3, 1));
  EXPECT_EQ(read(2), again(3, 5));
  std::set<std::uint64_t> expected = messages(0, 9);
  expected.erase(3 * kRecord);
  EXPECT_EQ(drain(group_), expected);
}

TEST_F(RepairOfALedger, skipped_room_behind_such_a_gap_is_new_where_no_range_follows) {
  send_more(2);
  skip(9);
  for (std::uint32_t i = 0; i < 7; ++i) write(i, again(i, i + 1));
  write(7, done(8, 10));
  index_first(8);
  EXPECT_TRUE(gave_up(repair(), "ledger.tiles", offset_of(&row().retired), "[896, 1024)"));
  EXPECT_EQ(read(7), again(7, 9, 1));
  EXPECT_EQ(drain(group_), messages(0, 8));
}

// ---- before what is retired

TEST_F(RepairOfALedger, what_is_parked_is_not_finished_and_a_group_goes_back_to_it) {
  row().retired.store(2 * kRecord);
  row().parked_tried_ns.store(1);
  write(0, {0, kRecord, EntryState::parked, kMaxDeliveries, static_cast<Owner>(core::Parked::full)});
  EXPECT_TRUE(mended(repair(), "group.retired", offset_of(&row().retired), "is 0: where a range begins"));
  EXPECT_EQ(read(0).state, EntryState::parked);
}

TEST_F(RepairOfALedger, a_lease_of_a_row_that_is_not_there_is_not_finished_and_comes_again) {
  row().retired.store(2 * kRecord);
  write(0, {0, kRecord, EntryState::leased, 1, core::make_owner(200, 1)});
  EXPECT_TRUE(names("ledger.owner", word_offset(0)));
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "group.retired", offset_of(&row().retired), "is 0: where a range begins"));
  EXPECT_TRUE(mended(steps, "ledger.owner", word_offset(0), "is given back"));
  EXPECT_EQ(drain(group_), messages(0, 7));
}

// ---- drops

TEST_F(RepairOfALedger, a_drop_that_was_broken_off_before_it_took_place_is_forgotten) {
  row().drop_count.store(1);
  row().drop_to.store(kRecord);
  EXPECT_TRUE(names("group.drop", offset_of(&row().drop_count)));
  std::ignore = repair();
  EXPECT_EQ(row().drop_count.load(), 0U);
  EXPECT_EQ(row().dropped_messages.load(), 0U);
}

TEST_F(RepairOfALedger, a_drop_that_is_ahead_of_what_is_counted_by_more_than_one_is_none) {
  row().drop_count.store(1000);
  std::ignore = repair();
  EXPECT_EQ(row().drop_count.load(), 0U);
  EXPECT_EQ(row().dropped_messages.load(), 0U);
}

TEST_F(RepairOfALedger, a_drop_that_took_place_is_counted) {
  row().retired.store(kRecord);
  row().drop_count.store(1);
  row().drop_to.store(kRecord);
  std::ignore = repair();
  EXPECT_EQ(row().dropped_messages.load(), 1U);
}

// ---- entries that contradict each other

TEST_F(RepairOfALedger, what_is_not_finished_is_not_lost_to_a_finished_entry_of_the_same_begin) {
  write(0, {0, kRecord, EntryState::redeliverable, 2, 0});
  write(1, {0, 2 * kRecord, EntryState::done, 1, 0});
  index_first(2);
  EXPECT_TRUE(mended(repair(), "ledger.tiles", word_offset(1), "it comes again"));
  EXPECT_EQ(drain(group_), messages(0, kMessages - 1));
}

TEST_F(RepairOfALedger, what_is_not_finished_is_not_lost_to_finished_entries_that_begin_inside_of_it) {
  write(0, {0, 4 * kRecord, EntryState::redeliverable, 2, 0});
  write(1, {kRecord, 2 * kRecord, EntryState::done, 1, 0});
  write(2, {3 * kRecord, 5 * kRecord, EntryState::done, 1, 0});
  index_first(3);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "ledger.tiles", word_offset(1), "it comes again"));
  EXPECT_TRUE(mended(steps, "ledger.tiles", word_offset(2), "it comes again"));
  EXPECT_EQ(drain(group_), messages(0, kMessages - 1));
}

// ---- what is parked, in queues that park nothing

void expect_unparked(const Shape& shape, const char* text) {
  const CoreSegment segment(shape);
  const core::View& view = segment.view();
  const core::GroupId group = segment.add_group();
  core::ProducerState producer = segment.producer(0);
  std::ignore = segment.send(producer, 112);
  segment.end(producer.owner);
  auto& entry = view.entries(group.row)[0];
  entry.begin.store(0);
  entry.end.store(128);
  entry.word.store(core::make_word(EntryState::parked, 3, 1, static_cast<Owner>(core::Parked::full)));
  view.group(group.row).index_count.store(1);
  view.group(group.row).parked_tried_ns.store(1);
  const std::vector<core::Finding> findings = core::verify(view);
  ASSERT_EQ(findings.size(), 1U) << ::testing::PrintToString(findings);
  EXPECT_STREQ(findings[0].invariant, "ledger.parked");
  EXPECT_NE(findings[0].text.find(text), std::string::npos) << findings[0].text;
  const std::vector<RepairStep> steps = core::repair_alone(view);
  ASSERT_EQ(steps.size(), 2U) << ::testing::PrintToString(steps);
  EXPECT_NE(steps[0].text.find("it comes again"), std::string::npos) << steps[0].text;
  EXPECT_EQ(core::word_state(entry.word.load()), EntryState::redeliverable);
  EXPECT_EQ(core::verify(view).size(), 0U);
}

TEST(RepairOfWhatIsParked, in_a_queue_that_delivers_as_often_as_need_be_brings_it_again) {
  expect_unparked({}, "after 3 deliveries, of any number");
}

TEST(RepairOfWhatIsParked, in_a_queue_that_drops_instead_brings_it_again) {
  expect_unparked({.max_deliveries = 3, .drop_after = true}, "of 3 before it is dropped");
}

}  // namespace
}  // namespace ipcq::unit
