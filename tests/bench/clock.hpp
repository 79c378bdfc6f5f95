// Time for measurements: a monotonic clock for intervals, and a cheap counter for single round trips.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace ipcq::bench {

inline std::uint64_t clock_ns(clockid_t clock) noexcept {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(time.tv_nsec);
}

/// The counter behind `ticks()`. Where the kernel itself keeps time by the time-stamp counter, that counter is in step
/// across cpus and costs half of a clock_gettime; elsewhere CLOCK_MONOTONIC stands in, one tick a nanosecond.
class TickClock {
 public:
  /// Reads the kernel's clock source and, if it is the time-stamp counter, times it against CLOCK_MONOTONIC for 50 ms.
  TickClock();

  [[nodiscard]] std::uint64_t ticks() const noexcept {
#if defined(__x86_64__)
    if (counter_) return __rdtsc();
#endif
    return clock_ns(CLOCK_MONOTONIC);
  }
  [[nodiscard]] double ns(double ticks) const noexcept { return ticks * ns_per_tick_; }
  [[nodiscard]] double ticks_of_ns(double ns) const noexcept { return ns / ns_per_tick_; }
  /// What is read, and what one step of it is: "tsc, 2.60 GHz".
  [[nodiscard]] std::string describe() const;

 private:
  std::string source_;
  bool counter_ = false;
  double ns_per_tick_ = 1;
};

/// The one clock of the program: made on first use, which must be before the first fork.
const TickClock& tick_clock();

/// One turn of a polling loop that gives way to the other hyper-thread.
inline void relax() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace ipcq::bench
