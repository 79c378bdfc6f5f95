// Verify: damage that no death leaves, in the words of claims, rows, ledgers, groups and mutexes, by invariant and place.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "idle_queue.hpp"
#include "kept_mutex.hpp"

namespace ipcq::unit {
namespace {

using core::Finding;
using layout::RowKind;

class VerifyDamage : public IdleQueue {
 protected:
  [[nodiscard]] os::RobustMutex& producer_mutex() const { return view().side().producer_lock.mutex; }
  [[nodiscard]] bool noted(std::string_view invariant, std::uint64_t offset) const {
    const std::vector<Finding> findings = core::verify(view());
    return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
      return finding.recoverable && finding.invariant == invariant && finding.offset == offset;
    });
  }
  [[nodiscard]] bool tells(std::string_view text) const {
    const std::vector<Finding> findings = core::verify(view());
    return std::any_of(findings.begin(), findings.end(),
                       [&](const Finding& finding) { return finding.text.find(text) != std::string::npos; });
  }
};

// ---- the head at claim_position

TEST_F(VerifyDamage, a_claim_that_was_broken_off_is_noted_and_any_other_head_is_not) {
  die_holding(producer_mutex());
  segment_.put_head(kEnd, RecordState::claimed, 64, producer_.owner);
  EXPECT_TRUE(noted("side.end_mark", ring_offset(kEnd)));
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  segment_.put_head(kEnd, RecordState::claimed, 17, producer_.owner);
  EXPECT_TRUE(names("side.end_mark", ring_offset(kEnd))) << "a length that cannot be";
  segment_.put_head(kEnd, RecordState::skipped, 64);
  EXPECT_TRUE(names("side.end_mark", ring_offset(kEnd))) << "a death leaves a claim there, or nothing";
}

TEST_F(VerifyDamage, a_head_at_claim_position_counts_where_the_mutexs_repair_was_given_up) {
  give_up_repair_of(producer_mutex());
  segment_.put_head(kEnd, RecordState::claimed, 64, producer_.owner);
  EXPECT_TRUE(names("side.end_mark", ring_offset(kEnd)));
}

TEST_F(VerifyDamage, a_head_at_claim_position_counts_where_the_mutexs_holder_is_not_there) {
  reinterpret_cast<std::atomic<std::uint32_t>*>(&producer_mutex())->store(0x3ffffff0);
  segment_.put_head(kEnd, RecordState::claimed, 64, producer_.owner);
  EXPECT_TRUE(names("side.end_mark", ring_offset(kEnd)));
}

TEST_F(VerifyDamage, a_head_at_claim_position_is_that_of_the_living_thread_that_holds_the_mutex) {
  core::View live = view();
  struct stat info {};
  ASSERT_EQ(::fstat(segment_.fd(), &info), 0);
  live.file = {info.st_dev, info.st_ino};
  segment_.put_head(kEnd, RecordState::claimed, 64, producer_.owner);
  const Keeper keeper(producer_mutex());
  const std::vector<Finding> findings = core::verify(live);
  ASSERT_EQ(findings.size(), 1U) << ::testing::PrintToString(findings);
  EXPECT_STREQ(findings[0].invariant, "mutex.held");
  EXPECT_TRUE(findings[0].recoverable);
}

// ---- claims

class VerifyDamageOfClaims : public VerifyDamage {
 protected:
  VerifyDamageOfClaims() {
    core::ProducerState claimer = segment_.producer(3);
    position_ = segment_.claim(claimer, kRecord).position;
    owner_ = claimer.owner;
  }
  std::uint64_t position_ = 0;
  Owner owner_ = 0;
};

TEST_F(VerifyDamageOfClaims, a_dead_ones_claim_is_noted_where_his_row_says_the_same) {
  segment_.end(owner_);
  EXPECT_TRUE(noted("ring.claim", ring_offset(position_)));
  EXPECT_EQ(broken().size(), 0U);
}

TEST_F(VerifyDamageOfClaims, a_dead_ones_claim_counts_where_his_row_says_otherwise) {
  view().row(3).open_claim.store(0);
  EXPECT_TRUE(tells("who lives and claimed at 0"));
  segment_.end(owner_);
  EXPECT_TRUE(names("ring.claim", ring_offset(position_)));
  EXPECT_TRUE(tells("who is dead and claimed at 0"));
}

TEST_F(VerifyDamageOfClaims, a_claim_counts_where_its_owner_is_no_producer) {
  view().row(3).kind.store(static_cast<std::uint32_t>(RowKind::consumer));
  EXPECT_TRUE(tells("who lives and is no producer"));
  segment_.end(owner_);
  EXPECT_TRUE(names("ring.claim", ring_offset(position_)));
  EXPECT_TRUE(tells("who is dead and is no producer"));
}

// ---- records

TEST_F(VerifyDamage, a_record_that_reaches_beyond_everything_claimed) {
  segment_.put_head(7 * kRecord, RecordState::committed, 2 * kRecord - 16);
  EXPECT_TRUE(names("ring.tiles", ring_offset(7 * kRecord)));
  EXPECT_TRUE(tells("at 896 a record stands that reaches beyond 1024"));
}

// ---- rows

TEST_F(VerifyDamage, an_incarnation_of_more_bits_than_an_owner_has) {
  segment_.attach(2);
  view().row(2).incarnation.store(0x1000001);
  EXPECT_TRUE(names("row.incarnation", offset_of(&view().row(2).incarnation)));
}

