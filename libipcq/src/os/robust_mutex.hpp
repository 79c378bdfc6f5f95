// RobustMutex: a process-shared mutex that tells when its holder died. The one file that includes <pthread.h>.
#pragma once

#include <pthread.h>

#include <cstdint>

namespace ipcq::os {

enum class LockResult : std::uint8_t {
  clean,            ///< held; what it protects is whole
  owner_died,       ///< held; the last holder died inside: repair, then consistent(), or give up by unlock()
  timed_out,        ///< not held; a living (perhaps stopped) holder kept it past the deadline
  not_recoverable,  ///< not held, and never again: somebody gave up a repair, or the memory is no such mutex (damage)
  error,            ///< not held; misuse or a kernel without robust futexes
};

/// What a mutex's memory says, taken without locking; also of memory that is no mutex at all.
struct MutexState {
  bool well_formed = false;      ///< of the kind that init() makes
  bool not_recoverable = false;  ///< somebody gave up a repair
  bool holder_died = false;      ///< the kernel's mark, which nobody has noticed yet
  std::uint32_t holder = 0;      ///< thread id as its PID namespace sees it; 0: nobody
};

/// ERRORCHECK, robust, process-shared. Lives in the control area, which is mapped once and at one place for the life of
/// the mapping (glibc links it into a per-thread list by address). Held only inside the library, one at a time, for
/// bounded work, with no callbacks and no allocation.
///
/// Never pthread_mutex_trylock: on a mutex that is not recoverable glibc answers ENOTRECOVERABLE and leaves it taken, so
/// that everybody else blocks for ever.
class RobustMutex {
 public:
  /// Formats the memory. Before the segment is visible to anybody. Returns an errno, 0 on success.
  int init() noexcept;
  /// Locks, waiting at most until CLOCK_MONOTONIC reaches `deadline_ns` (os::kNoDeadline: without limit; 0: one attempt).
  /// Spins a little before it sleeps.
  [[nodiscard]] LockResult lock(std::int64_t deadline_ns) noexcept;
  /// After owner_died, when the protected state is whole again. Dies the holder before this, the next gets owner_died.
  void consistent() noexcept;
  /// Without consistent() after owner_died: makes the mutex not recoverable for all.
  void unlock() noexcept;
  /// Whether a dead holder has left it so that nobody may notice until somebody locks it. One load; a hint.
  [[nodiscard]] bool holder_died() const noexcept;
  /// Thread id of the holder as its PID namespace sees it; 0: nobody. A hint, for reports.
  [[nodiscard]] std::uint32_t holder() const noexcept;
  /// All of that at once, of a copy of the mutex too.
  [[nodiscard]] MutexState look() const noexcept;
  /// Marks it as the kernel does when a holder dies, so that the next locker is told and repairs: for a mutex that is not
  /// recoverable (`holder` 0), or whose holder is not there although the kernel never marked it. One exchange; false if
  /// somebody else is in the mutex meanwhile.
  bool mark_holder_died(std::uint32_t holder) noexcept;
  /// While the calling thread holds it, and locked none after it: whether the kernel, should the thread die now, would look
  /// for it in the list that glibc keeps. Not so if a library replaced the thread's list (set_robust_list(2)).
  [[nodiscard]] bool kernel_would_find_it() const noexcept;
  /// What makes it robust and shared, in glibc's bits; the same of all that init() has made.
  [[nodiscard]] int kind() const noexcept;

 private:
  pthread_mutex_t mutex_;
};

/// Whether robust mutexes work in this process, and in the calling thread. A thread dies holding one and the next locker
/// must be told: that costs one thread, is done once per process, and the answer is kept. Then, each time, whether the
/// kernel still has the list that glibc links this thread's mutexes into: a library that calls set_robust_list itself
/// breaks them silently. About a microsecond.
[[nodiscard]] bool robust_mutexes_work() noexcept;

/// Registers a handler that runs in the child of every fork(), for the life of the process. Returns an errno. Here
/// because <pthread.h> is included by this file alone.
int on_fork_in_child(void (*handler)()) noexcept;

}  // namespace ipcq::os
