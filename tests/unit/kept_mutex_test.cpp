// A mutex that a living thread keeps, or whose repair was given up: who attaches, revokes, limits, claims, joins or leaves is
// told so after its patience, and has changed nothing.
#include "kept_mutex.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <tuple>

#include "core/closing.hpp"
#include "core/endpoints.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/producer_side.hpp"
#include "core/quota.hpp"
#include "core/quota_table.hpp"
#include "core/ready.hpp"
#include "fixture.hpp"
#include "os/life_lock.hpp"

namespace ipcq::unit {
namespace {

using core::AttachResult;
using core::LeaseStep;

class KeptMutex : public LedgerBench {
 protected:
  KeptMutex() : named_(view()) { named_.fd = segment_.fd(); }

  [[nodiscard]] os::RobustMutex& producer_mutex() const { return view().side().producer_lock.mutex; }
  [[nodiscard]] os::RobustMutex& table_mutex() const { return view().side().table_lock.mutex; }
  AttachResult attach(int flags = O_RDWR) {
    const os::UniqueFd life = os::reopen(segment_.fd(), flags);
    Owner owner = 0;
    return core::attach(named_, life.get(), {layout::RowKind::producer, 0, 0}, owner);
  }
  core::SetQuota limit() {
    return core::set_quota(view(), QuotaScope::queue(), QuotaSource::operator_, {.messages_per_second = 5});
  }
  [[nodiscard]] bool any_row_attached() const {
    for (std::uint32_t i = 0; i < view().endpoints_max; ++i) {
      if (core::row_attached(view(), i)) return true;
    }
    return false;
  }
  [[nodiscard]] bool revoked(Owner owner) const {
    return (view().row(core::owner_row(owner)).flags.load() & layout::kRevoked) != 0;
  }

  core::View named_;  // with a file in which rows have life locks
};

// ---- the endpoint table's

TEST_F(KeptMutex, of_the_endpoint_table_lets_nobody_attach_within_its_patience) {
  const Keeper keeper(table_mutex());
  EXPECT_EQ(attach(), AttachResult::timed_out);
  EXPECT_FALSE(any_row_attached());
}

TEST_F(KeptMutex, of_the_endpoint_table_whose_repair_was_given_up_lets_nobody_attach) {
  give_up_repair_of(table_mutex());
  EXPECT_EQ(attach(), AttachResult::poisoned);
  EXPECT_FALSE(any_row_attached());
  EXPECT_TRUE(segment_.poisoned());
}

TEST_F(KeptMutex, nobody_attaches_without_a_life_lock) {
  EXPECT_EQ(attach(O_RDONLY), AttachResult::again) << "a lock for writing wants a descriptor for writing";
  EXPECT_FALSE(any_row_attached());
  EXPECT_EQ(attach(), AttachResult::ok);
}

TEST_F(KeptMutex, of_the_endpoint_table_keeps_a_producers_right) {
  const Owner producer = segment_.attach(2);
  {
    const Keeper keeper(table_mutex());
    EXPECT_EQ(core::revoke(view(), producer), core::Revoked::timed_out);
  }
  EXPECT_FALSE(revoked(producer));
  give_up_repair_of(table_mutex());
  EXPECT_EQ(core::revoke(view(), producer), core::Revoked::poisoned);
  EXPECT_FALSE(revoked(producer));
}

TEST_F(KeptMutex, of_the_endpoint_table_keeps_quotas_as_they_are) {
  {
    const Keeper keeper(table_mutex());
    EXPECT_EQ(limit(), core::SetQuota::timed_out);
  }
  give_up_repair_of(table_mutex());
  EXPECT_EQ(limit(), core::SetQuota::poisoned);
  EXPECT_EQ(core::find_bucket(view(), QuotaScope::queue()), core::kQueueBucket);
  EXPECT_FALSE(core::message_limit(core::quota_bucket(view(), core::kQueueBucket)));
}

// ---- the producer side's

TEST_F(KeptMutex, of_the_producer_side_blocks_a_claim_and_a_new_group) {
  core::ProducerState producer = segment_.producer(2);
  core::ClaimTaken taken;
  core::GroupId id;
  const Keeper keeper(producer_mutex());
  EXPECT_EQ(core::claim(view(), producer, 64, 0, taken), Outcome::blocked);
  EXPECT_EQ(core::look_for_room(view(), producer, 64), Outcome::blocked);
  EXPECT_EQ(core::add_group(view(), {.name = "third"}, id), core::AddGroup::timed_out);
  EXPECT_EQ(segment_.claim_position(), 0U);
  EXPECT_FALSE(core::find_group(view(), "third", id));
}

TEST_F(KeptMutex, of_the_producer_side_keeps_a_dead_producers_row_until_his_claim_can_be_skipped) {
  // All other rows are of the living: this process holds their bytes.
  const os::UniqueFd lives = os::reopen(segment_.fd(), O_RDWR);
  for (std::uint32_t i = 1; i < view().endpoints_max; ++i) {
    std::ignore = segment_.attach(i);
    ASSERT_TRUE(os::lock_bytes(lives.get(), view().life_begin + i, 1));
  }
  core::ProducerState dead = segment_.producer(0);
  view().row(0).pid.store(0x3ffffff0);
  const std::uint64_t position = segment_.claim(dead, 64).position;
  {
    const Keeper keeper(producer_mutex());
    EXPECT_EQ(attach(), AttachResult::again);
    EXPECT_EQ(segment_.state_at(position), RecordState::claimed);
    EXPECT_EQ(core::owner_of_row(view(), 0), dead.owner);
  }
  EXPECT_EQ(attach(), AttachResult::ok);
  EXPECT_EQ(segment_.state_at(position), RecordState::skipped);
}

// ---- a group's

TEST_F(KeptMutex, of_a_group_holds_up_its_members_and_a_group_in_its_row) {
  std::ignore = segment_.add_group({.name = "other"});
  const Owner consumer = segment_.attach(1, layout::RowKind::consumer);
  const Keeper keeper(row().mutex);
  EXPECT_EQ(core::lease(view(), group_.row, group_.incarnation, consumer, {}, 0).step, LeaseStep::lock_held);
  EXPECT_EQ(core::look_for_messages(view(), group_.row, group_.incarnation).step, LeaseStep::lock_held);
  row().state.store(static_cast<std::uint32_t>(layout::GroupState::free));
  core::GroupId id;
  EXPECT_EQ(core::add_group(view(), {.name = "third"}, id), core::AddGroup::timed_out) << "a member may be inside";
  EXPECT_FALSE(core::find_group(view(), "third", id));
}

TEST_F(KeptMutex, of_a_group_whose_holder_died_is_repaired_by_its_removal_too) {
  std::ignore = segment_.add_group({.name = "other"});
  die_holding(row().mutex);
  Owner holder = 0;
  EXPECT_EQ(core::remove_group(view(), group_, false, holder), core::RemoveGroup::ok);
  EXPECT_FALSE(core::group_is(view(), group_.row, group_.incarnation));
}

// ---- of those who are alone

class KeptMutexOfOne : public ::testing::Test {
 protected:
  KeptMutexOfOne() {
    Owner holder = 0;
    consumer_.owner = segment_.attach(1, layout::RowKind::consumer);
    EXPECT_EQ(core::take_over_producer(view(), producer_, holder), core::TakeOver::ok);
    EXPECT_EQ(core::join_exclusive(view(), group_.row, group_.incarnation, consumer_, holder), core::Join::ok);
  }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }
  [[nodiscard]] os::RobustMutex& producer_mutex() const { return view().side().producer_lock.mutex; }
  Outcome claim_that_looks_for_room() {
    core::ClaimTaken taken;
    producer_.limit = producer_.position;
    return core::claim(view(), producer_, 64, 0, taken);
  }

