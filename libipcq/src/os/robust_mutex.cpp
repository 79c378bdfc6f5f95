#include "os/robust_mutex.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <ctime>

#include "os/clock.hpp"
#include "os/futex.hpp"

#if defined(__SANITIZE_THREAD__)
#define IPCQ_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IPCQ_TSAN 1
#endif
#endif
#ifdef IPCQ_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace ipcq::os {
namespace {

// ThreadSanitizer of gcc 12 and clang 14 does not know pthread_mutex_clocklock: it is told.
int lock_by_clock(pthread_mutex_t* mutex, const timespec* at) noexcept {
#ifdef IPCQ_TSAN
  __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
  const int error = pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, at);
  const unsigned held = error == 0 || error == EOWNERDEAD ? 0U : static_cast<unsigned>(__tsan_mutex_try_lock_failed);
  __tsan_mutex_post_lock(mutex, __tsan_mutex_try_lock | held, 0);
  return error;
#else
  return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, at);
#endif
}

// The futex word as glibc and the kernel share it (futex(2), "Robust futexes"): thread id and two flags.
constexpr std::uint32_t kOwnerDied = 0x40000000U;
constexpr std::uint32_t kThreadId = 0x3fffffffU;
// What glibc writes where the owner stands when a repair was given up (PTHREAD_MUTEX_NOTRECOVERABLE, nptl/pthreadP.h).
constexpr int kNotRecoverable = 0x7ffffffe;

std::uint32_t word_of(const pthread_mutex_t& mutex) noexcept {
  return static_cast<std::uint32_t>(__atomic_load_n(&mutex.__data.__lock, __ATOMIC_RELAXED));
}

// What init() makes of a mutex. glibc trusts it: with other bits there its calls take other ways, up to an abort().
int kind_of_ours() noexcept {
  static const int kKind = [] {
    RobustMutex sound;
    return sound.init() == 0 ? sound.kind() : -1;
  }();
  return kKind;
}

LockResult result_of(int error) noexcept {
  switch (error) {
    case 0:
      return LockResult::clean;
    case EOWNERDEAD:
      return LockResult::owner_died;
    case ETIMEDOUT:
      return LockResult::timed_out;
    case ENOTRECOVERABLE:
      return LockResult::not_recoverable;
    default:
      return LockResult::error;
  }
}

}  // namespace

int RobustMutex::init() noexcept {
  pthread_mutexattr_t attributes;
  if (const int error = pthread_mutexattr_init(&attributes); error != 0) return error;
  int error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  if (error == 0) error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (error == 0) error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (error == 0) error = pthread_mutex_init(&mutex_, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return error;
}

LockResult RobustMutex::lock(std::int64_t deadline_ns) noexcept {
  if (kind() != kind_of_ours()) return LockResult::not_recoverable;
  // Holders keep it for tens of nanoseconds: a short spin saves both sides the futex.
  constexpr int kSpins = 64;
  for (int spin = 0; spin < kSpins && (word_of(mutex_) & kThreadId) != 0; ++spin) __builtin_ia32_pause();
  if (deadline_ns == kNoDeadline) return result_of(pthread_mutex_lock(&mutex_));
  timespec at{};
  at.tv_sec = deadline_ns / 1'000'000'000;
  at.tv_nsec = deadline_ns % 1'000'000'000;
  return result_of(lock_by_clock(&mutex_, &at));
}

void RobustMutex::consistent() noexcept { pthread_mutex_consistent(&mutex_); }

void RobustMutex::unlock() noexcept { pthread_mutex_unlock(&mutex_); }

int RobustMutex::kind() const noexcept { return __atomic_load_n(&mutex_.__data.__kind, __ATOMIC_RELAXED); }

bool RobustMutex::holder_died() const noexcept { return (word_of(mutex_) & kOwnerDied) != 0; }

std::uint32_t RobustMutex::holder() const noexcept { return word_of(mutex_) & kThreadId; }

MutexState RobustMutex::look() const noexcept {
  // acquire: what the caller loads after it is not older than the word.
  const auto word = static_cast<std::uint32_t>(__atomic_load_n(&mutex_.__data.__lock, __ATOMIC_ACQUIRE));
  MutexState state;
  state.well_formed = kind() == kind_of_ours();
  state.holder_died = (word & kOwnerDied) != 0;
  // The mark comes first in a locker's eyes, even on a mutex whose repair was given up.
  state.not_recoverable =
      !state.holder_died && __atomic_load_n(&mutex_.__data.__owner, __ATOMIC_RELAXED) == kNotRecoverable;
  state.holder = word & kThreadId;
  return state;
}

bool RobustMutex::mark_holder_died(std::uint32_t holder) noexcept {
  // glibc looks for this mark before it looks whether a repair was given up: its next locker is the owner of a mutex that
  // is inconsistent, as after any death, and may make it consistent.
  auto& word = reinterpret_cast<std::atomic<std::uint32_t>&>(mutex_.__data.__lock);
  std::uint32_t before = word.load(std::memory_order_relaxed);  // relaxed: the exchange decides
  if ((before & kThreadId) != holder || (before & kOwnerDied) != 0) return false;
  const std::uint32_t waiters = before & ~(kThreadId | kOwnerDied);
  // seq_cst: as the kernel's own; the next locker is its partner.
  if (!word.compare_exchange_strong(before, kOwnerDied | waiters, std::memory_order_seq_cst)) return false;
  futex_wake_all(word);
  return true;
}

bool RobustMutex::kernel_would_find_it() const noexcept {
  void* head = nullptr;
  std::size_t bytes = 0;
  if (::syscall(SYS_get_robust_list, 0, &head, &bytes) != 0) return true;  // forbidden here: no proof of anything
  // glibc has linked it in at the head of its own list.
  return mutex_.__data.__list.__prev == head;
}

bool robust_mutexes_work() noexcept {
  static const bool kWork = [] {
    // Static: where robustness does not work the mutex stays in the dead thread's list, and its memory must stay too.
    static RobustMutex mutex;
    if (mutex.init() != 0) return false;
    pthread_t thread{};
    const auto die_holding = [](void*) -> void* {
      (void)mutex.lock(kNoDeadline);
      return nullptr;
    };
    if (pthread_create(&thread, nullptr, die_holding, nullptr) != 0) return false;
    pthread_join(thread, nullptr);
#ifdef IPCQ_TSAN
    const LockResult result = mutex.lock(kNoDeadline);  // the form of which it knows that the owner may have died
#else
    const LockResult result = mutex.lock(monotonic_ns() + 1'000'000'000);
#endif
    if (result != LockResult::owner_died) return false;
    mutex.consistent();
    mutex.unlock();
    return true;
  }();
  if (!kWork) return false;
  RobustMutex mutex;
  if (mutex.init() != 0 || mutex.lock(kNoDeadline) != LockResult::clean) return false;
  const bool found = mutex.kernel_would_find_it();
  mutex.unlock();
  return found;
}

int on_fork_in_child(void (*handler)()) noexcept { return pthread_atfork(nullptr, nullptr, handler); }

}  // namespace ipcq::os
