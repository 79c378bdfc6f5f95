#include "report.hpp"

#include <algorithm>
#include <array>

namespace ipcq::bench {
namespace {

/// Four characters or a few more, whatever the magnitude.
std::string figure(double value) {
  char text[32];
  const int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : value >= 0.9995 ? 2 : 4;
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string spread_text(const Spread& spread, double unit) {
  return figure(spread.min / unit) + " / " + figure(spread.median / unit) + " / " + figure(spread.max / unit);
}

/// In the place of figures: the placement did not occur, or in none of its runs undisturbed.
std::string nothing_text(const RowResult& result, Placement placement) {
  const unsigned disturbed = result.disturbed(placement);
  return disturbed == 0 ? "not seen" : "disturbed, all " + std::to_string(disturbed);
}

std::string ratio_text(std::optional<double> ratio) { return ratio ? figure(*ratio) : "-"; }

void print_round_trips(std::FILE* to, const Results& results, Placement placement) {
  bool titled = false;
  for (const RowResult& result : results.rows()) {
    if (result.row->measure != Measure::round_trip) continue;
    if (!titled) {
      std::fprintf(to, "  %-38s %3s %27s %9s %9s %9s\n", "round trip, ns", "n", "p50 min / median / max", "p99",
                   "p99.9", "of limit");
      titled = true;
    }
    const Spread p50 = spread(result, placement);
    if (p50.runs == 0) {
      std::fprintf(to, "  %-38s %3s %27s\n", result.row->name.c_str(), "", nothing_text(result, placement).c_str());
      continue;
    }
    std::fprintf(to, "  %-38s %3zu %27s %9s %9s %9s\n", result.row->name.c_str(), p50.runs, spread_text(p50, 1).c_str(),
                 figure(median_of(result, placement, &PairRun::p99_ns)).c_str(),
                 figure(median_of(result, placement, &PairRun::p999_ns)).c_str(),
                 ratio_text(results.of_limit(result, placement)).c_str());
  }
}

void print_streams(std::FILE* to, const Results& results, Placement placement) {
  bool titled = false;
  for (const RowResult& result : results.rows()) {
    const Row& row = *result.row;
    if (row.measure != Measure::throughput) continue;
    if (!titled) {
      std::fprintf(to, "  %-38s %3s %27s %9s %9s  %s\n", "one way, million messages/s", "n", "min / median / max",
                   "GB/s", "of limit", "bar");
      titled = true;
    }
    const Spread rate = spread(result, placement);
    if (rate.runs == 0) {
      std::fprintf(to, "  %-38s %3s %27s\n", row.name.c_str(), "", nothing_text(result, placement).c_str());
      continue;
    }
    std::string bar;
    if (row.bar_per_s > 0) bar = "  >= " + figure(row.bar_per_s / 1e6) + "  " + std::string(verdict(result, placement));
    std::fprintf(to, "  %-38s %3zu %27s %9s %9s%s\n", row.name.c_str(), rate.runs, spread_text(rate, 1e6).c_str(),
                 figure(rate.median * static_cast<double>(row.payload_bytes) / 1e9).c_str(),
                 ratio_text(results.of_limit(result, placement)).c_str(), bar.c_str());
  }
}

/// "probes 120-140 ns" over all runs of the placement; empty if there are none.
std::string probes_seen(const Results& results, Placement placement) {
  double least = 0, greatest = 0;
  for (const RowResult& result : results.rows()) {
    for (const PairRun& run : result.runs(placement)) {
      for (const double probe : run.probes_ns) {
        least = least == 0 ? probe : std::min(least, probe);
        greatest = std::max(greatest, probe);
      }
    }
  }
  if (greatest == 0) return {};
  char text[64];
  std::snprintf(text, sizeof text, "probes %.0f-%.0f ns", least, greatest);
  return text;
}

void print_dropped(std::FILE* to, const Results& results) {
  unsigned unclear = 0, disturbed = 0;
  for (const RowResult& result : results.rows()) {
    unclear += result.unclear;
    disturbed += result.disturbed_near + result.disturbed_far;
  }
  if (unclear + disturbed == 0) return;
  std::fprintf(to,
               "\ndropped runs: %u whose two probes do not agree on a placement, %u whose spinning process had less "
               "than %.0f %% of its cpu\n",
               unclear, disturbed, 100 * kCpuShareMin);
  if (disturbed > unclear) std::fprintf(to, "something else keeps these cpus busy: measure again when it has ended\n");
}

void print_bars(std::FILE* to, const Results& results) {
  bool titled = false;
  for (const RowResult& result : results.rows()) {
    const Row& row = *result.row;
    if (row.bar_per_s <= 0) continue;
    if (!titled) {
      std::fprintf(to, "\n%-40s %20s %20s %20s\n", "verdicts (medians)", "bar", "near", "far");
      titled = true;
    }
    std::array<std::string, 2> cells;
    for (std::size_t i = 0; i < 2; ++i) {
      const Placement placement = i == 0 ? Placement::near : Placement::far;
      const Spread rate = spread(result, placement);
      cells[i] = rate.runs == 0 ? nothing_text(result, placement)
                                : figure(rate.median / 1e6) + " M/s  " + std::string(verdict(result, placement));
    }
    std::fprintf(to, "%-40s %20s %20s %20s\n", row.name.c_str(), (">= " + figure(row.bar_per_s / 1e6) + " M/s").c_str(),
                 cells[0].c_str(), cells[1].c_str());
  }
}

}  // namespace

std::optional<double> Results::of_limit(const RowResult& result, Placement placement) const {
  const auto limit = std::find_if(rows_.begin(), rows_.end(),
                                  [&](const RowResult& other) { return other.row->name == result.row->limit; });
  if (limit == rows_.end()) return std::nullopt;
  const Spread mine = spread(result, placement);
  const Spread its = spread(*limit, placement);
  if (mine.runs == 0 || its.median <= 0) return std::nullopt;
  return mine.median / its.median;
}

std::string_view verdict(const RowResult& result, Placement placement) {
  const Spread rate = spread(result, placement);
  if (result.row->bar_per_s <= 0 || rate.runs == 0) return {};
  return rate.median >= result.row->bar_per_s ? "met" : "MISSED";
}

double median_of(const RowResult& result, Placement placement, double PairRun::*figure) {
  std::vector<double> values;
  for (const PairRun& run : result.runs(placement)) values.push_back(run.*figure);
  return median(std::move(values));
}

void print_machine(std::FILE* to, const Machine& machine, const Settings& settings, std::size_t rows) {
  std::fprintf(to, "cpu       %s; %u online\nkernel    %s\ncompiler  %s\ndate      %s\nclock     %s\n",
               machine.cpu.c_str(), machine.cpus, machine.kernel.c_str(), machine.compiler.c_str(),
               machine.date.c_str(), machine.clock.c_str());
  std::fprintf(to, "method    %zu rows, interleaved, %u runs of %.2g s each, two processes on cpus %d and %d\n", rows,
               settings.repeats, settings.seconds, settings.cpus[0], settings.cpus[1]);
  std::fflush(to);
}

void print_tables(std::FILE* to, const Results& results) {
  for (const Placement placement : {Placement::near, Placement::far}) {
    const std::string probes = probes_seen(results, placement);
    if (probes.empty()) {
      const auto& rows = results.rows();
      const bool disturbed = std::any_of(rows.begin(), rows.end(),
                                         [&](const RowResult& result) { return result.disturbed(placement) > 0; });
      std::fprintf(to, "\n%s: %s\n", to_string(placement), disturbed ? "only disturbed runs" : "not seen");
      continue;
    }
    std::fprintf(to, "\n%s: %s\n", to_string(placement), probes.c_str());
    print_round_trips(to, results, placement);
    print_streams(to, results, placement);
  }
  print_dropped(to, results);
  print_bars(to, results);
  for (const RowResult& result : results.rows()) {
    if (!result.failure.empty())
      std::fprintf(to, "\nFAILED %s: %s\n", result.row->name.c_str(), result.failure.c_str());
  }
}

}  // namespace ipcq::bench
