// ipcq purge: gives up messages.
#include <array>
#include <string>

#include "arguments.hpp"
#include "ipcq/queue.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"parked", nullptr, "those that are parked: the dead-letter queue did not take them"},
    Option{"group", "GROUP", "of this group (default)"},
    Option{"dry-run", nullptr, "say how many, and change nothing"},
};

std::uint64_t parked_now(const Queue& queue, const std::string& group, const Arguments& arguments) {
  for (const GroupInfo& info : queue.inspect().groups) {
    if (info.name == group) return info.parked_messages;
  }
  throw to_failure(Error(Errc::no_such_group, "queue '" + queue.name() + "' has no group '" + group + "'"), arguments,
                   queue.name());
}

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  const std::string group = arguments.value("group").value_or("default");
  Arguments::check_name("group", group);
  if (!arguments.has("parked")) throw UsageError("purge: say --parked: nothing else can be purged in this version");
  const Queue queue = open_queue(arguments, name);
  require_owner(queue.path(), name, "purge it");
  std::uint64_t messages = 0;
  try {
    messages = arguments.has("dry-run") ? parked_now(queue, group, arguments) : queue.purge_parked(group);
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
  if (arguments.json()) {
    Json json;
    json["version"] = kJsonVersion;
    json["name"] = name;
    json["group"] = group;
    json["messages"] = messages;
    json["dry_run"] = arguments.has("dry-run");
    print_json(json);
    return Exit::done;
  }
  note(format_count(messages, "message") + (arguments.has("dry-run") ? " would be purged" : " purged"));
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 7,
    .name = "purge",
    .usage = "NAME --parked [--group GROUP] [--dry-run]",
    .summary = "give up messages that are parked",
    .details =
        "A message that was handed out --max-deliveries times goes to the dead-letter queue. While that queue is\n"
        "full, missing or not writable it is parked: it keeps its room, and is tried again once a second. This\n"
        "gives it up for good. For the queue's owner and root.\n",
    .example = "  ipcq purge orders --parked --group billing\n",
    .names_min = 1,
    .names_max = 1,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
