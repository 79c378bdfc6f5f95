// ipcq create: makes a queue.
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "arguments.hpp"
#include "group_spec.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/queue.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queue_text.hpp"
#include "queues.hpp"
#include "quota_spec.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"capacity", "SIZE", "size of the ring, rounded up to a power of two (8M)"},
    Option{"mode", "MODE", "permissions of the file, exactly so, whatever the umask (0600)"},
    Option{"file-group", "GROUP", "user group, by name or number, that shall own the file"},
    Option{"producers", "KIND", "shared (the default), or exclusive: one at a time, without a mutex"},
    Option{"group", "GROUP",
           "a consumer group: NAME, or NAME,OPTION,... with from=oldest|newest, "
           "overflow=block|reject|drop-oldest, consumers=shared|exclusive, ephemeral; repeatable; "
           "without any, one group 'default'",
           true},
    Option{"consumers", "KIND", "of groups that say nothing: shared (the default), or exclusive: one at a time"},
    Option{"overflow", "POLICY", "of groups that say nothing: block (the default), reject or drop-oldest"},
    Option{"max-deliveries", "N", "hand a message out N times at most, in each group (without limit)"},
    Option{"dead-letter", "NAME", "the queue that gets messages after that, with their origin"},
    Option{"drop-after", nullptr, "drop and count messages after that, instead"},
    kRateOption,
    kByteRateOption,
    kBurstOption,
    kByteBurstOption,
    Option{"producer-rate", "N/UNIT", "messages of each producer: 400/s (no limit)"},
    Option{"ephemeral", nullptr, "'ipcq gc' and ipcqd remove it once it is drained and nobody is attached any more"},
    Option{"grace", "DURATION", "how long nobody must have been attached for that, in whole seconds (30s)"},
    Option{"timestamps", "on|off", "enqueue times (on)"},
    Option{"metrics", "on|off", "latency histograms (on)"},
    Option{"alignment", "SIZE", "of each payload: a power of two, 16 to 4096 (16)"},
    Option{"type", "TEXT", "what a message is, in your words, up to 63 bytes; must agree wherever it is named"},
    Option{"endpoints", "N", "how many producers and consumers may be attached, 2 to 255 (128)"},
    Option{"groups-max", "N", "how many groups there may be, 1 to 64 (16)"},
    Option{"ledger", "N", "open leases a group, 4 to 4096 (256)"},
    Option{"if-not-exists", nullptr, "an existing queue of the same kind is no error and stays as it is"},
};

std::uint32_t small_number(const Arguments& arguments, const char* option, std::uint32_t otherwise) {
  const std::optional<std::string> text = arguments.value(option);
  if (!text) return otherwise;
  // The library knows the limits; here only what fits its type.
  return static_cast<std::uint32_t>(
      parse_number(std::string("--") + option, *text, 0, std::numeric_limits<std::uint32_t>::max()));
}

