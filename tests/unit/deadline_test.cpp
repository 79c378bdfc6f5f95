// Deadline: which kind each argument makes, and that no duration is too long or too short for one.
#include "ipcq/deadline.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>

#include "api/endpoint.hpp"

namespace ipcq::unit {
namespace {

using namespace std::chrono_literals;
using Kind = Deadline::Kind;

constexpr std::int64_t kCentury_ns = std::int64_t{100} * 365 * 24 * 3600 * 1'000'000'000;

TEST(TheDeadline, IsForeverUnlessSaid) {
  EXPECT_EQ(Deadline().kind(), Kind::forever);
  EXPECT_EQ(forever.kind(), Kind::forever);
  EXPECT_EQ(now.kind(), Kind::now);
}

TEST(TheDeadline, OfADurationIsSoMuchAfterTheCall) {
  const Deadline deadline = 10ms;
  EXPECT_EQ(deadline.kind(), Kind::after);
  EXPECT_EQ(deadline.ns(), 10'000'000);
  EXPECT_EQ(Deadline(1ns).ns(), 1);
  EXPECT_EQ(Deadline(2h).ns(), std::int64_t{7200} * 1'000'000'000);
  EXPECT_EQ(Deadline(std::chrono::duration<double>(0.25)).ns(), 250'000'000);
}

TEST(TheDeadline, OfNoDurationOrANegativeOneIsNow) {
  EXPECT_EQ(Deadline(0s).kind(), Kind::now);
  EXPECT_EQ(Deadline(-1ns).kind(), Kind::now);
  EXPECT_EQ(Deadline(std::chrono::hours::min()).kind(), Kind::now);
  EXPECT_EQ(Deadline(std::chrono::duration<double>(std::nan(""))).kind(), Kind::now);
}

TEST(TheDeadline, OfLessThanANanosecondIsStillAWait) {
  const Deadline deadline = std::chrono::duration<double, std::pico>(1.0);
  EXPECT_EQ(deadline.kind(), Kind::after);
  EXPECT_EQ(deadline.ns(), 1);
}

TEST(TheDeadline, OfADurationThatDoesNotFitIsCutToMoreThanACentury) {
  for (const Deadline& deadline : {Deadline(std::chrono::hours::max()), Deadline(std::chrono::nanoseconds::max()),
                                   Deadline(std::chrono::duration<std::uint64_t>(UINT64_MAX)),
                                   Deadline(std::chrono::duration<double>(std::numeric_limits<double>::infinity()))}) {
    EXPECT_EQ(deadline.kind(), Kind::after);
    EXPECT_GE(deadline.ns(), kCentury_ns);
    EXPECT_LT(deadline.ns(), std::numeric_limits<std::int64_t>::max() / 2) << "added to the clock it does not overflow";
  }
}

TEST(TheDeadline, OfATimePointIsThatOfTheMonotonicClock) {
  const auto at = std::chrono::steady_clock::now() + 5s;
  const Deadline deadline = at;
  EXPECT_EQ(deadline.kind(), Kind::at);
  EXPECT_EQ(deadline.ns(), at.time_since_epoch() / 1ns);
  EXPECT_NEAR(static_cast<double>(deadline.ns() - os::monotonic_ns()), 5e9, 4e9) << "steady_clock is CLOCK_MONOTONIC";
}

TEST(TheDeadline, OfACallCountsFromItsFirstUseOnce) {
  detail::CallDeadline call(Deadline(1h));
  const std::int64_t before = os::monotonic_ns();
  const std::int64_t first = call.ns();
  EXPECT_GE(first, before + std::int64_t{3600} * 1'000'000'000);
  EXPECT_EQ(call.ns(), first);
  EXPECT_EQ(detail::CallDeadline(forever).ns(), os::kNoDeadline);
  EXPECT_TRUE(detail::CallDeadline(now).is_now());
  EXPECT_FALSE(call.is_now());
}

}  // namespace
}  // namespace ipcq::unit
