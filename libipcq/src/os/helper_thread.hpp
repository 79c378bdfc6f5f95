// Helper threads: of the library's own, in a program that knows nothing of them.
#pragma once

#include <functional>
#include <thread>

namespace ipcq::os {

/// Starts a thread with all signals blocked, so that the program's handlers run in the program's threads. `name`: at most 15
/// bytes, as `ps -L` shows it. Throws std::system_error.
[[nodiscard]] std::thread start_helper(const char* name, std::function<void()> run);

}  // namespace ipcq::os
