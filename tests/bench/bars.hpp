// What the project demands of itself: figures of rows, or of one row over another, and bounds for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runner.hpp"

namespace ipcq::bench {

enum class Figure : std::uint8_t { value, mean_ns, bytes_per_s, sleeps_per_message };

struct Bar {
  std::string what;  ///< in words
  std::string row;
  std::string over{};  ///< empty: the row's figure itself; else divided by this row's
  Figure figure = Figure::value;
  double unit = 1;  ///< the figure is shown and bounded in so many of its own units
  std::string unit_name{};
  bool at_most = false;                 ///< else at least
  std::optional<double> near{}, far{};  ///< the bounds; none: the figure is shown without a verdict
};

[[nodiscard]] const std::vector<Bar>& all_bars();

/// What became of a bar in one placement.
struct Verdict {
  std::optional<double> figure;  ///< nothing: a row was not seen in this placement
  std::optional<double> bound;
  bool met = false;  ///< if there are both
};
[[nodiscard]] Verdict judge(const Bar& bar, const std::vector<RowResult>& results, Placement placement);
/// Whether all its rows are among the results.
[[nodiscard]] bool is_asked(const Bar& bar, const std::vector<RowResult>& results);
/// Whether it holds wherever the cpus are, so that there is one verdict.
[[nodiscard]] bool is_placed(const Bar& bar, const std::vector<RowResult>& results);

}  // namespace ipcq::bench
