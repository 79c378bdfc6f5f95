// An exclusive consumer, or who purges its group, before what no order of steps leaves; and one that was taken over from.
#include <gtest/gtest.h>

#include <cstdint>
#include <tuple>

#include "core/closing.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/parking.hpp"
#include "core/purge.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;
using core::Parked;
using core::Purged;

class ImpossibleEndOfOne : public ::testing::Test {
 protected:
  ImpossibleEndOfOne() {
    state_.owner = segment_.attach(1, layout::RowKind::consumer);
    EXPECT_EQ(core::join_exclusive(view(), group_.row, group_.incarnation, state_, holder_), core::Join::ok);
  }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }
  LeaseTaken lease() {
    return core::lease_exclusive(view(), group_.row, group_.incarnation, state_, {.max_messages = 1}, true);
  }
  /// Once the consumer is dead.
  Purged purge() {
    segment_.end(state_.owner);
    return core::purge(view(), group_, true, messages_, holder_);
  }
  /// The next message, delivered as often as may be, and parked.
  void park_next() {
    for (std::uint32_t before = 0; before < view().max_deliveries; ++before) {
      const LeaseTaken taken = lease();
      ASSERT_EQ(taken.step, LeaseStep::leased);
      core::requeue_exclusive(view(), group_.row, state_, taken.begin, taken.deliveries, true);
    }
    ASSERT_EQ(lease().step, LeaseStep::to_dead_letter);
    ASSERT_EQ(core::park_exclusive(view(), group_.row, state_, Parked::full), Outcome::ok);
    row().parked_tried_ns.store(static_cast<std::uint64_t>(os::monotonic_ns()) + 1'000'000'000'000);  // not due in this test
  }

  CoreSegment segment_{{.max_deliveries = 2}};
  core::GroupId group_ = segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
  core::ProducerState producer_ = segment_.producer(0);
  core::ExclusiveState state_;
  std::uint64_t messages_ = 0;
  Owner holder_ = 0;
};

TEST_F(ImpossibleEndOfOne, skipped_room_that_was_never_claimed_is_not_passed) {
  segment_.put_head(0, RecordState::skipped, 16);
  EXPECT_EQ(lease().step, LeaseStep::damaged);
  EXPECT_EQ(row().retired.load(), 0U);
}

TEST_F(ImpossibleEndOfOne, an_end_of_the_stream_that_nobody_can_reach_is_none) {
  core::close(view());
  view().side().close.closed_at.store(std::uint64_t{1} << 40);
  EXPECT_EQ(lease().step, LeaseStep::damaged);
}

TEST_F(ImpossibleEndOfOne, what_is_parked_ends_the_stream_only_where_nothing_is_behind_it) {
  std::ignore = segment_.send(producer_, 16);
  core::ProducerState open = segment_.producer(2);
  const core::ClaimTaken claim = segment_.claim(open, 32);
  core::close(view());
  park_next();
  EXPECT_EQ(lease().step, LeaseStep::parked) << "a claim is open behind it";
  ASSERT_EQ(core::commit(view(), open, claim.position, 32, 32, make_head(RecordState::committed, 16, 0)), Outcome::ok);
  EXPECT_EQ(lease().step, LeaseStep::parked) << "a message is behind it";
  segment_.put_head(claim.position, RecordState::skipped, 32);
  EXPECT_EQ(lease().step, LeaseStep::drained);
}

TEST_F(ImpossibleEndOfOne, who_was_taken_over_from_parks_moves_and_gives_back_nothing) {
  std::ignore = segment_.send(producer_, 16);
  const LeaseTaken taken = lease();
  ASSERT_EQ(taken.step, LeaseStep::leased);
  core::ExclusiveState next;
  segment_.end(state_.owner);
  next.owner = segment_.attach(2, layout::RowKind::consumer);
  ASSERT_EQ(core::join_exclusive(view(), group_.row, group_.incarnation, next, holder_), core::Join::ok);
  const std::uint32_t counted = row().takeover_count.load();
  EXPECT_EQ(core::park_exclusive(view(), group_.row, state_, Parked::full), Outcome::disowned);
  EXPECT_EQ(row().parked_at.load(), core::kNoPosition);
  EXPECT_EQ(core::finish_dead_letter_exclusive(view(), group_.row, state_, taken), Outcome::disowned);
  EXPECT_EQ(row().dead_lettered_messages.load(), 0U);
  EXPECT_EQ(row().retired.load(), 0U);
  core::requeue_exclusive(view(), group_.row, state_, taken.begin, 1, true);
  EXPECT_EQ(row().takeover_count.load(), counted);
}

TEST_F(ImpossibleEndOfOne, a_purge_gives_up_nothing_behind_a_record_that_cannot_be_read) {
  std::ignore = segment_.send(producer_, 16);
  segment_.put_head(0, RecordState::committed, 60000);
  EXPECT_EQ(purge(), Purged::damaged);
  EXPECT_EQ(row().retired.load(), 0U);
}

TEST_F(ImpossibleEndOfOne, a_purge_refuses_what_is_retired_between_two_places) {
  row().retired.store(8);
  EXPECT_EQ(purge(), Purged::damaged);
  EXPECT_EQ(row().retired.load(), 8U);
}

TEST_F(ImpossibleEndOfOne, a_purge_of_what_is_parked_leaves_a_record_that_is_no_message) {
  std::ignore = segment_.send(producer_, 16);
  park_next();
  segment_.put_head(0, RecordState::skipped, 32);
  segment_.end(state_.owner);
  EXPECT_EQ(core::purge_parked(view(), group_, messages_, holder_), Purged::ok);
  EXPECT_EQ(messages_, 0U);
  EXPECT_EQ(row().retired.load(), 0U);
}

TEST_F(ImpossibleEndOfOne, a_group_whose_consumer_lives_is_not_removed) {
  std::ignore = segment_.add_group({.name = "other"});
  EXPECT_EQ(core::remove_group(view(), group_, true, holder_), core::RemoveGroup::has_lease);
  EXPECT_EQ(holder_, state_.owner);
  segment_.end(state_.owner);
  EXPECT_EQ(core::remove_group(view(), group_, true, holder_), core::RemoveGroup::ok);
}

}  // namespace
}  // namespace ipcq::unit
