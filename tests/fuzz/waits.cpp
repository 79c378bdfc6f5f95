// Waits: what the harness answers in the kernel's place (ld --wrap), so that no execution waits.
//
// A target has one thread, in a process of its own: nobody lets go of a mutex while it waits, so a wait for a holder ends at
// its deadline whatever happens. It ends at once, and the clock says that it has been waited; so do naps.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "os/robust_mutex.hpp"

namespace {

constexpr std::int64_t kSecond_ns = 1'000'000'000;

std::int64_t g_waited_ns = 0;

std::int64_t ns_of(const timespec& at) { return std::int64_t{at.tv_sec} * kSecond_ns + at.tv_nsec; }

void add_to(timespec& at, std::int64_t ns) {
  const std::int64_t sum = ns_of(at) + ns;
  at.tv_sec = sum / kSecond_ns;
  at.tv_nsec = sum % kSecond_ns;
}

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names

extern "C" {

int __real_pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock, const timespec* at);
int __real_clock_gettime(clockid_t clock, timespec* at);

int __wrap_clock_gettime(clockid_t clock, timespec* at) {
  const int result = __real_clock_gettime(clock, at);
  if (result == 0 && clock == CLOCK_MONOTONIC) add_to(*at, g_waited_ns);
  return result;
}

int __wrap_pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock, const timespec* at) {
  const timespec past{-1, 0};  // glibc asks the kernel nothing
  const int error = __real_pthread_mutex_clocklock(mutex, clock, &past);
  timespec now{};
  if (error == ETIMEDOUT && __wrap_clock_gettime(clock, &now) == 0) {
    g_waited_ns += std::max<std::int64_t>(0, ns_of(*at) - ns_of(now));
  }
  return error;
}

int __wrap_nanosleep(const timespec* length, timespec* /*left*/) {
  g_waited_ns += ns_of(*length);
  return 0;
}

}  // extern "C"

// NOLINTEND(bugprone-reserved-identifier)
