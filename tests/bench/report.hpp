// What was measured, as a table for people and as JSON for programs.
#pragma once

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
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

/// Median of one figure of the runs of a placement; `figure_of_run` may be a member of Run.
[[nodiscard]] double median_of(const RowResult& result, Placement placement,
                               const std::function<double(const Run&)>& figure_of_run);

void print_machine(std::FILE* to, const Machine& machine, const Settings& settings, std::size_t rows);
void print_tables(std::FILE* to, const Results& results);
/// Writes everything, each run included. False: it could not be written whole.
[[nodiscard]] bool write_json(std::FILE* to, const Machine& machine, const Settings& settings, const Results& results,
                              bool complete);

}  // namespace ipcq::bench
