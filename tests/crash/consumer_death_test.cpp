// A consumer of a shared group is killed while it holds leases.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <string>
#include <thread>
#include <vector>

#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

/// Leases three times four messages, acks the second lease, and waits.
const ChildRole kLeaseHolder("lease holder", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  std::vector<Lease> leases;
  for (int i = 0; i < 3; ++i) {
    leases.push_back(consumer.lease({.max_messages = 4, .deadline = kBound}));
    require(leases.back().size() == 4, "a lease of " + std::to_string(leases.back().size()));
  }
  require(leases[1].ack() == Outcome::ok, "ack");
  self.report("holding");
  return self.hold();
});

/// Leases what it is told to, acks the first of it, and waits. Arguments: how many, how many of them to ack.
const ChildRole kPartialHolder("partial holder", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  const auto messages = static_cast<std::uint32_t>(self.number(0));
  const auto acked = static_cast<std::uint32_t>(self.number(1));
  Lease lease = consumer.lease({.max_messages = messages, .deadline = kBound});
  require(static_cast<bool>(lease), "no lease");
  if (acked > 0) require(lease.ack(acked, kBound) == Outcome::ok, "ack of the first");
  self.report(text(read(lease)));
  return self.hold();
});

class ConsumerDeath : public CrashTest {
 protected:
  ConsumerDeath() : queue_(create()), producer_(queue_.producer()) {}

  /// A new consumer that looks for dead holders at its next lease.
  [[nodiscard]] Consumer newcomer() const {
    Consumer consumer = queue_.consumer();
    std::this_thread::sleep_for(kProbePause);
    return consumer;
  }
  [[nodiscard]] const Queue& queue() const noexcept { return queue_; }
  Producer& producer() noexcept { return producer_; }

  static std::vector<std::uint32_t> counts(const Deliveries& got) {
    std::vector<std::uint32_t> list;
    for (const Delivery& one : got.all) list.push_back(one.deliveries);
    return list;
  }

 private:
  Queue queue_;
  Producer producer_;
};

TEST_F(ConsumerDeath, its_messages_come_again_in_order_one_by_one_and_before_anything_newer) {
  send_each(producer(), ids("1-16"));
  ChildProcess dead(kLeaseHolder, {});
  ASSERT_EQ(dead.next_report(), "holding");
  dead.kill();
  Consumer consumer = newcomer();
  const Deliveries again = receive(consumer, 8);
  EXPECT_EQ(again.ids(), ids("1-4 9-12")) << "5-8 were acked";
  for (const Delivery& one : again.all) {
    EXPECT_EQ(one.deliveries, 1U) << one.id;
    EXPECT_EQ(one.lease_size, 1U) << one.id << " may have been the one that killed";
  }
  const Deliveries fresh = receive(consumer, 4);
  EXPECT_EQ(fresh.ids(), ids("13-16"));
  EXPECT_EQ(counts(fresh), std::vector<std::uint32_t>(4, 0));
  EXPECT_EQ(consumer.lease({.deadline = 2 * kProbePause}).outcome(), Outcome::empty) << "acked messages came again";
}

TEST_F(ConsumerDeath, what_the_first_part_of_a_lease_acked_does_not_come_again) {
  send(producer(), ids("1-6"));
  ChildProcess dead(kPartialHolder, {"6", "2"});
  ASSERT_EQ(dead.next_report(), "3 4 5 6");
  dead.kill();
  Consumer consumer = newcomer();
  EXPECT_EQ(receive(consumer, 4).ids(), ids("3-6"));
  EXPECT_EQ(consumer.lease({.deadline = 2 * kProbePause}).outcome(), Outcome::empty);
}

TEST_F(ConsumerDeath, a_message_counts_how_many_died_with_it) {
  send(producer(), {1});
  for (std::uint32_t died = 0; died < 5; ++died) {
    ChildProcess dead(kPartialHolder, {"1", "0"});
    ASSERT_EQ(dead.next_report(), "1") << died;
    dead.kill();
  }
  Consumer consumer = newcomer();
  const Deliveries got = receive(consumer, 1);
  ASSERT_EQ(got.ids(), ids("1"));
  EXPECT_EQ(got.all[0].deliveries, 5U);
}

