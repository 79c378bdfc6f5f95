// A row of the suite: one thing that is measured, and how to measure it once.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "pair.hpp"

namespace ipcq::bench {

enum class Measure { throughput, round_trip };

struct Row {
  std::string name;  ///< what --only matches
  std::string what;  ///< one line, for --list
  Measure measure = Measure::throughput;
  std::size_t payload_bytes = 0;  ///< of one message
  std::string limit{};            ///< name of the row of the bare machine that this one is set against; empty: none
  double bar_per_s = 0;           ///< messages a second that are to be reached, in either placement; 0: no bar
  std::array<bool, 2> busy{true, true};  ///< whether a side never sleeps, so that it must have had its cpu all the time
  bool smoke_only = false;               ///< shows that every message arrives, not how fast
  std::function<PairRun(const PairPlan&)> run;
};

/// ipcq with queues in `directory`.
[[nodiscard]] std::vector<Row> ipcq_rows(const std::string& directory);
/// Only for the smoke mode: ipcq with a ring so small that it is full all the time.
[[nodiscard]] std::vector<Row> full_ring_rows(const std::string& directory);

}  // namespace ipcq::bench
