// Names: from a queue's name to its file, and the wording of errors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ipcq/error.hpp"

namespace ipcq::detail {

inline constexpr std::string_view kFilePrefix = "ipcq.";
/// A creator's temporary name where O_TMPFILE does not exist: ".ipcq-new.PID.NUMBER".
inline constexpr std::string_view kLeftoverPrefix = ".ipcq-new.";

/// The queue's file. Throws Error{invalid_name}.
[[nodiscard]] std::string path_of(const std::string& directory, std::string_view name);

/// Names of the directory's queues, and the file names of leftovers, by name. Throws Error{no_such_queue |
/// permission_denied | system}.
[[nodiscard]] std::vector<std::string> names_in(const std::string& directory);

/// Throws Error{code}: "queue 'NAME' (PATH): WHAT; TO_DO".
[[noreturn]] void fail(Errc code, std::string_view name, std::string_view path, std::string_view what,
                       std::string_view to_do, int system_errno = 0);

/// "64 KiB", "1.5 GiB".
[[nodiscard]] std::string size_text(std::uint64_t bytes);

}  // namespace ipcq::detail
