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

/// Two lines of the producer side have an event each; a third one stands in the queue's quota bucket.
inline layout::AtomicU32& word_of(layout::EventLine& event) noexcept { return event.word; }
inline const layout::AtomicU32& word_of(const layout::EventLine& event) noexcept { return event.word; }
inline layout::AtomicU32& word_of(layout::AtomicU32& event) noexcept { return event; }
inline const layout::AtomicU32& word_of(const layout::AtomicU32& event) noexcept { return event; }

/// Sets the waiter bit; the value to sleep on. Look again after it.
template <class Event>
std::uint32_t arm(Event& event) noexcept {
  const std::uint32_t armed =
      word_of(event).fetch_or(kWaiterBit, std::memory_order_seq_cst) | kWaiterBit;  // A:wake, with R:wake
  IPCQ_CRASH_POINT("wait.armed");  // die here → a bit that costs the next publisher one system call
  return armed;
}

/// Sleeps until the word is no longer `armed`, or the deadline (os::futex_wait). False: the deadline passed.
template <class Event>
bool sleep(Event& event, std::uint32_t armed, std::int64_t deadline_ns) noexcept {
  return os::futex_wait(word_of(event), armed, deadline_ns);
}

template <class Event>
[[nodiscard]] bool somebody_waits(const Event& event) noexcept {
  return (word_of(event).load(std::memory_order_seq_cst) & kWaiterBit) != 0;  // R:wake, with A:wake
}

/// Wakes all waiters if there are any. The caller's change was a seq_cst read-modify-write.
///  1. epoch + 1, bit clear   (die here → the sleepers look again at their next backstop)
///  2. FUTEX_WAKE of all
template <class Event>
void notify(Event& event) noexcept {
  std::uint32_t word = word_of(event).load(std::memory_order_seq_cst);  // R:wake, with A:wake
  while ((word & kWaiterBit) != 0) {
    // seq_cst: the new epoch is in the same order as the waiters' arm() (A:wake).
    if (word_of(event).compare_exchange_weak(word, word + 1, std::memory_order_seq_cst)) {
      IPCQ_CRASH_POINT("wake.cleared");
      os::futex_wake_all(word_of(event));
      return;
    }
  }
}

/// The same behind a change that was not itself a seq_cst read-modify-write: the read-modify-write that makes it so.
template <class Event>
void publish_fenced(Event& event) noexcept {
  word_of(event).fetch_or(0, std::memory_order_seq_cst);  // R:wake, with A:wake
  notify(event);
}

/// Moves the epoch although nothing was published, so that a thread between arm() and sleep() does not sleep (cancel).
/// Async-signal-safe.
template <class Event>
void kick(Event& event) noexcept {
  std::uint32_t word = word_of(event).load(std::memory_order_relaxed);  // relaxed: the exchange below decides
  // seq_cst: after the cancel flag, before the canceller's wake (A:wake).
  while (!word_of(event).compare_exchange_weak(word, (word | kWaiterBit) + 1, std::memory_order_seq_cst)) {
  }
  os::futex_wake_all(word_of(event));
}

}  // namespace ipcq::core
