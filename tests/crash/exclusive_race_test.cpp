// Take-overs that meet: of the only producer's side and of the only consumer's group there is one owner at a time, whoever
// died on the way to it; what he writes alone nobody else writes; and each death is told of those who died of it.
#include <gtest/gtest.h>

#include "world_test.hpp"

namespace ipcq::crash {
namespace {

class ExclusiveConsumerRace : public WorldTest {
 protected:
  ExclusiveConsumerRace() : WorldTest({.consumers = ConsumerMode::exclusive}) {}
  /// Somebody dies with the next messages handed out.
  void one_dies_of(std::uint32_t messages) {
    Peer peer;
    ASSERT_TRUE(world_.attach_consumer(peer));
    ASSERT_EQ(world_.lease(peer, messages), core::LeaseStep::leased);
    world_.bury(peer);
  }
  std::uint32_t deliveries_told() {
    Peer peer;
    EXPECT_TRUE(world_.attach_consumer(peer));
    EXPECT_EQ(world_.lease(peer, 1), core::LeaseStep::leased);
    const std::uint32_t deliveries = peer.leases.front().taken.deliveries;
    world_.leave(peer);
    return deliveries;
  }
};

// Guards against a count that is kept while the position it belongs to changes: one message would be told the deaths of
// another, and be given up after its first.
TEST_F(ExclusiveConsumerRace, a_take_over_that_died_tells_no_message_the_deaths_of_another) {
  for (int i = 0; i < 4; ++i) one_dies_of(1);
  EXPECT_EQ(deliveries_told(), 4U) << "and this one acks it";
  one_dies_of(1);
  for (const char* point : {"xjoin.judged", "xcount.none", "xcount.position"}) {
    Peer successor;
    HaltingThread dying([&] { world_.attach_consumer(successor); }, point);
    ASSERT_TRUE(dying.halted()) << point;
    dying.die();
    world_.bury(successor);
  }
  EXPECT_EQ(deliveries_told(), 1U);
  expect_that_all_is_well();
}

TEST_F(ExclusiveConsumerRace, a_take_over_that_died_counts_at_most_one_too_many_and_never_one_too_few) {
  one_dies_of(1);
  Peer successor;
  HaltingThread dying([&] { world_.attach_consumer(successor); }, "xcount.count");
  kill(dying, successor);
  const std::uint32_t told = deliveries_told();
  EXPECT_TRUE(told == 1 || told == 2) << told;
  expect_that_all_is_well();
}

TEST_F(ExclusiveConsumerRace, of_two_successors_one_takes_over) {
  one_dies_of(2);
  Peer slow;
  bool slow_has_it = true;
  HaltingThread joining([&] { slow_has_it = world_.attach_consumer(slow); }, "xjoin.judged");
  ASSERT_TRUE(joining.halted());
  Peer quick;
  ASSERT_TRUE(world_.attach_consumer(quick));
  ASSERT_EQ(world_.lease(quick, 2), core::LeaseStep::leased);
  joining.finish();
  EXPECT_FALSE(slow_has_it);
  EXPECT_EQ(world_.ack(quick), Outcome::ok);
  world_.leave(quick);
  expect_that_all_is_well();
}

// Guards against two writers of `retired`: a producer that passes skipped bytes for a consumer that is away, and the
// consumer that has come meanwhile and finished more than that.
TEST_F(ExclusiveConsumerRace, a_late_producer_does_not_move_retired_back) {
  drain_everything();
  Peer producer;
  world_.attach_producer(producer);
  ASSERT_EQ(world_.claim(producer, 2, 2), Outcome::ok);
  ASSERT_EQ(world_.abort(producer), Outcome::ok);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(world_.send(producer, 1), Outcome::ok);
  HaltingThread late([&] { core::free_room(view(), claim_position() + World::kCapacity); }, "room.judged");
  ASSERT_TRUE(late.halted());
  Peer consumer;
  ASSERT_TRUE(world_.attach_consumer(consumer));
  ASSERT_EQ(world_.lease(consumer, 2), core::LeaseStep::leased);
  ASSERT_EQ(world_.ack(consumer), Outcome::ok);
  const std::uint64_t retired = world_.group_row().retired.load();
  late.finish();
  EXPECT_EQ(world_.group_row().retired.load(), retired);
  world_.leave(consumer);
  world_.leave(producer);
  expect_that_all_is_well();
}

class ExclusiveProducerRace : public WorldTest {
 protected:
  ExclusiveProducerRace() : WorldTest({.producers = ProducerMode::exclusive}) {}
};

// Guards against a claim_position that goes back behind what a quicker successor has published.
TEST_F(ExclusiveProducerRace, of_two_successors_one_takes_over) {
  Peer dead;
  ASSERT_TRUE(world_.attach_producer(dead));
  HaltingThread dying([&] { world_.send(dead, 2); }, "exclusive.published");
  kill(dying, dead);
  Peer slow;
  bool slow_has_it = true;
  HaltingThread taking([&] { slow_has_it = world_.attach_producer(slow); }, "takeover.judged");
  ASSERT_TRUE(taking.halted());
  Peer quick;
  ASSERT_TRUE(world_.attach_producer(quick));
  ASSERT_EQ(world_.send(quick, 2), Outcome::ok);
  taking.finish();
  EXPECT_FALSE(slow_has_it);
  EXPECT_EQ(world_.send(quick, 1), Outcome::ok);
  world_.leave(quick);
  expect_that_all_is_well();
}

TEST_F(ExclusiveProducerRace, three_that_die_taking_over_lose_nothing_of_what_the_first_published) {
  Peer dead;
  ASSERT_TRUE(world_.attach_producer(dead));
  HaltingThread dying([&] { world_.send(dead, 2); }, "exclusive.published");
  kill(dying, dead);
  for (const char* point : {"takeover.judged", "takeover.claim_position", "takeover.owner"}) {
    Peer successor;
    HaltingThread taking([&] { world_.attach_producer(successor); }, point);
    kill(taking, successor);
  }
  expect_that_all_is_well();
}

// A closer found the producer dead; a successor has come before it stores where the stream ends.
TEST_F(ExclusiveProducerRace, a_late_closer_ends_the_stream_behind_nothing_that_is_still_written) {
  Peer dead;
  ASSERT_TRUE(world_.attach_producer(dead));
  world_.bury(dead);
  HaltingThread closing([&] { core::close(view()); }, "close.judged");
  ASSERT_TRUE(closing.halted());
  Peer successor;
  ASSERT_TRUE(world_.attach_producer(successor));
  closing.finish();
  EXPECT_EQ(world_.claim(successor, 1, 1), Outcome::closed);
  EXPECT_EQ(core::closed_at(view()), claim_position());
  world_.leave(successor);
  expect_that_all_is_well();
}

// A batch that was begun before the close is committed after it: the stream ends behind it.
TEST_F(ExclusiveProducerRace, a_close_ends_the_stream_behind_the_batch_that_is_open) {
  Peer producer;
  ASSERT_TRUE(world_.attach_producer(producer));
  ASSERT_EQ(world_.claim(producer, 2, 2), Outcome::ok);
  Outcome outcome = Outcome::empty;
  HaltingThread committing([&] { outcome = world_.commit(producer); }, "exclusive.published");
  ASSERT_TRUE(committing.halted());
  core::close(view());
  core::recover(view());
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition) << "a living producer says itself where it ends";
  committing.finish();
  EXPECT_EQ(outcome, Outcome::ok);
  EXPECT_EQ(core::closed_at(view()), claim_position());
  world_.leave(producer);
  expect_that_all_is_well();
}

}  // namespace
}  // namespace ipcq::crash
