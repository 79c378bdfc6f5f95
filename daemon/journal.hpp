// What the daemon says, on standard error: a line each, with the level that journald reads.
#pragma once

#include <string_view>

namespace ipcq::daemon {

/// As syslog(3) numbers them.
enum class Level { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

/// One line, control characters shown as '?'. "<6>text" where standard error is no terminal, else "ipcqd: text". One
/// write(2); never fails, and never waits longer than standard error does.
void say(Level level, std::string_view text) noexcept;
/// Whether `debug` is said at all (--verbose).
void set_verbose(bool verbose) noexcept;

}  // namespace ipcq::daemon
