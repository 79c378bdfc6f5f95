// Waiting for whichever of several words comes first, on kernels that can and on those that cannot.
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "core/event_count.hpp"
#include "fixture.hpp"
#include "os/clock.hpp"
#include "os/futex.hpp"
#include "support/system_calls.hpp"
#include "support/waiting.hpp"

namespace ipcq::unit {
namespace {

using Words = std::vector<std::atomic<std::uint32_t>>;

/// The error that futex_waitv gets; 0: none.
class FutexWaitAny : public ::testing::TestWithParam<int> {
 protected:
  static void choose_kernel() {
    if (GetParam() != 0) support::refuse_system_calls({449}, GetParam());
  }
  static std::vector<os::FutexWait> waits_for(const Words& words) {
    std::vector<os::FutexWait> waits;
    for (const auto& word : words) waits.push_back({&word, word.load()});
    return waits;
  }
  static std::int64_t in_time() { return os::monotonic_ns() + std::chrono::nanoseconds(support::kPatience).count(); }
};
INSTANTIATE_TEST_SUITE_P(Kernels, FutexWaitAny, ::testing::Values(0, ENOSYS, EPERM), [](const auto& error) {
  return error.param == 0 ? "WithWaitv" : error.param == ENOSYS ? "BeforeLinux5dot16" : "Forbidden";
});

TEST_P(FutexWaitAny, IsWokenThroughAnyOfTheWords) {
  for (const std::size_t count : {1U, 2U, 128U}) {
    Words words(count);
    for (const std::size_t which : {std::size_t{0}, count / 2, count - 1}) {
      bool woken = false;
      support::Background sleeper([&] {
        choose_kernel();
        woken = os::futex_wait_any(waits_for(words), in_time());
      });
      sleeper.wait_until_asleep();
      EXPECT_FALSE(sleeper.finished());
      words[which].fetch_add(1);
      os::futex_wake_all(words[which]);
      sleeper.join();
      EXPECT_TRUE(woken) << which << " of " << count;
    }
  }
}

TEST_P(FutexWaitAny, DoesNotSleepIfAWordHasAnotherValue) {
  for (const std::size_t count : {1U, 2U, 128U}) {
    Words words(count);
    support::Background([&] {
      choose_kernel();
      std::vector<os::FutexWait> waits = waits_for(words);
      words[count - 1].fetch_add(1);
      EXPECT_TRUE(os::futex_wait_any(waits, os::kNoDeadline)) << "it returns, or this test hangs";
    }).join();
  }
}

TEST_P(FutexWaitAny, EndsAtItsDeadlineAndSaysSo) {
  Words words(3);
  support::Background([&] {
    choose_kernel();
    const std::int64_t deadline = os::monotonic_ns() + 5'000'000;
    EXPECT_FALSE(os::futex_wait_any(waits_for(words), deadline));
    EXPECT_GE(os::monotonic_ns(), deadline);
    EXPECT_FALSE(os::futex_wait_any(waits_for(words), 0)) << "long past";
  }).join();
}

// The protocol of a wait set: each word is armed and looked behind, and all are slept on. No backstop: a lost wake-up is a
// hang, which the deadline makes a failure.
TEST_P(FutexWaitAny, NoWakeUpIsLostBetweenPublishersOfSeveralWordsAndOneWaiter) {
  constexpr std::size_t kWords = 3;
  struct Channel {
    layout::AtomicU32 event{0};
    std::atomic<std::uint32_t> published{0};
  };
  std::array<Channel, kWords> channels;
  const std::uint32_t last = scaled(GetParam() == 0 ? 50'000 : 2'000);
  support::Background waiter([&] {
    choose_kernel();
    std::array<std::uint32_t, kWords> seen{};
    std::array<os::FutexWait, kWords> waits;
    const auto finished = [&] {
      return std::all_of(seen.begin(), seen.end(), [&](std::uint32_t count) { return count == last; });
    };
    while (!finished()) {
      bool any = false;
      for (std::size_t i = 0; i < kWords; ++i) {
        waits[i] = {&channels[i].event, core::arm(channels[i].event)};
        const std::uint32_t now = channels[i].published.load(std::memory_order_seq_cst);
        any |= now != seen[i];
        seen[i] = now;
      }
      if (!any) {
        ASSERT_TRUE(os::futex_wait_any(waits, in_time()));
      }
    }
  });
  const auto publish_all = [&](Channel& channel) {
    for (std::uint32_t i = 0; i < last; ++i) {
      channel.published.fetch_add(1, std::memory_order_seq_cst);
      core::notify(channel.event);
    }
  };
  support::Background one([&] { publish_all(channels[0]); });
  support::Background two([&] { publish_all(channels[1]); });
  publish_all(channels[2]);
  one.join();
  two.join();
  waiter.join();
}

}  // namespace
}  // namespace ipcq::unit
