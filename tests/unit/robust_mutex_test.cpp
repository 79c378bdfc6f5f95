// RobustMutex: whoever locks next is told that the holder died, and who gives a repair up is never waited for.
#include "os/robust_mutex.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <new>
#include <thread>
#include <tuple>

#include "fixture.hpp"
#include "os/clock.hpp"
#include "os/futex.hpp"

namespace ipcq::unit {
namespace {

using os::LockResult;
using os::RobustMutex;

class TheRobustMutex : public ::testing::Test {
 protected:
  void SetUp() override {
    memory_ = ::mmap(nullptr, os::page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory_, MAP_FAILED);
    mutex_ = new (memory_) RobustMutex;
    ASSERT_EQ(mutex_->init(), 0);
  }
  void TearDown() override { ::munmap(memory_, os::page_bytes()); }

  static std::int64_t in_ms(std::int64_t ms) { return os::monotonic_ns() + ms * 1'000'000; }
  /// The same call of another thread.
  LockResult lock_elsewhere(std::int64_t deadline_ns) {
    LockResult result = LockResult::error;
    std::thread([&] {
      result = mutex_->lock(deadline_ns);
      if (result == LockResult::clean) mutex_->unlock();
    }).join();
    return result;
  }

  void* memory_ = nullptr;
  RobustMutex* mutex_ = nullptr;
};

TEST_F(TheRobustMutex, IsCleanWhileNobodyDies) {
  for (const std::int64_t deadline : {std::int64_t{0}, in_ms(1000), os::kNoDeadline}) {
    ASSERT_EQ(mutex_->lock(deadline), LockResult::clean);
    mutex_->unlock();
    EXPECT_EQ(mutex_->holder(), 0U);
    EXPECT_FALSE(mutex_->holder_died());
  }
}

TEST_F(TheRobustMutex, NamesItsHoldersThread) {
  ASSERT_EQ(mutex_->lock(0), LockResult::clean);
  EXPECT_EQ(mutex_->holder(), static_cast<std::uint32_t>(::syscall(SYS_gettid)));
  mutex_->unlock();
}

TEST_F(TheRobustMutex, TellsTheNextOneThatTheHolderDied) {
  die_holding(*mutex_);
  EXPECT_TRUE(mutex_->holder_died());
  ASSERT_EQ(mutex_->lock(0), LockResult::owner_died);
  EXPECT_FALSE(mutex_->holder_died()) << "somebody has it in hand";
  mutex_->consistent();
  mutex_->unlock();
  ASSERT_EQ(mutex_->lock(0), LockResult::clean);
  mutex_->unlock();
}

TEST_F(TheRobustMutex, TellsWhoeverWaitsForItAsTheHolderDies) {
  for (const std::int64_t deadline : {in_ms(120'000), os::kNoDeadline}) {
    std::atomic<bool> held{false};
    std::atomic<bool> die{false};
    std::thread holder([&] {
      std::ignore = mutex_->lock(os::kNoDeadline);
      held = true;
      while (!die) std::this_thread::yield();
    });
    while (!held) std::this_thread::yield();
    support::Background waiter([&] {
      EXPECT_EQ(mutex_->lock(deadline), LockResult::owner_died);
      mutex_->consistent();
      mutex_->unlock();
    });
    waiter.wait_until_asleep();
    die = true;
    holder.join();
    waiter.join();
  }
}

TEST_F(TheRobustMutex, TellsItOfAProcessToo) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::ignore = mutex_->lock(os::kNoDeadline);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(mutex_->lock(in_ms(1000)), LockResult::owner_died);
  mutex_->consistent();
  mutex_->unlock();
}

TEST_F(TheRobustMutex, TellsItAgainWhenTheRepairerDiesBeforeItIsConsistent) {
  die_holding(*mutex_);
  for (int i = 0; i < 3; ++i) die_holding(*mutex_);
  ASSERT_EQ(mutex_->lock(0), LockResult::owner_died);
  mutex_->consistent();
  mutex_->unlock();
  die_holding(*mutex_);
  ASSERT_EQ(mutex_->lock(0), LockResult::owner_died) << "consistent, but the next holder died";
  mutex_->consistent();
  mutex_->unlock();
}

TEST_F(TheRobustMutex, GivenUpIsNotRecoverableForAllAndNobodyHangs) {
  die_holding(*mutex_);
  ASSERT_EQ(mutex_->lock(0), LockResult::owner_died);
  mutex_->unlock();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(mutex_->lock(0), LockResult::not_recoverable);
    EXPECT_EQ(mutex_->lock(os::kNoDeadline), LockResult::not_recoverable);
    EXPECT_EQ(lock_elsewhere(os::kNoDeadline), LockResult::not_recoverable);
  }
}

TEST_F(TheRobustMutex, AHolderThatStaysIsWaitedForUntilTheDeadline) {
  ASSERT_EQ(mutex_->lock(0), LockResult::clean);
  EXPECT_EQ(lock_elsewhere(0), LockResult::timed_out);
  const std::int64_t deadline = in_ms(5);
  EXPECT_EQ(lock_elsewhere(deadline), LockResult::timed_out);
  EXPECT_GE(os::monotonic_ns(), deadline);
  mutex_->unlock();
  EXPECT_EQ(lock_elsewhere(0), LockResult::clean);
}

TEST_F(TheRobustMutex, AThreadThatHoldsItIsToldSoAndDoesNotHang) {
  ASSERT_EQ(mutex_->lock(0), LockResult::clean);
  EXPECT_EQ(mutex_->lock(os::kNoDeadline), LockResult::error);
  EXPECT_EQ(mutex_->lock(in_ms(1000)), LockResult::error);
  mutex_->unlock();
  EXPECT_EQ(lock_elsewhere(0), LockResult::clean);
}

TEST_F(TheRobustMutex, WhoseBytesAreNotAMutexsIsNeverLocked) {
  // glibc goes by these bits: of another kind it would lock without telling of deaths, or abort.
  for (const unsigned flip : {0x01U, 0x10U, 0x20U, 0x80U, 0x100U, 0xffffffffU}) {
    auto* kind = static_cast<unsigned*>(memory_) + 4;
    ASSERT_EQ(static_cast<int>(*kind), mutex_->kind());
    *kind ^= flip;
    EXPECT_EQ(mutex_->lock(in_ms(1000)), LockResult::not_recoverable) << flip;
    EXPECT_EQ(mutex_->holder(), 0U);
    *kind ^= flip;
  }
  EXPECT_EQ(lock_elsewhere(0), LockResult::clean);
}

TEST_F(TheRobustMutex, DoesNotWorkInAThreadWhoseRobustListWasReplaced) {
  bool before = false;
  bool after = true;
  bool again = false;
  std::thread([&] {
    struct {
      void* list;
      long offset;
      void* pending;
    } other{&other, 0, nullptr};
    void* glibcs = nullptr;
    std::size_t bytes = 0;
    before = os::robust_mutexes_work();
    ASSERT_EQ(::syscall(SYS_get_robust_list, 0, &glibcs, &bytes), 0);
    ASSERT_EQ(::syscall(SYS_set_robust_list, &other, sizeof other), 0);
    after = os::robust_mutexes_work();
    ASSERT_EQ(::syscall(SYS_set_robust_list, glibcs, bytes), 0);
    again = os::robust_mutexes_work();
  }).join();
  EXPECT_TRUE(before);
  EXPECT_FALSE(after) << "nobody would be told of this thread's death";
  EXPECT_TRUE(again);
}

TEST_F(TheRobustMutex, WorksInThisProcess) {
  EXPECT_TRUE(os::robust_mutexes_work());
  EXPECT_TRUE(os::robust_mutexes_work()) << "tried once";
}

}  // namespace
}  // namespace ipcq::unit
