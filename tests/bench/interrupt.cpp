#include "interrupt.hpp"

#include <array>
#include <cstddef>

namespace ipcq::bench {
namespace {

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGPIPE};
std::array<struct sigaction, kSignals.size()> actions_before;
sigset_t mask_before;
sigset_t blocked;
volatile std::sig_atomic_t caught_signal = 0;

void note_signal(int number) { caught_signal = number; }

}  // namespace

void catch_interrupts() {
  sigemptyset(&blocked);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    const int number = kSignals[i];
    sigaction(number, nullptr, &actions_before[i]);
    if (actions_before[i].sa_handler == SIG_IGN) continue;  // nohup
    struct sigaction action {};
    action.sa_handler = number == SIGPIPE ? SIG_IGN : note_signal;
    sigaction(number, &action, nullptr);
    if (number != SIGPIPE) sigaddset(&blocked, number);
  }
  sigprocmask(SIG_BLOCK, &blocked, &mask_before);
}

int interrupted() noexcept {
  if (caught_signal != 0) return caught_signal;
  // Outside a wait, or when the wait ended for another reason at that moment, the signal is still pending.
  sigset_t pending;
  sigpending(&pending);
  for (const int number : kSignals) {
    if (sigismember(&blocked, number) == 1 && sigismember(&pending, number) == 1) return number;
  }
  return 0;
}

const sigset_t& waiting_mask() noexcept { return mask_before; }

void restore_signals() noexcept {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &actions_before[i], nullptr);
  sigprocmask(SIG_SETMASK, &mask_before, nullptr);
}

}  // namespace ipcq::bench
