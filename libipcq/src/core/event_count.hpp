// Event count: sleep until something was published, without losing a wake-up and without a syscall while nobody sleeps.
//
// One 32-bit word: epoch << 1 | somebody waits. It is the futex word too.
//   waiter:     v = arm(); look again; if nothing: sleep(v)
//   publisher:  change the shared state by a seq_cst read-modify-write (or publish_fenced); notify()
// Of "publisher changes" and "waiter sets the bit", one comes first in the order of seq_cst operations: either the waiter's
// second look sees the change, or the publisher sees the bit. The value compare of FUTEX_WAIT is on a word that only goes
// forward: a stale value never sleeps. All are woken, so that a killed waiter cannot swallow the wake of another.
// A flag as futex word, a counter of waiters, waking one, or a waiter without its own seq_cst step each lose wake-ups or
// pay for the dead (docs/ordering.md).
#pragma once

#include <atomic>
#include <cstdint>

#include "core/crash_point.hpp"
#include "layout/layout.hpp"
#include "os/futex.hpp"

namespace ipcq::core {

inline constexpr std::uint32_t kWaiterBit = 1;

/// Sets the waiter bit; the value to sleep on. Look again after it.
inline std::uint32_t arm(layout::EventLine& event) noexcept {
  const std::uint32_t armed =
      event.word.fetch_or(kWaiterBit, std::memory_order_seq_cst) | kWaiterBit;  // A:wake, with R:wake
  IPCQ_CRASH_POINT("wait.armed");  // die here → a bit that costs the next publisher one system call
  return armed;
}

/// Sleeps until the word is no longer `armed`, or the deadline (os::futex_wait). False: the deadline passed.
inline bool sleep(layout::EventLine& event, std::uint32_t armed, std::int64_t deadline_ns) noexcept {
  return os::futex_wait(event.word, armed, deadline_ns);
}

[[nodiscard]] inline bool somebody_waits(const layout::EventLine& event) noexcept {
  return (event.word.load(std::memory_order_seq_cst) & kWaiterBit) != 0;  // R:wake, with A:wake
}

/// Wakes all waiters if there are any. The caller's change was a seq_cst read-modify-write.
///  1. epoch + 1, bit clear   (die here → the sleepers look again at their next backstop)
///  2. FUTEX_WAKE of all
inline void notify(layout::EventLine& event) noexcept {
  std::uint32_t word = event.word.load(std::memory_order_seq_cst);  // R:wake, with A:wake
  while ((word & kWaiterBit) != 0) {
    // seq_cst: the new epoch is in the same order as the waiters' arm() (A:wake).
    if (event.word.compare_exchange_weak(word, word + 1, std::memory_order_seq_cst)) {
      IPCQ_CRASH_POINT("wake.cleared");
      os::futex_wake_all(event.word);
      return;
    }
  }
}

/// The same behind a change that was not itself a seq_cst read-modify-write: the read-modify-write that makes it so.
inline void publish_fenced(layout::EventLine& event) noexcept {
  event.word.fetch_or(0, std::memory_order_seq_cst);  // R:wake, with A:wake
  notify(event);
}

/// Moves the epoch although nothing was published, so that a thread between arm() and sleep() does not sleep (cancel).
/// Async-signal-safe.
inline void kick(layout::EventLine& event) noexcept {
  std::uint32_t word = event.word.load(std::memory_order_relaxed);  // relaxed: the exchange below decides
  // seq_cst: after the cancel flag, before the canceller's wake (A:wake).
  while (!event.word.compare_exchange_weak(word, (word | kWaiterBit) + 1, std::memory_order_seq_cst)) {
  }
  os::futex_wake_all(event.word);
}

}  // namespace ipcq::core
