// ipcq ls: the queues of a directory.
#include <string>
#include <vector>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "output.hpp"
#include "people.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

void add_row(Table& table, const QueueSummary& queue) {
  if (queue.problem || queue.leftover) {
    std::string state = queue.leftover ? "leftover of a creator that died"
                                       : std::string(to_string(*queue.problem)) + ": " + queue.problem_text;
    if (queue.closed) state = "closed, " + state;
    if (queue.living > 0) state = std::to_string(queue.living) + " attached, " + state;
    table.add({queue.name, "-", "-", "-", "-", "-", user_name(queue.owner), state}, Style::bad);
    return;
  }
  table.add({queue.name, format_bytes(queue.capacity_bytes), format_bytes(queue.depth_bytes),
             std::to_string(queue.producers), std::to_string(queue.consumers), std::to_string(queue.groups),
             user_name(queue.owner), queue.closed ? "closed" : "open"},
            queue.closed ? Style::warning : Style::plain);
}

Exit run(const Arguments& arguments) {
  const std::vector<QueueSummary> queues = ipcq::list(open_options(arguments));
  const std::string directory = resolve_directory(arguments.directory());
  if (arguments.json()) {
    Json json;
    json["version"] = kJsonVersion;
    json["directory"] = directory;
    json["queues"] = Json::array();
    for (const QueueSummary& queue : queues) json["queues"].push_back(summary_json(queue));
    print_json(json);
    return Exit::done;
  }
  if (queues.empty()) {
    note("no queues in " + directory);
    return Exit::done;
  }
  constexpr Table::Align kRight = Table::Align::right;
  Table table({{"NAME"},
               {"CAPACITY", kRight},
               {"DEPTH", kRight},
               {"PRODUCERS", kRight},
               {"CONSUMERS", kRight},
               {"GROUPS", kRight},
               {"OWNER"},
               {"STATE"}});
  for (const QueueSummary& queue : queues) add_row(table, queue);
  print(table.text());
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 2,
    .name = "ls",
    .usage = "[options]",
    .summary = "list the queues",
    .details =
        "DEPTH is the room that messages hold which the group furthest behind has not finished. A file that is\n"
        "no readable queue is listed with what is wrong with it; that is no error of ls.\n",
    .example =
        "  ipcq ls\n"
        "  ipcq ls --json | python3 -m json.tool\n",
    .names_min = 0,
    .names_max = 0,
    .options = {},
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
