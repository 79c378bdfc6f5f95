#include "queue_text.hpp"

#include "output.hpp"
#include "people.hpp"
#include "units.hpp"

namespace ipcq::cli {

std::vector<std::pair<std::string, std::string>> settings_text(const QueueInfo& info) {
  const auto on_off = [](bool on) { return on ? "on" : "off"; };
  std::vector<std::pair<std::string, std::string>> lines{
      {"path", printable(info.path)},
      {"capacity", format_bytes(info.capacity_bytes) + " (" + std::to_string(info.capacity_bytes) +
                       " bytes), messages up to " + std::to_string(info.message_bytes_max) + " bytes"},
      {"owner", printable(user_name(info.owner)) + ":" + printable(user_group_name(info.file_group)) + ", mode " +
                    format_mode(info.mode)},
      {"producers", to_string(info.producers)},
      {"consumers", std::string(to_string(info.consumers)) + ", overflow " + to_string(info.overflow)},
      {"options", std::string("timestamps ") + on_off(info.timestamps) + ", metrics " + on_off(info.metrics) +
                      ", clock " + info.clock + ", alignment " + format_bytes(info.alignment_bytes)},
      {"limits", format_count(info.endpoints_max, "endpoint") + ", " + format_count(info.groups_max, "group") + ", " +
                     format_count(info.ledger_entries, "open lease") + " a group"},
  };
  if (info.max_deliveries > 0) {
    lines.emplace_back("deliveries",
                       "at most " + std::to_string(info.max_deliveries) + " a group, then " +
                           (info.drop_after ? "dropped" : "to queue '" + printable(info.dead_letter) + "'"));
  }
  if (info.lifetime == Lifetime::ephemeral) {
    lines.emplace_back("lifetime", "ephemeral: removed once it is drained and nobody has been attached for " +
                                       format_duration(info.grace_ns));
  }
  if (!info.type.empty()) lines.emplace_back("type", printable(info.type));
  return lines;
}

std::string group_kind(const GroupInfo& group) {
  return std::string("from ") + to_string(group.start) + ", overflow " + to_string(group.overflow) + ", " +
         to_string(group.consumers) + " consumers, " + to_string(group.lifetime);
}

std::string depth_text(const GroupInfo& group) {
  return (group.depth_exact ? "" : "at least ") + format_count(group.depth_messages, "message");
}

}  // namespace ipcq::cli
