// Turns under a group's mutex that end early, or go on: too few messages, more than the ring holds, more drops than one turn makes.
#include <gtest/gtest.h>

#include <cstdint>
#include <tuple>

#include "core/closing.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/purge.hpp"
#include "core/room.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;
using core::Purged;

class RefusedTurns : public LedgerBench {
 protected:
  LeaseTaken lease(const core::LeaseRequest& request) const {
    return core::lease(view(), group_.row, group_.incarnation, consumer_, request, 0);
  }
  void send(std::uint32_t messages) {
    for (std::uint32_t i = 0; i < messages; ++i) segment_.send(producer_, 16);
  }

  core::ProducerState producer_ = segment_.producer(0);
  const Owner consumer_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(RefusedTurns, of_too_few_messages_unless_no_more_can_come_or_these_are_wanted) {
  send(2);
  EXPECT_EQ(lease({.max_messages = 8, .min_messages = 4}).step, LeaseStep::nothing);
  EXPECT_EQ(core::Ledger(view(), group_.row).in_use(), 0U);
  EXPECT_EQ(lease({.max_messages = 1, .min_messages = 4}).messages, 1U) << "it is as many as may be";
  EXPECT_EQ(lease({.max_messages = 8, .min_messages = 4, .take_what_is_there = true}).messages, 1U);
  send(2);
  EXPECT_EQ(lease({.max_messages = 8, .min_messages = 4, .max_bytes = 16}).messages, 1U) << "it is as much as may be";
  core::close(view());
  EXPECT_EQ(lease({.max_messages = 8, .min_messages = 4}).messages, 1U);
}

TEST_F(RefusedTurns, behind_more_than_the_ring_holds_are_damage) {
  send(2);
  const LeaseTaken held = lease({.max_messages = 1});
  ASSERT_EQ(held.step, LeaseStep::leased);
  // All of the ring behind the lease, and its room for an end mark too.
  for (std::uint64_t at = held.end; at < kCapacity; at += kCapacity / 2 - 32)
    segment_.put_head(at, RecordState::committed, kCapacity / 2 - 48);
  segment_.put_head(kCapacity - 32, RecordState::committed, 48);
  EXPECT_EQ(lease({.max_messages = 64}).step, LeaseStep::damaged);
  std::uint64_t messages = 0;
  Owner holder = 0;
  view().side().claim.claim_position.store(kCapacity + 32);
  EXPECT_EQ(core::purge(view(), group_, true, messages, holder), Purged::damaged);
  EXPECT_EQ(read(held.entry).state, EntryState::leased);
}

TEST_F(RefusedTurns, of_an_ack_of_a_part_come_behind_the_ranges_before_it) {
  send(4);
  const LeaseTaken first = lease({.max_messages = 1});
  LeaseTaken second = lease({.max_messages = 3});
  ASSERT_EQ(core::ack_first(view(), group_.row, group_.incarnation, second.begin + 32, 0, second), Outcome::ok);
  EXPECT_TRUE(is_whole());
  EXPECT_EQ(retired(), first.begin);
  EXPECT_EQ(second.begin, 64U);
}

TEST_F(RefusedTurns, a_removal_finds_the_lease_behind_ranges_that_are_not) {
  std::ignore = segment_.add_group({.name = "other"});
  send(3);
  const LeaseTaken first = lease({.max_messages = 1});
  const LeaseTaken second = lease({.max_messages = 1});
  ASSERT_EQ(core::requeue(view(), group_.row, first.entry, first.word), Outcome::ok);
  Owner holder = 0;
  EXPECT_EQ(core::remove_group(view(), group_, true, holder), core::RemoveGroup::has_lease);
  EXPECT_EQ(holder, consumer_);
  ASSERT_EQ(core::requeue(view(), group_.row, second.entry, second.word), Outcome::ok);
  EXPECT_EQ(core::remove_group(view(), group_, true, holder), core::RemoveGroup::ok);
}

TEST_F(RefusedTurns, drops_stop_after_as_many_as_one_turn_makes_and_the_next_goes_on) {
  row().overflow.store(static_cast<std::uint8_t>(Overflow::drop_oldest));
  send(1030);
  // Short of room by all of them.
  core::free_room(view(), retired() + kCapacity + 1030 * 32);
  EXPECT_EQ(row().dropped_messages.load(), 1030U);
  EXPECT_EQ(retired(), segment_.claim_position());
}

}  // namespace
}  // namespace ipcq::unit
