// A row of the suite: one thing that is measured, and how to measure it once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "run.hpp"

namespace ipcq::bench {

inline constexpr std::size_t kKi = 1024;
inline constexpr std::size_t kMi = kKi * kKi;

enum class Measure : std::uint8_t {
  throughput,  ///< messages a second
  round_trip,  ///< ns there and back, the median
  one_way,     ///< ns from when a message was due until it was read, the median
  told,        ///< what a side tells, in `unit`
};

/// What a plot tells rows apart by: {"batch", 64}, {"mode", "shared"}.
using Facts = std::vector<std::pair<std::string, std::variant<std::uint64_t, std::string>>>;

struct Row {
  std::string name;  ///< what --only matches
  std::string what;  ///< one line, for --list
  Measure measure = Measure::throughput;
  std::string unit{};             ///< of what is told
  bool less_is_better = false;    ///< of what is told
  std::size_t payload_bytes = 0;  ///< of one message
  std::string limit{};            ///< name of the row of the bare machine that this one is set against; empty: none
  std::array<bool, 2> busy{true, true};  ///< whether those that send, or receive, never sleep, so that they must have had
                                         ///< their cpus all the time
  bool placed = true;                    ///< whether it matters how far apart the two cpus are
  bool smoke_only = false;               ///< shows that every message arrives, not how fast
  Facts facts{};
  std::function<Run(const Plan&)> run;
};

/// ipcq with queues in `directory`: streams and round trips.
[[nodiscard]] std::vector<Row> ipcq_rows(const std::string& directory);
/// So too: several producers, several consumers, several groups, many attached.
[[nodiscard]] std::vector<Row> ipcq_crowd_rows(const std::string& directory);
/// So too: what a wait set costs, of 1 to 128 queues.
[[nodiscard]] std::vector<Row> ipcq_wait_set_rows(const std::string& directory);
/// So too: what it costs to be there: idle, attached, created, listed.
[[nodiscard]] std::vector<Row> ipcq_cost_rows(const std::string& directory);
/// Only for the smoke mode: ipcq with a ring so small that it is full all the time.
[[nodiscard]] std::vector<Row> full_ring_rows(const std::string& directory);

}  // namespace ipcq::bench
