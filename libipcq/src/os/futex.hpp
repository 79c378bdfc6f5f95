// Futex waits on a word of the segment.
#pragma once

#include <atomic>
#include <cstdint>

namespace ipcq::os {

inline constexpr std::int64_t kNoDeadline = INT64_MAX;

/// Sleeps while `*word == value`, until woken, or CLOCK_MONOTONIC reaches `deadline_ns` (kNoDeadline: without limit).
/// Shared between processes; EINTR and spurious returns look like a wake: the caller looks again.
/// False only if the deadline passed. (futex(2): FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time.)
bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value, std::int64_t deadline_ns) noexcept;

/// Wakes all that sleep on `word`. Async-signal-safe.
void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept;

}  // namespace ipcq::os
