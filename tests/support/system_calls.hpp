// What a test may do to the system calls of one thread: count them, or have some refused. By seccomp filters, which end with
// the thread; the library under test is the one that is installed, and knows nothing of it.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>

namespace ipcq::support {

/// Runs `call` in a thread of its own, and says how often it made which system call. What the call throws goes on. One at a
/// time in a program.
[[nodiscard]] std::map<int, std::uint32_t> count_system_calls(const std::function<void()>& call);

/// From here on the calling thread, and threads that it starts, get `error` for these system calls: an older kernel, or a
/// container's filter.
void refuse_system_calls(std::initializer_list<int> numbers, int error);

}  // namespace ipcq::support
