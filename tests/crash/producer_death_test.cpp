// A producer of a queue with shared producers is killed while it holds a claim.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <ipcq/ipcq.hpp>
#include <string>
#include <thread>
#include <vector>

#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

/// Claims and appends, reports "holding" and its row, and waits. Told "commit", commits. Arguments: the messages.
const ChildRole kClaimHolder("claim holder", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  Claim batch = claim(producer, ids(self.argument(0)));
  require(static_cast<bool>(batch), "no claim");
  self.report("holding");
  self.report(std::to_string(producer.row()));
  self.await("commit");
  require(batch.commit() == Outcome::ok, "commit");
  self.report("committed");
  return self.hold();
});

/// Claims nearly the whole ring as one claim, appends a part of it, and waits.
const ChildRole kRingHolder("ring holder", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  Claim batch = producer.claim({.messages = 2, .bytes = kCapacity - 1024}, kBound);
  require(static_cast<bool>(batch), "no claim");
  fill(batch.append(kPayload), 101);
  self.report("holding");
  return self.hold();
});

/// Claims room for more than it appends, and commits.
const ChildRole kSendsLessThanItClaimed("sends less than it claimed", [](Child&) {
  Producer producer = Queue::open(kQueue).producer();
  Claim batch = producer.claim({.messages = 3, .bytes = 3 * kPayload}, kBound);
  require(static_cast<bool>(batch), "no claim");
  fill(batch.append(kPayload), 1);
  require(batch.commit() == Outcome::ok, "commit");
  return 0;
});

const ChildRole kSendsAndGoes("sends and goes", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  send(producer, ids(self.argument(0)));
  return 0;
});

class ProducerDeath : public CrashTest {
 protected:
  /// Messages that come within a few calls that do not wait.
  static Ids receive_without_waiting(Consumer& consumer) {
    constexpr int kCalls = 3;
    Ids got;
    for (int call = 0; call < kCalls; ++call) {
      for (const std::uint64_t id : receive(consumer, kRingful, now).ids()) got.push_back(id);
    }
    return got;
  }
};

TEST_F(ProducerDeath, its_batch_is_never_seen_and_what_was_committed_behind_it_arrives) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  Producer producer = queue.producer();
  send(producer, ids("1-3"));
  ChildProcess dead(kClaimHolder, {"101-103"});
  ASSERT_EQ(dead.next_report(), "holding");
  send(producer, ids("4-6"));
  dead.kill();
  send(producer, ids("7-9"));
  EXPECT_EQ(receive(consumer, 9).ids(), ids("1-9"));
  EXPECT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::empty);
  EXPECT_EQ(queue.inspect().abandoned_claims, 1U);
}

TEST_F(ProducerDeath, a_process_that_only_consumes_and_never_waits_gets_what_was_committed_behind_it) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  ChildProcess dead(kClaimHolder, {"101-103"});
  ASSERT_EQ(dead.next_report(), "holding");
  ASSERT_TRUE(ChildProcess(kSendsAndGoes, {"1-4"}).succeeds());
  EXPECT_EQ(receive_without_waiting(consumer), Ids{}) << "a living producer's claim was passed";
  dead.kill();
  // It has just found the producer alive, and looks again when it may.
  std::this_thread::sleep_for(kProbePause);
  EXPECT_EQ(receive_without_waiting(consumer), ids("1-4"));
}

TEST_F(ProducerDeath, a_process_that_only_consumes_gets_what_was_committed_behind_it_at_its_first_looks) {
  const Queue queue = create();
  ChildProcess dead(kClaimHolder, {"101-103"});
  ASSERT_EQ(dead.next_report(), "holding");
  ASSERT_TRUE(ChildProcess(kSendsAndGoes, {"1-4"}).succeeds());
  dead.kill();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(receive_without_waiting(consumer), ids("1-4"));
}

TEST_F(ProducerDeath, its_batch_is_skipped_also_when_a_new_process_takes_its_row_before_anybody_looks) {
  const Queue queue = create({.endpoints_max = 2});
  Consumer consumer = queue.consumer();
  ChildProcess dead(kClaimHolder, {"101-103"});
  ASSERT_EQ(dead.next_report(), "holding");
  const std::string row = dead.next_report();
  dead.kill();
  // Two rows, one of them the consumer's: the newcomer has the row of the dead, and lives.
  ChildProcess heir(kClaimHolder, {"1-3"});
  ASSERT_EQ(heir.next_report(), "holding");
  EXPECT_EQ(heir.next_report(), row);
  heir.tell("commit");
  ASSERT_EQ(heir.next_report(), "committed");
  EXPECT_EQ(receive_without_waiting(consumer), ids("1-3"));
}

