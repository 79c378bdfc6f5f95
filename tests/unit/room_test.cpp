// What a producer that is short of room does for it: it frees what is free, drops what may be dropped, and nothing that
// somebody living holds.
#include "core/room.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "core/event_count.hpp"
#include "core/lease.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::GroupPlan;
using core::LeaseStep;
using core::LeaseTaken;

class FreeRoom : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kMessage = 1024 - 16;  // a record of 1 KiB

  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] std::uint64_t retired(core::GroupId group) const { return view().group(group.row).retired.load(); }

  /// Sends until there is no room for one more.
  void fill() {
    core::ClaimTaken taken;
    while (core::claim(view(), producer_, 1024, 0, taken) == Outcome::ok) {
      ASSERT_EQ(
          core::commit(view(), producer_, taken.position, 1024, 1024, make_head(RecordState::committed, kMessage, 0)),
          Outcome::ok);
    }
  }
  core::RoomFreed free_room() { return core::free_room(view(), segment_.claim_position() + 1024 + 16); }
  [[nodiscard]] bool claim_fits() {
    core::ClaimTaken taken;
    return core::claim(view(), producer_, 1024, 0, taken) == Outcome::ok;
  }
  LeaseTaken lease(core::GroupId group, std::uint32_t messages = 4) {
    const LeaseTaken taken = core::lease(view(), group.row, group.incarnation, consumer_, {.max_messages = messages}, 0);
    EXPECT_EQ(taken.step, LeaseStep::leased);
    return taken;
  }

  CoreSegment segment_;
  core::ProducerState producer_ = segment_.producer(0);
  Owner consumer_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(FreeRoom, RetiresWhatIsDoneAndSaysSoToOtherProducers) {
  const core::GroupId group = segment_.add_group();
  fill();
  const LeaseTaken taken = lease(group);
  ASSERT_EQ(core::ack(view(), group.row, group.incarnation, taken.entry, taken.word), Outcome::ok);
  EXPECT_EQ(retired(group), 0U);
  const std::uint32_t armed = core::arm(view().side().space);
  free_room();
  EXPECT_EQ(retired(group), taken.end);
  EXPECT_NE(view().side().space.word.load(), armed);
  EXPECT_TRUE(claim_fits());
}

TEST_F(FreeRoom, PassesSkippedRecordsOfAnEmptyLedger) {
  const core::GroupId group = segment_.add_group();
  const std::uint64_t most = view().need_max;
  const core::ClaimTaken taken = segment_.claim(producer_, most);
  ASSERT_EQ(core::abort(view(), producer_, taken.position, most), Outcome::ok);
  free_room();
  EXPECT_EQ(retired(group), most);
  EXPECT_TRUE(claim_fits());
}

TEST_F(FreeRoom, LeavesAGroupAloneThatBlocks) {
  const core::GroupId group = segment_.add_group();
  fill();
  EXPECT_FALSE(free_room().rejects);
  EXPECT_EQ(retired(group), 0U);
  EXPECT_FALSE(claim_fits());
}

TEST_F(FreeRoom, SaysWhenAGroupRejects) {
  segment_.add_group({.name = "default", .overflow = Overflow::reject});
  fill();
  EXPECT_TRUE(free_room().rejects);
  EXPECT_FALSE(claim_fits());
}

TEST_F(FreeRoom, DropsNoMoreThanTheRoomNeedsAndWholeRecords) {
  const core::GroupId group = segment_.add_group({.name = "default", .overflow = Overflow::drop_oldest});
  fill();
  free_room();
  EXPECT_EQ(retired(group), 1024U);
  EXPECT_EQ(view().group(group.row).dropped_messages.load(), 1U);
  EXPECT_TRUE(claim_fits());
}

TEST_F(FreeRoom, DropsOutOfARangeThatComesAgainAndKeepsItsRest) {
  const core::GroupId group = segment_.add_group({.name = "default", .overflow = Overflow::drop_oldest});
  fill();
  const LeaseTaken taken = lease(group, 2);
  ASSERT_EQ(core::requeue(view(), group.row, taken.entry, taken.word), Outcome::ok);
  free_room();
  EXPECT_EQ(retired(group), 1024U);
  EXPECT_EQ(view().entries(group.row)[taken.entry].begin.load(), 1024U);
  EXPECT_TRUE(claim_fits());
  const LeaseTaken again = lease(group, 2);
  EXPECT_EQ(again.begin, 1024U);
  EXPECT_EQ(again.deliveries, 1U);
}

TEST_F(FreeRoom, DropsNothingBehindALivingLease) {
  const core::GroupId group = segment_.add_group({.name = "default", .overflow = Overflow::drop_oldest});
  fill();
  std::ignore = lease(group, 1);
  free_room();
  EXPECT_EQ(retired(group), 0U);
  EXPECT_FALSE(claim_fits());
}

TEST_F(FreeRoom, DropsNothingBehindALivingClaim) {
  const core::GroupId group = segment_.add_group({.name = "default", .overflow = Overflow::drop_oldest});
  core::ProducerState slow = segment_.producer(2);
  std::ignore = segment_.claim(slow, 1024);
  fill();
  free_room();
  EXPECT_EQ(retired(group), 0U);
  EXPECT_FALSE(claim_fits());
}

TEST_F(FreeRoom, DropsNothingWhileAGroupThatBlocksIsShortToo) {
  const core::GroupId drops = segment_.add_group({.name = "drops", .overflow = Overflow::drop_oldest});
  segment_.add_group({.name = "blocks"});
  fill();
  free_room();
  EXPECT_EQ(retired(drops), 0U) << "it would be lost for nothing";
}

TEST_F(FreeRoom, RemovesAnEphemeralGroupNoneOfWhoseMembersLives) {
  segment_.add_group();
  const core::GroupId passing = segment_.add_group({.name = "passing", .lifetime = Lifetime::ephemeral});
  auto& member = view().row(core::owner_row(consumer_));
  member.group.store(passing.row);
  member.group_incarnation.store(passing.incarnation);
  fill();
  view().group(0).retired.store(segment_.claim_position());
  free_room();
  EXPECT_FALSE(claim_fits()) << "its member lives";
  segment_.end(consumer_);
  free_room();
  EXPECT_TRUE(claim_fits());
  core::GroupId id;
  EXPECT_FALSE(core::find_group(view(), "passing", id));
}

TEST_F(FreeRoom, LeavesAnExclusiveGroupToItsLivingConsumerAndPassesSkippedRecordsForADeadOne) {
  const core::GroupId group = segment_.add_group({.name = "default", .consumers = ConsumerMode::exclusive});
  view().group(group.row).owner.store(consumer_);
  const std::uint64_t most = view().need_max;
  const core::ClaimTaken taken = segment_.claim(producer_, most);
  ASSERT_EQ(core::abort(view(), producer_, taken.position, most), Outcome::ok);
  free_room();
  EXPECT_EQ(retired(group), 0U) << "one writer at a time";
  segment_.end(consumer_);
  free_room();
  EXPECT_EQ(retired(group), most);
}

}  // namespace
}  // namespace ipcq::unit
