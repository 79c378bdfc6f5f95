// Quota rate: the arithmetic of rate limits, in fixed point. Pure.
//
// A bucket is one word, the time at which it will be full again (GCRA's theoretical arrival time): what is owed is that
// time less now, and nothing is owed before it. A claim costs its messages or bytes times the interval of one.
//
// Times: CLOCK_MONOTONIC in sixteenths of a nanosecond; 64 bits are 36 years since boot. Intervals: 2^-20 ns, so that a
// trillion a second (1049 units) is told within 0.05 %, and one an hour is 62 bits. The cost of a claim is rounded to a
// sixteenth of a nanosecond: a claim takes 20 ns at least, so a limit that holds anybody up costs 320 units a claim, and
// rounding half of one is 0.16 % at most; at 50 million a second it is nothing, 20 ns being whole.
#pragma once

#include <cstdint>

#include "layout/layout.hpp"
#include "os/clock.hpp"

namespace ipcq::core {

using QuotaTime = std::uint64_t;  // sixteenths of a nanosecond

inline constexpr std::uint32_t kQuotaTimeShift = 4;
inline constexpr std::uint32_t kIntervalShift = 20;
inline constexpr double kRateMin = 1.0 / 3600;
inline constexpr double kRateMax = 1e12;
inline constexpr std::uint64_t kIntervalMin = 1'049;                                               // kRateMax
inline constexpr std::uint64_t kIntervalMax = std::uint64_t{3'600'000'000'000} << kIntervalShift;  // kRateMin
/// No time is further ahead of the clock: nine years. What would be owed beyond is forgiven.
inline constexpr QuotaTime kOwedMax = QuotaTime{1} << 62;
inline constexpr QuotaTime kDefaultBurst = QuotaTime{10'000'000} << kQuotaTimeShift;  // 10 ms

/// Saturates: INT64_MAX is for ever.
[[nodiscard]] constexpr QuotaTime quota_time(std::int64_t ns) noexcept {
  if (ns <= 0) return 0;
  return ns < std::int64_t{1} << 60 ? static_cast<QuotaTime>(ns) << kQuotaTimeShift : UINT64_MAX;
}
/// Rounded up: at that nanosecond the time has come.
[[nodiscard]] constexpr std::int64_t quota_ns(QuotaTime time) noexcept {
  return static_cast<std::int64_t>((time >> kQuotaTimeShift) + ((time & ((1U << kQuotaTimeShift) - 1)) != 0 ? 1 : 0));
}

/// The interval of a rate from kRateMin to kRateMax; 0 of no limit.
[[nodiscard]] constexpr std::uint64_t interval_of(double per_second) noexcept {
  if (!(per_second > 0)) return 0;
  const double interval = 1e9 * static_cast<double>(std::uint64_t{1} << kIntervalShift) / per_second;
  if (interval >= static_cast<double>(kIntervalMax)) return kIntervalMax;
  const auto below = static_cast<std::uint64_t>(interval);
  const std::uint64_t whole = interval - static_cast<double>(below) < 0.5 ? below : below + 1;
  return whole < kIntervalMin ? kIntervalMin : whole;
}
[[nodiscard]] constexpr double rate_of(std::uint64_t interval) noexcept {
  if (interval == 0) return 0;
  return 1e9 * static_cast<double>(std::uint64_t{1} << kIntervalShift) / static_cast<double>(interval);
}
[[nodiscard]] constexpr bool can_be_interval(std::uint64_t interval) noexcept {
  return interval == 0 || (interval >= kIntervalMin && interval <= kIntervalMax);
}

/// What `count` messages or bytes cost. Saturates at kOwedMax.
[[nodiscard]] constexpr QuotaTime cost_of(std::uint64_t count, std::uint64_t interval) noexcept {
  constexpr std::uint32_t kShift = kIntervalShift - kQuotaTimeShift;
  const os::uint128 cost = (static_cast<os::uint128>(count) * interval + (1U << (kShift - 1))) >> kShift;
  return cost > kOwedMax ? kOwedMax : static_cast<QuotaTime>(cost);
}

/// A limit that holds: the interval of the lowest rate, and how much of it may come at once.
struct Limit {
  std::uint64_t interval = 0;  // 0: none
  QuotaTime burst = 0;

  [[nodiscard]] constexpr explicit operator bool() const noexcept { return interval != 0; }
};
/// `burst` 0: 10 ms of the rate, at least one.
[[nodiscard]] constexpr Limit make_limit(std::uint64_t interval, std::uint64_t burst) noexcept {
  if (interval == 0) return {};
  const QuotaTime one = cost_of(1, interval);
  if (burst == 0) return {interval, one > kDefaultBurst ? one : kDefaultBurst};
  return {interval, cost_of(burst, interval)};
}
/// The lower rate; of equal ones the smaller burst.
[[nodiscard]] constexpr Limit lower(Limit a, Limit b) noexcept {
  if (a.interval != b.interval) return a.interval > b.interval ? a : b;
  return a.burst < b.burst ? a : b;
}

/// Where a claim of some cost comes in a bucket.
struct Turn {
  QuotaTime ready;  // when it may pass; not later than now: at once
  QuotaTime after;  // the bucket's time once it is paid
  QuotaTime paid;   // by which that is later than it would be without
};
/// A claim within the burst passes once the burst covers what is then owed; a larger one when nothing is, and owes the rest.
[[nodiscard]] constexpr Turn turn_of(QuotaTime time, QuotaTime now, QuotaTime cost, QuotaTime burst) noexcept {
  Turn turn{};
  turn.ready = cost >= burst ? time : time > burst - cost ? time - (burst - cost) : 0;
  const QuotaTime start = time > now ? time : now;  // no debt, and no credit beyond the burst, after a pause
  const QuotaTime most = now < UINT64_MAX - kOwedMax ? now + kOwedMax : UINT64_MAX;
  turn.after = start >= most ? start : cost > most - start ? most : start + cost;
  turn.paid = turn.after - start;
  return turn;
}

}  // namespace ipcq::core
