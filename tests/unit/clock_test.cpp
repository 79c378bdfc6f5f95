// Clocks: the scale of the time-stamp counter, and conversions that do not overflow.
#include "os/clock.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace ipcq::unit {
namespace {

TEST(Clock, TheMonotonicClockDoesNotGoBack) {
  std::int64_t before = os::monotonic_ns();
  for (int i = 0; i < 10'000; ++i) {
    const std::int64_t now = os::monotonic_ns();
    ASSERT_GE(now, before);
    before = now;
  }
}

TEST(Clock, TheCountersScaleIsWithinAPercentOfTheMonotonicClock) {
  if (!os::tsc_is_clock_source()) GTEST_SKIP() << "the kernel does not trust this machine's time-stamp counter";
  const os::TickScale scale = os::measure_tsc();
  // Both clocks around each other: whatever comes between two reads, the truth lies between the outer and the inner.
  const std::int64_t outer_begin = os::monotonic_ns();
  const std::uint64_t begin = os::tsc();
  const std::int64_t inner_begin = os::monotonic_ns();
  while (os::monotonic_ns() - inner_begin < 20'000'000) {
  }
  const std::int64_t inner_end = os::monotonic_ns();
  const std::uint64_t end = os::tsc();
  const std::int64_t outer_end = os::monotonic_ns();
  const auto ns = static_cast<double>(os::ticks_to_ns(end - begin, scale));
  EXPECT_GE(ns, 0.99 * static_cast<double>(inner_end - inner_begin));
  EXPECT_LE(ns, 1.01 * static_cast<double>(outer_end - outer_begin));
}

TEST(Clock, TicksAreConvertedExactlyAndWithoutOverflow) {
  EXPECT_EQ(os::ticks_to_ns(0, {}), 0U);
  EXPECT_EQ(os::ticks_to_ns(12'345, {}), 12'345U);
  // 3 GHz: a third of a nanosecond each.
  const os::TickScale third{(std::uint64_t{1} << 32) / 3 + 1, 32};
  EXPECT_EQ(os::ticks_to_ns(3'000, third), 1'000U);
  constexpr std::uint64_t kTenYears = std::uint64_t{10} * 365 * 24 * 3600 * 3'000'000'000;
  EXPECT_NEAR(static_cast<double>(os::ticks_to_ns(kTenYears, third)), static_cast<double>(kTenYears) / 3.0, 1e9);
}

TEST(Clock, WallTimeIsOfThisCentury) {
  constexpr std::int64_t kYear2020_ns = std::int64_t{1'577'836'800} * 1'000'000'000;
  EXPECT_GT(os::unix_ns(), kYear2020_ns);
}

}  // namespace
}  // namespace ipcq::unit
