// ipcq stat: everything about one queue.
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queue_text.hpp"
#include "queues.hpp"
#include "quota_spec.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr Table::Align kRight = Table::Align::right;

std::string state_text(const QueueInfo& info) {
  if (info.poisoned)
    return styled(Style::bad, "poisoned: every call is refused until it is repaired (ipcq repair), or created anew");
  if (info.removed) return styled(Style::bad, "removed");
  if (info.closed) return styled(Style::warning, "closed: no new messages; consumers end when they have drained it");
  return styled(Style::good, "open");
}

std::string created_text(const QueueInfo& info) {
  using std::chrono::duration_cast, std::chrono::nanoseconds, std::chrono::system_clock;
  const auto now_ns =
      static_cast<std::uint64_t>(duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count());
  const std::uint64_t age_ns = now_ns > info.created_unix_ns ? now_ns - info.created_unix_ns : 0;
  return format_time(info.created_unix_ns) + ", " + format_duration(age_ns) + " ago";
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "0%";
  return std::to_string(static_cast<int>(100.0 * static_cast<double>(part) / static_cast<double>(whole))) + "%";
}

std::string life_text(const EndpointInfo& endpoint) {
  std::string text = to_string(endpoint.life);
  if (endpoint.revoked) text += ", revoked";
  return text;
}

Style life_style(const EndpointInfo& endpoint) {
  return endpoint.life == Life::alive && !endpoint.revoked ? Style::plain : Style::bad;
}

std::string producers_text(const QueueInfo& info) {
  Table table({{"ROW", kRight},
               {"PID", kRight},
               {"STATE"},
               {"ATTACHED", kRight},
               {"MESSAGES", kRight},
               {"BYTES", kRight},
               {"BATCHES", kRight},
               {"WAITS", kRight},
               {"REFUSED", kRight},
               {"OPEN CLAIM"},
               {"COMMAND"}},
              "  ");
  for (const EndpointInfo& endpoint : info.endpoints) {
    if (!endpoint.producer) continue;
    std::string claim = "-";
    if (endpoint.open_claim) {
      claim = format_bytes(endpoint.open_claim->bytes) + ", " + format_duration(endpoint.open_claim->age_ns);
    }
    table.add({std::to_string(endpoint.row), std::to_string(endpoint.pid), life_text(endpoint),
               format_duration(endpoint.attached_ns), std::to_string(endpoint.messages), format_bytes(endpoint.bytes),
               std::to_string(endpoint.batches), std::to_string(endpoint.waits), std::to_string(endpoint.refusals),
               claim, endpoint.command},
              life_style(endpoint));
  }
  return table.empty() ? "no producer is attached\n" : styled(Style::bold, "producers") + "\n" + table.text();
}

std::string members_text(const QueueInfo& info, const GroupInfo& group) {
  Table table({{"ROW", kRight},
               {"PID", kRight},
               {"STATE"},
               {"ATTACHED", kRight},
               {"MESSAGES", kRight},
               {"BYTES", kRight},
               {"BATCHES", kRight},
               {"WAITS", kRight},
               {"OPEN LEASES", kRight},
               {"COMMAND"}},
              "  ");
  for (const EndpointInfo& endpoint : info.endpoints) {
    if (endpoint.producer || endpoint.group != group.name) continue;
    table.add({std::to_string(endpoint.row), std::to_string(endpoint.pid), life_text(endpoint),
               format_duration(endpoint.attached_ns), std::to_string(endpoint.messages), format_bytes(endpoint.bytes),
               std::to_string(endpoint.batches), std::to_string(endpoint.waits), std::to_string(endpoint.open_leases),
               endpoint.command},
              life_style(endpoint));
  }
  return table.empty() ? "" : table.text();
}

std::string leases_text(const QueueInfo& info, const GroupInfo& group) {
  Table table({{"LEASE"}, {"ROOM", kRight}, {"DELIVERIES", kRight}, {"AGE", kRight}, {"HELD BY"}}, "  ");
  for (const LeaseInfo& lease : group.leases) {
    const bool held = lease.state == "leased";
    const std::string holder = held ? describe_process(lease.pid, lease.command) + ", row " + std::to_string(lease.row)
                               : lease.reason.empty()
                                   ? "-"
                                   : "nobody (queue '" + info.dead_letter + "': " + lease.reason + ")";
    table.add({lease.state, format_bytes(lease.end - lease.begin), std::to_string(lease.deliveries),
               held && lease.age_ns > 0 ? format_duration(lease.age_ns) : "-", holder},
              held ? Style::plain : Style::warning);
  }
  return table.empty() ? "" : table.text();
}

