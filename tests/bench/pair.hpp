// The harness: one run of one row, by two processes pinned to two cpus. The parent forks both before anything of the
// system under test exists, tells them when to warm up, measure and stop, and ends them should one hang or die.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "histogram.hpp"

namespace ipcq::bench {

/// Lines that two cpus write lie this far apart: a cache line and the neighbour that some prefetchers pull along.
inline constexpr std::size_t kLineApart = 128;

enum class Phase : std::uint32_t { warm_up, measure, stop };

/// Where one side stood when it saw a phase begin.
struct Mark {
  std::uint64_t count = 0;   ///< messages passed, or round trips
  std::uint64_t ns = 0;      ///< CLOCK_MONOTONIC
  std::uint64_t cpu_ns = 0;  ///< of the process
};

namespace detail {
struct SharedRun;
}

/// One of the two processes, as the code of a row sees it. The sides call start() and finish() once each and meet()
/// equally often; between start() and finish() they call running() once a batch or round trip.
class Side {
 public:
  Side(detail::SharedRun& run, std::size_t index, bool probe) noexcept : run_(run), index_(index), probe_(probe) {}

  /// Waits for the other side.
  void meet() noexcept;
  /// Everything is attached: probes the placement, then the warm-up begins.
  void start() noexcept;
  /// Notes phase changes with the side's `count`. False from Phase::stop on.
  bool running(std::uint64_t count) noexcept {
    const Phase now = phase().load(std::memory_order_acquire);
    if (now != seen_) enter(now, count);
    return now != Phase::stop;
  }
  /// The last message has passed: probes the placement again. `count`: how many messages (or trips) there were in all,
  /// which must be the same on both sides; nothing: this side only keeps the other company.
  void finish(std::optional<std::uint64_t> count) noexcept;

  /// Round trips of the measuring phase. To be fed by the first side alone.
  Histogram& histogram() noexcept;

  /// Counts that the first side found the ring full, for rows about a full ring.
  void found_full() noexcept;
  /// Waits until it has done so once.
  void wait_until_full() noexcept;

 private:
  std::atomic<Phase>& phase() noexcept;
  void enter(Phase now, std::uint64_t count) noexcept;
  void probe(std::size_t which) noexcept;

  detail::SharedRun& run_;
  std::size_t index_;
  bool probe_;
  std::uint32_t meetings_ = 0;
  Phase seen_ = Phase::warm_up;
};

/// Memory that both sides see, for rows that bring no memory of their own. Made by the parent, inherited by fork.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::byte* data_;
  std::size_t size_;
};

struct PairPlan {
  std::array<int, 2> cpus{-1, -1};  ///< of the first and the second side; -1: wherever the kernel puts it
  double warm_up_s = 0.05;
  double measure_s = 0.3;
  bool probe = true;
};

struct PairRun {
  enum class End { ok, payload_bad, failed, interrupted };
  End end = End::ok;
  std::string error;  ///< of an end that is not ok or interrupted

  std::array<double, 2> probes_ns{};     ///< before and after
  std::array<Mark, 2> begin{}, stop{};   ///< of each side: the measuring phase
  std::array<std::uint64_t, 2> total{};  ///< messages (or trips) of the whole run
  std::uint64_t trips = 0;               ///< in the measuring phase
  double mean_ns = 0, p50_ns = 0, p99_ns = 0, p999_ns = 0;

  /// Messages a second over the measuring phase: of both sides the slower, so that filling or draining a backlog does
  /// not count.
  [[nodiscard]] double messages_per_s() const noexcept;
  /// The share of its cpu that a side had in the measuring phase; 0 if it did not note the phase.
  [[nodiscard]] double cpu_share(std::size_t side) const noexcept;
};

/// Code of one side. May throw: the run has then failed, with what() as its error (PayloadError: end is payload_bad).
using SideCode = std::function<void(Side&)>;

/// Runs both to their end. A side that dies ends the run; one that hangs for 20 s is killed, by its pid.
[[nodiscard]] PairRun run_pair(const PairPlan& plan, const SideCode& first, const SideCode& second);

}  // namespace ipcq::bench
