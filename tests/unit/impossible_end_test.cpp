// What no order of steps leaves, met by those who purge, drop, or move messages to a dead-letter queue: it is named, and nothing
// is taken for finished.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/parking.hpp"
#include "core/purge.hpp"
#include "core/room.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;
using core::Purged;

class ImpossibleEnd : public LedgerBench {
 protected:
  [[nodiscard]] LeaseTaken lease(std::uint32_t messages = 64) const {
    return core::lease(view(), group_.row, group_.incarnation, consumer_, {.max_messages = messages}, 0);
  }
  Purged purge() {
    messages_ = 0;
    return core::purge(view(), group_, true, messages_, holder_);
  }
  void send(std::uint32_t messages) {
    for (std::uint32_t i = 0; i < messages; ++i) segment_.send(producer_, 16);
  }

  core::ProducerState producer_ = segment_.producer(0);
  const Owner consumer_ = segment_.attach(1, layout::RowKind::consumer);
  std::uint64_t messages_ = 0;
  Owner holder_ = 0;
};

// ---- purge

TEST_F(ImpossibleEnd, a_purge_refuses_a_ledger_that_cannot_be) {
  send(2);
  write(0, {32, 64, EntryState::done, 1, 0});
  row().index_count.store(1);
  EXPECT_EQ(purge(), Purged::damaged) << "it does not begin at what is retired";
  EXPECT_EQ(retired(), 0U);
}

TEST_F(ImpossibleEnd, a_purge_merges_what_is_finished_where_the_ledger_is_full) {
  send(kEntries + 2);
  std::vector<LeaseTaken> leases;
  for (std::uint32_t i = 0; i < kEntries; ++i) leases.push_back(lease(1));
  // The first and the last are held; those between are done, and become one.
  for (std::uint32_t i = 1; i + 1 < kEntries; ++i) {
    ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, leases[i].entry, leases[i].word), Outcome::ok);
  }
  EXPECT_EQ(purge(), Purged::ok);
  EXPECT_EQ(messages_, 2U);
  EXPECT_TRUE(is_whole());
  EXPECT_EQ(core::Ledger(view(), group_.row).lease_position(), segment_.claim_position());
  EXPECT_EQ(read(leases.back().entry).state, EntryState::leased);
}

TEST(PurgeBehindOneProducer, ends_at_a_claimed_head_that_nobody_can_skip_as_damage) {
  const CoreSegment segment({.producers = ProducerMode::exclusive});
  const core::GroupId group = segment.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
  segment.put_head(0, RecordState::claimed, 64, core::make_owner(3, 1));  // behind everything claimed
  std::uint64_t messages = 0;
  Owner holder = 0;
  EXPECT_EQ(core::purge(segment.view(), group, true, messages, holder), Purged::damaged);
  EXPECT_EQ(segment.view().group(group.row).retired.load(), 0U);
}

// ---- what is moved to a dead-letter queue

TEST_F(ImpossibleEnd, what_another_has_by_now_is_not_counted_as_moved) {
  send(1);
  const LeaseTaken taken = lease();
  ASSERT_EQ(core::requeue(view(), group_.row, taken.entry, taken.word), Outcome::ok);
  EXPECT_EQ(core::finish_dead_letter(view(), group_.row, group_.incarnation, taken), Outcome::disowned);
  EXPECT_EQ(row().dead_lettered_messages.load(), 0U);
}

TEST_F(ImpossibleEnd, messages_are_counted_up_to_the_first_that_cannot_be_read) {
  send(4);
  EXPECT_EQ(core::messages_between(view(), 0, 128), 4U);
  segment_.put_head(64, RecordState::committed, 60000);
  EXPECT_EQ(core::messages_between(view(), 0, 128), 2U);
  segment_.put_head(0, RecordState::committed, 60000);
  EXPECT_EQ(core::messages_between(view(), 0, 128), 0U);
}

TEST_F(ImpossibleEnd, nothing_parked_is_looked_for_in_a_group_of_one_or_before_it_is_time) {
  send(1);
  const auto now = static_cast<std::uint64_t>(os::monotonic_ns());
  row().parked_tried_ns.store(now + 1'000'000'000'000);
  EXPECT_EQ(core::lease_parked(view(), group_.row, group_.incarnation, producer_.owner).step, LeaseStep::nothing);
  EXPECT_EQ(row().parked_tried_ns.load(), now + 1'000'000'000'000) << "it was looked at";
  const core::GroupId one = segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
  view().group(one.row).parked_tried_ns.store(1);
  EXPECT_EQ(core::lease_parked(view(), one.row, one.incarnation, producer_.owner).step, LeaseStep::nothing);
  EXPECT_EQ(view().group(one.row).parked_tried_ns.load(), 1U);
}

// ---- names and incarnations of groups

TEST_F(ImpossibleEnd, an_incarnation_of_a_group_that_wraps_is_not_zero) {
  view().group(1).incarnation.store(UINT32_MAX);
  const core::GroupId id = segment_.add_group({.name = "other"});
  EXPECT_EQ(id.row, 1U);
  EXPECT_EQ(id.incarnation, 1U);
}

TEST_F(ImpossibleEnd, a_name_that_is_too_long_is_cut_and_writes_no_further) {
  const std::string name(2 * layout::kNameBytes, 'n');
  const core::GroupId id = segment_.add_group({.name = name});
  EXPECT_TRUE(name.starts_with(core::GroupName(view().group(id.row)).view()));
  EXPECT_EQ(view().group(id.row).name[layout::kNameBytes / 8 - 1].load() >> 56, 0U) << "it has an end";
  EXPECT_EQ(view().group(id.row).incarnation.load(), id.incarnation);
}

// ---- room

TEST_F(ImpossibleEnd, nothing_is_dropped_where_a_record_cannot_be_read_or_reaches_beyond_its_range) {
  row().overflow.store(static_cast<std::uint8_t>(Overflow::drop_oldest));
  send(2);
  const std::uint64_t short_of_room = kCapacity + 16;
  segment_.put_head(0, RecordState::committed, 60000);
  core::free_room(view(), short_of_room);
  EXPECT_EQ(retired(), 0U) << "a length that cannot be";
  segment_.put_head(0, RecordState::committed, 48);
  write(0, {0, 32, EntryState::redeliverable, 1, 0});
  row().index_count.store(1);
  core::free_room(view(), short_of_room);
  EXPECT_EQ(retired(), 0U) << "a record of 64 bytes in a range of 32";
  segment_.put_head(0, RecordState::committed, 16);
  core::free_room(view(), short_of_room);
  EXPECT_EQ(retired(), 32U);
  EXPECT_EQ(row().dropped_messages.load(), 1U);
}

TEST_F(ImpossibleEnd, a_group_of_one_that_says_it_drops_drops_nothing) {
  const core::GroupId one = segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
  view().group(one.row).overflow.store(static_cast<std::uint8_t>(Overflow::drop_oldest));
  row().state.store(static_cast<std::uint32_t>(layout::GroupState::free));
  send(2);
  core::free_room(view(), kCapacity + 16);
  EXPECT_EQ(view().group(one.row).retired.load(), 0U);
}

}  // namespace
}  // namespace ipcq::unit
