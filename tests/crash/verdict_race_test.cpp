// Between a verdict and what is done about it everything may change: the claim or the lease of the dead is another's by
// then, or was finished before the death. Whoever found somebody dead takes nothing but what that one still holds.
#include <gtest/gtest.h>

#include "world_test.hpp"

namespace ipcq::crash {
namespace {

class VerdictRace : public WorldTest {
 protected:
  Peer dead_;
  Peer living_;
};

// Guards against skipping by position alone: a lap later the same place is another's.
TEST_F(VerdictRace, a_late_recoverer_skips_no_batch_that_was_committed_a_lap_later) {
  drain_everything();
  world_.attach_producer(dead_);
  ASSERT_EQ(world_.claim(dead_, 2, 2), Outcome::ok);
  const std::uint64_t place = dead_.claims.front().position;
  world_.bury(dead_);
  HaltingThread late([&] { core::recover(view()); }, "abandon.judged");
  ASSERT_TRUE(late.halted());
  core::recover(view());
  world_.attach_producer(living_);
  // The lap has room for 85 and a third messages: three laps later records meet the place again.
  pass_on_to(living_, place + 3 * World::kCapacity);
  ASSERT_EQ(world_.send(living_, 2), Outcome::ok);
  late.finish();
  world_.leave(living_);
  expect_that_all_is_well();
}

// The same, and the place is claimed by a living one for as many bytes: a compare of the claim's length would not tell.
TEST_F(VerdictRace, a_late_recoverer_skips_no_living_claim_at_the_same_place) {
  drain_everything();
  world_.attach_producer(dead_);
  ASSERT_EQ(world_.claim(dead_, 2, 2), Outcome::ok);
  const std::uint64_t place = dead_.claims.front().position;
  world_.bury(dead_);
  HaltingThread late([&] { core::recover(view()); }, "abandon.judged");
  ASSERT_TRUE(late.halted());
  core::recover(view());
  world_.attach_producer(living_);
  pass_on_to(living_, place + 3 * World::kCapacity);
  ASSERT_EQ(world_.claim(living_, 2, 2), Outcome::ok);
  late.finish();
  EXPECT_EQ(world_.commit(living_), Outcome::ok);
  world_.leave(living_);
  expect_that_all_is_well();
}

// Guards against skipping what is not counted as claimed: the repair zeroes that head, and the next claim is made there.
TEST_F(VerdictRace, a_head_that_its_owner_did_not_come_to_count_is_the_next_claims_and_not_skipped) {
  drain_everything();
  world_.attach_producer(dead_);
  world_.attach_producer(living_);
  const std::uint64_t place = claim_position();
  HaltingThread dying([&] { world_.send(dead_, 2); }, "claim.2");
  kill(dying, dead_);
  // A reader met the head and found its owner dead.
  const core::Owner owner = detail::head_high(core::load_head(view(), place));
  ASSERT_EQ(core::judge(view(), owner), core::Verdict::dead);
  HaltingThread late([&] { core::abandon(view(), place, owner); }, "abandon.judged");
  ASSERT_TRUE(late.halted());
  ASSERT_EQ(world_.claim(living_, 2, 2), Outcome::ok);
  ASSERT_EQ(living_.claims.front().position, place);
  late.finish();
  EXPECT_EQ(world_.commit(living_), Outcome::ok);
  world_.leave(living_);
  expect_that_all_is_well();
}

// Verdict first, word second: a reader saw the claim, its owner committed and died, the reader asks whether it lives.
TEST_F(VerdictRace, whoever_committed_before_it_died_has_committed) {
  drain_everything();
  world_.attach_producer(dead_);
  world_.attach_consumer(living_);
  ASSERT_EQ(world_.claim(dead_, 2, 2), Outcome::ok);
  const core::LeaseTaken met = core::lease(view(), world_.group().row, world_.group().incarnation,
                                           living_.consumer_endpoint.owner, {.max_messages = 2}, 0);
  ASSERT_EQ(met.step, core::LeaseStep::claimed);
  ASSERT_EQ(world_.commit(dead_), Outcome::ok);
  world_.bury(dead_);
  const core::Owner owner = detail::head_high(met.head);
  ASSERT_EQ(core::judge(view(), owner), core::Verdict::dead);
  EXPECT_TRUE(core::abandon(view(), met.stop, owner));
  EXPECT_EQ(world_.lease(living_, 2), core::LeaseStep::leased);
  world_.leave(living_);
  expect_that_all_is_well();
}

// The same of a lease: recovery read its word, its owner acked and died, recovery asks whether it lives.
TEST_F(VerdictRace, whoever_acked_before_it_died_has_acked) {
  world_.attach_consumer(dead_);
  ASSERT_EQ(world_.lease(dead_, 2), core::LeaseStep::leased);
  HaltingThread late([&] { core::recover(view()); }, "redeliver.read");
  ASSERT_TRUE(late.halted());
  ASSERT_EQ(world_.ack(dead_), Outcome::ok);
  world_.bury(dead_);
  late.finish();
  expect_that_all_is_well();
}

// And of one that gave it back: the entry is another's by the time that recovery comes to it.
TEST_F(VerdictRace, a_lease_that_was_given_back_and_taken_by_another_is_not_taken_from_that_one) {
  world_.attach_consumer(dead_);
  world_.attach_consumer(living_);
  ASSERT_EQ(world_.lease(dead_, 1), core::LeaseStep::leased);
  HaltingThread late([&] { core::recover(view()); }, "redeliver.read");
  ASSERT_TRUE(late.halted());
  ASSERT_EQ(world_.requeue(dead_), Outcome::ok);
  ASSERT_EQ(world_.lease(living_, 1), core::LeaseStep::leased);
  EXPECT_EQ(living_.leases.front().taken.deliveries, 1U);
  world_.bury(dead_);
  late.finish();
  EXPECT_EQ(world_.ack(living_), Outcome::ok);
  world_.leave(living_);
  expect_that_all_is_well();
}

TEST_F(VerdictRace, a_late_recoverer_takes_no_lease_that_another_has_by_now) {
  world_.attach_consumer(dead_);
  world_.attach_consumer(living_);
  ASSERT_EQ(world_.lease(dead_, 1), core::LeaseStep::leased);
  world_.bury(dead_);
  HaltingThread late([&] { core::recover(view()); }, "redeliver.judged");
  ASSERT_TRUE(late.halted());
  core::redeliver_dead(view(), world_.group().row);
  ASSERT_EQ(world_.lease(living_, 1), core::LeaseStep::leased);
  late.finish();
  EXPECT_EQ(world_.ack(living_), Outcome::ok);
  world_.leave(living_);
  expect_that_all_is_well();
}

// Guards against two stores for "to be delivered" and "once more": each recoverer that dies between them would count.
TEST_F(VerdictRace, one_death_is_one_delivery_more_however_many_recoverers_die_of_it) {
  world_.attach_consumer(dead_);
  ASSERT_EQ(world_.lease(dead_, 1), core::LeaseStep::leased);
  world_.bury(dead_);
  for (const char* point : {"redeliver.judged", "recover.redeliverable", "repair.index", "repair.group"}) {
    HaltingThread recoverer([&] { core::recover(view()); }, point);
    ASSERT_TRUE(recoverer.halted()) << point;
    recoverer.die();
  }
  world_.attach_consumer(living_);
  ASSERT_EQ(world_.lease(living_, 1), core::LeaseStep::leased);
  EXPECT_EQ(living_.leases.front().taken.deliveries, 1U);
  world_.leave(living_);
  expect_that_all_is_well();
}

// Guards against an owner and a state that are told apart in time: the tag of a batch would pass for a dead process.
TEST_F(VerdictRace, nobody_takes_the_tag_of_a_batch_that_is_being_committed_for_its_owner) {
  drain_everything();
  world_.attach_consumer(living_);
  for (std::uint32_t at = 1;; ++at) {
    Peer slow;
    world_.attach_producer(slow);
    ASSERT_EQ(world_.claim(slow, 2, 2), Outcome::ok);
    Outcome outcome = Outcome::empty;
    HaltingThread committing([&] { outcome = world_.commit(slow); }, at);
    const bool halted = committing.halted();
    const core::LeaseStep met = world_.lease(living_, 2);
    core::recover(view());
    EXPECT_TRUE(met == core::LeaseStep::claimed || met == core::LeaseStep::leased);
    committing.finish();
    EXPECT_EQ(outcome, Outcome::ok) << "at its point " << at;
    if (met == core::LeaseStep::claimed) {
      EXPECT_EQ(world_.lease(living_, 2), core::LeaseStep::leased);
    }
    EXPECT_EQ(world_.ack(living_), Outcome::ok);
    world_.leave(slow);
    if (!halted) break;
  }
  world_.leave(living_);
  expect_that_all_is_well();
}

}  // namespace
}  // namespace ipcq::crash
