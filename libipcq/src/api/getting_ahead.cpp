#include "api/getting_ahead.hpp"

#include "os/clock.hpp"

namespace ipcq::detail {
namespace {

// Pauses in 16 units. The shortest of a few tries: in the others something else ran.
std::uint32_t time_pauses() noexcept {
  constexpr std::int64_t kPauses = 64;
  std::int64_t least_ns = 1'000'000;
  for (int attempt = 0; attempt < 5; ++attempt) {
    const std::int64_t begin_ns = os::monotonic_ns();
    for (int i = 0; i < kPauses; ++i) __builtin_ia32_pause();
    least_ns = std::min(least_ns, os::monotonic_ns() - begin_ns);
  }
  return static_cast<std::uint32_t>(
      std::max<std::int64_t>(1, 16 * GettingAhead::kUnit_ns * kPauses / std::max<std::int64_t>(1, least_ns)));
}

}  // namespace

void pause_units(std::uint32_t units) noexcept {
  static const std::uint32_t kPausesIn16Units = time_pauses();
  const std::uint32_t pauses = units * kPausesIn16Units / 16;
  for (std::uint32_t i = 0; i < pauses; ++i) __builtin_ia32_pause();
}

}  // namespace ipcq::detail
