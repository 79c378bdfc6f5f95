// The one consumer of an exclusive group is killed while it holds leases; a successor takes over.
#include <gtest/gtest.h>

#include <ipcq/ipcq.hpp>
#include <string>

#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

/// Leases and acks as many messages as told, leases as many as told further and again two, and waits.
const ChildRole kAcksThenLeases("acks, then leases", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  const auto acked = static_cast<std::uint32_t>(self.number(0));
  const auto leased = static_cast<std::uint32_t>(self.number(1));
  if (acked > 0) require(receive(consumer, acked).all.size() == acked, "too few to ack");
  const Lease lease = consumer.lease({.max_messages = leased, .deadline = kBound});
  const Lease next = consumer.lease({.max_messages = 2, .deadline = kBound});
  self.report(text(read(lease)) + ", " + text(read(next)));
  return self.hold();
});

/// Leases and acks, and detaches properly.
const ChildRole kAcksAndGoes("acks and goes", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  const auto acked = self.number(0);
  require(receive(consumer, acked).all.size() == acked, "too few to ack");
  return 0;
});

class ExclusiveConsumerDeath : public CrashTest {
 protected:
  static Queue create_with(const Ids& messages) {
    Queue queue = create({.consumers = ConsumerMode::exclusive});
    Producer producer = queue.producer();
    send_each(producer, messages);
    return queue;
  }
};

TEST_F(ExclusiveConsumerDeath, while_it_lives_a_second_one_is_refused_and_told_who_it_is) {
  const Queue queue = create_with(ids("1-12"));
  ChildProcess first(kAcksThenLeases, {"0", "3"});
  ASSERT_EQ(first.next_report(), "1 2 3, 4 5");
  try {
    static_cast<void>(queue.consumer());
    ADD_FAILURE() << "two consumers of an exclusive group";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::in_use);
    EXPECT_NE(std::string(error.what()).find(std::to_string(first.pid())), std::string::npos) << error.what();
  }
  first.kill();
  EXPECT_NO_THROW(static_cast<void>(queue.consumer()));
}

TEST_F(ExclusiveConsumerDeath, all_that_it_had_not_acked_comes_again_one_by_one_then_the_rest) {
  const Queue queue = create_with(ids("1-16"));
  ChildProcess dead(kAcksThenLeases, {"4", "5"});
  ASSERT_EQ(dead.next_report(), "5 6 7 8 9, 10 11");
  dead.kill();
  Consumer successor = queue.consumer();
  const Deliveries again = receive(successor, 7);
  EXPECT_EQ(again.ids(), ids("5-11")) << "1-4 were acked";
  for (const Delivery& one : again.all) {
    EXPECT_GE(one.deliveries, 1U) << one.id;
    EXPECT_EQ(one.lease_size, 1U) << one.id << " may have been the one that killed";
  }
  const Deliveries fresh = receive(successor, 5);
  EXPECT_EQ(fresh.ids(), ids("12-16"));
  for (const Delivery& one : fresh.all) EXPECT_EQ(one.deliveries, 0U) << one.id;
  EXPECT_EQ(successor.lease({.deadline = now}).outcome(), Outcome::empty);
}

TEST_F(ExclusiveConsumerDeath, the_message_that_kills_counts_how_many_died_with_it) {
  const Queue queue = create_with(ids("1-8"));
  for (int died = 0; died < 4; ++died) {
    // The first one holds 1 and 2 3; each successor gets them one at a time.
    ChildProcess dead(kAcksThenLeases, {"0", "1"});
    ASSERT_EQ(dead.next_report(), died == 0 ? "1, 2 3" : "1, 2") << died;
    dead.kill();
  }
  Consumer successor = queue.consumer();
  const Deliveries got = receive(successor, 8);
  ASSERT_EQ(got.ids(), ids("1-8"));
  EXPECT_EQ(got.all[0].deliveries, 4U);
  EXPECT_EQ(got.all[7].deliveries, 0U);
}

TEST_F(ExclusiveConsumerDeath, a_consumer_that_left_properly_is_no_death) {
  const Queue queue = create_with(ids("1-8"));
  ASSERT_TRUE(ChildProcess(kAcksAndGoes, {"3"}).succeeds());
  Consumer successor = queue.consumer();
  const Deliveries got = receive(successor, 5);
  EXPECT_EQ(got.ids(), ids("4-8"));
  for (const Delivery& one : got.all) EXPECT_EQ(one.deliveries, 0U) << one.id;
}

TEST_F(ExclusiveConsumerDeath, the_room_it_held_comes_back_when_the_successor_has_acked) {
  const Queue queue = create_with(ids("1-63"));
  Producer producer = queue.producer();
  EXPECT_EQ(claim(producer, {101}, now).outcome(), Outcome::full);
  ChildProcess dead(kAcksThenLeases, {"0", "30"});
  ASSERT_NE(dead.next_report().find("30, 31 32"), std::string::npos);
  dead.kill();
  EXPECT_EQ(claim(producer, {101}, now).outcome(), Outcome::full) << "nobody has acked";
  Consumer successor = queue.consumer();
  EXPECT_EQ(receive(successor, 63).ids(), ids("1-63"));
  for (std::uint64_t id = 101; id < 101 + kRingful; ++id) ASSERT_NO_THROW(send(producer, {id}, now)) << id;
}

}  // namespace
}  // namespace ipcq::crash
