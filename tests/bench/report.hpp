// What was measured, as a table for people and as JSON for programs.
#pragma once

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine.hpp"
#include "runner.hpp"

namespace ipcq::bench {

/// Looks one row up among all results.
class Results {
 public:
  Results(const std::vector<RowResult>& rows) : rows_(rows) {}  // NOLINT(google-explicit-constructor): a view

  [[nodiscard]] const std::vector<RowResult>& rows() const noexcept { return rows_; }
  /// Median of the row ÷ median of its limit, both of this placement; nothing if either was not seen in it.
  [[nodiscard]] std::optional<double> of_limit(const RowResult& result, Placement placement) const;

 private:
  const std::vector<RowResult>& rows_;
};

/// "met", "MISSED", or nothing: the row has no bar, or was not seen in this placement.
[[nodiscard]] std::string_view verdict(const RowResult& result, Placement placement);

/// Median of one figure of the runs of a placement; `figure` is a member of PairRun.
[[nodiscard]] double median_of(const RowResult& result, Placement placement, double PairRun::*figure);

void print_machine(std::FILE* to, const Machine& machine, const Settings& settings, std::size_t rows);
void print_tables(std::FILE* to, const Results& results);
/// Writes everything, each run included. False: it could not be written whole.
[[nodiscard]] bool write_json(std::FILE* to, const Machine& machine, const Settings& settings, const Results& results,
                              bool complete);

}  // namespace ipcq::bench
