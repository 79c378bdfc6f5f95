#include "crash/sweep/path.hpp"

#include <algorithm>

namespace ipcq::sweep {
namespace {

// So many instructions before the wanted one a better place to stop is looked for: one that is not in a long loop.
constexpr std::uint64_t kWindow = 256;
// A stop at a breakpoint is two: one to get off it.
constexpr std::uint64_t kStopsAVisit = 2;

}  // namespace

void Path::add(std::uintptr_t address) {
  std::uint32_t& visits = visits_[address];
  if (!steps_.empty() && steps_.back().address != address) ++visits;
  steps_.push_back({address, visits});
}

bool Path::lead(Tracee& child, std::uint64_t number) const {
  // From the first instruction by steps, or from the last visit of some other.
  std::uint64_t best = 0;
  std::uint64_t stops = number;
  for (std::uint64_t at = number > kWindow ? number - kWindow : 1; at <= number && at < steps_.size(); ++at) {
    // An instruction that repeats itself is stepped through in one place: no visit tells which repetition it is.
    if (steps_[at].address == steps_[at - 1].address) continue;
    const std::uint64_t needed = kStopsAVisit * steps_[at].visits + (number - at);
    if (needed < stops) {
      stops = needed;
      best = at;
    }
  }
  if (best > 0 && !child.run_to(steps_[best].address, steps_[best].visits)) return false;
  for (std::uint64_t at = best; at < number; ++at) {
    if (!child.step()) return at + 1 == number;
  }
  return number >= steps_.size() ? child.done() : child.address() == steps_[number].address;
}

}  // namespace ipcq::sweep
