// A process dies while it drops the oldest messages: those that are gone are counted, each once.
#include <gtest/gtest.h>

#include <ipcq/ipcq.hpp>
#include <string>
#include <thread>

#include "actor.hpp"
#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

struct DropDeath {
  const char* name;
  const char* point;
  const char* operation = "send one";  ///< "send": a batch of three, for which three are dropped in one turn
};

std::ostream& operator<<(std::ostream& out, const DropDeath& death) { return out << death.name; }

class DropOldestDeath : public CrashTest, public testing::WithParamInterface<DropDeath> {};

TEST_P(DropOldestDeath, what_was_dropped_is_counted_once) {
  const Queue queue = create({.overflow = Overflow::drop_oldest});
  Producer producer = queue.producer();
  send_each(producer, ids("1-63"));
  ASSERT_TRUE(dies_at(GetParam().point, GetParam().operation));
  Consumer consumer = queue.consumer();
  std::this_thread::sleep_for(kProbePause);
  std::uint64_t came = receive(consumer, kRingful, 5 * kProbePause).all.size();
  EXPECT_EQ(queue.inspect().groups.front().dropped_messages, kRingful - came);
  // And the next drops are counted on top: nothing of the dead is counted again.
  for (std::uint64_t id = 64; id < 64 + 2 * kRingful; ++id) send(producer, {id});
  came += receive(consumer, 2 * kRingful, 5 * kProbePause).all.size();
  EXPECT_EQ(queue.inspect().groups.front().dropped_messages, 3 * kRingful - came);
}

constexpr DropDeath kDeaths[] = {
    {"before_the_first", "drop.to"},
    {"before_the_first_with_its_count_stored", "drop.count"},
    {"behind_the_first", "drop.retired"},
    {"behind_the_first_that_is_counted", "drop.counted"},
    {"before_the_second", "drop.to:2", "send"},
    {"before_the_second_with_its_count_stored", "drop.count:2", "send"},
    {"behind_the_second", "drop.retired:2", "send"},
    {"behind_the_third", "drop.retired:3", "send"},
    {"in_a_redeliverable_front", "drop.retired", "requeue, send one"},
    {"in_a_redeliverable_front_begun_later", "drop.begin", "requeue, send one"},
};

INSTANTIATE_TEST_SUITE_P(Deaths, DropOldestDeath, testing::ValuesIn(kDeaths),
                         [](const auto& death) { return std::string(death.param.name); });

}  // namespace
}  // namespace ipcq::crash
