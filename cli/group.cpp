// ipcq group: the consumer groups of a queue.
#include <array>
#include <string>

#include "arguments.hpp"
#include "group_spec.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/queue.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queue_text.hpp"
#include "queues.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"force", nullptr, "rm: although members are attached (never while one of them holds a lease)"},
};

Exit add(const Arguments& arguments, const std::string& name, const std::string& text) {
  const GroupOptions group = parse_group("GROUP", text);
  const Queue queue = open_queue(arguments, name);
  require_owner(queue.path(), name, "add groups to it");
  queue.add_group(group);
  return Exit::done;
}

Exit remove(const Arguments& arguments, const std::string& name, const std::string& group) {
  Arguments::check_name("group", group);
  const Queue queue = open_queue(arguments, name);
  require_owner(queue.path(), name, "remove groups from it");
  try {
    queue.remove_group(group, arguments.has("force"));
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
  return Exit::done;
}

Exit list(const Arguments& arguments, const std::string& name) {
  const QueueInfo info = inspect_queue(arguments, name);
  if (arguments.json()) {
    Json json;
    json["version"] = kJsonVersion;
    json["name"] = info.name;
    json["groups"] = Json::array();
    for (const GroupInfo& group : info.groups) json["groups"].push_back(group_json(info, group));
    print_json(json);
    return Exit::done;
  }
  constexpr Table::Align kRight = Table::Align::right;
  Table table({{"GROUP"},
               {"MESSAGES", kRight},
               {"DEPTH", kRight},
               {"OLDEST", kRight},
               {"MEMBERS", kRight},
               {"LEASES", kRight},
               {"KIND"}});
  for (const GroupInfo& group : info.groups) {
    std::string kind = group_kind(group);
    if (group.unattended) kind += ", unattended";
    table.add({group.name, (group.depth_exact ? "" : ">=") + std::to_string(group.depth_messages),
               format_bytes(group.depth_bytes),
               info.timestamps && group.oldest_age_ns > 0 ? format_duration(group.oldest_age_ns) : "-",
               std::to_string(group.members), std::to_string(group.leases.size()), kind},
              group.unattended ? Style::warning : Style::plain);
  }
  print(table.text());
  return Exit::done;
}

Exit run(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.names();
  if (words.empty()) throw UsageError("group: say add, ls or rm");
  const std::string& deed = words[0];
  if (deed != "add" && deed != "ls" && deed != "rm") {
    throw UsageError("there is no 'group " + deed + "': say add, ls or rm");
  }
  const std::size_t wanted = deed == "ls" ? 2 : 3;
  if (words.size() < wanted)
    throw UsageError("group " + deed + ": the " + (words.size() < 2 ? "queue" : "group") + " is missing");
  if (words.size() > wanted) throw UsageError("'" + words[wanted] + "' is one word too many");
  if (arguments.has("force") && deed != "rm") throw UsageError("--force is for 'group rm'");

  if (deed == "add") return add(arguments, words[1], words[2]);
  if (deed == "rm") return remove(arguments, words[1], words[2]);
  return list(arguments, words[1]);
}

constexpr Verb kVerb{
    .rank = 7,
    .name = "group",
    .usage = "add NAME GROUP[,OPTION]... | ls NAME | rm NAME GROUP [--force]",
    .summary = "add, list and remove the consumer groups of a queue",
    .details =
        "Every message is for every group; the members of a group share them. A new group begins with all that\n"
        "is still in the queue (from=oldest) or with what comes from now on (from=newest); its other options\n"
        "are overflow=block|reject|drop-oldest, consumers=shared|exclusive and ephemeral (it goes with its\n"
        "last member). Adding and removing is for the queue's owner and root.\n",
    .example =
        "  ipcq group add orders audit,from=newest,overflow=drop-oldest\n"
        "  ipcq group ls orders\n"
        "  ipcq group rm orders audit\n",
    .names_min = 0,
    .names_max = 3,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
