#include "os/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <ctime>

#include "os/clock.hpp"

namespace ipcq::os {
namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

// The kernel's struct futex_waitv and its number, which headers older than the kernel that runs lack.
struct Waitv {
  std::uint64_t value;
  std::uint64_t address;
  std::uint32_t flags;
  std::uint32_t reserved;
};
static_assert(sizeof(Waitv) == 24);
constexpr long kWaitvCall = 449;
constexpr std::uint32_t kWordOf32Bits = 2;  // FUTEX_32; without FUTEX_PRIVATE_FLAG

// errno: 0 woken, EAGAIN a word has another value, ETIMEDOUT, EINTR; ENOSYS, EPERM: the kernel cannot, or may not.
int waitv(std::span<const FutexWait> waits, std::int64_t deadline_ns) noexcept {
  std::array<Waitv, kFutexWaitsMax> words;
  for (std::size_t i = 0; i < waits.size(); ++i)
    words[i] = {waits[i].value, reinterpret_cast<std::uintptr_t>(waits[i].word), kWordOf32Bits, 0};
  timespec at{};
  const timespec* limit = nullptr;
  if (deadline_ns != kNoDeadline) {
    at.tv_sec = deadline_ns / 1'000'000'000;
    at.tv_nsec = deadline_ns % 1'000'000'000;
    limit = &at;
  }
  const long result = ::syscall(kWaitvCall, words.data(), waits.size(), 0, limit, CLOCK_MONOTONIC);
  return result >= 0 ? 0 : errno;
}

bool all_unchanged(std::span<const FutexWait> waits) noexcept {
  return std::all_of(waits.begin(), waits.end(), [](const FutexWait& wait) {
    return wait.word->load(std::memory_order_seq_cst) == wait.value;  // A:wake, with R:wake
  });
}

}  // namespace

bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value, std::int64_t deadline_ns) noexcept {
  timespec at{};
  const timespec* limit = nullptr;
  if (deadline_ns != kNoDeadline) {
    at.tv_sec = deadline_ns / 1'000'000'000;
    at.tv_nsec = deadline_ns % 1'000'000'000;
    limit = &at;
  }
  // No FUTEX_PRIVATE_FLAG: the waker is another process.
  const long result = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, value, limit, nullptr, FUTEX_BITSET_MATCH_ANY);
  return !(result == -1 && errno == ETIMEDOUT);
}

bool futex_wait_any(std::span<const FutexWait> waits, std::int64_t deadline_ns) noexcept {
  if (waits.size() == 1) return futex_wait(*waits[0].word, waits[0].value, deadline_ns);
  const int error = waitv(waits, deadline_ns);
  if (error == ETIMEDOUT) return false;
  if (error != ENOSYS && error != EPERM) return true;
  // Asleep on one of them, a moment at a time: its wake comes at once, the others' a moment late.
  for (std::size_t turn = 0; all_unchanged(waits); ++turn) {
    const std::int64_t now = monotonic_ns();
    if (now >= deadline_ns) return false;
    const FutexWait& one = waits[turn % waits.size()];
    futex_wait(*one.word, one.value, std::min(deadline_ns, now + kNoWaitvLook_ns));
  }
  return true;
}

void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
  const int saved = errno;  // cancel() runs in signal handlers
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  errno = saved;
}

}  // namespace ipcq::os
