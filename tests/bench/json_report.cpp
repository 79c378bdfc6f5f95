#include <nlohmann/json.hpp>

#include "bars.hpp"
#include "report.hpp"

namespace ipcq::bench {
namespace {

using Json = nlohmann::ordered_json;

const char* measure_name(Measure measure) {
  switch (measure) {
    case Measure::throughput:
      return "throughput";
    case Measure::round_trip:
      return "round_trip";
    case Measure::one_way:
      return "one_way";
    case Measure::told:
      return "told";
  }
  return "";
}

std::string unit_name(const Row& row) {
  switch (row.measure) {
    case Measure::throughput:
      return "messages/s";
    case Measure::round_trip:
      return "ns of a round trip (p50)";
    case Measure::one_way:
      return "ns one way (p50)";
    case Measure::told:
      return row.unit;
  }
  return "";
}

bool has_curve(const Row& row) { return row.measure == Measure::round_trip || row.measure == Measure::one_way; }

Json run_json(const Row& row, const Run& run) {
  Json json{{"value", value(row, run)}};
  if (row.placed) json["probes_ns"] = run.probes_ns;
  if (has_curve(row)) {
    json.update({{"trips", run.trips},
                 {"mean_ns", run.mean_ns},
                 {"p50_ns", run.p50_ns},
                 {"p99_ns", run.p99_ns},
                 {"p999_ns", run.p999_ns},
                 {"curve_ns", run.curve_ns}});
  }
  json["messages_checked"] = run.messages();
  json["sleeps_per_message"] = run.sleeps_per_message();
  json["cpu_shares"] = {run.cpu_share(Role::sends), run.cpu_share(Role::receives)};
  return json;
}

Json placement_json(const Results& results, const RowResult& result, Placement placement) {
  const Row& row = *result.row;
  const Spread all = spread(result, placement);
  if (all.runs == 0) return nullptr;  // not seen
  Json json{{"min", all.min}, {"median", all.median}, {"max", all.max}};
  if (has_curve(row)) {
    json["p99_ns"] = median_of(result, placement, &Run::p99_ns);
    json["p999_ns"] = median_of(result, placement, &Run::p999_ns);
  } else if (row.measure == Measure::throughput) {
    json["bytes_per_s"] = all.median * static_cast<double>(row.payload_bytes);
  }
  if (const std::optional<double> ratio = results.of_limit(result, placement)) json["of_limit"] = *ratio;
  Json runs = Json::array();
  for (const Run& run : result.runs(placement)) runs.push_back(run_json(row, run));
  json["runs"] = std::move(runs);
  return json;
}

Json row_json(const Results& results, const RowResult& result) {
  const Row& row = *result.row;
  Json json{{"name", row.name},
            {"what", row.what},
            {"measure", measure_name(row.measure)},
            {"unit", unit_name(row)},
            {"payload_bytes", row.payload_bytes}};
  Json facts = Json::object();
  for (const auto& [name, fact] : row.facts) {
    std::visit([&, &key = name](const auto& plain) { facts[key] = plain; }, fact);
  }
  json["facts"] = std::move(facts);
  if (!row.limit.empty()) json["limit"] = row.limit;
  if (row.placed) {
    json["near"] = placement_json(results, result, Placement::near);
    json["far"] = placement_json(results, result, Placement::far);
  } else {
    json["anywhere"] = placement_json(results, result, Placement::near);
  }
  json["dropped"] = {{"placement_unclear", result.unclear},
                     {"disturbed_near", result.disturbed_near},
                     {"disturbed_far", result.disturbed_far}};
  if (!result.failure.empty()) json["failure"] = result.failure;
  return json;
}

Json verdict_json(const Verdict& verdict) {
  if (!verdict.figure) return nullptr;  // not seen
  Json json{{"figure", *verdict.figure}};
  if (verdict.bound) json.update({{"bound", *verdict.bound}, {"met", verdict.met}});
  return json;
}

Json bars_json(const Results& results) {
  Json bars = Json::array();
  for (const Bar& bar : all_bars()) {
    if (!is_asked(bar, results.rows())) continue;
    Json json{{"what", bar.what}, {"row", bar.row}, {"at_most", bar.at_most}};
    if (!bar.over.empty()) json["over"] = bar.over;
    if (!bar.unit_name.empty()) json["unit"] = bar.unit_name;
    if (is_placed(bar, results.rows())) {
      json["near"] = verdict_json(judge(bar, results.rows(), Placement::near));
      json["far"] = verdict_json(judge(bar, results.rows(), Placement::far));
    } else {
      json["anywhere"] = verdict_json(judge(bar, results.rows(), Placement::near));
    }
    bars.push_back(std::move(json));
  }
  return bars;
}

}  // namespace

bool write_json(std::FILE* to, const Machine& machine, const Settings& settings, const Results& results, bool complete) {
  Json json{{"format", 2},
            {"complete", complete},
            {"machine",
             {{"cpu", machine.cpu},
              {"cpus", machine.cpus},
              {"kernel", machine.kernel},
              {"compiler", machine.compiler},
              {"date", machine.date},
              {"clock", machine.clock}}},
            {"settings",
             {{"cpus", settings.cpus},
              {"repeats", settings.repeats},
              {"seconds", settings.seconds},
              {"curve_fractions", kFractions},
              {"near_ns", {settings.rule.near_low_ns, settings.rule.near_high_ns}},
              {"far_above_ns", settings.rule.far_low_ns}}}};
  Json rows = Json::array();
  for (const RowResult& result : results.rows()) rows.push_back(row_json(results, result));
  json["rows"] = std::move(rows);
  json["bars"] = bars_json(results);
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return std::fwrite(text.data(), 1, text.size(), to) == text.size() && std::fflush(to) == 0;
}

}  // namespace ipcq::bench
