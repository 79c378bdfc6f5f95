#include <nlohmann/json.hpp>

#include "report.hpp"

namespace ipcq::bench {
namespace {

using Json = nlohmann::ordered_json;

Json run_json(const Row& row, const PairRun& run) {
  Json json{{"value", value(row, run)}, {"probes_ns", run.probes_ns}};
  if (row.measure == Measure::round_trip) {
    json.update({{"trips", run.trips},
                 {"mean_ns", run.mean_ns},
                 {"p50_ns", run.p50_ns},
                 {"p99_ns", run.p99_ns},
                 {"p999_ns", run.p999_ns}});
  } else {
    json["messages_checked"] = run.total[1] != 0 ? run.total[1] : run.total[0];
  }
  json["cpu_shares"] = {run.cpu_share(0), run.cpu_share(1)};
  return json;
}

Json placement_json(const Results& results, const RowResult& result, Placement placement) {
  const Row& row = *result.row;
  const Spread all = spread(result, placement);
  if (all.runs == 0) return nullptr;  // not seen
  Json json{{"min", all.min}, {"median", all.median}, {"max", all.max}};
  if (row.measure == Measure::round_trip) {
    json["p99_ns"] = median_of(result, placement, &PairRun::p99_ns);
    json["p999_ns"] = median_of(result, placement, &PairRun::p999_ns);
  } else {
    json["bytes_per_s"] = all.median * static_cast<double>(row.payload_bytes);
  }
  if (const std::optional<double> ratio = results.of_limit(result, placement)) json["of_limit"] = *ratio;
  if (const std::string_view word = verdict(result, placement); !word.empty()) json["bar_met"] = word == "met";
  Json runs = Json::array();
  for (const PairRun& run : result.runs(placement)) runs.push_back(run_json(row, run));
  json["runs"] = std::move(runs);
  return json;
}

Json row_json(const Results& results, const RowResult& result) {
  const Row& row = *result.row;
  Json json{{"name", row.name},
            {"what", row.what},
            {"unit", row.measure == Measure::round_trip ? "ns of a round trip (p50)" : "messages/s"},
            {"payload_bytes", row.payload_bytes}};
  if (!row.limit.empty()) json["limit"] = row.limit;
  if (row.bar_per_s > 0) json["bar_messages_per_s"] = row.bar_per_s;
  json["near"] = placement_json(results, result, Placement::near);
  json["far"] = placement_json(results, result, Placement::far);
  json["dropped"] = {{"placement_unclear", result.unclear},
                     {"disturbed_near", result.disturbed_near},
                     {"disturbed_far", result.disturbed_far}};
  if (!result.failure.empty()) json["failure"] = result.failure;
  return json;
}

}  // namespace

bool write_json(std::FILE* to, const Machine& machine, const Settings& settings, const Results& results, bool complete) {
  Json json{{"format", 1},
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
              {"near_ns", {settings.rule.near_low_ns, settings.rule.near_high_ns}},
              {"far_above_ns", settings.rule.far_low_ns}}}};
  Json rows = Json::array();
  for (const RowResult& result : results.rows()) rows.push_back(row_json(results, result));
  json["rows"] = std::move(rows);
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return std::fwrite(text.data(), 1, text.size(), to) == text.size() && std::fflush(to) == 0;
}

}  // namespace ipcq::bench