TEST_F(ProducerDeath, a_consumer_that_sleeps_behind_its_claim_is_not_left_asleep) {
  const Queue queue = create();
  Consumer consumer = queue.consumer({.wait = WaitStrategy::sleep});
  ChildProcess dead(kClaimHolder, {"101-103"});
  ASSERT_EQ(dead.next_report(), "holding");
  ASSERT_TRUE(ChildProcess(kSendsAndGoes, {"1-4"}).succeeds());
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    dead.signal(SIGKILL);
  });
  EXPECT_EQ(receive(consumer, 4).ids(), ids("1-4"));
  killer.join();
}

TEST_F(ProducerDeath, the_room_of_its_claim_comes_back_to_a_producer_that_waits_for_it) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ChildProcess dead(kRingHolder, {});
  ASSERT_EQ(dead.next_report(), "holding");
  const Claim refused = claim(producer, ids("1-8"), now);
  ASSERT_FALSE(refused) << "the ring is taken";
  dead.kill();
  // There is no consumer: the producer itself finds the dead, skips its claim and passes over what was skipped.
  for (std::uint64_t id = 1; id <= kRingful; ++id) {
    SCOPED_TRACE(id);
    ASSERT_NO_THROW(send(producer, {id}));
  }
  EXPECT_EQ(claim(producer, {64}, now).outcome(), Outcome::full);
  Consumer consumer = queue.consumer();
  EXPECT_EQ(receive(consumer, kRingful).ids(), ids("1-63"));
}

TEST_F(ProducerDeath, room_that_it_claimed_and_did_not_fill_is_passed_over_though_it_died_as_its_batch_was_seen) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  const Ending ending = ChildProcess(kSendsLessThanItClaimed, {}, {{"IPCQ_CRASH_AT", "commit.published"}}).wait();
  ASSERT_TRUE(ending.killed_by(SIGKILL)) << ending.text();
  Producer producer = queue.producer();
  send(producer, ids("2-4"));
  EXPECT_EQ(receive(consumer, 4).ids(), ids("1-4"));
}

TEST_F(ProducerDeath, claims_of_the_dead_between_claims_of_the_living_are_skipped_each_for_itself) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  std::vector<ChildProcess> holders;
  for (const char* messages : {"101-103", "1-2", "104", "3-4", "105-110"}) {
    holders.emplace_back(kClaimHolder, std::vector<std::string>{messages});
    ASSERT_EQ(holders.back().next_report(), "holding");
    static_cast<void>(holders.back().next_report());
  }
  ASSERT_TRUE(ChildProcess(kSendsAndGoes, {"5"}).succeeds());
  holders[0].kill();
  holders[2].kill();
  holders[4].kill();
  EXPECT_EQ(receive_without_waiting(consumer), Ids{}) << "the first of the living has not committed";
  holders[3].tell("commit");
  ASSERT_EQ(holders[3].next_report(), "committed");
  EXPECT_EQ(receive_without_waiting(consumer), Ids{}) << "3-4 stand behind an open claim";
  holders[1].tell("commit");
  ASSERT_EQ(holders[1].next_report(), "committed");
  EXPECT_EQ(receive(consumer, 5).ids(), ids("1-5"));
  EXPECT_EQ(queue.inspect().abandoned_claims, 3U);
}

TEST_F(ProducerDeath, rows_of_the_dead_never_run_out) {
  const Queue queue = create({.endpoints_max = 4});
  Consumer consumer = queue.consumer();
  for (std::uint64_t id = 1; id <= 40; ++id) {
    ChildProcess dead(kClaimHolder, {"101-103"});
    ASSERT_EQ(dead.next_report(), "holding") << id;
    dead.kill();
  }
  ASSERT_TRUE(ChildProcess(kSendsAndGoes, {"1-2"}).succeeds());
  EXPECT_EQ(receive(consumer, 2).ids(), ids("1-2"));
  for (const EndpointInfo& endpoint : queue.inspect().endpoints) {
    EXPECT_TRUE(endpoint.life != Life::alive || endpoint.row == consumer.row()) << "row " << endpoint.row;
  }
}

TEST_F(ProducerDeath, a_process_that_is_dead_but_not_reaped_is_dead) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  ChildProcess dead(kClaimHolder, {"101-103"});
  ASSERT_EQ(dead.next_report(), "holding");
  ASSERT_TRUE(ChildProcess(kSendsAndGoes, {"1-4"}).succeeds());
  dead.kill_without_reaping();
  EXPECT_EQ(receive(consumer, 4).ids(), ids("1-4"));
}

}  // namespace
}  // namespace ipcq::crash