std::string latencies_text(const QueueInfo& info, const GroupInfo& group) {
  if (!info.metrics) return "";  // the settings say that they are off
  if (group.latency.messages == 0) return "";
  Table table(
      {
          {"LATENCY"},
          {"MEAN", kRight},
          {"P50", kRight},
          {"P90", kRight},
          {"P99", kRight},
          {"P99.9", kRight},
          {"MAX", kRight},
      },
      "  ");
  const auto add = [&](const char* name, const LatencyInfo& latency) {
    table.add({name, format_duration(static_cast<std::uint64_t>(latency.mean_ns)), format_duration(latency.p50_ns),
               format_duration(latency.p90_ns), format_duration(latency.p99_ns), format_duration(latency.p999_ns),
               format_duration(latency.max_ns)});
  };
  add("queue", group.queue);
  add("transfer", group.transfer);
  add("processing", group.processing);
  add("all three", group.latency);
  return table.text();
}

std::string group_text(const QueueInfo& info, const GroupInfo& group) {
  std::vector<std::pair<std::string, std::string>> lines;
  lines.emplace_back("kind", group_kind(group));
  std::string depth = depth_text(group) + ", " + format_bytes(group.depth_bytes) + " of the ring (" +
                      percent(group.depth_bytes, info.capacity_bytes) + ")";
  if (info.timestamps && group.oldest_age_ns > 0) depth += ", the oldest " + format_duration(group.oldest_age_ns);
  lines.emplace_back("depth", depth);
  std::string members = format_count(group.members, "living member");
  if (group.unattended) members += styled(Style::warning, ": unattended, messages wait and nobody takes them");
  lines.emplace_back("members", members);
  lines.emplace_back("handed out", format_count(group.leased_messages, "message") + ", " +
                                       std::to_string(group.redelivered_messages) + " again, " +
                                       std::to_string(group.dropped_messages) + " dropped, " +
                                       format_count(group.recovered_leases, "lease") + " recovered from the dead");
  if (info.max_deliveries > 0 || group.purged_messages > 0) {
    std::string given_up = format_count(group.dead_lettered_messages, "message") + " moved to the dead-letter queue";
    if (group.purged_messages > 0) given_up += ", " + std::to_string(group.purged_messages) + " purged";
    if (group.parked_messages > 0) {
      given_up +=
          ", " + styled(Style::warning, std::to_string(group.parked_messages) + " parked: they are tried again");
    }
    lines.emplace_back("given up", given_up);
  }
  if (info.metrics) {
    lines.emplace_back("availability", percent(static_cast<std::uint64_t>(group.availability * 1e6), 1'000'000));
  }

  std::string text = styled(Style::bold, "group " + group.name) + "\n" + labelled(lines, "  ");
  for (const std::string& part : {members_text(info, group), leases_text(info, group), latencies_text(info, group)}) {
    if (!part.empty()) text += "\n" + part;
  }
  return text;
}

std::string report(const QueueInfo& info) {
  std::vector<std::pair<std::string, std::string>> lines{{"state", state_text(info)}};
  for (auto& line : settings_text(info)) lines.push_back(std::move(line));
  lines.emplace_back("created", created_text(info) + ", layout " + std::to_string(info.layout_version));
  lines.emplace_back("depth", format_bytes(info.depth_bytes) + " of the ring (" +
                                  percent(info.depth_bytes, info.capacity_bytes) + "), of the group furthest behind");
  lines.emplace_back("committed",
                     format_count(info.messages, "message") + ", " + format_bytes(info.bytes) + " of payload");
  lines.emplace_back("recovered", format_count(info.abandoned_claims, "claim") + " of the dead skipped, " +
                                      format_count(info.recoveries, "mutex repair"));
  for (auto& line : quotas_text(info.quotas)) lines.push_back(std::move(line));
  std::string text = styled(Style::bold, "queue " + info.name) + "\n" + labelled(lines, "  ");
  text += "\n" + producers_text(info);
  for (const GroupInfo& group : info.groups) text += "\n" + group_text(info, group);
  return text;
}

Exit run(const Arguments& arguments) {
  const QueueInfo info = inspect_queue(arguments, arguments.names().front());
  if (arguments.json()) {
    print_json(queue_json(info));
  } else {
    print(report(info));
  }
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 3,
    .name = "stat",
    .usage = "NAME [options]",
    .summary = "tell everything about one queue: who is attached, who holds what, how deep, how fast",
    .details =
        "Needs read permission only and locks nothing: figures may be a moment apart from each other.\n"
        "docs/stat-json.md lists every field of --json with its unit.\n",
    .example =
        "  ipcq stat orders\n"
        "  ipcq stat orders --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"depth_bytes\"])'\n",
    .names_min = 1,
    .names_max = 1,
    .options = {},
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
