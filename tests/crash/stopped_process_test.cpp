// A living process that is stopped, wherever: what it holds is reported with its name and never taken from it, others go
// on as far as they can, and it goes on where it was when it is continued.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <string>

#include "actor.hpp"
#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kWait{300};

/// Holds a claim or a lease; told "finish", commits or acks. Arguments: "claim" or "lease".
const ChildRole kStoppedHolder("holder", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  Producer producer;
  Consumer consumer;
  Claim open;
  Lease lease;
  if (self.argument(0) == "claim") {
    producer = queue.producer();
    open = claim(producer, ids("101-103"));
    require(static_cast<bool>(open), "no claim");
  } else {
    consumer = queue.consumer();
    lease = consumer.lease({.max_messages = 4, .deadline = kBound});
    require(lease.size() == 4, "no lease");
  }
  self.report("holding");
  self.await("finish");
  if (open) actor::ok(open.commit(), "commit");
  if (lease) actor::ok(lease.ack(), "ack");
  return 0;
});

class StoppedProcess : public CrashTest {
 protected:
  static void expect_blocked_by(const std::optional<BlockedBy>& by, const ChildProcess& process, const char* what) {
    ASSERT_TRUE(by.has_value());
    EXPECT_EQ(by->pid, static_cast<std::uint32_t>(process.pid()));
    EXPECT_EQ(by->what, what);
    // The command name is the first 15 bytes of the program's.
    EXPECT_EQ(by->command, own_command());
  }
  static std::string own_command() {
    std::ifstream file("/proc/self/comm");
    std::string name;
    std::getline(file, name);
    return name;
  }
};

TEST_F(StoppedProcess, its_open_claim_is_reported_and_never_passed_and_it_may_commit_later) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  Producer producer = queue.producer();
  ChildProcess stopped(kStoppedHolder, {"claim"});
  ASSERT_EQ(stopped.next_report(), "holding");
  send(producer, ids("1-3"));
  stopped.stop();

  const auto last = std::chrono::steady_clock::now() + kWait;
  while (std::chrono::steady_clock::now() < last) {
    ASSERT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::blocked);
  }
  const Lease blocked = consumer.lease({.deadline = kWait});
  EXPECT_EQ(blocked.outcome(), Outcome::blocked);
  expect_blocked_by(blocked.blocked_by(), stopped, "claim");
  ASSERT_TRUE(blocked.blocked_by().has_value());
  EXPECT_GE(blocked.blocked_by()->age, kWait);

  stopped.resume();
  stopped.tell("finish");
  EXPECT_TRUE(stopped.succeeds());
  EXPECT_EQ(receive(consumer, 6).ids(), ids("101-103 1-3"));
  EXPECT_EQ(queue.inspect().abandoned_claims, 0U);
}

TEST_F(StoppedProcess, its_lease_is_not_given_to_others_and_it_may_ack_later) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  Producer producer = queue.producer();
  send_each(producer, ids("1-8"));
  ChildProcess stopped(kStoppedHolder, {"lease"});
  ASSERT_EQ(stopped.next_report(), "holding");
  stopped.stop();
  EXPECT_EQ(receive(consumer, 8, kWait).ids(), ids("5-8")) << "1-4 are leased by a living process";
  stopped.resume();
  stopped.tell("finish");
  EXPECT_TRUE(stopped.succeeds());
  EXPECT_EQ(consumer.lease({.deadline = kWait}).outcome(), Outcome::empty) << "1-4 were acked";
}

TEST_F(StoppedProcess, its_lease_that_keeps_the_ring_full_is_named_to_the_producer) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  Producer producer = queue.producer();
  send_each(producer, ids("1-63"));
  ChildProcess stopped(kStoppedHolder, {"lease"});
  ASSERT_EQ(stopped.next_report(), "holding");
  stopped.stop();
  EXPECT_EQ(receive(consumer, 59).ids(), ids("5-63"));
  const Claim refused = claim(producer, {64}, kWait);
  EXPECT_TRUE(refused.outcome() == Outcome::full || refused.outcome() == Outcome::blocked)
      << to_string(refused.outcome());
  expect_blocked_by(refused.blocked_by(), stopped, "lease");
  stopped.resume();
  stopped.tell("finish");
  EXPECT_TRUE(stopped.succeeds());
  for (std::uint64_t id = 64; id < 64 + kRingful; ++id) ASSERT_NO_THROW(send(producer, {id})) << id;
}

