// A process dies while it sends dead letters back: each comes back at least once, one at most twice, in order.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <ipcq/ipcq.hpp>
#include <string>

#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

constexpr const char* kDeadLetters = "dead";

const ChildRole kDeadLetterSender("sender of dead letters", [](Child&) {
  std::ignore = requeue_dead_letters(kDeadLetters);
  return 0;
});

struct RequeueCase {
  const char* point;
  ConsumerMode consumers;  // of the dead-letter queue
  bool twice;              // message 2 is
};
void PrintTo(const RequeueCase& crash, std::ostream* out) { *out << crash.point << ", " << to_string(crash.consumers); }

class RequeueDeath : public CrashTest, public testing::WithParamInterface<RequeueCase> {};
INSTANTIATE_TEST_SUITE_P(Points, RequeueDeath,
                         testing::Values(RequeueCase{"back.sent:2", ConsumerMode::shared, true},
                                         RequeueCase{"back.acked:2", ConsumerMode::shared, false},
                                         RequeueCase{"claim.3:2", ConsumerMode::shared, false},
                                         RequeueCase{"commit.published:2", ConsumerMode::shared, true},
                                         RequeueCase{"lease.leased:2", ConsumerMode::shared, false},
                                         RequeueCase{"back.sent:2", ConsumerMode::exclusive, true},
                                         RequeueCase{"back.acked:2", ConsumerMode::exclusive, false}));

TEST_P(RequeueDeath, loses_none_and_doubles_one_at_most) {
  const Queue queue = create({.max_deliveries = 1, .dead_letter = kDeadLetters});
  const Queue dead = Queue::create(kDeadLetters, {.capacity_bytes = kCapacity, .consumers = GetParam().consumers});
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (const std::uint64_t id : ids("1-4")) {
    send(producer, {id});
    ASSERT_EQ(consumer.lease({.deadline = now}).requeue(), Outcome::ok);
    ASSERT_FALSE(consumer.lease({.deadline = now}));
  }
  const Ending ending = ChildProcess(kDeadLetterSender, {}, {{"IPCQ_CRASH_AT", GetParam().point}}).wait();
  ASSERT_TRUE(ending.killed_by(SIGKILL)) << ending.text() << " instead of dying at " << GetParam().point;
  // What it did not finish comes to the next one, who finds it when he looks for the dead.
  Ids got = receive(consumer, 8, now).ids();
  for (int attempt = 0; attempt < 100 && dead.inspect().groups.at(0).depth_messages > 0; ++attempt) {
    EXPECT_TRUE(requeue_dead_letters(kDeadLetters).left.empty());
    for (const std::uint64_t id : receive(consumer, 8, now).ids()) got.push_back(id);
  }
  EXPECT_EQ(got, GetParam().twice ? ids("1 2 2 3 4") : ids("1-4"));
}

}  // namespace
}  // namespace ipcq::crash
