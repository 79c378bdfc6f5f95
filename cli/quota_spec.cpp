#include "quota_spec.hpp"

#include <cmath>
#include <limits>

#include "people.hpp"
#include "units.hpp"

namespace ipcq::cli {
namespace {

std::string messages_text(const Quota& quota) {
  if (!(quota.messages_per_second > 0)) return "";
  std::string text = format_rate(quota.messages_per_second);
  if (quota.burst_messages > 0) text += ", burst " + std::to_string(quota.burst_messages);
  return text;
}

std::string bytes_text(const Quota& quota) {
  if (!(quota.bytes_per_second > 0)) return "";
  std::string text = format_byte_rate(quota.bytes_per_second);
  if (quota.burst_bytes > 0) text += ", burst " + format_bytes(quota.burst_bytes);
  return text;
}

Json limit_json(const Quota& quota) {
  if (!quota.limits()) return nullptr;
  const auto rate = [](double per_second) { return per_second > 0 ? Json(per_second) : Json(nullptr); };
  const auto burst = [](auto count) { return count > 0 ? Json(count) : Json(nullptr); };
  return {{"messages_per_second", rate(quota.messages_per_second)},
          {"burst_messages", burst(quota.burst_messages)},
          {"bytes_per_second", rate(quota.bytes_per_second)},
          {"burst_bytes", burst(quota.burst_bytes)}};
}

}  // namespace

Quota quota_of(const Arguments& arguments) {
  Quota quota;
  if (const auto text = arguments.value("rate")) quota.messages_per_second = parse_rate("--rate", *text);
  if (const auto text = arguments.value("byte-rate")) quota.bytes_per_second = parse_byte_rate("--byte-rate", *text);
  if (const auto text = arguments.value("burst")) {
    if (!arguments.has("rate")) throw UsageError("--burst: of what rate? say --rate too");
    quota.burst_messages =
        static_cast<std::uint32_t>(parse_number("--burst", *text, 1, std::numeric_limits<std::uint32_t>::max()));
  }
  if (const auto text = arguments.value("byte-burst")) {
    if (!arguments.has("byte-rate")) throw UsageError("--byte-burst: of what rate? say --byte-rate too");
    quota.burst_bytes = parse_size("--byte-burst", *text);
    if (quota.burst_bytes == 0) throw UsageError("--byte-burst: nothing would ever pass at once: say 1 or more");
  }
  return quota;
}

std::string scope_text(const QuotaScope& scope) {
  switch (scope.kind) {
    case QuotaScope::Kind::queue:
      return "queue";
    case QuotaScope::Kind::user:
      return "user " + user_name(scope.number);
    case QuotaScope::Kind::each_producer:
      return "each producer";
    case QuotaScope::Kind::producer:
      return "producer in row " + std::to_string(scope.number);
  }
  return "";
}

std::string quota_text(const Quota& quota) {
  const std::string messages = messages_text(quota);
  const std::string bytes = bytes_text(quota);
  return messages + (messages.empty() || bytes.empty() ? "" : "; ") + bytes;
}

std::vector<std::pair<std::string, std::string>> quotas_text(const std::vector<QuotaInfo>& quotas) {
  std::vector<std::pair<std::string, std::string>> lines;
  for (const QuotaInfo& info : quotas) {
    std::string text = scope_text(info.scope) + ": ";
    if (info.messages_by) text += messages_text(info.holds) + " (" + to_string(*info.messages_by) + ")";
    if (info.bytes_by) {
      text += (info.messages_by ? "; " : "") + bytes_text(info.holds) + " (" + to_string(*info.bytes_by) + ")";
    }
    if (info.refusals > 0) text += ", " + format_count(info.refusals, "claim") + " refused";
    if (info.wait_ns > 0) text += ", waited " + format_duration(info.wait_ns);
    lines.emplace_back("quota", text);
  }
  return lines;
}

Json quota_json(const QuotaInfo& info) {
  const auto by = [](const std::optional<QuotaSource>& source) {
    return source ? Json(to_string(*source)) : Json(nullptr);
  };
  Json json;
  switch (info.scope.kind) {
    case QuotaScope::Kind::queue:
      json["scope"] = "queue";
      break;
    case QuotaScope::Kind::user:
      json["scope"] = "user";
      break;
    case QuotaScope::Kind::each_producer:
      json["scope"] = "each_producer";
      break;
    case QuotaScope::Kind::producer:
      json["scope"] = "producer";
      break;
  }
  json["uid"] = info.scope.kind == QuotaScope::Kind::user ? Json(info.scope.number) : Json(nullptr);
  json["row"] = info.scope.kind == QuotaScope::Kind::producer ? Json(info.scope.number) : Json(nullptr);
  json["holds"] = limit_json(info.holds);
  json["messages_by"] = by(info.messages_by);
  json["bytes_by"] = by(info.bytes_by);
  for (const QuotaSource source : kQuotaSources) json[to_string(source)] = limit_json(info.limit(source));
  json["owed_ns"] = info.owed_ns;
  json["refusals"] = info.refusals;
  json["wait_ns"] = info.wait_ns;
  return json;
}

}  // namespace ipcq::cli
