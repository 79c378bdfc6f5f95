#include "os/clock.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#include "os/unique_fd.hpp"

namespace ipcq::os {

bool tsc_is_clock_source() noexcept {
  const UniqueFd fd(::open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  char text[16] = {};
  const ssize_t length = ::read(fd.get(), text, sizeof text - 1);
  return length >= 3 && std::string_view(text, 3) == "tsc" && (length == 3 || text[3] == '\n');
}

TickScale measure_tsc() noexcept {
  // Both clocks are read together; of a few pairs the tightest counts, so that a preemption between the two reads does
  // not spoil the measure.
  struct Pair {
    std::uint64_t ticks = 0;
    std::int64_t ns = 0;
  };
  const auto tightest = [] {
    Pair best;
    std::uint64_t best_width = UINT64_MAX;
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t before = tsc();
      const std::int64_t ns = monotonic_ns();
      const std::uint64_t after = tsc();
      if (after - before < best_width) {
        best_width = after - before;
        best = {before + (after - before) / 2, ns};
      }
    }
    return best;
  };
  const Pair first = tightest();
  while (monotonic_ns() - first.ns < 1'000'000) {
  }
  const Pair last = tightest();
  TickScale scale;
  scale.shift = 32;
  const std::uint64_t ticks = last.ticks - first.ticks;
  const auto ns = static_cast<std::uint64_t>(last.ns - first.ns);
  scale.mult = ticks == 0 ? 1 : static_cast<std::uint64_t>((static_cast<uint128>(ns) << scale.shift) / ticks);
  return scale;
}

}  // namespace ipcq::os
