// Room: somebody short of it looks while others free some, die freeing some, or add a group that it has not seen.
#include <gtest/gtest.h>

#include <string>

#include "world_test.hpp"

namespace ipcq::crash {
namespace {

class RoomRace : public WorldTest {
 protected:
  explicit RoomRace(const World::Options& options = {.witness = false}) : WorldTest(options) {
    world_.attach_producer(producer_);
  }
  void fill() {
    while (world_.send(producer_, 1) == Outcome::ok) {
    }
  }
  Peer producer_;
};

// Guards against `full` on an old look: another has passed the skipped bytes just before, so this one finds none.
TEST_F(RoomRace, full_is_not_answered_for_room_that_another_has_just_freed) {
  drain_everything();
  ASSERT_EQ(world_.claim(producer_, World::kRingful, 1), Outcome::ok);
  ASSERT_EQ(world_.abort(producer_), Outcome::ok);
  Outcome outcome = Outcome::empty;
  HaltingThread claiming([&] { outcome = world_.claim(producer_, 2, 2); }, "room.judged");
  ASSERT_TRUE(claiming.halted());
  core::free_room(view(), claim_position() + 2 * World::kRecord + 16);
  claiming.finish();
  EXPECT_EQ(outcome, Outcome::ok);
  world_.leave(producer_);
  expect_that_all_is_well();
}

// Guards against a mutex of the dead that nobody has a reason to take: nothing can be leased, and nothing claimed.
TEST_F(RoomRace, who_is_short_repairs_the_group_whose_last_acker_died) {
  fill();
  for (const char* point : {"retire.retired", "retire.freed", "retire.index_first"}) {
    Peer consumer;
    world_.attach_consumer(consumer);
    HaltingThread dying(
        [&] {
          world_.lease(consumer, 3);
          world_.ack(consumer);
          world_.lease(consumer, 3);
        },
        point);
    kill(dying, consumer);
    EXPECT_EQ(world_.send(producer_, 1), Outcome::ok) << point;
    fill();
  }
  world_.leave(producer_);
  expect_that_all_is_well();
}

// Guards against a group that begins where producers have been told they may write: the least of all and the state are
// stored with nobody else in the mutex that the minimum is computed under.
TEST_F(RoomRace, a_group_that_is_being_added_loses_nothing_that_it_begins_with) {
  fill();
  core::GroupId late;
  HaltingThread adding(
      [&] {
        ASSERT_EQ(core::add_group(view(), {"late", Start::oldest}, late), core::AddGroup::ok);
      },
      "group.added_retired");
  ASSERT_TRUE(adding.halted());
  Peer consumer;
  world_.attach_consumer(consumer);
  while (world_.lease(consumer, 3) == core::LeaseStep::leased) ASSERT_EQ(world_.ack(consumer), Outcome::ok);
  EXPECT_EQ(world_.send(producer_, 1), Outcome::blocked) << "room is counted with all groups or not at all";
  adding.finish();
  EXPECT_EQ(world_.send(producer_, 1), Outcome::full) << "the new group has all of it still to read";
  world_.check_positions();
  world_.leave(consumer);
  world_.leave(producer_);
  expect_that_all_is_well();
}

// A removal that died half way keeps its room until somebody is short of it.
TEST_F(RoomRace, who_is_short_finishes_a_removal_that_died) {
  core::GroupId extra;
  ASSERT_EQ(core::add_group(view(), {"extra", Start::oldest}, extra), core::AddGroup::ok);
  HaltingThread removing(
      [&] {
        std::uint32_t holder = 0;
        static_cast<void>(core::remove_group(view(), extra, false, holder));
      },
      "group.marked");
  ASSERT_TRUE(removing.halted());
  removing.die();
  Peer consumer;
  world_.attach_consumer(consumer);
  fill();
  while (world_.lease(consumer, 3) == core::LeaseStep::leased) ASSERT_EQ(world_.ack(consumer), Outcome::ok);
  EXPECT_EQ(world_.send(producer_, 1), Outcome::ok);
  world_.leave(consumer);
  world_.leave(producer_);
  expect_that_all_is_well();
}

class DropOldestRace : public RoomRace, public ::testing::WithParamInterface<const char*> {
 protected:
  DropOldestRace() : RoomRace({.overflow = Overflow::drop_oldest, .witness = false}) {}
};

// What is given up is what nobody reads: what is left of a range that was to come again comes again.
TEST_P(DropOldestRace, a_drop_that_died_in_a_range_to_be_delivered_again_leaves_the_rest_of_it) {
  const auto fits = [&] {
    return claim_position() + World::kRecord + 16 <= world_.group_row().retired.load() + World::kCapacity;
  };
  while (fits()) ASSERT_EQ(world_.send(producer_, 1), Outcome::ok);
  Peer consumer;
  world_.attach_consumer(consumer);
  ASSERT_EQ(world_.lease(consumer, 3), core::LeaseStep::leased);
  const std::uint64_t begin = consumer.leases.front().taken.begin;
  const std::uint64_t end = consumer.leases.front().taken.end;
  ASSERT_EQ(world_.requeue(consumer), Outcome::ok);
  Peer dropper;
  world_.attach_producer(dropper);
  HaltingThread dropping([&] { world_.send(dropper, 3); }, GetParam());
  kill(dropping, dropper);
  ASSERT_EQ(world_.lease(consumer, 1), core::LeaseStep::leased);
  const core::LeaseTaken& taken = consumer.leases.front().taken;
  EXPECT_GT(taken.begin, begin);
  EXPECT_EQ(taken.deliveries, taken.begin < end ? 1U : 0U);
  ASSERT_EQ(world_.ack(consumer), Outcome::ok);
  world_.leave(consumer);
  world_.leave(producer_);
  expect_that_all_is_well();
}

INSTANTIATE_TEST_SUITE_P(At, DropOldestRace, ::testing::Values("drop.retired", "drop.begin", "drop.freed"),
                         [](const auto& point) { return std::string(point.param).replace(4, 1, "_"); });

}  // namespace
}  // namespace ipcq::crash
