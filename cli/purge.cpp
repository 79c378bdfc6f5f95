// ipcq purge: gives up messages.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/queue.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"parked", nullptr, "only those that are parked: the dead-letter queue did not take them"},
    Option{"group", "GROUP", "of this group (default)"},
    Option{"force", nullptr, "although members are attached; what they have leased stays theirs"},
    Option{"dry-run", nullptr, "say how many, and change nothing"},
};

GroupInfo group_of(const Queue& queue, const std::string& group, const Arguments& arguments) {
  for (GroupInfo& info : queue.inspect().groups) {
    if (info.name == group) return std::move(info);
  }
  throw to_failure(Error(Errc::no_such_group, "queue '" + queue.name() + "' has no group '" + group + "'"), arguments,
                   queue.name());
}

// How many there are to purge, and whether some of them may be leased and then stay.
std::uint64_t messages_now(const GroupInfo& info, bool parked, bool& at_most) {
  if (parked) return info.parked_messages;
  at_most = !info.depth_exact || std::any_of(info.leases.begin(), info.leases.end(),
                                             [](const LeaseInfo& lease) { return lease.state == "leased"; });
  return info.depth_messages;
}

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  const std::string group = arguments.value("group").value_or("default");
  Arguments::check_name("group", group);
  const bool parked = arguments.has("parked");
  const bool force = arguments.has("force");
  const bool dry_run = arguments.has("dry-run");
  if (parked && force) throw UsageError("purge: --parked needs no --force: nobody holds what is parked");
  const Queue queue = open_queue(arguments, name);
  require_owner(queue.path(), name, "purge it");
  std::uint64_t messages = 0;
  bool at_most = false;
  try {
    messages = dry_run  ? messages_now(group_of(queue, group, arguments), parked, at_most)
               : parked ? queue.purge_parked(group)
                        : queue.purge(group, force);
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
  if (arguments.json()) {
    Json json;
    json["version"] = kJsonVersion;
    json["name"] = name;
    json["group"] = group;
    json["messages"] = messages;
    json["dry_run"] = dry_run;
    print_json(json);
    return Exit::done;
  }
  note((at_most ? "at most " : "") + format_count(messages, "message") + (dry_run ? " would be purged" : " purged"));
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 7,
    .name = "purge",
    .usage = "NAME [--group GROUP] [--parked] [--force] [--dry-run]",
    .summary = "give up messages of a group, unread",
    .details =
        "All that are in the queue now, for this group alone; the other groups keep theirs. Refused while members\n"
        "of the group are attached, and one is named. --force purges all the same, but for what they have\n"
        "leased; never while an exclusive group's consumer lives. What a living producer has begun to write, and\n"
        "what is behind it, stays.\n"
        "\n"
        "--parked: a message that was handed out --max-deliveries times goes to the dead-letter queue. While that\n"
        "queue is full, missing or not writable it is parked: it keeps its room, and is tried again once a\n"
        "second. This gives it up for good, and nothing else. For the queue's owner and root.\n",
    .example =
        "  ipcq purge orders\n"
        "  ipcq purge orders --parked --group billing\n",
    .names_min = 1,
    .names_max = 1,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
