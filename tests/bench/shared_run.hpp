// What the parent and the sides of a run share: phases, meeting point, probe lines, results. Anonymous shared memory that
// is made before the forks, so it starts zeroed and goes with the last of them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "histogram.hpp"
#include "run.hpp"

namespace ipcq::bench::detail {

struct alignas(kLineApart) SideResult {
  Mark begin, stop;
  Passed passed;
  bool passes_messages;
  bool payload_bad;
  char error[512];
};

struct SharedRun {
  // Read by all sides once a batch, written by the parent twice a run.
  alignas(kLineApart) std::atomic<Phase> phase;
  alignas(kLineApart) std::atomic<std::uint64_t> ping;  // written by the first side that sends alone
  alignas(kLineApart) std::atomic<std::uint64_t> pong;  // written by the first side that receives alone
  alignas(kLineApart) std::atomic<std::uint32_t> arrivals;
  std::uint32_t sides_number;  // written before the forks
  int started_event;           // so too; written to once by the first side when the warm-up begins
  alignas(kLineApart) std::atomic<std::uint64_t> times_full;
  std::atomic<std::uint64_t> origin_ticks;
  alignas(kLineApart) std::array<double, 2> probes_ns;
  double told;
  std::array<SideResult, kSidesMax> sides;
  alignas(kLineApart) Histogram histogram;
};
static_assert(std::atomic<Phase>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(static_cast<std::uint32_t>(Phase::warm_up) == 0, "the first phase is what zeroed memory says");

}  // namespace ipcq::bench::detail
