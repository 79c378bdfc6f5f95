// ipcq revoke: takes producers' right to claim.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/watch.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"dry-run", nullptr, "say whose it would be, and change nothing"},
};

/// What a word names: one row, or all producers of a process.
struct Whom {
  std::string word;
  bool process = false;
  std::uint32_t number = 0;

  [[nodiscard]] bool is(const EndpointInfo& endpoint) const {
    return number == (process ? endpoint.pid : endpoint.row);
  }
};

// A row is less than endpoints_max, 255 at most; the processes below that are the system's, and "pid:7" says so.
Whom parse_whom(const std::string& word, std::uint32_t endpoints_max) {
  constexpr std::string_view kPrefix = "pid:";
  const bool process = std::string_view(word).starts_with(kPrefix);
  const auto number = static_cast<std::uint32_t>(parse_number("ROW|PID", process ? word.substr(kPrefix.size()) : word,
                                                              0, std::numeric_limits<std::int32_t>::max()));
  return {word, process || number >= endpoints_max, number};
}

std::string text_of(const EndpointInfo& endpoint) {
  return "row " + std::to_string(endpoint.row) + ", " + describe_process(endpoint.pid, endpoint.command);
}

// False: it has gone meanwhile.
bool revoke_one(const Arguments& arguments, const std::string& name, const EndpointInfo& endpoint) {
  try {
    return arguments.has("dry-run") || revoke(name, endpoint.row, endpoint.incarnation, open_options(arguments));
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
}

std::string why_nobody(const Whom& whom, const QueueInfo& info) {
  const bool consumer = std::any_of(info.endpoints.begin(), info.endpoints.end(),
                                    [&](const EndpointInfo& endpoint) { return whom.is(endpoint); });
  const std::string where = whom.process ? "process " + std::to_string(whom.number) : "row " + whom.word;
  if (consumer) return where + " has consumers only: they have no right to claim";
  return whom.process ? where + " has no producer of this queue" : "no producer is attached in " + where;
}

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  Arguments::check_name("queue", name);
  require_owner(queue_path(arguments, name), name, "revoke its producers");
  const QueueInfo info = inspect_queue(arguments, name);
  std::vector<Whom> all;  // every word, before anybody is revoked
  for (std::size_t i = 1; i < arguments.names().size(); ++i)
    all.push_back(parse_whom(arguments.names()[i], info.endpoints_max));
  const std::string deed = arguments.has("dry-run") ? "would be revoked: " : "revoked: ";
  std::vector<EndpointInfo> revoked;
  bool missing = false;
  for (const Whom& whom : all) {
    bool found = false;
    for (const EndpointInfo& endpoint : info.endpoints) {
      if (!endpoint.producer || !whom.is(endpoint) || !revoke_one(arguments, name, endpoint)) continue;
      found = true;
      revoked.push_back(endpoint);
      note(deed + text_of(endpoint));
    }
    if (!found) complain(why_nobody(whom, info));
    missing = missing || !found;
  }
  if (arguments.json()) {
    Json json;
    json["version"] = kJsonVersion;
    json["name"] = name;
    json["dry_run"] = arguments.has("dry-run");
    json["revoked"] = Json::array();
    for (const EndpointInfo& endpoint : revoked) {
      json["revoked"].push_back({{"row", endpoint.row},
                                 {"incarnation", endpoint.incarnation},
                                 {"pid", endpoint.pid},
                                 {"command", endpoint.command}});
    }
    print_json(json);
  }
  return missing ? Exit::missing : Exit::done;
}

constexpr Verb kVerb{
    .rank = 7,
    .name = "revoke",
    .usage = "NAME ROW|PID... [--dry-run]",
    .summary = "take producers' right to send: their next claim is refused",
    .details =
        "A number below the queue's number of endpoints is a row, as 'ipcq stat' shows it; a larger one, or\n"
        "pid:NUMBER, is a process, and means all of its producers. A claim that is open may still be committed, one\n"
        "that waits ends. Who attaches again has the right again. All are tried; the exit code is 3 if one was\n"
        "not there. For the queue's owner and root.\n",
    .example =
        "  ipcq revoke orders 3              the producer in row 3\n"
        "  ipcq revoke orders 41234          all producers of process 41234\n",
    .names_min = 2,
    .names_max = std::numeric_limits<std::size_t>::max(),
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
