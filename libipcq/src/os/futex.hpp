// Futex waits on a word of the segment.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ipcq::os {

inline constexpr std::int64_t kNoDeadline = INT64_MAX;

/// Sleeps while `*word == value`, until woken, or CLOCK_MONOTONIC reaches `deadline_ns` (kNoDeadline: without limit).
/// Shared between processes; EINTR and spurious returns look like a wake: the caller looks again.
/// False only if the deadline passed. (futex(2): FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time.)
bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value, std::int64_t deadline_ns) noexcept;

/// A word, and the value it must still have for its waiter to go to sleep.
struct FutexWait {
  const std::atomic<std::uint32_t>* word;
  std::uint32_t value;
};
inline constexpr std::size_t kFutexWaitsMax = 128;  // the kernel's FUTEX_WAITV_MAX
/// Where the kernel cannot wait for several words (before Linux 5.16, or forbidden by a seccomp filter), they are looked at
/// so often.
inline constexpr std::int64_t kNoWaitvLook_ns = 1'000'000;

/// futex_wait for whichever of `waits` comes first: sleeps while every word has its value. One system call. 1 to
/// kFutexWaitsMax of them. False only if the deadline passed.
bool futex_wait_any(std::span<const FutexWait> waits, std::int64_t deadline_ns) noexcept;

/// Wakes all that sleep on `word`. Async-signal-safe.
void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept;

}  // namespace ipcq::os
