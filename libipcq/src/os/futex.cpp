#include "os/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace ipcq::os {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

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

void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
  const int saved = errno;  // cancel() runs in signal handlers
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  errno = saved;
}

}  // namespace ipcq::os
