// Queues in words, for people: what `create` and `stat` print.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ipcq/admin.hpp"

namespace ipcq::cli {

/// What was chosen when the queue was created, and where it is: labels and values.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> settings_text(const QueueInfo& info);

/// "from oldest, overflow block, shared consumers, persistent".
[[nodiscard]] std::string group_kind(const GroupInfo& group);

/// "12 messages"; "at least 12 messages" where not all could be counted.
[[nodiscard]] std::string depth_text(const GroupInfo& group);

}  // namespace ipcq::cli
