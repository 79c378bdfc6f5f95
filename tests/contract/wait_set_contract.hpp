// What the tests of wait sets share: sets of many queues, and kernels that cannot wait for several words.
#pragma once

#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "queue_contract.hpp"
#include "support/system_calls.hpp"

namespace ipcq::contract {

using Token = WaitSet::Token;
using Tokens = std::vector<Token>;

inline constexpr WaitStrategy kAllStrategies[] = {WaitStrategy::spin, WaitStrategy::adaptive, WaitStrategy::sleep};

/// What a thread's kernel answers to futex_waitv.
enum class Kernel : std::uint8_t { waits_for_several, has_no_such_call, forbids_it };
inline constexpr Kernel kKernels[] = {Kernel::waits_for_several, Kernel::has_no_such_call, Kernel::forbids_it};
inline const char* kernel_name(Kernel kernel) {
  return kernel == Kernel::waits_for_several  ? "this kernel"
         : kernel == Kernel::has_no_such_call ? "a kernel before 5.16"
                                              : "a container that forbids futex_waitv";
}
/// From here on, for the calling thread and those that it starts.
inline void run_on(Kernel kernel) {
  constexpr int kWaitv = 449;  // older headers have no name for it
  if (kernel == Kernel::has_no_such_call) support::refuse_system_calls({kWaitv}, ENOSYS);
  if (kernel == Kernel::forbids_it) support::refuse_system_calls({kWaitv}, EPERM);
}

inline Tokens tokens_of(const WaitSet::Ready& ready) { return {ready.begin(), ready.end()}; }
/// Who is ready. If nobody is, asked twice: the second time everything is armed, and a sleep begins.
inline Tokens ready_now(WaitSet& set) {
  Tokens ready = tokens_of(set.wait(now));
  if (ready.empty()) ready = tokens_of(set.wait(std::chrono::microseconds(100)));
  return ready;
}

/// Waits for a set in a thread of its own.
class SetWaiter {
 public:
  explicit SetWaiter(WaitSet& set, Kernel kernel = Kernel::waits_for_several, Deadline deadline = kPatience)
      : thread_([this, &set, kernel, deadline] {
          run_on(kernel);
          begun_ = true;
          const WaitSet::Ready ready = set.wait(deadline);
          outcome_ = ready.outcome();
          tokens_ = tokens_of(ready);
        }) {}
  void wait_until_begun() const {
    support::wait_until("the thread runs", [this] { return begun_.load(); });
  }
  void wait_until_asleep() const { thread_.wait_until_asleep(); }
  void signal(int number) { thread_.signal(number); }
  [[nodiscard]] bool finished() const noexcept { return thread_.finished(); }
  /// Waits until the wait is over.
  const Tokens& tokens() {
    thread_.join();
    return tokens_;
  }
  Outcome outcome() {
    thread_.join();
    return outcome_;
  }

 private:
  std::atomic<bool> begun_ = false;
  Tokens tokens_;
  Outcome outcome_ = Outcome::ok;
  support::Background thread_;  // last: it uses the others
};

class WaitSetContract : public QueueContract {
 protected:
  [[nodiscard]] Queue create_numbered(std::size_t number, CreateOptions wanted) const {
    return Queue::create("queue" + std::to_string(number), wanted);
  }
  [[nodiscard]] Queue create_numbered(std::size_t number) const { return create_numbered(number, options()); }
};

/// Queues with an endpoint each way, and all of one side in a set.
struct Side {
  Queue queue;
  Producer producer;
  Consumer consumer;
  Token token = 0;
};

}  // namespace ipcq::contract