TEST_F(ConsumerDeath, a_group_that_never_runs_dry_gets_them_all_the_same) {
  send(producer(), ids("1-4"));
  ChildProcess dead(kPartialHolder, {"4", "0"});
  ASSERT_EQ(dead.next_report(), "1 2 3 4");
  dead.kill();
  Consumer consumer = queue().consumer();
  constexpr std::uint64_t kStock = 8;  // messages that are always there besides those of the dead
  std::uint64_t next = 1000;
  for (; next < 1000 + kStock; ++next) send(producer(), {next});
  Ids again;
  const auto last = std::chrono::steady_clock::now() + kBound;
  while (again.size() < 4 && std::chrono::steady_clock::now() < last) {
    Lease one = consumer.lease({.max_messages = 1, .deadline = now});
    ASSERT_EQ(one.outcome(), Outcome::ok);
    if (one.deliveries() > 0) {
      again.push_back(read(one).at(0));
    } else {
      send(producer(), {next++});
    }
    ASSERT_EQ(one.ack(), Outcome::ok);
  }
  EXPECT_EQ(again, ids("1-4"));
}

TEST_F(ConsumerDeath, its_messages_come_first_although_the_one_that_meets_them_was_alone_before) {
  send(producer(), {1});
  Consumer alone = queue().consumer();
  ASSERT_EQ(receive(alone, 1).ids(), ids("1"));
  send_each(producer(), ids("2-4"));
  ChildProcess dead(kPartialHolder, {"1", "0"});
  ASSERT_EQ(dead.next_report(), "2");
  dead.kill();
  std::this_thread::sleep_for(kProbePause);
  EXPECT_EQ(receive(alone, 3).ids(), ids("2-4"));
}

TEST_F(ConsumerDeath, leases_of_the_living_stay_theirs) {
  send_each(producer(), ids("1-12"));
  Consumer living = queue().consumer();
  Lease mine = living.lease({.max_messages = 2, .deadline = now});
  ASSERT_EQ(read(mine), ids("1-2"));
  ChildProcess dead(kPartialHolder, {"4", "0"});
  ASSERT_EQ(dead.next_report(), "3 4 5 6");
  Lease later = living.lease({.max_messages = 2, .deadline = now});
  ASSERT_EQ(read(later), ids("7-8"));
  dead.kill();
  Consumer consumer = newcomer();
  // Behind a living holder's lease the dead one's may be found late: its messages come in order, the newer ones too.
  Ids got = receive(consumer, 8).ids();
  std::stable_partition(got.begin(), got.end(), [](std::uint64_t id) { return id <= 6; });
  EXPECT_EQ(got, ids("3-6 9-12"));
  EXPECT_EQ(mine.ack(), Outcome::ok);
  EXPECT_EQ(later.ack(), Outcome::ok);
  EXPECT_EQ(consumer.lease({.deadline = 2 * kProbePause}).outcome(), Outcome::empty);
}

TEST_F(ConsumerDeath, other_groups_do_not_notice) {
  queue().add_group({.name = "other"});
  send_each(producer(), ids("1-16"));
  ChildProcess dead(kLeaseHolder, {});
  ASSERT_EQ(dead.next_report(), "holding");
  dead.kill();
  Consumer other = queue().consumer("other");
  const Deliveries got = receive(other, 16);
  EXPECT_EQ(got.ids(), ids("1-16"));
  EXPECT_EQ(counts(got), std::vector<std::uint32_t>(16, 0));
}

TEST_F(ConsumerDeath, a_consumer_that_sleeps_beside_it_gets_its_messages_promptly) {
  send_each(producer(), ids("1-4"));
  ChildProcess dead(kPartialHolder, {"4", "0"});
  ASSERT_EQ(dead.next_report(), "1 2 3 4");
  Consumer consumer = queue().consumer({.wait = WaitStrategy::sleep});
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    dead.signal(SIGKILL);
  });
  EXPECT_EQ(receive(consumer, 4).ids(), ids("1-4"));
  killer.join();
}

}  // namespace
}  // namespace ipcq::crash
