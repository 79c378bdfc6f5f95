#include "report.hpp"

#include <algorithm>
#include <array>

#include "bars.hpp"

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

/// Prints `title` before the first row that it is called with, and a row's name with its runs; or that it has none.
class Table {
 public:
  Table(std::FILE* to, const Results& results, Placement placement, std::string title)
      : to_(to), results_(results), placement_(placement), title_(std::move(title)) {}

  template <class Wanted, class Print>
  void rows(Wanted wanted, Print print) {
    for (const RowResult& result : results_.rows()) {
      if (!wanted(*result.row)) continue;
      if (!titled_) std::fprintf(to_, "  %s\n", title_.c_str());
      titled_ = true;
      const Spread all = spread(result, placement_);
      if (all.runs == 0) {
        std::fprintf(to_, "  %-46s %3s %27s\n", result.row->name.c_str(), "", nothing_text(result, placement_).c_str());
      } else {
        print(result, all);
      }
    }
  }

 private:
  std::FILE* to_;
  const Results& results_;
  Placement placement_;
  std::string title_;
  bool titled_ = false;
};

std::string title(const char* what, const char* columns, const char* more) {
  char text[160];
  std::snprintf(text, sizeof text, "%-46s %3s %27s %s", what, "n", columns, more);
  return text;
}

void print_times(std::FILE* to, const Results& results, Placement placement, Measure measure) {
  const bool trips = measure == Measure::round_trip;
  Table(to, results, placement,
        title(trips ? "round trip, ns" : "one way, paced, ns", "p50 min / median / max",
              trips ? "      p99     p99.9  of limit" : "      p99     p99.9  sleeps/message"))
      .rows([&](const Row& row) { return row.measure == measure; },
            [&](const RowResult& result, const Spread& p50) {
              const std::string last = trips ? ratio_text(results.of_limit(result, placement))
                                             : figure(median_of(result, placement, &Run::sleeps_per_message));
              std::fprintf(to, "  %-46s %3zu %27s %9s %9s %9s\n", result.row->name.c_str(), p50.runs,
                           spread_text(p50, 1).c_str(), figure(median_of(result, placement, &Run::p99_ns)).c_str(),
                           figure(median_of(result, placement, &Run::p999_ns)).c_str(), last.c_str());
            });
}

void print_streams(std::FILE* to, const Results& results, Placement placement) {
  Table(to, results, placement, title("one way, million messages/s", "min / median / max", "     GB/s  of limit"))
      .rows([](const Row& row) { return row.measure == Measure::throughput; },
            [&](const RowResult& result, const Spread& rate) {
              const Row& row = *result.row;
              std::fprintf(to, "  %-46s %3zu %27s %9s %9s\n", row.name.c_str(), rate.runs, spread_text(rate, 1e6).c_str(),
                           figure(rate.median * static_cast<double>(row.payload_bytes) / 1e9).c_str(),
                           ratio_text(results.of_limit(result, placement)).c_str());
            });
}

void print_told(std::FILE* to, const Results& results, Placement placement, bool placed) {
  Table(to, results, placement, title("others", "min / median / max", "of limit  unit"))
      .rows([&](const Row& row) { return row.measure == Measure::told && row.placed == placed; },
            [&](const RowResult& result, const Spread& all) {
              std::fprintf(to, "  %-46s %3zu %27s %8s  %s\n", result.row->name.c_str(), all.runs,
                           spread_text(all, 1).c_str(), ratio_text(results.of_limit(result, placement)).c_str(),
                           result.row->unit.c_str());
            });
}

/// "probes 120-140 ns" over all runs of the placement; empty if there are none.
std::string probes_seen(const Results& results, Placement placement) {
  double least = 0, greatest = 0;
  for (const RowResult& result : results.rows()) {
    if (!result.row->placed) continue;
    for (const Run& run : result.runs(placement)) {
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

std::string verdict_text(const Bar& bar, const Verdict& verdict) {
  if (!verdict.figure) return "not seen";
  std::string text = figure(*verdict.figure) + (bar.unit_name.empty() ? "" : " " + bar.unit_name);
  if (!verdict.bound) return text + "  -";
  return text + (bar.at_most ? "  <= " : "  >= ") + figure(*verdict.bound) + (verdict.met ? "  met" : "  MISSED");
}

void print_bars(std::FILE* to, const Results& results) {
  bool titled = false;
  for (const Bar& bar : all_bars()) {
    if (!is_asked(bar, results.rows())) continue;
    if (!titled) std::fprintf(to, "\n%-74s %28s %28s\n", "what is demanded (medians)", "near", "far");
    titled = true;
    const std::string near = verdict_text(bar, judge(bar, results.rows(), Placement::near));
    const bool placed = is_placed(bar, results.rows());
    const std::string far = placed ? verdict_text(bar, judge(bar, results.rows(), Placement::far)) : "(the same)";
    std::fprintf(to, "%-74s %28s %28s\n", bar.what.c_str(), near.c_str(), far.c_str());
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

double median_of(const RowResult& result, Placement placement, const std::function<double(const Run&)>& figure_of_run) {
  std::vector<double> values;
  for (const Run& run : result.runs(placement)) values.push_back(figure_of_run(run));
  return median(std::move(values));
}

void print_machine(std::FILE* to, const Machine& machine, const Settings& settings, std::size_t rows) {
  std::fprintf(to, "cpu       %s; %u online\nkernel    %s\ncompiler  %s\ndate      %s\nclock     %s\n",
               machine.cpu.c_str(), machine.cpus, machine.kernel.c_str(), machine.compiler.c_str(),
               machine.date.c_str(), machine.clock.c_str());
  std::fprintf(to, "method    %zu rows, interleaved, %u runs of %.2g s each, processes on cpus %d and %d\n", rows,
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
    print_times(to, results, placement, Measure::round_trip);
    print_times(to, results, placement, Measure::one_way);
    print_streams(to, results, placement);
    print_told(to, results, placement, true);
  }
  if (std::any_of(results.rows().begin(), results.rows().end(),
                  [](const RowResult& result) { return !result.row->placed; })) {
    std::fprintf(to, "\nwherever the cpus are\n");
    print_told(to, results, Placement::near, false);
  }
  print_dropped(to, results);
  print_bars(to, results);
  for (const RowResult& result : results.rows()) {
    if (!result.failure.empty())
      std::fprintf(to, "\nFAILED %s: %s\n", result.row->name.c_str(), result.failure.c_str());
  }
}

}  // namespace ipcq::bench
