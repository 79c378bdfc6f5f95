// The one producer of a queue with an exclusive producer is killed; a successor takes over.
#include <gtest/gtest.h>

#include <ipcq/ipcq.hpp>
#include <string>

#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

/// Commits one batch, appends another without committing it, and waits. Arguments: the two batches.
const ChildRole kCommitsThenAppends("commits, then appends", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  send(producer, ids(self.argument(0)));
  const Claim open = claim(producer, ids(self.argument(1)));
  require(static_cast<bool>(open), "no claim");
  self.report("appended");
  return self.hold();
});

class ExclusiveProducerDeath : public CrashTest {
 protected:
  static Queue create_exclusive() { return create({.producers = ProducerMode::exclusive}); }
};

TEST_F(ExclusiveProducerDeath, while_it_lives_a_second_one_is_refused_and_told_who_it_is) {
  const Queue queue = create_exclusive();
  ChildProcess first(kCommitsThenAppends, {"1-3", "101-103"});
  ASSERT_EQ(first.next_report(), "appended");
  try {
    static_cast<void>(queue.producer());
    ADD_FAILURE() << "two exclusive producers";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::in_use);
    EXPECT_NE(std::string(error.what()).find(std::to_string(first.pid())), std::string::npos) << error.what();
  }
  first.kill();
  EXPECT_NO_THROW(static_cast<void>(queue.producer()));
}

TEST_F(ExclusiveProducerDeath, what_it_committed_arrives_and_what_it_only_appended_does_not) {
  const Queue queue = create_exclusive();
  Consumer consumer = queue.consumer();
  ChildProcess dead(kCommitsThenAppends, {"1-3", "101-103"});
  ASSERT_EQ(dead.next_report(), "appended");
  dead.kill();
  Producer successor = queue.producer();
  send(successor, ids("4-6"));
  EXPECT_EQ(receive(consumer, 6).ids(), ids("1-6"));
  EXPECT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::empty);
}

TEST_F(ExclusiveProducerDeath, what_it_committed_arrives_without_any_successor) {
  const Queue queue = create_exclusive();
  Consumer consumer = queue.consumer();
  ChildProcess dead(kCommitsThenAppends, {"1-3", "101-103"});
  ASSERT_EQ(dead.next_report(), "appended");
  dead.kill();
  EXPECT_EQ(receive(consumer, 3, now).ids(), ids("1-3"));
  EXPECT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::empty);
}

TEST_F(ExclusiveProducerDeath, a_line_of_successors_that_all_die_loses_nothing_and_uses_up_no_room) {
  const Queue queue = create_exclusive();
  Consumer consumer = queue.consumer();
  // Each leaves 20 KiB appended: three of them would fill the ring if it were not taken back.
  for (std::uint64_t round = 0; round < 12; ++round) {
    const std::string first = std::to_string(1 + round * 3);
    const std::string last = std::to_string(3 + round * 3);
    const std::string batch = first + "-" + last;
    ChildProcess dead(kCommitsThenAppends, {batch, "1001-1020"});
    ASSERT_EQ(dead.next_report(), "appended");
    dead.kill();
    ASSERT_EQ(receive(consumer, 3).ids(), ids(batch));
  }
  Producer successor = queue.producer();
  for (std::uint64_t id = 1; id <= kRingful; ++id) ASSERT_NO_THROW(send(successor, {id}, now)) << id;
  EXPECT_EQ(receive(consumer, kRingful).ids(), ids("1-63"));
}

TEST_F(ExclusiveProducerDeath, a_closed_queue_ends_at_what_the_dead_one_committed) {
  const Queue queue = create_exclusive();
  Consumer consumer = queue.consumer();
  ChildProcess dead(kCommitsThenAppends, {"1-3", "101-103"});
  ASSERT_EQ(dead.next_report(), "appended");
  queue.close();
  EXPECT_EQ(receive(consumer, 3).ids(), ids("1-3"));
  // It lives and may still commit: the end of the stream is not known before it is dead.
  EXPECT_NE(consumer.lease({.deadline = now}).outcome(), Outcome::closed);
  dead.kill();
  EXPECT_EQ(consumer.lease({.deadline = kBound}).outcome(), Outcome::closed);
}

}  // namespace
}  // namespace ipcq::crash