CreateOptions create_options(const Arguments& arguments) {
  CreateOptions options;
  if (const auto text = arguments.value("capacity")) {
    options.capacity_bytes = parse_size("--capacity", *text);
    if (options.capacity_bytes == 0) throw UsageError("--capacity: a queue needs room: say 64K or more");
  }
  if (const auto text = arguments.value("mode")) options.mode = parse_mode("--mode", *text);
  if (const auto text = arguments.value("file-group")) {
    if (text->empty()) throw UsageError("--file-group: the group has no name");
    options.file_group = *text;
  }
  if (const auto text = arguments.value("producers")) options.producers = parse_producers("--producers", *text);
  if (const auto text = arguments.value("consumers")) options.consumers = parse_consumers("--consumers", *text);
  if (const auto text = arguments.value("overflow")) options.overflow = parse_overflow("--overflow", *text);
  for (const std::string& text : arguments.values("group")) options.groups.push_back(parse_group("--group", text));
  options.max_deliveries = small_number(arguments, "max-deliveries", options.max_deliveries);
  if (const auto text = arguments.value("dead-letter")) {
    Arguments::check_name("dead-letter queue", *text);
    options.dead_letter = *text;
  }
  options.drop_after = arguments.has("drop-after");
  options.quota = quota_of(arguments);
  if (const auto text = arguments.value("producer-rate"))
    options.producer_quota.messages_per_second = parse_rate("--producer-rate", *text);
  if (arguments.has("ephemeral")) options.lifetime = Lifetime::ephemeral;
  if (const auto text = arguments.value("grace")) {
    if (!arguments.has("ephemeral")) throw UsageError("--grace is for a queue that is --ephemeral");
    const std::chrono::nanoseconds grace = parse_duration("--grace", *text);
    options.grace = std::chrono::duration_cast<std::chrono::seconds>(grace);
    if (options.grace != grace) throw UsageError("--grace: whole seconds, not '" + *text + "'");
  }
  if (const auto text = arguments.value("timestamps")) options.timestamps = parse_switch("--timestamps", *text);
  if (const auto text = arguments.value("metrics")) options.metrics = parse_switch("--metrics", *text);
  if (const auto text = arguments.value("alignment")) {
    const std::uint64_t bytes = parse_size("--alignment", *text);
    if (bytes > 4096) throw UsageError("--alignment: '" + *text + "' is more than 4096");
    options.alignment_bytes = static_cast<std::uint32_t>(bytes);
  }
  if (const auto text = arguments.value("type")) options.type = *text;
  options.endpoints_max = small_number(arguments, "endpoints", options.endpoints_max);
  options.groups_max = small_number(arguments, "groups-max", options.groups_max);
  options.ledger_entries = small_number(arguments, "ledger", options.ledger_entries);
  options.directory = arguments.directory();
  options.trusted_owners = arguments.trusted_owners();
  return options;
}

Queue make(const Arguments& arguments, const std::string& name, const CreateOptions& options) {
  try {
    return arguments.has("if-not-exists") ? Queue::open_or_create(name, options) : Queue::create(name, options);
  } catch (const Error& error) {
    Failure failure = to_failure(error, arguments, name);
    if (error.errc() == Errc::no_space) {
      const std::uint64_t bytes = largest_capacity_bytes(options);
      if (bytes > 0) failure.add_hint("the largest that there is room for: --capacity " + format_bytes(bytes));
    }
    if (error.errc() == Errc::exists) failure.add_hint("to accept an existing queue: --if-not-exists");
    throw Failure(failure);
  }
}

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  Arguments::check_name("queue", name);
  const CreateOptions options = create_options(arguments);
  const Queue queue = make(arguments, name, options);
  const bool created = !arguments.has("if-not-exists") || queue.created();
  const QueueInfo info = queue.inspect();

  if (!created) {
    note("queue '" + name + "' was there already and stays as it is");
  } else if (info.capacity_bytes != options.capacity_bytes) {
    note("capacity " + std::to_string(options.capacity_bytes) + " rounded up to " +
         std::to_string(info.capacity_bytes) + " (" + format_bytes(info.capacity_bytes) + "), a power of two");
  }
  if (arguments.json()) {
    Json json = settings_json(info);
    json["created"] = created;
    json["groups"] = Json::array();
    for (const GroupInfo& group : info.groups) json["groups"].push_back(group_json(info, group));
    json["quotas"] = Json::array();
    for (const QuotaInfo& quota : info.quotas) json["quotas"].push_back(quota_json(quota));
    print_json(json);
    return Exit::done;
  }
  std::vector<std::pair<std::string, std::string>> lines = settings_text(info);
  for (auto& line : quotas_text(info.quotas)) lines.push_back(std::move(line));
  for (const GroupInfo& group : info.groups) lines.emplace_back("group", group.name + ": " + group_kind(group));
  print(name + "\n" + labelled(lines, "  "));
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 1,
    .name = "create",
    .usage = "NAME [options]",
    .summary = "create a queue and print what it is",
    .details =
        "The memory is reserved now: a queue that there is no room for is an error here, never a crash later.\n"
        "Default values stand in brackets.\n"
        "--max-deliveries needs --dead-letter or --drop-after. --rate and --byte-rate bind all producers together;\n"
        "'ipcq quota' has more.\n",
    .example =
        "  ipcq create orders --capacity 64M --group billing --group audit,overflow=drop-oldest\n"
        "  ipcq create orders --max-deliveries 3 --dead-letter orders.dead\n"
        "  ipcq create orders --rate 1000/s --burst 50\n",
    .names_min = 1,
    .names_max = 1,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
