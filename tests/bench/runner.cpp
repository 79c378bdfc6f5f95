#include "runner.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "clock.hpp"
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

  void show(unsigned round, unsigned rounds, std::size_t row, std::size_t rows, const std::string& name) const {
    if (!shown_) return;
    std::fprintf(stderr, "\r\033[Kround %u of %u%s, row %zu of %zu  near %u, far %u, dropped %u  %s", round, rounds,
                 round > rounds ? " (repeating dropped runs)" : "", row, rows, near_, far_, dropped_, name.c_str());
    std::fflush(stderr);
  }
  void count(Placement placement) noexcept {
    ++(placement == Placement::near ? near_ : placement == Placement::far ? far_ : dropped_);
  }

 private:
  bool shown_;
  unsigned near_ = 0, far_ = 0, dropped_ = 0;
};

bool is_disturbed(const Row& row, const Run& run) noexcept {
  return (row.busy[0] && run.cpu_share(Role::sends) < kCpuShareMin) ||
         (row.busy[1] && run.cpu_share(Role::receives) < kCpuShareMin);
}

/// Files a finished run. Returns where it went: Placement::unclear means dropped.
Placement file(RowResult& result, Run run, const PlacementRule& rule) {
  if (!result.row->placed) {
    result.anywhere.push_back(std::move(run));
    return Placement::near;
  }
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

std::string why_failed(const Run& run) {
  return (run.end == Run::End::payload_bad ? "payload check: " : "") + run.error;
}

}  // namespace

double value(const Row& row, const Run& run) noexcept {
  switch (row.measure) {
    case Measure::throughput:
      return run.messages_per_s();
    case Measure::round_trip:
    case Measure::one_way:
      return run.p50_ns;
    case Measure::told:
      return run.told;
  }
  return 0;
}

double median(std::vector<double> values) noexcept {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Spread spread(const RowResult& result, Placement placement) {
  std::vector<double> values;
  for (const Run& run : result.runs(placement)) values.push_back(value(*result.row, run));
  if (values.empty()) return {};
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return {values.size(), *least, median(values), *greatest};
}

std::vector<RowResult> measure(const std::vector<Row>& rows, const Settings& settings, const RunDirectory& directory) {
  std::vector<RowResult> results(rows.begin(), rows.end());
  Progress progress;
  const std::uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
  const auto late = [&] {
    return static_cast<double>(clock_ns(CLOCK_MONOTONIC) - began_ns) > kRepeatingSecondsMax * 1e9;
  };
  for (unsigned round = 1; round <= kRoundsFactor * settings.repeats; ++round) {
    bool complete = true;
    for (std::size_t i = 0; i < results.size(); ++i) {
      RowResult& result = results[i];
      if (!result.failure.empty() || result.most_runs() >= settings.repeats) continue;
      if (round > settings.repeats && late()) return results;
      complete = false;
      progress.show(round, settings.repeats, i + 1, results.size(), result.row->name);
      const Plan plan{.cpus = settings.cpus, .measure_s = settings.seconds, .probe = result.row->placed};
      Run run = result.row->run(plan);
      if (run.end == Run::End::interrupted || interrupted() != 0) return results;
      if (run.end == Run::End::ok) {
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
  const Plan plan{.warm_up_s = 0, .measure_s = 0.005, .probe = false, .smoke = true};
  unsigned failed = 0;
  for (const Row& row : rows) {
    const Run run = row.run(plan);
    if (run.end == Run::End::interrupted || interrupted() != 0) return failed;
    std::string failure;
    if (run.end != Run::End::ok) {
      failure = why_failed(run);
    } else if (row.measure == Measure::told ? std::isnan(run.told) : run.messages() == 0) {
      failure = row.measure == Measure::told ? "it tells nothing" : "no message passed";
    }
    if (failure.empty()) {
      std::printf("ok      %-48s %12llu messages\n", row.name.c_str(), static_cast<unsigned long long>(run.messages()));
    } else {
      std::printf("FAILED  %-48s %s\n", row.name.c_str(), failure.c_str());
      ++failed;
      directory.clear();
    }
  }
  return failed;
}

}  // namespace ipcq::bench
