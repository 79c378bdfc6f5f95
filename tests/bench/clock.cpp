#include "clock.hpp"

#include <cstdio>
#include <fstream>

namespace ipcq::bench {

TickClock::TickClock() {
  std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  if (!std::getline(file, source_) || source_.empty()) source_ = "unknown";
#if defined(__x86_64__)
  counter_ = source_ == "tsc";
  if (counter_) {
    constexpr std::uint64_t kCalibrationNs = 50'000'000;
    const std::uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    const std::uint64_t begin_ticks = __rdtsc();
    std::uint64_t end_ns = begin_ns;
    while (end_ns - begin_ns < kCalibrationNs) end_ns = clock_ns(CLOCK_MONOTONIC);
    const std::uint64_t end_ticks = __rdtsc();
    ns_per_tick_ = static_cast<double>(end_ns - begin_ns) / static_cast<double>(end_ticks - begin_ticks);
  }
#endif
}

std::string TickClock::describe() const {
  if (!counter_) return source_ + ", read by clock_gettime(CLOCK_MONOTONIC)";
  char text[64];
  std::snprintf(text, sizeof text, "%s, %.3f GHz", source_.c_str(), 1 / ns_per_tick_);
  return text;
}

const TickClock& tick_clock() {
  static const TickClock kClock;
  return kClock;
}

}  // namespace ipcq::bench
