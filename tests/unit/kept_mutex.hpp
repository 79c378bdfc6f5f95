// Mutexes as others leave or keep them.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <tuple>

#include "fixture.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::unit {

/// As whoever meets a state that he cannot mend leaves it.
inline void give_up_repair_of(os::RobustMutex& mutex) {
  die_holding(mutex);
  ASSERT_EQ(mutex.lock(os::kNoDeadline), os::LockResult::owner_died);
  mutex.unlock();
}

/// Another thread that lives, and keeps a mutex.
class Keeper {
 public:
  explicit Keeper(os::RobustMutex& mutex)
      : thread_([this, &mutex] {
          std::ignore = mutex.lock(os::kNoDeadline);
          holds_.store(true);
          holds_.notify_one();
          over_.wait(false);
          mutex.unlock();
        }) {
    holds_.wait(false);
  }
  ~Keeper() {
    over_.store(true);
    over_.notify_one();
    thread_.join();
  }
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

 private:
  std::atomic<bool> holds_{false};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

/// Whether a thread sleeps in the mutex: glibc's and the kernel's mark in its first word (futex(2)).
inline bool somebody_waits_for(const os::RobustMutex& mutex) {
  constexpr std::uint32_t kWaiters = 0x80000000U;
  return (reinterpret_cast<const std::atomic<std::uint32_t>&>(mutex).load() & kWaiters) != 0;
}
inline void wait_for_waiter(const os::RobustMutex& mutex) {
  while (!somebody_waits_for(mutex)) std::this_thread::yield();
}

}  // namespace ipcq::unit
