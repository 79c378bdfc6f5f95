// The arithmetic of rate limits: what a rate is in fixed point, what a claim costs, and when it may pass.
#include "core/quota_rate.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::cost_of;
using core::interval_of;
using core::kOwedMax;
using core::Limit;
using core::make_limit;
using core::quota_ns;
using core::quota_time;
using core::QuotaTime;
using core::rate_of;
using core::Turn;
using core::turn_of;

constexpr double kMinute = 1.0 / 60;
constexpr QuotaTime kSecond = QuotaTime{1'000'000'000} << core::kQuotaTimeShift;

/// How many a second pass whoever always asks again at the first moment at which he may, `batch` at a time, for `claims`
/// claims, starting with a full bucket at `now`; not counting what the burst lets pass at once.
double rate_kept(double rate, std::uint64_t batch, std::uint64_t burst, std::uint64_t claims, QuotaTime now) {
  const Limit limit = make_limit(interval_of(rate), burst);
  const QuotaTime cost = cost_of(batch, limit.interval);
  QuotaTime time = 0;
  QuotaTime first = 0;
  std::uint64_t counted = 0;
  for (std::uint64_t claim = 0; claim < claims; ++claim) {
    const Turn turn = turn_of(time, now, cost, limit.burst);
    if (turn.ready > now) {
      now = turn.ready;
      if (first == 0) first = now;
      if (now > first) ++counted;
    }
    time = turn_of(time, now, cost, limit.burst).after;
  }
  return static_cast<double>(counted * batch) / (static_cast<double>(now - first) / static_cast<double>(kSecond));
}

TEST(QuotaRate, IsKeptWithinAThousandthFromOneAMinuteToFiftyMillionASecond) {
  for (double rate = kMinute; rate < 50e6; rate *= 2.3) {
    SCOPED_TRACE(rate);
    EXPECT_NEAR(rate_of(interval_of(rate)) / rate, 1, 1e-6);
    for (const std::uint64_t batch : {1UL, 7UL, 256UL}) {
      for (const std::uint64_t burst : {0UL, 1UL, 1000UL}) {
        const std::uint64_t claims = 100'000 / batch + 3 * (burst + static_cast<std::uint64_t>(rate / 100)) / batch;
        EXPECT_NEAR(rate_kept(rate, batch, burst, std::min<std::uint64_t>(claims, 600'000), 77 * kSecond) / rate, 1, 2e-3)
            << "batches of " << batch << ", burst " << burst;
      }
    }
  }
  EXPECT_NEAR(rate_kept(50e6, 1, 1, 100'000, kSecond) / 50e6, 1, 1e-9) << "20 ns are whole";
}

TEST(QuotaRate, OfBytesIsKeptUpToATrillionASecond) {
  for (const double rate : {1e9, 17e9, 1e11, 1e12}) {
    SCOPED_TRACE(rate);
    // A claim takes 20 ns at least: what comes in less cannot reach the limit.
    const auto batch = static_cast<std::uint64_t>(rate * 20e-9);
    EXPECT_NEAR(rate_kept(rate, batch, 0, 1'000'000, kSecond) / rate, 1, 2e-3);
  }
}

TEST(QuotaRate, OutOfRangeIsTheNearestThatThereIs) {
  EXPECT_EQ(interval_of(0), 0U);
  EXPECT_EQ(interval_of(-1), 0U);
  EXPECT_EQ(interval_of(std::nan("")), 0U);
  EXPECT_EQ(interval_of(1e300), core::kIntervalMin);
  EXPECT_EQ(interval_of(core::kRateMax), core::kIntervalMin);
  EXPECT_EQ(interval_of(1e-300), core::kIntervalMax);
  EXPECT_EQ(interval_of(core::kRateMin), core::kIntervalMax);
  EXPECT_EQ(rate_of(0), 0);
  EXPECT_TRUE(core::can_be_interval(0));
  EXPECT_FALSE(core::can_be_interval(core::kIntervalMin - 1));
  EXPECT_FALSE(core::can_be_interval(core::kIntervalMax + 1));
}

TEST(QuotaRate, CostsSaturateInsteadOfComingRoundToNothing) {
  EXPECT_EQ(cost_of(UINT64_MAX, core::kIntervalMax), kOwedMax);
  EXPECT_EQ(cost_of(1 << 26, core::kIntervalMax), kOwedMax) << "as many messages as a claim may have, at one an hour";
  EXPECT_EQ(cost_of(0, core::kIntervalMax), 0U);
  EXPECT_EQ(cost_of(1, interval_of(1000)), kSecond / 1000);
  EXPECT_EQ(cost_of(60, interval_of(kMinute)), 3600 * kSecond);
}

TEST(QuotaRate, TimesOfTheClockAreNeverCutOff) {
  constexpr std::int64_t kThirtyYears = std::int64_t{30} * 366 * 24 * 3600 * 1'000'000'000;
  EXPECT_EQ(quota_ns(quota_time(kThirtyYears)), kThirtyYears);
  EXPECT_EQ(quota_time(INT64_MAX), UINT64_MAX) << "for ever is later than everything";
  EXPECT_EQ(quota_time(-5), 0U);
  EXPECT_EQ(quota_ns(17), 2) << "rounded up: at that nanosecond the time has come";
}

TEST(QuotaRate, TheDefaultBurstIsTenMillisecondsOfTheRateAndAtLeastOne) {
  EXPECT_EQ(make_limit(interval_of(1000), 0).burst, kSecond / 100);
  EXPECT_EQ(make_limit(interval_of(1), 0).burst, kSecond);
  EXPECT_EQ(make_limit(interval_of(1000), 5).burst, kSecond / 200);
  EXPECT_FALSE(make_limit(0, 5));
}

TEST(QuotaRate, TheLowerOfTwoLimitsHoldsWithItsOwnBurst) {
  const Limit slow = make_limit(interval_of(10), 100);
  const Limit fast = make_limit(interval_of(1000), 1);
  EXPECT_EQ(core::lower(slow, fast).burst, slow.burst);
  EXPECT_EQ(core::lower(fast, slow).interval, slow.interval);
  const Limit strict = make_limit(interval_of(10), 2);
  EXPECT_EQ(core::lower(slow, strict).burst, strict.burst);
  EXPECT_EQ(core::lower(strict, slow).burst, strict.burst);
}

TEST(QuotaRate, AfterAPauseTheBurstMayComeAtOnceAndNotMore) {
  const Limit limit = make_limit(interval_of(1000), 10);
  const QuotaTime cost = cost_of(1, limit.interval);
  for (const QuotaTime pause : {kSecond, 3600 * kSecond, 31'536'000 * kSecond}) {
    const QuotaTime now = kSecond + pause;
    QuotaTime time = kSecond;  // nothing was owed since then
    int passed = 0;
    while (turn_of(time, now, cost, limit.burst).ready <= now) {
      time = turn_of(time, now, cost, limit.burst).after;
      ++passed;
    }
    EXPECT_EQ(passed, 10) << "after " << pause / kSecond << " s";
    EXPECT_EQ(turn_of(time, now, cost, limit.burst).ready, now + cost) << "no debt from the pause, no more credit";
  }
}

TEST(QuotaRate, ABatchLargerThanTheBurstPassesWhenNothingIsOwedAndOwesTheRest) {
  const Limit limit = make_limit(interval_of(1000), 10);
  const QuotaTime now = 5 * kSecond;
  const QuotaTime large = cost_of(100, limit.interval);
  const Turn first = turn_of(now, now, large, limit.burst);
  EXPECT_EQ(first.ready, now);
  EXPECT_EQ(first.after, now + kSecond / 10);
  const Turn second = turn_of(first.after, now, large, limit.burst);
  EXPECT_EQ(second.ready, first.after) << "when nothing is owed";
  EXPECT_EQ(second.after, now + kSecond / 5);
  const QuotaTime small = cost_of(1, limit.interval);
  EXPECT_EQ(turn_of(second.after, now, small, limit.burst).ready, second.after - limit.burst + small);
}

TEST(QuotaRate, OfAClockFarBehindWhatIsOwedTheTimesStayInOrder) {
  std::mt19937_64 random = random_numbers();
  for (std::uint32_t round = 0; round < scaled(200'000); ++round) {
    const QuotaTime time = random() >> (random() % 64);
    const QuotaTime now = quota_time(static_cast<std::int64_t>(random() >> (6 + random() % 58)));
    const QuotaTime cost = cost_of(random() >> (random() % 64), random() >> (random() % 64));
    const QuotaTime burst = cost_of(random() >> (random() % 64), random() >> (random() % 64));
    const Turn turn = turn_of(time, now, cost, burst);
    ASSERT_LE(turn.ready, time);
    ASSERT_GE(turn.after, time);
    ASSERT_GE(turn.after, now);
    ASSERT_EQ(turn.after - turn.paid, std::max(time, now)) << "what was paid can be given back";
    ASSERT_LE(turn.after, std::max(time, now + kOwedMax)) << "nothing is owed for longer than nine years";
    ASSERT_LE(turn.paid, cost);
  }
}

}  // namespace
}  // namespace ipcq::unit
