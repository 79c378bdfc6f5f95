// ipcq gc: removes what nobody needs.
#include <array>
#include <limits>
#include <string>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"dry-run", nullptr, "say what would be done, and change nothing"},
    Option{"with-messages", nullptr, "ephemeral queues that are named go with the messages they hold"},
    Option{"grace", "DURATION", "how long nobody must have been attached, in place of what each queue says"},
};

const char* word(Cleaned what) {
  switch (what) {
    case Cleaned::removed:
      return "removed";
    case Cleaned::removal_finished:
      return "removal_finished";
    case Cleaned::leftover_removed:
      return "leftover_removed";
    case Cleaned::kept:
      break;
  }
  return "kept";
}

std::string deed(Cleaned what, bool dry_run) {
  if (what == Cleaned::kept) return dry_run ? "would stay" : "kept";
  return dry_run ? "would go" : "removed";
}

void print_actions_json(const std::vector<CleanAction>& actions, bool dry_run) {
  Json json;
  json["version"] = kJsonVersion;
  json["dry_run"] = dry_run;
  json["files"] = Json::array();
  for (const CleanAction& action : actions) {
    Json file;
    file["name"] = action.name;
    file["path"] = action.path;
    file["action"] = word(action.what);
    file["reason"] = action.reason;
    file["again_in_ns"] = action.again_in ? Json(action.again_in->count()) : Json(nullptr);
    json["files"].push_back(std::move(file));
  }
  print_json(json);
}

Exit run(const Arguments& arguments) {
  CleanOptions options;
  options.names = arguments.names();
  for (const std::string& name : options.names) Arguments::check_name("queue", name);
  options.with_messages = arguments.has("with-messages");
  options.dry_run = arguments.has("dry-run");
  options.directory = arguments.directory();
  if (const auto text = arguments.value("grace")) options.grace = parse_duration("--grace", *text);
  if (options.with_messages && options.names.empty())
    throw UsageError("gc --with-messages: name the queues that shall go with what they hold");
  std::vector<CleanAction> actions;
  try {
    actions = clean(options);
  } catch (const Error& error) {
    throw to_failure(error, arguments, options.names.empty() ? "" : options.names.front());
  }
  if (arguments.json()) {
    print_actions_json(actions, options.dry_run);
    return Exit::done;
  }
  Table table({{"NAME"}, {"ACTION"}, {"REASON"}});
  for (const CleanAction& action : actions) table.add({action.name, deed(action.what, options.dry_run), action.reason});
  if (!table.empty()) print(table.text());
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 9,
    .name = "gc",
    .usage = "[NAME...] [--dry-run] [--with-messages] [--grace DURATION]",
    .summary = "remove what nobody needs: ephemeral queues of the dead, half-done removals and creations",
    .details =
        "Of your own queues. An ephemeral queue (ipcq create --ephemeral) goes when it is drained and nobody has\n"
        "been attached for its grace time; after a death that counts from when the death is found, by gc or by\n"
        "anybody else. With unacked messages it stays, unless it is named and --with-messages is said. A\n"
        "persistent queue always stays. Says what became of each, and why.\n",
    .example =
        "  ipcq gc --dry-run\n"
        "  ipcq gc session.17 --with-messages\n",
    .names_min = 0,
    .names_max = std::numeric_limits<std::size_t>::max(),
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
