// Scoped locking of the segment's mutexes, with the repair that follows a death.
#pragma once

#include <cstdint>

#include "core/view.hpp"
#include "os/futex.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::core {

/// How a lock attempt ended for the caller.
enum class Locked : std::uint8_t {
  yes,
  timed_out,  // a living (perhaps stopped) process kept it past the deadline
  poisoned,   // for good: a repair met a state it cannot mend
};

/// A lock that nobody may wait for without bound: the least time that even a call that does not wait grants its holder,
/// who keeps it for tens of nanoseconds unless he is stopped or preempted.
inline constexpr std::int64_t kLockPatience_ns = 4'000'000;

void mark_poisoned(const View& view) noexcept;

/// Locks `mutex`; if its holder died, runs `repair() -> bool` and marks the mutex consistent. A repair that fails poisons
/// the segment and makes the mutex not recoverable: every later call of anybody is answered with `poisoned`.
template <class Repair>
[[nodiscard]] Locked lock_repaired(const View& view, os::RobustMutex& mutex, std::int64_t deadline_ns,
                                   Repair&& repair) noexcept {
  switch (mutex.lock(deadline_ns)) {
    case os::LockResult::clean:
      return Locked::yes;
    case os::LockResult::owner_died:
      // die here or in the repair → the next locker gets owner_died and repairs again: repairs derive, they do not count
      if (repair()) {
        mutex.consistent();
        return Locked::yes;
      }
      mark_poisoned(view);
      mutex.unlock();  // without consistent(): not recoverable
      return Locked::poisoned;
    case os::LockResult::not_recoverable:
      mark_poisoned(view);
      return Locked::poisoned;
    default:
      return Locked::timed_out;  // or a misuse of this thread's own (a signal handler inside a call): not the segment's fault
  }
}

/// `deadline_ns` of a lock for a call that may wait until `call_deadline_ns`. One clock read, only when somebody holds it.
[[nodiscard]] inline std::int64_t lock_deadline(const os::RobustMutex& mutex, std::int64_t call_deadline_ns) noexcept {
  if (call_deadline_ns == os::kNoDeadline) return os::kNoDeadline;
  if (mutex.holder() == 0) return 0;  // most likely free: one attempt needs no clock
  const std::int64_t least = os::monotonic_ns() + kLockPatience_ns;
  return call_deadline_ns > least ? call_deadline_ns : least;
}

/// Locks with the deadline of a call, being patient with a holder that was not there a moment before.
template <class Repair>
[[nodiscard]] Locked lock_for_call(const View& view, os::RobustMutex& mutex, std::int64_t call_deadline_ns,
                                   Repair&& repair) noexcept {
  const std::int64_t first = lock_deadline(mutex, call_deadline_ns);
  const Locked locked = lock_repaired(view, mutex, first, repair);
  if (locked != Locked::timed_out || first != 0) return locked;
  const std::int64_t least = os::monotonic_ns() + kLockPatience_ns;
  return lock_repaired(view, mutex, call_deadline_ns > least ? call_deadline_ns : least, repair);
}

}  // namespace ipcq::core
