// ipcq repair: mends a queue.
#include "ipcq/repair.hpp"

#include <array>
#include <string>

#include "arguments.hpp"
#include "findings.hpp"
#include "ipcq/admin.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"dry-run", nullptr, "say what would be done, and change nothing"},
};

Json report_json(const std::string& name, const RepairReport& report, bool dry_run) {
  Json json;
  json["version"] = kJsonVersion;
  json["name"] = name;
  json["dry_run"] = dry_run;
  json["whole"] = report.whole();
  json["found"] = findings_json(report.found);
  json["steps"] = Json::array();
  for (const RepairStep& step : report.steps) {
    Json one;
    one["invariant"] = step.invariant;
    one["offset"] = step.offset;
    one["text"] = step.text;
    one["given_up"] = step.given_up;
    json["steps"].push_back(one);
  }
  json["left"] = findings_json(report.left);
  json["in_use_by"] = report.in_use_by.empty() ? Json(nullptr) : Json(report.in_use_by);
  return json;
}

std::string report_text(const std::string& name, const RepairReport& report, bool dry_run) {
  std::string text;
  for (const RepairStep& step : report.steps) {
    const std::string word = step.given_up ? "given up" : "mended";
    text += styled(step.given_up ? Style::bad : Style::good, word) + "  " + printable(step.invariant) + "  offset " +
            std::to_string(step.offset) + ": " + printable(step.text) + "\n";
  }
  text += findings_text(report.left);
  if (report.found.empty()) return text + name + ": sound, nothing to do\n";
  return text + name + (dry_run ? ": would be " : ": ") + (Verification{report.left}.sound() ? "sound" : "damaged") +
         (dry_run ? "; nothing was changed\n" : "\n");
}

Exit exit_of_report(const RepairReport& report) {
  if (report.whole()) return Exit::done;
  const bool sound = Verification{report.left}.sound();
  return !sound && !report.in_use_by.empty() ? Exit::exists : Exit::damaged;
}

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  Arguments::check_name("queue", name);
  const bool dry_run = arguments.has("dry-run");
  require_owner(resolve_directory(arguments.directory()) + "/ipcq." + name, name, "repair it");
  RepairReport report;
  try {
    report = ipcq::repair(
        name, {.dry_run = dry_run, .directory = arguments.directory(), .trusted_owners = arguments.trusted_owners()});
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
  const Exit exit = exit_of_report(report);
  if (arguments.json()) {
    print_json(report_json(name, report, dry_run));
  } else {
    print(report_text(name, report, dry_run));
  }
  if (exit == Exit::exists) {
    complain("queue '" + name + "' is in use by " + printable(report.in_use_by) +
             ": end them, and what is left can be mended");
  }
  return exit;
}

constexpr Verb kVerb{
    .rank = 10,
    .name = "repair",
    .usage = "NAME [--dry-run]",
    .summary = "mend a queue",
    .details =
        "Mends what 'ipcq verify' finds: what the dead left, mutexes whose repair was given up, ledgers, counters\n"
        "and positions that can be derived, records that cannot be read (they are skipped), removals that were\n"
        "broken off. What a living process holds is never touched: most damage is mended only while nobody is\n"
        "attached, and else it is named who is (exit code 8). What cannot be derived is given up and named, and\n"
        "the exit code is then 6; a message whose fate is not known comes again. For the queue's owner and root.\n",
    .example =
        "  ipcq repair orders --dry-run     the plan; nothing is changed\n"
        "  ipcq repair orders\n",
    .names_min = 1,
    .names_max = 1,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
