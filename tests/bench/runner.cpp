#include "runner.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "interrupt.hpp"

namespace ipcq::bench {
namespace {

/// One line on the terminal, overwritten.
class Progress {
 public:
  Progress() : shown_(isatty(STDERR_FILENO) == 1) {}
  ~Progress() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(unsigned round, unsigned rounds, const std::string& row) const {
    if (!shown_) return;
    std::fprintf(stderr, "\r\033[Kround %u of %u%s  near %u, far %u, dropped %u  %s", round, rounds,
                 round > rounds ? " (repeating dropped runs)" : "", near_, far_, dropped_, row.c_str());
    std::fflush(stderr);
  }
  void count(Placement placement) noexcept {
    ++(placement == Placement::near ? near_ : placement == Placement::far ? far_ : dropped_);
  }

 private:
  bool shown_;
  unsigned near_ = 0, far_ = 0, dropped_ = 0;
};

bool is_disturbed(const Row& row, const PairRun& run) noexcept {
  return (row.busy[0] && run.cpu_share(0) < kCpuShareMin) || (row.busy[1] && run.cpu_share(1) < kCpuShareMin);
}

/// Files a finished run. Returns where it went: Placement::unclear means dropped.
Placement file(RowResult& result, PairRun run, const PlacementRule& rule) {
  const Placement placement = rule.of(run.probes_ns);
  if (placement == Placement::unclear) {
    ++result.unclear;
    return placement;
  }
  if (is_disturbed(*result.row, run)) {
    ++(placement == Placement::near ? result.disturbed_near : result.disturbed_far);
    return Placement::unclear;
  }
  (placement == Placement::near ? result.near : result.far).push_back(std::move(run));
  return placement;
}

std::string why_failed(const PairRun& run) {
  return (run.end == PairRun::End::payload_bad ? "payload check: " : "") + run.error;
}

}  // namespace

double value(const Row& row, const PairRun& run) noexcept {
  return row.measure == Measure::round_trip ? run.p50_ns : run.messages_per_s();
}

double median(std::vector<double> values) noexcept {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Spread spread(const RowResult& result, Placement placement) {
  std::vector<double> values;
  for (const PairRun& run : result.runs(placement)) values.push_back(value(*result.row, run));
  if (values.empty()) return {};
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return {values.size(), *least, median(values), *greatest};
}

std::vector<RowResult> measure(const std::vector<Row>& rows, const Settings& settings, const RunDirectory& directory) {
  std::vector<RowResult> results(rows.begin(), rows.end());
  const PairPlan plan{.cpus = settings.cpus, .measure_s = settings.seconds};
  Progress progress;
  for (unsigned round = 1; round <= kRoundsFactor * settings.repeats; ++round) {
    bool complete = true;
    for (RowResult& result : results) {
      if (!result.failure.empty()) continue;
      if (std::max(result.near.size(), result.far.size()) >= settings.repeats) continue;
      complete = false;
      progress.show(round, settings.repeats, result.row->name);
      PairRun run = result.row->run(plan);
      if (run.end == PairRun::End::interrupted || interrupted() != 0) return results;
      if (run.end == PairRun::End::ok) {
        progress.count(file(result, std::move(run), settings.rule));
      } else {
        result.failure = why_failed(run);
        directory.clear();
      }
    }
    if (complete) break;
  }
  return results;
}

unsigned smoke(const std::vector<Row>& rows, const RunDirectory& directory) {
  const PairPlan plan{.warm_up_s = 0, .measure_s = 0.005, .probe = false};
  unsigned failed = 0;
  for (const Row& row : rows) {
    const PairRun run = row.run(plan);
    if (run.end == PairRun::End::interrupted || interrupted() != 0) return failed;
    std::string failure;
    if (run.end != PairRun::End::ok) {
      failure = why_failed(run);
    } else if (run.total[0] == 0) {
      failure = "no message passed";
    }
    if (failure.empty()) {
      std::printf("ok      %-42s %12llu messages\n", row.name.c_str(), static_cast<unsigned long long>(run.total[0]));
    } else {
      std::printf("FAILED  %-42s %s\n", row.name.c_str(), failure.c_str());
      ++failed;
      directory.clear();
    }
  }
  return failed;
}

}  // namespace ipcq::bench
