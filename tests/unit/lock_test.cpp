// Locking with repair: who gets the mutex after a death, when a queue is poisoned, and when it must not be.
#include "core/lock.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "core/event_count.hpp"
#include "core/producer_side.hpp"
#include "fixture.hpp"
#include "os/life_lock.hpp"

namespace ipcq::unit {
namespace {

using core::Locked;

class LockWithRepair : public ::testing::Test {
 protected:
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] os::RobustMutex& mutex() const noexcept { return view().side().producer_lock.mutex; }
  Locked lock(bool repaired) {
    return core::lock_repaired(view(), mutex(), os::monotonic_ns() + 1'000'000, [&] {
      ++repairs_;
      return repaired;
    });
  }

  CoreSegment segment_;
  int repairs_ = 0;
};

TEST_F(LockWithRepair, WithoutADeathNothingIsRepaired) {
  ASSERT_EQ(lock(true), Locked::yes);
  mutex().unlock();
  EXPECT_EQ(repairs_, 0);
}

TEST_F(LockWithRepair, AfterADeathItIsRepairedOnce) {
  die_holding(mutex());
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(lock(true), Locked::yes);
    mutex().unlock();
  }
  EXPECT_EQ(repairs_, 1);
  EXPECT_FALSE(segment_.poisoned());
}

TEST_F(LockWithRepair, AStateThatCannotBeMendedPoisonsTheQueueForGoodAndWakesEverybody) {
  const std::uint32_t data = core::arm(view().side().data);
  const std::uint32_t space = core::arm(view().side().space);
  die_holding(mutex());
  EXPECT_EQ(lock(false), Locked::poisoned);
  EXPECT_TRUE(segment_.poisoned());
  EXPECT_NE(view().side().data.word.load(), data);
  EXPECT_NE(view().side().space.word.load(), space);
  EXPECT_EQ(lock(true), Locked::poisoned);
  EXPECT_EQ(repairs_, 1);
}

TEST_F(LockWithRepair, AHolderThatKeepsItIsTimedOutOnAndNothingIsPoisoned) {
  ASSERT_EQ(mutex().lock(os::kNoDeadline), os::LockResult::clean);
  std::thread([&] {
    EXPECT_EQ(lock(true), Locked::timed_out);
    EXPECT_EQ(core::lock_for_call(view(), mutex(), 0, [] { return true; }), Locked::timed_out);
  }).join();
  mutex().unlock();
  EXPECT_FALSE(segment_.poisoned());
}

TEST_F(LockWithRepair, ACallThatDoesNotWaitIsPatientWithAHolderThatComesAndGoes) {
  // The holder lets go as soon as it sees somebody wait: within the patience that every holder is granted.
  ASSERT_EQ(mutex().lock(os::kNoDeadline), os::LockResult::clean);
  const std::int64_t deadline = core::lock_deadline(mutex(), 0);
  EXPECT_GE(deadline, core::kLockPatience_ns);
  EXPECT_EQ(core::lock_deadline(mutex(), os::kNoDeadline), os::kNoDeadline);
  mutex().unlock();
  EXPECT_EQ(core::lock_deadline(mutex(), 0), 0) << "free: no clock is read";
}

TEST_F(LockWithRepair, ACallWaitsAsLongAsItMayForAHolderThatCameBehindItsFirstLook) {
  // As between that look and the attempt: nobody's, and not to be had. (Only the mark of those who wait.)
  constexpr std::uint32_t kWaiters = 0x8000'0000;
  auto& word = reinterpret_cast<std::atomic<std::uint32_t>&>(mutex());
  for (const std::int64_t may_wait_ns : {std::int64_t{0}, 3 * core::kLockPatience_ns}) {
    word.store(kWaiters);
    ASSERT_EQ(core::lock_deadline(mutex(), 0), 0) << "the first attempt is one that does not wait";
    const std::int64_t began = os::monotonic_ns();
    EXPECT_EQ(core::lock_for_call(view(), mutex(), began + may_wait_ns, [] { return true; }), Locked::timed_out);
    EXPECT_GE(os::monotonic_ns() - began, std::max(may_wait_ns, core::kLockPatience_ns));
    word.store(0);
    ASSERT_EQ(lock(true), Locked::yes);
    mutex().unlock();
  }
  EXPECT_FALSE(segment_.poisoned());
}

TEST_F(LockWithRepair, AThreadThatHoldsItAlreadyIsRefusedAndPoisonsNothing) {
  // A signal handler that comes while its thread is inside the library, and uses the queue: a mistake, of that one alone.
  ASSERT_EQ(mutex().lock(os::kNoDeadline), os::LockResult::clean);
  EXPECT_NE(lock(true), Locked::yes);
  mutex().unlock();
  EXPECT_FALSE(segment_.poisoned()) << "the queue of everybody";
}

TEST_F(LockWithRepair, WhoCannotMapThePageOfARepairLeavesItToOthersAndPoisonsNothing) {
  // A consumer has no writable view of the ring: it opens a window on the page to be repaired, and that may fail (here
  // the descriptor forbids it; as a rule it is memory or the number of mappings). The next one can.
  const os::UniqueFd read_only = os::reopen(segment_.fd(), O_RDONLY);
  ASSERT_TRUE(read_only);
  void* dormant =
      ::mmap(nullptr, kCapacity, PROT_NONE, MAP_SHARED, read_only.get(), static_cast<off_t>(view().control_bytes));
  ASSERT_NE(dormant, MAP_FAILED);
  core::View consumer = view();
  consumer.data_writable = nullptr;
  consumer.data_dormant = static_cast<std::byte*>(dormant);
  die_holding(mutex());
  EXPECT_NE(core::lock_producer_side(consumer, 0), Locked::yes);
  EXPECT_FALSE(segment_.poisoned());
  ::munmap(dormant, kCapacity);
  ASSERT_EQ(core::lock_producer_side(view(), 0), Locked::yes);
  core::unlock_producer_side(view());
}

}  // namespace
}  // namespace ipcq::unit
