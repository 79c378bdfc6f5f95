// A mutex whose repair was given up, or that a stopped process keeps: who adds, removes, purges, acks in part or is short of
// room is told so, and waits for nobody for ever.
#include <gtest/gtest.h>

#include <cstdint>

#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/lock.hpp"
#include "core/parking.hpp"
#include "core/purge.hpp"
#include "fixture.hpp"
#include "kept_mutex.hpp"

namespace ipcq::unit {
namespace {

using core::AddGroup;
using core::LeaseStep;
using core::Purged;
using core::RemoveGroup;

class GivenUpMutex : public LedgerBench {
 protected:
  GivenUpMutex() : other_(segment_.add_group({.name = "other"})) {}

  [[nodiscard]] os::RobustMutex& group_mutex() const { return row().mutex; }
  [[nodiscard]] os::RobustMutex& producer_mutex() const { return view().side().producer_lock.mutex; }
  AddGroup add() {
    core::GroupId id;
    return core::add_group(view(), {.name = "third"}, id);
  }
  RemoveGroup remove() {
    std::uint32_t holder = 0;
    return core::remove_group(view(), group_, true, holder);
  }
  Purged purge() {
    std::uint64_t messages = 0;
    Owner holder = 0;
    return core::purge(view(), group_, true, messages, holder);
  }
  [[nodiscard]] core::LeaseTaken lease(std::uint32_t messages) const {
    return core::lease(view(), group_.row, group_.incarnation, consumer_, {.max_messages = messages}, 0);
  }
  Outcome ack_first_of(core::LeaseTaken& taken) {
    return core::ack_first(view(), group_.row, group_.incarnation, taken.begin + 32, 0, taken);
  }

  core::GroupId other_;
  core::ProducerState producer_ = segment_.producer(0);
  const Owner consumer_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(GivenUpMutex, of_the_producer_side_refuses_a_new_group) {
  give_up_repair_of(producer_mutex());
  EXPECT_EQ(add(), AddGroup::poisoned);
  EXPECT_TRUE(segment_.poisoned());
}

TEST_F(GivenUpMutex, of_a_free_row_refuses_a_new_group) {
  give_up_repair_of(view().group(2).mutex);
  EXPECT_EQ(add(), AddGroup::poisoned);
}

TEST_F(GivenUpMutex, of_a_group_refuses_its_removal) {
  give_up_repair_of(group_mutex());
  EXPECT_EQ(remove(), RemoveGroup::poisoned);
  EXPECT_TRUE(core::group_is(view(), group_.row, group_.incarnation));
}

TEST_F(GivenUpMutex, of_a_group_refuses_a_purge) {
  segment_.send(producer_, 16);
  give_up_repair_of(group_mutex());
  EXPECT_EQ(purge(), Purged::poisoned);
  EXPECT_EQ(retired(), 0U);
}

TEST_F(GivenUpMutex, of_a_group_refuses_an_ack_of_a_part_and_the_lease_stays) {
  for (int i = 0; i < 2; ++i) segment_.send(producer_, 16);
  core::LeaseTaken taken = lease(2);
  ASSERT_EQ(taken.step, LeaseStep::leased);
  give_up_repair_of(group_mutex());
  EXPECT_EQ(ack_first_of(taken), Outcome::poisoned);
  EXPECT_EQ(read(taken.entry), (Range{0, 64, EntryState::leased, 0, consumer_}));
}

TEST_F(GivenUpMutex, of_a_group_keeps_a_producer_from_what_is_parked) {
  row().parked_tried_ns.store(1);
  give_up_repair_of(group_mutex());
  EXPECT_EQ(core::lease_parked(view(), group_.row, group_.incarnation, producer_.owner).step, LeaseStep::nothing);
  EXPECT_EQ(row().parked_tried_ns.load(), 1U) << "it was looked at";
}

TEST_F(GivenUpMutex, that_somebody_keeps_delays_a_removal_no_more_than_its_patience) {
  const Keeper keeper(group_mutex());
  EXPECT_EQ(remove(), RemoveGroup::timed_out);
  EXPECT_TRUE(core::group_is(view(), group_.row, group_.incarnation));
}

TEST_F(GivenUpMutex, that_somebody_keeps_delays_a_purge_no_more_than_its_patience) {
  segment_.send(producer_, 16);
  const Keeper keeper(group_mutex());
  EXPECT_EQ(purge(), Purged::timed_out);
  EXPECT_EQ(retired(), 0U);
}

TEST_F(GivenUpMutex, a_part_of_a_lease_of_a_group_that_was_removed_is_not_acked) {
  for (int i = 0; i < 2; ++i) segment_.send(producer_, 16);
  core::LeaseTaken taken = lease(2);
  segment_.end(consumer_);  // judged dead, though it was not
  ASSERT_EQ(remove(), RemoveGroup::ok);
  EXPECT_EQ(ack_first_of(taken), Outcome::group_removed);
}

TEST_F(GivenUpMutex, what_is_parked_in_a_group_that_was_removed_is_nobodys) {
  row().parked_tried_ns.store(1);
  ASSERT_EQ(remove(), RemoveGroup::ok);
  EXPECT_EQ(core::lease_parked(view(), group_.row, group_.incarnation, producer_.owner).step, LeaseStep::nothing);
  EXPECT_EQ(row().parked_tried_ns.load(), 1U) << "it was looked at";
}

}  // namespace
}  // namespace ipcq::unit
