// Touches: which instructions of an operation read or write shared memory, or call the kernel. Between two of these nobody but
// the process itself can tell where it stands: to stop it at each of them is to stop it everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "crash/sweep/path.hpp"
#include "crash/sweep/tracee.hpp"

namespace ipcq::sweep {

/// Steps the child through its operation, all of it, and adds its way to `path`. Returns the numbers of the instructions, from 0,
/// that touch what the child maps of files in `directory`, or are system calls. For that these pages are closed to the
/// child, and opened for one instruction at a time: what the processor refuses is a touch, however it was addressed.
/// Throws std::runtime_error if the operation fails.
[[nodiscard]] std::vector<std::uint64_t> touches_of(Tracee& child, const std::string& directory, Path& path);

}  // namespace ipcq::sweep