  CoreSegment segment_{{.producers = ProducerMode::exclusive}};
  core::GroupId group_ = segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
  core::ProducerState producer_ = segment_.producer(0);
  core::ExclusiveState consumer_;
};

TEST_F(KeptMutexOfOne, blocks_a_claim_that_has_to_look_for_room) {
  {
    const Keeper keeper(producer_mutex());
    EXPECT_EQ(claim_that_looks_for_room(), Outcome::blocked);
  }
  EXPECT_EQ(claim_that_looks_for_room(), Outcome::ok);
  give_up_repair_of(producer_mutex());
  EXPECT_EQ(claim_that_looks_for_room(), Outcome::poisoned);
}

TEST_F(KeptMutexOfOne, leaves_who_leaves_meanwhile_to_be_found_dead) {
  {
    const Keeper keeper(producer_mutex());
    core::leave_producer(view(), producer_);
  }
  EXPECT_EQ(view().side().close.exclusive_owner.load(), producer_.owner);
  {
    const Keeper keeper(row().mutex);
    core::leave_exclusive(view(), group_.row, consumer_);
  }
  EXPECT_EQ(row().owner.load(), consumer_.owner);
  core::leave_exclusive(view(), group_.row, consumer_);
  EXPECT_EQ(row().owner.load(), 0U);
}

TEST_F(KeptMutexOfOne, leaves_the_end_of_the_stream_to_the_next_who_comes) {
  {
    const Keeper keeper(producer_mutex());
    core::close(view());
    core::finish_close_as_owner(view(), producer_.owner);
    EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
  }
  core::finish_close_as_owner(view(), producer_.owner);
  EXPECT_EQ(core::closed_at(view()), 0U);
  {
    const Keeper keeper(producer_mutex());
    EXPECT_FALSE(core::reopen(view()));
  }
  EXPECT_TRUE(core::is_closed(view()));
  EXPECT_TRUE(core::reopen(view()));
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
}

TEST_F(KeptMutexOfOne, refuses_a_successor) {
  segment_.end(consumer_.owner);
  core::ExclusiveState next;
  next.owner = segment_.attach(2, layout::RowKind::consumer);
  Owner holder = 0;
  give_up_repair_of(row().mutex);
  EXPECT_EQ(core::join_exclusive(view(), group_.row, group_.incarnation, next, holder), core::Join::poisoned);
  EXPECT_EQ(row().owner.load(), consumer_.owner);
}

}  // namespace
}  // namespace ipcq::unit
