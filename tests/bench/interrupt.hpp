// Ctrl-C, SIGTERM and SIGHUP end the program in good order: what runs is killed, what lies in /dev/shm removed.
#pragma once

#include <csignal>

namespace ipcq::bench {

/// From here on the three signals (unless they were ignored before) end only waits that pass `waiting_mask()`, so none is
/// missed between a look and a wait. SIGPIPE is ignored: a reader that goes away must not leave queues behind.
void catch_interrupts();
/// The signal that came, or 0.
[[nodiscard]] int interrupted() noexcept;
[[nodiscard]] const sigset_t& waiting_mask() noexcept;
/// For a forked child: signals as they were before catch_interrupts.
void restore_signals() noexcept;

}  // namespace ipcq::bench
