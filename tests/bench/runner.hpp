// The runner: all rows in turn, round after round, so that variants are interleaved and a change of the machine in the
// middle meets all of them; each run kept with its placement, or dropped.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "placement.hpp"
#include "row.hpp"
#include "run_directory.hpp"

namespace ipcq::bench {

struct Settings {
  std::array<int, 2> cpus{0, 1};
  unsigned repeats = 5;  ///< runs of a row that make a result, in one placement
  double seconds = 0.3;  ///< of each
  PlacementRule rule;
};

/// A spinning process that had less of its cpu than this was disturbed by another.
inline constexpr double kCpuShareMin = 0.94;
/// Dropped runs are repeated in further rounds, up to so many times `repeats` in all.
inline constexpr unsigned kRoundsFactor = 3;
/// But not after so long: a machine on which so much is dropped is not worth more of anybody's time.
inline constexpr double kRepeatingSecondsMax = 17 * 60;

struct RowResult {
  explicit RowResult(const Row& of) : row(&of) {}

  const Row* row;
  std::vector<Run> near, far;
  std::vector<Run> anywhere;                       ///< of a row that is not placed
  unsigned unclear = 0;                            ///< dropped: the probes disagree, or lie outside both ranges
  unsigned disturbed_near = 0, disturbed_far = 0;  ///< dropped: a spinning side did not have its cpu
  std::string failure;                             ///< not empty: a run failed, and no further one was tried

  [[nodiscard]] const std::vector<Run>& runs(Placement placement) const noexcept {
    return !row->placed ? anywhere : placement == Placement::near ? near : far;
  }
  /// The largest number of runs in one placement.
  [[nodiscard]] std::size_t most_runs() const noexcept { return std::max({near.size(), far.size(), anywhere.size()}); }
  [[nodiscard]] unsigned disturbed(Placement placement) const noexcept {
    return placement == Placement::near ? disturbed_near : disturbed_far;
  }
};

/// Least, median and greatest of what a row measures: messages a second, a median time in ns, or what it tells.
struct Spread {
  std::size_t runs = 0;
  double min = 0, median = 0, max = 0;
};
[[nodiscard]] double value(const Row& row, const Run& run) noexcept;
[[nodiscard]] double median(std::vector<double> values) noexcept;
[[nodiscard]] Spread spread(const RowResult& result, Placement placement);

/// Runs them until each has `repeats` runs in one placement, or the rounds or the time are used up, or Ctrl-C. Progress goes to
/// stderr if that is a terminal.
[[nodiscard]] std::vector<RowResult> measure(const std::vector<Row>& rows, const Settings& settings,
                                             const RunDirectory& directory);

/// Runs each for a few milliseconds wherever the kernel puts it, and checks only that every message arrived as it was
/// sent. Prints a line a row. Returns how many failed.
[[nodiscard]] unsigned smoke(const std::vector<Row>& rows, const RunDirectory& directory);

}  // namespace ipcq::bench
