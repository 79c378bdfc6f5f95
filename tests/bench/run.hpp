// The harness: one run of one row, by processes pinned to two cpus. The parent forks all of them before anything of the
// system under test exists, tells them when to warm up, measure and stop, and ends them should one hang or die.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "histogram.hpp"

namespace ipcq::bench {

/// Lines that two cpus write lie this far apart: a cache line and the neighbour that some prefetchers pull along.
inline constexpr std::size_t kLineApart = 128;
inline constexpr std::size_t kSidesMax = 16;

enum class Phase : std::uint32_t { warm_up, measure, stop };

/// What a process does, which is also which of the two cpus it runs on. Of round trips the first side sends.
enum class Role : std::uint8_t { sends, receives };

/// Where one side stood when it saw a phase begin.
struct Mark {
  std::uint64_t count = 0;   ///< messages passed, or round trips
  std::uint64_t ns = 0;      ///< CLOCK_MONOTONIC
  std::uint64_t cpu_ns = 0;  ///< of the process
  std::uint64_t sleeps = 0;  ///< how often it gave its cpu up to wait (voluntary context switches)
};

/// What a side has passed in a whole run. Of all that send and of all that receive the sums must be equal.
struct Passed {
  std::uint64_t messages = 0;
  std::uint64_t sum = 0;  ///< of something that depends on every message and not on their order; or 0 on all sides
};

namespace detail {
struct SharedRun;
}

/// One of the processes, as the code of a row sees it. The sides call start() and finish() once each and meet() equally
/// often; between start() and finish() they call running() once a batch or round trip.
class Side {
 public:
  /// `probe`: it is one of the two that tell the placement.
  Side(detail::SharedRun& run, std::size_t index, Role role, bool probe) noexcept
      : run_(run), index_(index), role_(role), probe_(probe) {}

  /// Waits for the others.
  void meet() noexcept;
  /// Everything is attached: probes the placement, then the warm-up begins.
  void start() noexcept;
  /// Notes phase changes with the side's `count`. False from Phase::stop on.
  bool running(std::uint64_t count) noexcept {
    const Phase now = phase().load(std::memory_order_acquire);
    if (now != seen_) enter(now, count);
    return now != Phase::stop;
  }
  /// Whether this side has seen the measuring phase begin.
  [[nodiscard]] bool warmed_up() const noexcept { return seen_ != Phase::warm_up; }
  /// The last message has passed: probes the placement again. Nothing: this side only keeps the other company.
  void finish(std::optional<Passed> passed) noexcept;

  /// Round trips, or times on the way, of the measuring phase. Belongs to one side of the run, which says so once, before
  /// start(): the histogram is emptied when that one sees the measuring phase begin.
  Histogram& feed_histogram() noexcept;
  /// What the row measures, if that is no count of messages. By one side.
  void tell(double figure) noexcept;

  /// One instant that both sides of a paced stream count from, in ticks: set by the one, awaited by the other.
  void set_origin(std::uint64_t ticks) noexcept;
  [[nodiscard]] std::uint64_t await_origin() noexcept;

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
  Role role_;
  bool probe_;
  bool feeds_histogram_ = false;
  std::uint32_t meetings_ = 0;
  Phase seen_ = Phase::warm_up;
};

/// Memory that all sides see, for rows that bring no memory of their own. Made by the parent, inherited by fork.
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

struct Plan {
  std::array<int, 2> cpus{-1, -1};  ///< of those that send and of those that receive; -1: wherever the kernel puts them
  double warm_up_s = 0.05;
  double measure_s = 0.3;
  bool probe = true;
  bool smoke = false;  ///< nothing is measured: rows with much to prepare may do with less
};

/// Points of a distribution that are kept of each run, for its curve.
inline constexpr std::array kFractions{0.0, 0.01, 0.05, 0.1,  0.2,   0.3,   0.4,   0.5,    0.6,    0.7,     0.8,
                                       0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999, 1.0};

struct Run {
  enum class End { ok, payload_bad, failed, interrupted };
  struct SideOfRun {
    Role role = Role::sends;
    Mark begin, stop;  ///< the measuring phase
    Passed passed;     ///< in the whole run
    [[nodiscard]] double messages_per_s() const noexcept;
    /// The share of a cpu that it had in the measuring phase; 0 if it did not note the phase.
    [[nodiscard]] double cpu_share() const noexcept;
  };

  End end = End::ok;
  std::string error;  ///< of an end that is not ok or interrupted

  std::array<double, 2> probes_ns{};  ///< before and after
  std::vector<SideOfRun> sides;
  std::uint64_t trips = 0;  ///< in the measuring phase
  double mean_ns = 0, p50_ns = 0, p99_ns = 0, p999_ns = 0;
  std::array<double, kFractions.size()> curve_ns{};
  double told = 0;  ///< Side::tell; not a number: nothing was told

  /// Messages a second over the measuring phase: of those that send and those that receive the slower, so that filling or
  /// draining a backlog does not count.
  [[nodiscard]] double messages_per_s() const noexcept;
  /// The least share of a cpu that one of this role had.
  [[nodiscard]] double cpu_share(Role role) const noexcept;
  /// How often those that receive slept, for each message.
  [[nodiscard]] double sleeps_per_message() const noexcept;
  /// Messages that were sent in the whole run.
  [[nodiscard]] std::uint64_t messages() const noexcept;
};

/// Code of one side. May throw: the run has then failed, with what() as its error (PayloadError: end is payload_bad).
using SideCode = std::function<void(Side&)>;
struct SidePlan {
  Role role;
  SideCode code;
};

/// Runs all to their end, at most kSidesMax, at least one of each role. A side that dies ends the run; one that hangs for
/// 20 s is killed, by its pid.
[[nodiscard]] Run run_sides(const Plan& plan, const std::vector<SidePlan>& sides);
/// The same for one that sends and one that receives.
[[nodiscard]] Run run_pair(const Plan& plan, const SideCode& first, const SideCode& second);

}  // namespace ipcq::bench
