// How much a test does, how long it waits at the most, and how it sees that another thread sleeps.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <string_view>
#include <thread>

namespace ipcq::support {

/// `count` times IPCQ_TEST_SCALE (a factor, default 1), at least 1: for tests that can do more or less work.
[[nodiscard]] std::uint32_t scaled(std::uint32_t count);

/// IPCQ_TEST_SEED, else a fresh one. The first call prints it, so that a failing run can be repeated.
[[nodiscard]] std::uint64_t seed();

/// The deadline of every wait that must succeed. It turns a hang into a failure that names its place, and measures
/// nothing: no machine is so slow.
inline constexpr std::chrono::seconds kPatience{60};

/// Looks until `condition` holds. Throws std::runtime_error naming `what` when that takes longer than kPatience.
void wait_until(std::string_view what, const std::function<bool()>& condition);

/// A call in a thread of its own. Destroyed: joined.
class Background {
 public:
  explicit Background(std::function<void()> call);
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background();

  /// Returns once the thread sleeps in the kernel, or has finished. It may be woken at any time after that: a test uses
  /// this to make the order of things likely, and must be right in every order.
  void wait_until_asleep() const;
  [[nodiscard]] bool finished() const noexcept { return finished_.load(std::memory_order_acquire); }
  /// Sends the thread a signal.
  void signal(int number);
  /// Waits for the call's end; throws what the call threw.
  void join();

 private:
  std::atomic<pid_t> tid_{0};
  std::atomic<bool> finished_{false};
  std::exception_ptr thrown_;
  std::thread thread_;  ///< last: it uses the others
};

}  // namespace ipcq::support
