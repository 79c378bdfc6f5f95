#include "bars.hpp"

#include <algorithm>
#include <limits>

#include "raw_rows.hpp"

namespace ipcq::bench {
namespace {

constexpr double kMillion = 1e6;

const RowResult* find(const std::vector<RowResult>& results, const std::string& name) {
  const auto found =
      std::find_if(results.begin(), results.end(), [&](const RowResult& result) { return result.row->name == name; });
  return found == results.end() ? nullptr : &*found;
}

double figure_of(const Row& row, const Run& run, Figure figure) {
  switch (figure) {
    case Figure::value:
      return value(row, run);
    case Figure::mean_ns:
      return run.mean_ns;
    case Figure::bytes_per_s:
      return value(row, run) * static_cast<double>(row.payload_bytes);
    case Figure::sleeps_per_message:
      return run.sleeps_per_message();
  }
  return 0;
}

std::optional<double> median_figure(const RowResult* result, Placement placement, Figure figure) {
  if (result == nullptr || result->runs(placement).empty()) return std::nullopt;
  std::vector<double> values;
  for (const Run& run : result->runs(placement)) values.push_back(figure_of(*result->row, run, figure));
  return median(std::move(values));
}

/// A row ÷ another, the same bound wherever the cpus are.
Bar ratio(std::string what, std::string row, std::string over, bool at_most, double bound, Figure figure = Figure::value) {
  return {.what = std::move(what),
          .row = std::move(row),
          .over = std::move(over),
          .figure = figure,
          .at_most = at_most,
          .near = bound,
          .far = bound};
}

/// Million messages a second, at least. A bound of 0: none.
Bar rate(std::string what, std::string row, double near, double far) {
  Bar bar{.what = std::move(what), .row = std::move(row), .unit = kMillion, .unit_name = "M/s"};
  if (near > 0) bar.near = near;
  if (far > 0) bar.far = far;
  return bar;
}

/// What a row tells, in its own unit, wherever the cpus are.
Bar told(std::string what, std::string row, std::string unit_name, bool at_most, std::optional<double> near,
         std::optional<double> far) {
  return {.what = std::move(what),
          .row = std::move(row),
          .unit_name = std::move(unit_name),
          .at_most = at_most,
          .near = near,
          .far = far};
}

void append_latencies(std::vector<Bar>& bars) {
  constexpr bool kAtMost = true;
  bars.push_back(ratio("round trip, spinning, exclusive / raw with 64 B in a second line",
                       "ipcq/rtt-64B-spin-exclusive", kRawRoundTrip64, kAtMost, 0.9));
  bars.push_back(ratio("round trip, spinning, shared / raw with 64 B in a second line", "ipcq/rtt-64B-spin-shared",
                       kRawRoundTrip64, kAtMost, 1.5));
  bars.push_back(
      ratio("round trip, sleeping, exclusive / raw futex", "ipcq/rtt-64B-sleep-exclusive", kRawFutex, kAtMost, 1.15));
  bars.push_back(ratio("round trip, sleeping, shared / raw futex", "ipcq/rtt-64B-sleep-shared", kRawFutex, kAtMost, 1.15));
  bars.push_back({.what = "adaptive at 100 k/s: sleeps a message",
                  .row = "ipcq/paced-100k-adaptive",
                  .figure = Figure::sleeps_per_message,
                  .at_most = true,
                  .near = 0.01,
                  .far = 0.01});
  bars.push_back({.what = "adaptive at 100 k/s: one way, median",
                  .row = "ipcq/paced-100k-adaptive",
                  .unit = 1000,
                  .unit_name = "us",
                  .at_most = true,
                  .near = 1,
                  .far = 1});
  bars.push_back(ratio("adaptive at 10 k/s / sleeping: one way, median", "ipcq/paced-10k-adaptive",
                       "ipcq/paced-10k-sleep", kAtMost, 1.2));
}

void append_streams(std::vector<Bar>& bars) {
  constexpr bool kAtLeast = false;
  const std::string stream = "ipcq/stream-";
  for (const char* mode : {"exclusive", "shared"}) {
    const std::string row64 = stream + "64B-b64-8M-" + mode;
    bars.push_back(ratio(std::string("64 B in batches of 64, ") + mode + " / raw ring of the same bytes", row64,
                         raw_stream_name(64, 64, 8 * kMi), kAtLeast, 0.7));
    bars.push_back(rate(std::string("64 B in batches of 64, ") + mode, row64, 300, 0));
    bars.push_back(rate(std::string("8 B in batches of 64, ") + mode, stream + "8B-b64-8M-" + mode, 300, 0));
  }
  bars.push_back(rate("64 B one by one, exclusive, no time stamps", stream + "64B-b1-8M-exclusive-notimes", 130, 60));
  bars.push_back(rate("64 B one by one, exclusive", stream + "64B-b1-8M-exclusive", 75, 50));
  bars.push_back(ratio("64 B one by one, exclusive / a bare ring with a cursor store a message",
                       stream + "64B-b1-8M-exclusive", raw_one_by_one_name(64, 8 * kMi), kAtLeast, 1));
  bars.push_back(rate("8 B one by one, exclusive, no time stamps", stream + "8B-b1-8M-exclusive-notimes", 150, 90));
  bars.push_back(rate("64 B one by one, shared", stream + "64B-b1-8M-shared", 35, 0));
  bars.push_back(rate("64 B, exclusive producer, shared consumer, leases of 64",
                      stream + "64B-b64-8M-exclusive-shared-lease64", 150, 0));
  bars.push_back(told("a full ring drained by two, leases of 16", "ipcq/drain-by-2-64B-lease16", "M/s", kAtLeast, 45,
                      std::nullopt));
  for (const char* mode : {"exclusive", "shared"}) {
    for (const std::size_t ring : {8 * kMi, 16 * kMi}) {
      bars.push_back(ratio("64 KiB, ring of " + size_name(ring) + ", " + mode + " / raw ring",
                           stream + "64K-b1-" + size_name(ring) + "-" + mode, raw_stream_name(64 << 10, 1, ring),
                           kAtLeast, 0.9));
    }
  }
}

/// Metrics on ÷ off, in streams and in round trips of one mode.
void append_options(std::vector<Bar>& bars, const std::string& mode) {
  constexpr bool kAtLeast = false;
  for (const char* batch : {"b64", "b1"}) {
    const std::string on = std::string("ipcq/stream-64B-").append(batch).append("-8M-").append(mode);
    bars.push_back(ratio(std::string("metrics on / off: 64 B ").append(batch).append(", ").append(mode), on,
                         on + "-nometrics", kAtLeast, 0.95));
  }
  const std::string on = "ipcq/rtt-64B-spin-" + mode;
  bars.push_back(
      ratio("metrics: mean round trip off / on, " + mode, on + "-nometrics", on, kAtLeast, 0.95, Figure::mean_ns));
}

void append_crowds(std::vector<Bar>& bars) {
  constexpr bool kAtLeast = false;
  bars.push_back(
      ratio("sleeping, one by one: 2x2 / 1x1", "ipcq/crowd-2x2-64B-b1", "ipcq/crowd-1x1-64B-b1", kAtLeast, 0.5));
  bars.push_back(
      ratio("sleeping, one by one: 8x8 / 2x2", "ipcq/crowd-8x8-64B-b1", "ipcq/crowd-2x2-64B-b1", kAtLeast, 0.2));
  for (const std::string groups : {"2", "4", "8"}) {
    bars.push_back(ratio("a producer's rate with " + groups + " groups / with 1", "ipcq/groups-" + groups,
                         "ipcq/groups-1", kAtLeast, 0.9));
  }
}

void append_costs(std::vector<Bar>& bars) {
  constexpr bool kAtMost = true;
  bars.push_back(told("cpu time of a consumer blocked on an empty queue", "ipcq/idle-adaptive", "%", kAtMost, 0.1, 0.1));
  bars.push_back(told("attach", "ipcq/attach", "us", kAtMost, 1000, 1000));
  bars.push_back(ratio("create 64 MiB / reserving a file of 64 MiB", "ipcq/create-64M", "raw/reserve-64M", kAtMost, 1.1));
  bars.push_back(told("list 1,000 queues of 64 KiB", "ipcq/ls-1000", "ms", kAtMost, 100, 100));
  bars.push_back(told("memory beside the ring, default options", "ipcq/memory-beside-ring", "MiB", kAtMost, 1, 1));
}

}  // namespace

const std::vector<Bar>& all_bars() {
  static const std::vector<Bar> kBars = [] {
    std::vector<Bar> bars;
    append_latencies(bars);
    append_streams(bars);
    append_options(bars, "exclusive");
    append_options(bars, "shared");
    append_crowds(bars);
    append_costs(bars);
    return bars;
  }();
  return kBars;
}

bool is_asked(const Bar& bar, const std::vector<RowResult>& results) {
  return find(results, bar.row) != nullptr && (bar.over.empty() || find(results, bar.over) != nullptr);
}

bool is_placed(const Bar& bar, const std::vector<RowResult>& results) { return find(results, bar.row)->row->placed; }

Verdict judge(const Bar& bar, const std::vector<RowResult>& results, Placement placement) {
  Verdict verdict;
  verdict.bound = placement == Placement::far ? bar.far : bar.near;
  verdict.figure = median_figure(find(results, bar.row), placement, bar.figure);
  if (!verdict.figure) return verdict;
  if (bar.over.empty()) {
    *verdict.figure /= bar.unit;
  } else {
    const std::optional<double> over = median_figure(find(results, bar.over), placement, bar.figure);
    if (!over || *over <= 0) return {.figure = std::nullopt, .bound = verdict.bound};
    *verdict.figure /= *over;
  }
  if (verdict.bound) verdict.met = bar.at_most ? *verdict.figure <= *verdict.bound : *verdict.figure >= *verdict.bound;
  return verdict;
}

}  // namespace ipcq::bench
