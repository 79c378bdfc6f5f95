// The event count: who armed before a change is woken by it, nobody sleeps on a stale value, and while nobody waits the
// word is left alone.
#include "core/event_count.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "fixture.hpp"
#include "os/clock.hpp"
#include "support/waiting.hpp"

namespace ipcq::unit {
namespace {

using layout::EventLine;
using support::Background;

std::int64_t in_long() { return os::monotonic_ns() + std::chrono::nanoseconds(support::kPatience).count(); }

TEST(EventCount, WithoutAWaiterNothingIsWritten) {
  EventLine event{};
  core::notify(event);
  core::publish_fenced(event);
  EXPECT_EQ(event.word.load(), 0U);
  EXPECT_FALSE(core::somebody_waits(event));
}

TEST(EventCount, AWakeMovesTheEpochAndClearsTheBit) {
  EventLine event{};
  const std::uint32_t armed = core::arm(event);
  EXPECT_TRUE(core::somebody_waits(event));
  EXPECT_EQ(core::arm(event), armed) << "a second waiter shares the bit";
  core::notify(event);
  EXPECT_FALSE(core::somebody_waits(event));
  EXPECT_NE(core::arm(event), armed) << "the value only goes forward";
}

TEST(EventCount, WhoArmedBeforeAWakeDoesNotSleepThoughAnotherHasArmedSince) {
  // A flag alone would be set again and put the first to sleep with its message there.
  EventLine event{};
  const std::uint32_t first = core::arm(event);
  core::notify(event);
  core::arm(event);
  EXPECT_TRUE(core::sleep(event, first, os::kNoDeadline)) << "it returns, or this test hangs";
}

TEST(EventCount, TheEpochWrapsWithoutTouchingTheBit) {
  EventLine event{};
  event.word.store(0xffff'fffeU);
  const std::uint32_t armed = core::arm(event);
  EXPECT_EQ(armed, 0xffff'ffffU);
  core::notify(event);
  EXPECT_EQ(event.word.load(), 0U);
}

TEST(EventCount, ASleepEndsAtItsDeadlineAndSaysSo) {
  EventLine event{};
  const std::uint32_t armed = core::arm(event);
  const std::int64_t deadline = os::monotonic_ns() + 5'000'000;
  EXPECT_FALSE(core::sleep(event, armed, deadline));
  EXPECT_GE(os::monotonic_ns(), deadline);
  EXPECT_FALSE(core::sleep(event, armed, 0)) << "long past";
}

TEST(EventCount, AllSleepersAreWokenByOneWake) {
  EventLine event{};
  std::atomic<int> woken{0};
  {
    std::vector<std::optional<Background>> sleepers(4);
    for (auto& sleeper : sleepers) {
      sleeper.emplace([&] {
        if (core::sleep(event, core::arm(event), in_long())) ++woken;
      });
    }
    for (auto& sleeper : sleepers) sleeper->wait_until_asleep();
    core::notify(event);
  }
  EXPECT_EQ(woken, 4);
}

TEST(EventCount, AKickWakesWhoeverHasArmedAndMovesTheEpochThoughNobodyWaits) {
  EventLine event{};
  core::kick(event);
  EXPECT_FALSE(core::somebody_waits(event));
  const std::uint32_t armed = core::arm(event);
  core::kick(event);
  EXPECT_FALSE(core::somebody_waits(event));
  EXPECT_TRUE(core::sleep(event, armed, os::kNoDeadline)) << "between arm and sleep";
  const std::uint32_t before = core::arm(event);
  EXPECT_NE(before, armed) << "who armed before the kick must not sleep on another's bit";
  Background sleeper([&] { EXPECT_TRUE(core::sleep(event, before, in_long())); });
  sleeper.wait_until_asleep();
  core::kick(event);
  sleeper.join();
}

// The whole protocol as its users run it: one side publishes numbers, the other sleeps whenever there is none. No
// backstop: a lost wake-up is a hang, which the deadline makes a failure.
TEST(EventCount, NoWakeUpIsLostBetweenAPublisherAndWaiters) {
  EventLine event{};
  std::atomic<std::uint32_t> published{0};
  const std::uint32_t last = scaled(200'000);
  const auto wait_for_all = [&] {
    for (std::uint32_t seen = 0; seen < last;) {
      const std::uint32_t armed = core::arm(event);
      const std::uint32_t now = published.load(std::memory_order_seq_cst);
      if (now != seen) {
        seen = now;
        continue;
      }
      ASSERT_TRUE(core::sleep(event, armed, in_long())) << "at " << seen;
    }
  };
  Background one(wait_for_all);
  Background other(wait_for_all);
  while (published.load() < last) {
    published.fetch_add(1, std::memory_order_seq_cst);
    core::notify(event);
  }
  one.join();
  other.join();
}

}  // namespace
}  // namespace ipcq::unit