TEST_F(VerifyDamage, a_row_that_claims_between_two_places) {
  segment_.attach(2);
  view().row(2).open_claim.store(8);
  EXPECT_TRUE(names("row.open_claim", offset_of(&view().row(2).open_claim)));
}

// ---- ledgers

TEST_F(VerifyDamage, each_incarnation_that_a_ledger_names_is_judged_for_itself) {
  const Owner living = segment_.attach(2, RowKind::consumer);
  const Owner before = core::make_owner(2, core::owner_incarnation(living) - 1);
  write(0, {0, kRecord, EntryState::leased, 1, living});
  write(1, {kRecord, 2 * kRecord, EntryState::leased, 1, before});
  write(2, {2 * kRecord, 3 * kRecord, EntryState::leased, 1, living});
  index_first(3);
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  EXPECT_FALSE(noted("ledger.owner", offset_of(&entry(0).word)));
  EXPECT_TRUE(noted("ledger.owner", offset_of(&entry(1).word)));
  EXPECT_FALSE(noted("ledger.owner", offset_of(&entry(2).word)));
}

TEST_F(VerifyDamage, ranges_that_are_longer_together_than_the_ring_has_room) {
  write(0, {0, kRecord, EntryState::redeliverable, 1, 0});
  write(1, {kRecord, 2 * kCapacity, EntryState::redeliverable, 1, 0});
  index_first(2);
  EXPECT_TRUE(names("ledger.range", offset_of(&entry(1).begin)));
  EXPECT_TRUE(names("ledger.tiles", offset_of(&entry(1).end)));
}

TEST_F(VerifyDamage, an_index_with_an_entry_twice_among_the_free_ones) {
  view().index(group_.row)[7] = 3;
  EXPECT_TRUE(names("ledger.index", offset_of(&view().index(group_.row)[7]) & ~std::uint64_t{1}));
  EXPECT_TRUE(tells("place 7 of the index is entry 3, which is in use or there twice"));
}

TEST_F(VerifyDamage, an_index_with_an_entry_that_there_is_not) {
  view().index(group_.row)[2] = 500;
  EXPECT_TRUE(tells("place 2 of the index is entry 500, which is in use"));
}

TEST_F(VerifyDamage, an_index_in_another_order_than_the_ranges) {
  write(0, {kRecord, 2 * kRecord, EntryState::redeliverable, 1, 0});
  write(1, {0, kRecord, EntryState::redeliverable, 1, 0});
  index_first(2);
  EXPECT_TRUE(tells("place 0 of the index is entry 0, it should be 1"));
}

// ---- groups and the clock

TEST_F(VerifyDamage, a_shared_group_that_retired_more_than_was_claimed_is_named_and_the_ring_is_not_walked_from_there) {
  row().retired.store(kEnd + kRecord);
  other_row().retired.store(kEnd + kRecord);
  EXPECT_TRUE(names("group.retired", offset_of(&row().retired)));
  EXPECT_TRUE(names("group.retired", offset_of(&other_row().retired)));
  EXPECT_EQ(broken().size(), 2U) << ::testing::PrintToString(broken());
}

TEST_F(VerifyDamage, a_time_in_a_queue_without_a_clock) {
  core::View without = view();
  without.clock = layout::ClockKind::off;
  bool found = false;
  for (const Finding& finding : core::verify(without))
    found |= std::string_view(finding.invariant) == "side.last_time" && !finding.recoverable;
  EXPECT_TRUE(found);
}

// ---- quotas, by what becomes of the table's mutex

TEST_F(VerifyDamage, a_quota_that_was_being_changed_is_noted_where_its_changer_died) {
  quota(0).change.store(3);
  EXPECT_TRUE(names("quota.change", offset_of(&quota(0).change)));
  die_holding(view().side().table_lock.mutex);
  EXPECT_TRUE(noted("quota.change", offset_of(&quota(0).change)));
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
}

TEST_F(VerifyDamage, a_quota_that_is_being_changed_says_nothing_of_itself_nor_of_rows) {
  core::View live = view();
  struct stat info {};
  ASSERT_EQ(::fstat(segment_.fd(), &info), 0);
  live.file = {info.st_dev, info.st_ino};
  segment_.attach(2);
  view().row(2).flags.store(layout::kLimited);
  quota(0).change.store(3);
  const Keeper keeper(view().side().table_lock.mutex);
  const std::vector<Finding> findings = core::verify(live);
  ASSERT_EQ(findings.size(), 1U) << ::testing::PrintToString(findings);
  EXPECT_STREQ(findings[0].invariant, "mutex.held");
}

// ---- memory of no queue

TEST(VerifyOfRubbish, names_no_more_than_a_thousand_places) {
  const CoreSegment segment({.groups_max = 4, .ledger_entries = 512});
  for (const char* name : {"a", "b", "c", "d"}) {
    const core::GroupId group = segment.add_group({.name = name});
    for (std::uint32_t i = 0; i < 512; ++i) segment.view().entries(group.row)[i].word.store(7);
  }
  const std::vector<Finding> findings = core::verify(segment.view());
  EXPECT_EQ(findings.size(), 1000U);
}

}  // namespace
}  // namespace ipcq::unit
