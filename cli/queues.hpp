// Opening queues for the verbs, with the hints a person needs when it fails.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/queue.hpp"

namespace ipcq::cli {

[[nodiscard]] OpenOptions open_options(const Arguments& arguments);

/// Where the file of `name` is, without opening it: rm and close work on queues of other layouts, which cannot be opened.
[[nodiscard]] std::string queue_path(const Arguments& arguments, const std::string& name);

/// Checks the name, opens the queue. A missing one: Failure with the `ipcq create` line to use.
[[nodiscard]] Queue open_queue(const Arguments& arguments, const std::string& name);
/// The same, for who only looks (read permission is enough).
[[nodiscard]] QueueInfo inspect_queue(const Arguments& arguments, const std::string& name);

/// A library's error as a Failure: its message, the exit code, and for a missing queue or group what to type.
[[nodiscard]] Failure to_failure(const Error& error, const Arguments& arguments, const std::string& name);

/// Administration is for the owner of the queue's file, and root: the library lets every participant do it, so the tool
/// must ask. Throws Failure(permission) naming the owner. `deed`: "close it".
void require_owner(const std::string& path, const std::string& name, const char* deed);

/// "process 1234 (python3 feed.py) holds the claim in front, for 3.2s"; empty if nobody is known.
[[nodiscard]] std::string describe(const std::optional<BlockedBy>& blocked_by);
/// "process 1234 (python3 feed.py)".
[[nodiscard]] std::string describe_process(std::uint32_t pid, std::string_view command);

}  // namespace ipcq::cli
