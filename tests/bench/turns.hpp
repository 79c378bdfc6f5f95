// Two sides that work in turns, so that one alone is timed.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "clock.hpp"
#include "run.hpp"

namespace ipcq::bench {

/// Two sides that take turns: the first bids the second begin round after round, the second answers when it has done its
/// part.
struct Turns {
  alignas(kLineApart) std::atomic<std::uint64_t> begun;
  alignas(kLineApart) std::atomic<std::uint64_t> done;
  std::uint64_t done_ticks;  // written before `done`
  Passed of_first;  // what the first side has received, for the second's account; written before the last `begun`
};
inline constexpr std::uint64_t kNoMoreTurns = ~std::uint64_t{0};

/// Waits until the word is no longer `before`; what it is then.
inline std::uint64_t await_turn(const std::atomic<std::uint64_t>& word, std::uint64_t before) noexcept {
  std::uint64_t now = 0;
  for (unsigned looks = 0; (now = word.load(std::memory_order_acquire)) == before; ++looks) {
    if (looks < 2'000'000) {
      relax();
    } else {
      usleep(50);  // a smoke run on one cpu, or the other was stopped
    }
  }
  return now;
}

}  // namespace ipcq::bench
