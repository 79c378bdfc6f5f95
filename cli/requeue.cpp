// ipcq requeue: dead letters go back to the queues that they come from.
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "ipcq/dead_letter.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "signals.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"group", "GROUP", "those of this group of the dead-letter queue (default)"},
    Option{"count,n", "COUNT", "send back so many at most"},
    Option{"timeout", "DURATION", "wait for room in an origin queue for so long (0: not at all)"},
};

RequeueOptions options_of(const Arguments& arguments) {
  RequeueOptions options;
  options.group = arguments.value("group").value_or("default");
  Arguments::check_name("group", options.group);
  if (const auto text = arguments.value("count")) {
    options.messages_max = parse_number("-n", *text, 1, std::numeric_limits<std::uint64_t>::max());
  }
  if (const auto text = arguments.value("timeout")) options.deadline = parse_duration("--timeout", *text);
  options.stop = [] { return interrupted(); };
  options.directory = arguments.directory();
  options.trusted_owners = arguments.trusted_owners();
  return options;
}

std::string text_of(const RequeueLeft& left) {
  return format_count(left.messages, "message") + (left.queue.empty() ? "" : " of queue '" + left.queue + "'") +
         " left: " + left.why;
}

Exit exit_of(const RequeueReport& report) {
  if (report.stopped) return Exit::interrupted;
  bool others = false;
  for (const RequeueLeft& left : report.left) others |= !left.full;
  return report.left.empty() ? Exit::done : others ? Exit::error : Exit::nothing;
}

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  Arguments::check_name("queue", name);
  const RequeueOptions options = options_of(arguments);
  catch_interrupts();
  RequeueReport report;
  try {
    report = requeue_dead_letters(name, options);
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
  for (const RequeueLeft& left : report.left) note(text_of(left));
  if (arguments.json()) {
    Json json;
    json["version"] = kJsonVersion;
    json["name"] = name;
    json["messages"] = report.returned;
    json["left"] = Json::array();
    for (const RequeueLeft& left : report.left) {
      Json one;
      one["queue"] = left.queue.empty() ? Json(nullptr) : Json(left.queue);
      one["messages"] = left.messages;
      one["why"] = left.why;
      json["left"].push_back(one);
    }
    print_json(json);
  } else {
    note(format_count(report.returned, "message") + " sent back");
  }
  return exit_of(report);
}

constexpr Verb kVerb{
    .rank = 7,
    .name = "requeue",
    .usage = "DEADQUEUE [options]",
    .summary = "send dead letters back to the queues that they come from",
    .details =
        "Each message of the dead-letter queue is sent to its origin queue, as it was sent there, and then taken\n"
        "out: whatever ends this, none is lost, and one at most is there twice. All groups of that queue get it,\n"
        "also those that had finished it. What cannot go back stays, and why is told; the exit code is then 1,\n"
        "or 5 if there was only no room in time.\n",
    .example =
        "  ipcq requeue orders-dead\n"
        "  ipcq requeue orders-dead -n 1       try it with one\n",
    .names_min = 1,
    .names_max = 1,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
