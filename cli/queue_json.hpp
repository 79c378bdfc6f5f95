// Queues as JSON: the fields that docs/stat-json.md and docs/command-line.md promise. A field never changes its meaning
// or its unit; new ones may come. Anything else raises the number under "version".
#pragma once

#include <nlohmann/json.hpp>

#include "ipcq/admin.hpp"
#include "ipcq/dead_letter.hpp"

namespace ipcq::cli {

/// Keys in the order they are set: what people look for first stands first.
using Json = nlohmann::ordered_json;

inline constexpr int kJsonVersion = 1;

/// What was chosen when the queue was created, and where it is. Part of `stat`, all of `create`.
[[nodiscard]] Json settings_json(const QueueInfo& info);
/// All of `stat`.
[[nodiscard]] Json queue_json(const QueueInfo& info);
/// One group, as in `stat` and `group ls`.
[[nodiscard]] Json group_json(const QueueInfo& info, const GroupInfo& group);
/// The origin of a dead letter.
[[nodiscard]] Json dead_letter_json(const DeadLetter& letter);
/// One line of `ls`.
[[nodiscard]] Json summary_json(const QueueSummary& summary);

/// To standard output. Bytes that are no UTF-8 (names and commands of others) become U+FFFD.
void print_json(const Json& json);

}  // namespace ipcq::cli
