// What a mutex's memory says without locking, and the way back of one that nobody could ever have had again.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "fixture.hpp"
#include "os/futex.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::unit {
namespace {

using os::LockResult;
using os::MutexState;
using os::RobustMutex;

constexpr std::uint32_t kNoSuchThread = 0x3ffffff0;  // beyond the largest thread number of any kernel

class MutexStates : public ::testing::Test {
 protected:
  MutexStates() {
    if (mutex_.init() != 0) throw std::runtime_error("no mutex");
  }
  void give_up() {
    die_holding(mutex_);
    ASSERT_EQ(mutex_.lock(0), LockResult::owner_died);
    mutex_.unlock();
    ASSERT_EQ(mutex_.lock(0), LockResult::not_recoverable);
  }
  /// The word says that this thread holds it.
  void write_holder(std::uint32_t thread) { std::memcpy(static_cast<void*>(&mutex_), &thread, sizeof thread); }
  void expect_whole_again() {
    ASSERT_EQ(mutex_.lock(0), LockResult::owner_died) << "the next locker is told, and mends what it protects";
    mutex_.consistent();
    mutex_.unlock();
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(mutex_.lock(os::kNoDeadline), LockResult::clean);
      mutex_.unlock();
    }
    die_holding(mutex_);
    ASSERT_EQ(mutex_.lock(0), LockResult::owner_died) << "and the kernel marks it as before";
    mutex_.consistent();
    mutex_.unlock();
  }

  RobustMutex mutex_;
};

TEST_F(MutexStates, AreToldWithoutLocking) {
  MutexState state = mutex_.look();
  EXPECT_TRUE(state.well_formed);
  EXPECT_FALSE(state.not_recoverable);
  EXPECT_FALSE(state.holder_died);
  EXPECT_EQ(state.holder, 0U);
  ASSERT_EQ(mutex_.lock(0), LockResult::clean);
  EXPECT_EQ(mutex_.look().holder, static_cast<std::uint32_t>(::gettid()));
  mutex_.unlock();
  die_holding(mutex_);
  EXPECT_TRUE(mutex_.look().holder_died);
  ASSERT_EQ(mutex_.lock(0), LockResult::owner_died);
  mutex_.unlock();
  state = mutex_.look();
  EXPECT_TRUE(state.not_recoverable);
  EXPECT_TRUE(state.well_formed);
  EXPECT_FALSE(state.holder_died);
}

TEST_F(MutexStates, TellMemoryThatIsNoMutex) {
  std::memset(static_cast<void*>(&mutex_), 0, sizeof mutex_);
  EXPECT_FALSE(mutex_.look().well_formed) << "zeros lock, but as one that is neither robust nor shared";
}

TEST_F(MutexStates, OneThatWasGivenUpComesBackByAMark) {
  give_up();
  ASSERT_TRUE(mutex_.mark_holder_died(0));
  EXPECT_FALSE(mutex_.look().not_recoverable);
  EXPECT_FALSE(mutex_.mark_holder_died(0)) << "once is enough";
  expect_whole_again();
}

TEST_F(MutexStates, OneWhoseRepairIsGivenUpAgainIsNotRecoverableAgain) {
  give_up();
  ASSERT_TRUE(mutex_.mark_holder_died(0));
  ASSERT_EQ(mutex_.lock(0), LockResult::owner_died);
  mutex_.unlock();
  EXPECT_EQ(mutex_.lock(0), LockResult::not_recoverable);
}

TEST_F(MutexStates, OneThatAThreadHoldsWhichIsNotThereComesBackByAMark) {
  write_holder(kNoSuchThread);
  ASSERT_EQ(mutex_.lock(0), LockResult::timed_out);
  EXPECT_FALSE(mutex_.mark_holder_died(kNoSuchThread - 1)) << "another than was judged";
  EXPECT_FALSE(mutex_.mark_holder_died(0));
  ASSERT_TRUE(mutex_.mark_holder_died(kNoSuchThread));
  expect_whole_again();
}

}  // namespace
}  // namespace ipcq::unit
