// A row is used again, by another process, while words still name its former owner: those are the words of the dead.
#include <gtest/gtest.h>

#include <vector>

#include "world_test.hpp"

namespace ipcq::crash {
namespace {

class ReusedRow : public WorldTest {
 protected:
  explicit ReusedRow(const World::Options& options = {}) : WorldTest(options) {}
  /// The dead one's row is free and it is the next that is taken, before anybody looked for what it held.
  void free_row_only(core::Owner owner) const { ASSERT_TRUE(core::free_row_of_dead(view(), owner)); }

  Peer dead_;
  Peer next_;
};

TEST_F(ReusedRow, a_claim_of_its_former_owner_is_skipped_though_its_next_one_lives) {
  drain_everything();
  world_.attach_producer(dead_);
  ASSERT_EQ(world_.claim(dead_, 2, 2), Outcome::ok);
  world_.bury(dead_);
  free_row_only(dead_.producer.owner);
  world_.attach_producer(next_);
  ASSERT_EQ(core::owner_row(next_.producer.owner), core::owner_row(dead_.producer.owner));
  ASSERT_EQ(world_.send(next_, 1), Outcome::ok);
  Peer reader;
  world_.attach_consumer(reader);
  EXPECT_EQ(world_.lease(reader, 2), core::LeaseStep::leased) << "what was committed behind the dead one's claim";
  world_.leave(reader);
  world_.leave(next_);
  expect_that_all_is_well();
}

TEST_F(ReusedRow, a_lease_of_its_former_owner_comes_again_though_its_next_one_lives) {
  world_.attach_consumer(dead_);
  ASSERT_EQ(world_.lease(dead_, 2), core::LeaseStep::leased);
  world_.bury(dead_);
  free_row_only(dead_.consumer_endpoint.owner);
  world_.attach_consumer(next_);
  ASSERT_EQ(core::owner_row(next_.consumer_endpoint.owner), core::owner_row(dead_.consumer_endpoint.owner));
  ASSERT_EQ(world_.lease(next_, 2), core::LeaseStep::leased);
  EXPECT_EQ(next_.leases.front().ids.front(), dead_.leases.front().ids.front());
  world_.leave(next_);
  expect_that_all_is_well();
}

TEST_F(ReusedRow, what_its_former_owner_still_holds_to_is_disowned) {
  // It was taken for dead while it lives (its life lock is gone, and nobody can see its process): it learns that.
  world_.attach_producer(dead_);
  world_.attach_consumer(dead_);
  ASSERT_EQ(world_.claim(dead_, 2, 2), Outcome::ok);
  ASSERT_EQ(world_.lease(dead_, 2), core::LeaseStep::leased);
  world_.bury(dead_);
  core::recover(view());
  world_.attach_producer(next_);
  world_.attach_consumer(next_);
  ASSERT_EQ(core::owner_row(next_.producer.owner), core::owner_row(dead_.producer.owner));
  ASSERT_EQ(world_.claim(next_, 2, 2), Outcome::ok);
  EXPECT_EQ(world_.commit(dead_), Outcome::disowned);
  EXPECT_EQ(world_.ack(dead_), Outcome::disowned);
  EXPECT_EQ(world_.claim(dead_, 1, 1), Outcome::disowned);
  world_.detach(dead_.producer_endpoint);
  world_.detach(dead_.consumer_endpoint);
  EXPECT_EQ(core::judge(view(), next_.producer.owner), core::Verdict::alive) << "a late detach frees nobody else's row";
  EXPECT_EQ(world_.commit(next_), Outcome::ok);
  world_.leave(next_);
  expect_that_all_is_well();
}

TEST_F(ReusedRow, is_taken_by_one_process_though_two_have_chosen_it) {
  std::vector<Endpoint> all(view().endpoints_max);
  for (Endpoint& one : all) ASSERT_EQ(world_.attach(one, layout::RowKind::producer), core::AttachResult::ok);
  Peer buried;
  buried.producer_endpoint = std::move(all.back());
  all.pop_back();
  world_.bury(buried);
  Endpoint slow;
  slow.life = os::reopen(view().fd, O_RDWR);
  core::AttachResult result = core::AttachResult::ok;
  HaltingThread attaching(
      [&] {
        result = core::attach(view(), slow.life.get(), {layout::RowKind::producer, 0, 0}, slow.owner);
      },
      "attach.chosen");
  ASSERT_TRUE(attaching.halted());
  Endpoint quick;
  ASSERT_EQ(world_.attach(quick, layout::RowKind::consumer), core::AttachResult::ok);
  attaching.finish();
  EXPECT_EQ(result, core::AttachResult::again);
  EXPECT_EQ(core::judge(view(), quick.owner), core::Verdict::alive);
  EXPECT_EQ(view().row(core::owner_row(quick.owner)).kind.load(), static_cast<std::uint32_t>(layout::RowKind::consumer));
  slow.life.reset();
  world_.detach(quick);
  for (Endpoint& one : all) world_.detach(one);
  expect_that_all_is_well();
}

TEST_F(ReusedRow, makes_nobody_a_member_of_its_former_owners_group) {
  world_.attach_consumer(dead_);
  world_.bury(dead_);
  ASSERT_EQ(core::members_of(view(), world_.group()).living, 0U);
  free_row_only(dead_.consumer_endpoint.owner);
  world_.attach_producer(next_);
  ASSERT_EQ(core::owner_row(next_.producer.owner), core::owner_row(dead_.consumer_endpoint.owner));
  EXPECT_EQ(core::members_of(view(), world_.group()).attached, 0U);
  world_.leave(next_);
  expect_that_all_is_well();
}

class ReusedRowOfTheProducer : public ReusedRow {
 protected:
  ReusedRowOfTheProducer() : ReusedRow({.producers = ProducerMode::exclusive}) {}
};

TEST_F(ReusedRowOfTheProducer, does_not_make_its_former_owner_live) {
  ASSERT_TRUE(world_.attach_producer(dead_));
  world_.bury(dead_);
  free_row_only(dead_.producer.owner);
  EXPECT_TRUE(world_.attach_producer(next_));
  ASSERT_EQ(core::owner_row(next_.producer.owner), core::owner_row(dead_.producer.owner));
  EXPECT_EQ(world_.send(next_, 2), Outcome::ok);
  world_.leave(next_);
  expect_that_all_is_well();
}

class ReusedRowOfTheConsumer : public ReusedRow {
 protected:
  ReusedRowOfTheConsumer() : ReusedRow({.consumers = ConsumerMode::exclusive}) {}
};

TEST_F(ReusedRowOfTheConsumer, does_not_make_its_former_owner_live) {
  ASSERT_TRUE(world_.attach_consumer(dead_));
  ASSERT_EQ(world_.lease(dead_, 2), core::LeaseStep::leased);
  world_.bury(dead_);
  free_row_only(dead_.consumer_endpoint.owner);
  EXPECT_TRUE(world_.attach_consumer(next_));
  ASSERT_EQ(core::owner_row(next_.consumer_endpoint.owner), core::owner_row(dead_.consumer_endpoint.owner));
  ASSERT_EQ(world_.lease(next_, 2), core::LeaseStep::leased);
  EXPECT_EQ(next_.leases.front().ids.front(), dead_.leases.front().ids.front());
  world_.leave(next_);
  expect_that_all_is_well();
}

}  // namespace
}  // namespace ipcq::crash
