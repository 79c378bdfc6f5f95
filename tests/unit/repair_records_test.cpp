// Repair of the ring's records: what cannot be read is skipped and said to be given up; claims, runs, times and the end mark
// are what the rest says they are.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "idle_queue.hpp"

namespace ipcq::unit {
namespace {

using core::RepairStep;

class RepairOfRecords : public IdleQueue {
 protected:
  [[nodiscard]] std::uint64_t message_offset(std::uint64_t message) const { return ring_offset(message * kRecord); }
};

// ---- lengths

TEST_F(RepairOfRecords, a_record_that_reaches_into_the_next_one_is_given_up_where_a_group_knows_that_one) {
  other_row().retired.store(kRecord);
  segment_.put_head(0, RecordState::committed, kRecord + 48);
  EXPECT_TRUE(names("group.retired", offset_of(&other_row().retired)));
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "ring.tiles", message_offset(0), "length is not what others know"));
  EXPECT_EQ(drain(group_), messages(1, 7));
  EXPECT_EQ(drain(other_), messages(1, 7));
}

TEST_F(RepairOfRecords, a_record_stays_whole_where_a_range_begins_within_it) {
  write(0, {16, kRecord, EntryState::redeliverable, 1, 0});
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "ledger.range", offset_of(&entry(0).word), "[16, 128), which cannot be"));
  EXPECT_EQ(steps.size(), 1U) << ::testing::PrintToString(steps);
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfRecords, of_two_neighbours_that_cannot_both_be_the_first_is_kept_where_neither_leads_on) {
  other_row().retired.store(kRecord);
  segment_.put_head(0, RecordState::committed, kRecord + 48);
  segment_.put_head(kRecord, RecordState::none, 0);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(gave_up(steps, "ring.tiles", ring_offset(kRecord + 64), "from 192 to 1024"));
  EXPECT_EQ(drain(group_), messages(0, 0));
}

// ---- claims of the dead whose row says so no more

class RepairOfClaims : public RepairOfRecords {
 protected:
  /// Somebody claims, others publish behind him, and he dies; his row is free, so no recovery finds him.
  RepairOfClaims() {
    core::ProducerState claimer = segment_.producer(3);
    core::ProducerState behind = segment_.producer(4);
    claimed_ = segment_.claim(claimer, kRecord).position;
    std::ignore = segment_.send(behind, kRecord - 16);
    segment_.end(claimer.owner);
    segment_.end(behind.owner);
    owner_ = claimer.owner;
    claim_line().last_time.store(UINT64_MAX / 2);  // what calls for a repair
  }
  std::uint64_t claimed_ = 0;
  Owner owner_ = 0;
};

TEST_F(RepairOfClaims, a_claim_whose_owner_said_so_is_skipped_and_nothing_is_lost) {
  write(0, {0, 2 * kRecord, EntryState::done, 1, 0});
  write(1, {2 * kRecord, claimed_, EntryState::redeliverable, 1, 0});
  index_first(2);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "ring.claim", ring_offset(claimed_), "was a dead one's; it is skipped"));
  EXPECT_EQ(segment_.state_at(claimed_), RecordState::skipped);
  std::set<std::uint64_t> expected = messages(2, 7);
  expected.insert(claimed_ + kRecord);
  EXPECT_EQ(drain(group_), expected);
}

TEST_F(RepairOfClaims, a_claim_that_a_group_has_finished_was_none) {
  other_row().retired.store(claimed_ + kRecord);
  EXPECT_TRUE(gave_up(repair(), "ring.claim", ring_offset(claimed_), "is of nobody who ever claimed there"));
}

TEST_F(RepairOfClaims, a_claim_that_was_handed_out_was_none) {
  write(0, {0, claimed_, EntryState::redeliverable, 1, 0});
  write(1, {claimed_, claimed_ + 2 * kRecord, EntryState::redeliverable, 1, 0});
  index_first(2);
  EXPECT_TRUE(names("ledger.records", offset_of(&entry(1).word)));
  EXPECT_TRUE(gave_up(repair(), "ring.claim", ring_offset(claimed_), "is of nobody"));
}

TEST_F(RepairOfClaims, what_is_handed_out_behind_a_claim_tells_nothing_of_it) {
  write(0, {claimed_ + kRecord, claimed_ + 2 * kRecord, EntryState::redeliverable, 1, 0});
  index_first(1);
  EXPECT_TRUE(mended(repair(), "ring.claim", ring_offset(claimed_), "was a dead one's"));
}

TEST_F(RepairOfClaims, a_claim_that_one_consumer_was_handed_out_was_none) {
  auto& only = view().group(segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive}).row);
  only.leased_to.store(claimed_ + kRecord);
  EXPECT_TRUE(gave_up(repair(), "ring.claim", ring_offset(claimed_), "is of nobody"));
}

TEST_F(RepairOfClaims, a_claim_to_which_one_consumer_did_not_come_is_skipped) {
  auto& only = view().group(segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive}).row);
  only.leased_to.store(claimed_);
  EXPECT_TRUE(mended(repair(), "ring.claim", ring_offset(claimed_), "was a dead one's"));
}

TEST_F(RepairOfClaims, a_claim_in_a_row_that_is_not_there_was_none) {
  segment_.put_head(claimed_, RecordState::claimed, kRecord, core::make_owner(100, 1));
  EXPECT_TRUE(gave_up(repair(), "ring.claim", ring_offset(claimed_), "is of nobody"));
}

TEST_F(RepairOfClaims, a_claim_of_who_claimed_elsewhere_was_none) {
  view().row(3).open_claim.store(0);
  EXPECT_TRUE(names("ring.claim", ring_offset(claimed_)));
  EXPECT_TRUE(gave_up(repair(), "ring.claim", ring_offset(claimed_), "is of nobody"));
}

// ---- runs

TEST_F(RepairOfRecords, a_run_ends_at_the_first_message_of_another_length) {
  segment_.put_head(2 * kRecord, RecordState::committed, kRecord - 17);
  core::writable_record_at(view(), 0).head.store(detail::with_run(segment_.head(0), 5));
  EXPECT_TRUE(names("ring.run", message_offset(0)));
  EXPECT_TRUE(mended(repair(), "ring.run", message_offset(0), "that 5 more of its length follow, there are 1"));
  EXPECT_EQ(detail::head_run(segment_.head(0)), 1U);
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfRecords, a_run_ends_at_the_first_record_that_is_no_message) {
  segment_.put_head(2 * kRecord, RecordState::skipped, kRecord);
  core::writable_record_at(view(), 0).head.store(detail::with_run(segment_.head(0), 2));
  EXPECT_TRUE(names("ring.run", message_offset(0)));
  EXPECT_TRUE(mended(repair(), "ring.run", message_offset(0), "there are 1"));
}

// ---- times

TEST_F(RepairOfRecords, a_time_still_to_come_is_that_of_the_message_before) {
  const std::uint64_t before = core::load_time(view(), kRecord);
  const std::uint64_t after = core::load_time(view(), 3 * kRecord);
  core::store_time(view(), 2 * kRecord, UINT64_MAX / 2);
  EXPECT_TRUE(names("ring.time", message_offset(3) + 8)) << "it is earlier than the one before";
  EXPECT_TRUE(mended(repair(), "ring.time", message_offset(2) + 8, "the record at 256"));
  EXPECT_EQ(core::load_time(view(), 2 * kRecord), before);
  EXPECT_EQ(core::load_time(view(), 3 * kRecord), after);
}

}  // namespace
}  // namespace ipcq::unit
