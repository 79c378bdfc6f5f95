// Clocks: CLOCK_MONOTONIC for deadlines, the time-stamp counter for stamps where the kernel trusts it.
#pragma once

#include <x86intrin.h>

#include <cstdint>
#include <ctime>

namespace ipcq::os {

__extension__ using uint128 = unsigned __int128;

/// CLOCK_MONOTONIC in nanoseconds. About 21 ns (vDSO).
inline std::int64_t monotonic_ns() noexcept {
  timespec at{};
  ::clock_gettime(CLOCK_MONOTONIC, &at);
  return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

/// CLOCK_REALTIME in nanoseconds since 1970; for people, never for deadlines.
inline std::int64_t unix_ns() noexcept {
  timespec at{};
  ::clock_gettime(CLOCK_REALTIME, &at);
  return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

/// The time-stamp counter: about 9 ns. Not serialising: a stamp may be taken a few instructions early or late.
inline std::uint64_t tsc() noexcept { return __rdtsc(); }

/// Whether the kernel itself uses the time-stamp counter as clock source, i.e. found it constant and synchronous.
bool tsc_is_clock_source() noexcept;

/// ns = ticks * mult >> shift.
struct TickScale {
  std::uint64_t mult = 1;
  std::uint32_t shift = 0;
};
/// Measures the counter against CLOCK_MONOTONIC over about a millisecond (within 100 ppm).
TickScale measure_tsc() noexcept;

/// Only differences of ticks are converted.
inline std::uint64_t ticks_to_ns(std::uint64_t ticks, TickScale scale) noexcept {
  return static_cast<std::uint64_t>((static_cast<uint128>(ticks) * scale.mult) >> scale.shift);
}

}  // namespace ipcq::os
