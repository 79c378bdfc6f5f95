// A process dies while it purges a group: what it gave up stays so, the rest is there in order, and the next purge ends it.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <ipcq/ipcq.hpp>
#include <string>

#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

const ChildRole kPurgerOfAll("purger of everything", [](Child&) {
  std::ignore = Queue::open(kQueue).purge("default", true);
  return 0;
});

void expect_sound() {
  for (const Finding& finding : ipcq::verify(kQueue).findings) EXPECT_TRUE(finding.recoverable) << finding.text;
}

class PurgeDeath : public CrashTest, public testing::WithParamInterface<const char*> {
 protected:
  static void dies() {
    const Ending ending = ChildProcess(kPurgerOfAll, {}, {{"IPCQ_CRASH_AT", GetParam()}}).wait();
    ASSERT_TRUE(ending.killed_by(SIGKILL)) << ending.text() << " instead of dying at " << GetParam();
  }
  static void expect_nothing_after_another_purge(const Queue& queue, Producer& producer) {
    expect_sound();
    std::ignore = queue.purge("default", true);
    expect_sound();
    Consumer consumer = queue.consumer("default");
    send(producer, ids("101-103"));
    EXPECT_EQ(receive(consumer, 3).ids(), ids("101-103"));
    EXPECT_FALSE(consumer.lease({.deadline = now}));
  }
};

class SharedPurgeDeath : public PurgeDeath {};
INSTANTIATE_TEST_SUITE_P(Points, SharedPurgeDeath,
                         testing::Values("purge.done:1", "purge.done:2", "lease.written", "lease.word", "lease.index",
                                         "purge.covered", "retire.retired", "retire.freed"));

TEST_P(SharedPurgeDeath, leaves_what_a_living_member_holds_and_nothing_torn) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer member = queue.consumer();
  send_each(producer, ids("1-8"));
  // 1, 3 and 5 come back, 2 and 4 are done, 6 stays leased, nobody has had 7 and 8.
  const auto take = [&] { return member.lease({.max_messages = 1, .deadline = now}); };
  Lease leases[] = {take(), take(), take(), take(), take(), take()};
  for (const int finished : {1, 3}) ASSERT_EQ(leases[finished].ack(), Outcome::ok);
  for (const int back : {0, 2, 4}) ASSERT_EQ(leases[back].requeue(), Outcome::ok);
  ASSERT_NO_FATAL_FAILURE(dies());
  EXPECT_EQ(leases[5].outcome(), Outcome::ok);
  EXPECT_EQ(read(leases[5]), ids("6"));
  expect_sound();
  Ids left = receive(member, 8, now).ids();
  EXPECT_TRUE(std::is_sorted(left.begin(), left.end()));
  for (const std::uint64_t gone : ids("2 4 6")) EXPECT_EQ(std::count(left.begin(), left.end(), gone), 0) << gone;
  ASSERT_EQ(leases[5].ack(), Outcome::ok);
  expect_nothing_after_another_purge(queue, producer);
}

class GrowingPurgeDeath : public PurgeDeath {};
INSTANTIATE_TEST_SUITE_P(Points, GrowingPurgeDeath, testing::Values("purge.grown"));

TEST_P(GrowingPurgeDeath, behind_a_finished_range_leaves_the_rest_given_up) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer member = queue.consumer();
  send_each(producer, ids("1-8"));
  Lease first = member.lease({.max_messages = 1, .deadline = now});
  ASSERT_EQ(member.lease({.max_messages = 1, .deadline = now}).ack(), Outcome::ok);
  ASSERT_NO_FATAL_FAILURE(dies());
  EXPECT_EQ(receive(member, 8, now).ids(), ids(""));
  ASSERT_EQ(first.ack(), Outcome::ok);
  expect_nothing_after_another_purge(queue, producer);
}

class ExclusivePurgeDeath : public PurgeDeath {};
INSTANTIATE_TEST_SUITE_P(Points, ExclusivePurgeDeath, testing::Values("purge.retired"));

TEST_P(ExclusivePurgeDeath, of_a_group_with_one_consumer_has_happened) {
  const Queue queue = create({.consumers = ConsumerMode::exclusive});
  Producer producer = queue.producer();
  send_each(producer, ids("1-8"));
  ASSERT_NO_FATAL_FAILURE(dies());
  EXPECT_FALSE(queue.consumer("default").lease({.deadline = now}));
  expect_nothing_after_another_purge(queue, producer);
}

}  // namespace
}  // namespace ipcq::crash