/// An actor that is stopped inside its operation, at a named point.
ChildProcess stopped_at(const char* point, const char* operation) {
  ChildProcess process(kActor, {operation}, {{"IPCQ_STOP_AT", point}});
  if (!process.wait_until_stopped()) ADD_FAILURE() << operation << " does not come to " << point;
  return process;
}

TEST_F(StoppedProcess, in_the_middle_of_a_claim_it_holds_up_claims_which_say_so_in_time) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send(producer, ids("1-3"));
  ChildProcess stopped = stopped_at("claim.1", "send");
  const Claim refused = claim(producer, ids("4-6"), kWait);
  EXPECT_EQ(refused.outcome(), Outcome::blocked);
  expect_blocked_by(refused.blocked_by(), stopped, "producer mutex");
  EXPECT_EQ(receive(consumer, 3, now).ids(), ids("1-3")) << "consumers need nothing of it";
  stopped.resume();
  EXPECT_TRUE(stopped.wait().exited_with(kDone));
  send(producer, ids("4-6"));
  EXPECT_EQ(receive(consumer, 6).ids(), ids("101-103 4-6"));
}

TEST_F(StoppedProcess, in_the_middle_of_a_lease_it_holds_up_leases_but_neither_acks_nor_claims) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send_each(producer, ids("1-8"));
  Lease acked = consumer.lease({.max_messages = 1, .deadline = kBound});
  Lease returned = consumer.lease({.max_messages = 1, .deadline = kBound});
  Lease partly = consumer.lease({.max_messages = 2, .deadline = kBound});
  ASSERT_EQ(partly.size(), 2U);
  ChildProcess stopped = stopped_at("lease.written", "lease");

  const Lease refused = consumer.lease({.deadline = kWait});
  EXPECT_EQ(refused.outcome(), Outcome::blocked);
  expect_blocked_by(refused.blocked_by(), stopped, "group mutex");
  EXPECT_EQ(acked.ack(), Outcome::ok);
  EXPECT_EQ(returned.requeue(), Outcome::ok);
  EXPECT_EQ(partly.ack(1, kWait), Outcome::timed_out) << "only the ack of a part takes the group's mutex";
  EXPECT_EQ(partly.size(), 2U) << "nothing changed";
  EXPECT_EQ(partly.ack(), Outcome::ok);
  send(producer, ids("9-10"));

  stopped.resume();
  EXPECT_TRUE(stopped.wait().exited_with(kDone));
  // The actor has requeued 5-8 by leaving.
  EXPECT_EQ(receive(consumer, 7).ids(), ids("2 5-10"));
}

TEST_F(StoppedProcess, in_the_middle_of_attaching_it_holds_up_nobody_who_is_attached) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ChildProcess stopped = stopped_at("attach.incarnation", "attach");
  for (std::uint64_t id = 1; id <= 200; ++id) {
    ASSERT_NO_THROW(send(producer, {id}, now)) << id;
    ASSERT_EQ(receive(consumer, 1, now).ids(), Ids{id});
  }
  stopped.resume();
  EXPECT_TRUE(stopped.wait().exited_with(kDone));
  EXPECT_NO_THROW(static_cast<void>(queue.producer()));
}

TEST_F(StoppedProcess, killed_while_it_is_stopped_it_is_dead) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ChildProcess stopped = stopped_at("claim.2", "send");
  EXPECT_EQ(claim(producer, {1}, kWait).outcome(), Outcome::blocked);
  stopped.kill();
  send(producer, ids("1-3"));
  EXPECT_EQ(receive(consumer, 3).ids(), ids("1-3"));
  EXPECT_GE(queue.inspect().recoveries, 1U);
}

}  // namespace
}  // namespace ipcq::crash
