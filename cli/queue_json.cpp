#include "queue_json.hpp"

#include "output.hpp"
#include "people.hpp"
#include "quota_spec.hpp"
#include "units.hpp"

namespace ipcq::cli {
namespace {

Json claim_json(const ClaimInfo& claim) {
  return {{"position", claim.position}, {"ring_bytes", claim.bytes}, {"age_ns", claim.age_ns}};
}

Json endpoint_json(const EndpointInfo& endpoint) {
  Json json;
  json["row"] = endpoint.row;
  json["incarnation"] = endpoint.incarnation;
  json["role"] = endpoint.producer ? "producer" : "consumer";
  json["group"] = endpoint.producer ? Json(nullptr) : Json(endpoint.group);
  json["pid"] = endpoint.pid;
  json["uid"] = endpoint.uid;
  json["command"] = endpoint.command;
  json["life"] = to_string(endpoint.life);
  json["revoked"] = endpoint.revoked;
  json["attached_ns"] = endpoint.attached_ns;
  json["messages"] = endpoint.messages;
  json["payload_bytes"] = endpoint.bytes;
  json["batches"] = endpoint.batches;
  json["waits"] = endpoint.waits;
  json["refusals"] = endpoint.refusals;
  json["quota_refusals"] = endpoint.quota_refusals;
  json["quota_wait_ns"] = endpoint.quota_wait_ns;
  json["open_claim"] = endpoint.open_claim ? claim_json(*endpoint.open_claim) : Json(nullptr);
  json["open_leases"] = endpoint.open_leases;
  return json;
}

Json lease_json(const LeaseInfo& lease) {
  Json json;
  json["state"] = lease.state;
  json["begin"] = lease.begin;
  json["end"] = lease.end;
  json["deliveries"] = lease.deliveries;
  if (lease.state == "leased") {
    json["holder"] = {{"row", lease.row}, {"pid", lease.pid}, {"command", lease.command}};
    json["age_ns"] = lease.age_ns;
  } else {
    json["holder"] = nullptr;
    json["age_ns"] = nullptr;
  }
  json["reason"] = lease.reason.empty() ? Json(nullptr) : Json(lease.reason);
  return json;
}

Json latency_json(const LatencyInfo& latency) {
  return {{"messages", latency.messages}, {"mean_ns", latency.mean_ns}, {"p50_ns", latency.p50_ns},
          {"p90_ns", latency.p90_ns},     {"p99_ns", latency.p99_ns},   {"p999_ns", latency.p999_ns},
          {"max_ns", latency.max_ns}};
}

}  // namespace

Json settings_json(const QueueInfo& info) {
  Json json;
  json["version"] = kJsonVersion;
  json["name"] = info.name;
  json["path"] = info.path;
  json["layout_version"] = info.layout_version;
  json["segment_bytes"] = info.segment_bytes;
  json["capacity_bytes"] = info.capacity_bytes;
  json["message_bytes_max"] = info.message_bytes_max;
  json["owner_uid"] = info.owner;
  json["owner"] = user_name(info.owner);
  json["file_group_gid"] = info.file_group;
  json["file_group"] = user_group_name(info.file_group);
  json["mode"] = format_mode(info.mode);
  json["created_unix_ns"] = info.created_unix_ns;
  json["producers"] = to_string(info.producers);
  json["consumers"] = to_string(info.consumers);
  json["overflow"] = to_string(info.overflow);
  json["max_deliveries"] = info.max_deliveries;
  json["dead_letter"] = info.dead_letter.empty() ? Json(nullptr) : Json(info.dead_letter);
  json["drop_after"] = info.drop_after;
  json["lifetime"] = to_string(info.lifetime);
  json["grace_ns"] = info.lifetime == Lifetime::ephemeral ? Json(info.grace_ns) : Json(nullptr);
  json["type"] = info.type;
  json["alignment_bytes"] = info.alignment_bytes;
  json["timestamps"] = info.timestamps;
  json["metrics"] = info.metrics;
  json["clock"] = info.clock;
  json["endpoints_max"] = info.endpoints_max;
  json["groups_max"] = info.groups_max;
  json["ledger_entries"] = info.ledger_entries;
  return json;
}

Json group_json(const QueueInfo& info, const GroupInfo& group) {
  Json json;
  json["name"] = group.name;
  json["row"] = group.row;
  json["start"] = to_string(group.start);
  json["overflow"] = to_string(group.overflow);
  json["consumers"] = to_string(group.consumers);
  json["lifetime"] = to_string(group.lifetime);
  json["retired"] = group.retired;
  json["depth_bytes"] = group.depth_bytes;
  json["depth_messages"] = group.depth_messages;
  json["depth_exact"] = group.depth_exact;
  json["oldest_age_ns"] = info.timestamps ? Json(group.oldest_age_ns) : Json(nullptr);
  json["members"] = group.members;
  json["unattended"] = group.unattended;
  json["leases"] = Json::array();
  for (const LeaseInfo& lease : group.leases) json["leases"].push_back(lease_json(lease));
  json["leased_messages"] = group.leased_messages;
  json["redelivered_messages"] = group.redelivered_messages;
  json["dropped_messages"] = group.dropped_messages;
  json["dead_lettered_messages"] = group.dead_lettered_messages;
  json["parked_messages"] = group.parked_messages;
  json["purged_messages"] = group.purged_messages;
  json["recovered_leases"] = group.recovered_leases;
  json["availability"] = info.metrics ? Json(group.availability) : Json(nullptr);
  if (info.metrics) {
    json["latencies"] = {{"queue", latency_json(group.queue)},
                         {"transfer", latency_json(group.transfer)},
                         {"processing", latency_json(group.processing)},
                         {"latency", latency_json(group.latency)}};
  } else {
    json["latencies"] = nullptr;
  }
  return json;
}

Json queue_json(const QueueInfo& info) {
  Json json = settings_json(info);
  json["closed"] = info.closed;
  json["removed"] = info.removed;
  json["poisoned"] = info.poisoned;
  json["claim_position"] = info.claim_position;
  json["depth_bytes"] = info.depth_bytes;
  json["messages"] = info.messages;
  json["payload_bytes"] = info.bytes;
  json["abandoned_claims"] = info.abandoned_claims;
  json["recoveries"] = info.recoveries;
  json["quota_refusals"] = info.quota_refusals;
  json["quota_wait_ns"] = info.quota_wait_ns;
  json["quotas"] = Json::array();
  for (const QuotaInfo& quota : info.quotas) json["quotas"].push_back(quota_json(quota));
  json["endpoints"] = Json::array();
  for (const EndpointInfo& endpoint : info.endpoints) json["endpoints"].push_back(endpoint_json(endpoint));
  json["groups"] = Json::array();
  for (const GroupInfo& group : info.groups) json["groups"].push_back(group_json(info, group));
  return json;
}

Json dead_letter_json(const DeadLetter& letter) {
  Json json;
  json["queue"] = std::string(letter.queue);
  json["queue_created_unix_ns"] = letter.queue_created_unix_ns;
  json["group"] = std::string(letter.group);
  json["position"] = letter.position;
  json["deliveries"] = letter.deliveries;
  json["tag"] = letter.tag;
  json["sent_unix_ns"] = letter.sent_unix_ns == 0 ? Json(nullptr) : Json(letter.sent_unix_ns);
  json["moved_unix_ns"] = letter.moved_unix_ns;
  return json;
}

Json summary_json(const QueueSummary& summary) {
  Json json;
  json["name"] = summary.name;
  json["path"] = summary.path;
  json["owner_uid"] = summary.owner;
  json["owner"] = user_name(summary.owner);
  json["mode"] = format_mode(summary.mode);
  json["segment_bytes"] = summary.segment_bytes;
  json["capacity_bytes"] = summary.capacity_bytes;
  json["depth_bytes"] = summary.depth_bytes;
  json["producers"] = summary.producers;
  json["consumers"] = summary.consumers;
  json["living"] = summary.living;
  json["groups"] = summary.groups;
  json["closed"] = summary.closed;
  json["leftover"] = summary.leftover;
  json["problem"] = summary.problem ? Json(to_string(*summary.problem)) : Json(nullptr);
  json["problem_text"] = summary.problem ? Json(summary.problem_text) : Json(nullptr);
  return json;
}

void print_json(const Json& json) { print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"); }

}  // namespace ipcq::cli
