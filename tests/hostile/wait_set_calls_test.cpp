// A wait set makes one system call a sleep, however many queues it waits for, and none while one of them is ready.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <ipcq/ipcq.hpp>
#include <map>
#include <string>
#include <thread>

#include "hostile_test.hpp"
#include "support/system_calls.hpp"
#include "support/waiting.hpp"

namespace ipcq::hostile {
namespace {

constexpr int kWaitv = 449;  // futex_waitv(2), which older headers have no name for

using Calls = std::map<int, std::uint32_t>;

class WaitSetCalls : public HostileTest, public testing::WithParamInterface<std::size_t> {
 protected:
  WaitSetCalls() {
    for (std::size_t i = 0; i < GetParam(); ++i) {
      queues_.push_back(create("queue" + std::to_string(i)));
      producers_.push_back(queues_.back().producer());
      consumers_.push_back(queues_.back().consumer());
      set_.add(consumers_.back());
    }
    // The first look for the dead comes with the first wait.
    EXPECT_FALSE(set_.wait(now));
  }
  /// One sleep, and the message that ends it.
  Calls calls_of_one_sleep() {
    Calls calls;
    std::atomic<bool> begun = false;
    {
      const support::Background counting([&] {
        calls = support::count_system_calls([&] {
          begun = true;
          const WaitSet::Ready ready = set_.wait(support::kPatience);
          require(ready.size() == 1, "one is ready");
        });
      });
      support::wait_until("it runs", [&] { return begun.load(); });
      // Long enough to be asleep, and shorter than a backstop.
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      require(producers_.back().send("a", 0, now) == Outcome::ok, "send");
    }
    std::string text;
    require(consumers_.back().receive(text, now) == Outcome::ok, "receive");
    return calls;
  }

  WaitSet& set() { return set_; }
  Producer& producer() { return producers_.back(); }

 private:
  std::deque<Queue> queues_;
  std::deque<Producer> producers_;
  std::deque<Consumer> consumers_;
  WaitSet set_{WaitStrategy::sleep};
};

TEST_P(WaitSetCalls, one_for_a_sleep) {
  const Calls one{{GetParam() == 1 ? SYS_futex : kWaitv, 1}};
  // At a backstop it looks for the dead as well, by system calls; and a busy machine may need more than one sleep to see the
  // message. Were it two calls a sleep, it would be two every time.
  Calls calls;
  for (int round = 0; round < 50 && calls != one; ++round) calls = calls_of_one_sleep();
  std::string text;
  for (const auto& [number, count] : calls) text += std::to_string(number) + ": " + std::to_string(count) + " ";
  EXPECT_EQ(calls, one) << text;
}

TEST_P(WaitSetCalls, none_while_somebody_is_ready) {
  ASSERT_EQ(producer().send("a", 0, now), Outcome::ok);
  const Calls calls = support::count_system_calls([&] {
    for (int i = 0; i < 1000; ++i) require(static_cast<bool>(set().wait()), "it is ready");
  });
  EXPECT_EQ(calls, Calls{});
}

TEST(CountedCalls, a_system_call_is_counted) {
  const Calls calls = support::count_system_calls([] {
    for (int i = 0; i < 3; ++i) static_cast<void>(::syscall(SYS_getppid));
  });
  EXPECT_EQ(calls, (Calls{{SYS_getppid, 3}}));
}

TEST(CountedCalls, a_system_call_can_be_refused_to_one_thread) {
  long result = 0;
  int error = 0;
  support::Background([&] {
    support::refuse_system_calls({SYS_getppid}, ENOSYS);
    result = ::syscall(SYS_getppid);
    error = errno;
  }).join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, ENOSYS);
  EXPECT_GT(::syscall(SYS_getppid), 0);
}

INSTANTIATE_TEST_SUITE_P(Queues, WaitSetCalls, testing::Values(1, 8, 64, 128),
                         [](const auto& count) { return "of_" + std::to_string(count.param); });

}  // namespace
}  // namespace ipcq::hostile
