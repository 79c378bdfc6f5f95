// HaltingThread: a thread of the test that halts between two steps of the core, at the point one likes, and then goes on,
// or dies there as a killed process does. Thousands of interleavings a second, each the same every time.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/crash_point.hpp"

namespace ipcq::crash {

class HaltingThread final : private core::CrashPointVisitor {
 public:
  static constexpr std::uint32_t kNever = 0;

  /// Runs `operation` up to its `halt_at`-th visit of a point, counted from 1.
  HaltingThread(std::function<void()> operation, std::uint32_t halt_at)
      : HaltingThread(std::move(operation), std::string(), halt_at) {}
  /// The same, of the point of that name.
  HaltingThread(std::function<void()> operation, std::string name, std::uint32_t halt_at = 1)
      : name_(std::move(name)), halt_at_(halt_at), operation_(std::move(operation)), thread_([this] { run(); }) {
    state_.wait(State::running, std::memory_order_acquire);
  }
  HaltingThread(const HaltingThread&) = delete;
  HaltingThread& operator=(const HaltingThread&) = delete;
  ~HaltingThread() override {
    if (halted()) resume();
    if (thread_.joinable()) thread_.join();
  }

  /// Whether it stands at that point; else it has come to the end without meeting it.
  [[nodiscard]] bool halted() const noexcept { return state_.load(std::memory_order_acquire) == State::halted; }
  /// The points it has visited.
  [[nodiscard]] const std::vector<std::string>& visited() const noexcept { return visited_; }

  void resume() { go(State::resumed); }
  void finish() {
    if (halted()) resume();
    thread_.join();
  }
  /// Ends the thread where it halted. Nothing of it is unwound; the kernel marks the mutex that it holds.
  void die() {
    go(State::dying);
    thread_.join();
  }

 private:
  enum class State : std::uint8_t { running, halted, resumed, dying, done };

  void run() {
    core::visit_crash_points_of_this_thread(this);
    operation_();
    core::visit_crash_points_of_this_thread(nullptr);
    go(State::done);
  }
  void go(State state) noexcept {
    state_.store(state, std::memory_order_release);
    state_.notify_all();
  }
  void visit(const char* name) noexcept override {
    visited_.emplace_back(name);
    if (!name_.empty() && name_ != name) return;
    if (++visits_ != halt_at_) return;
    go(State::halted);
    state_.wait(State::halted, std::memory_order_acquire);
    if (state_.load(std::memory_order_acquire) == State::dying) ::syscall(SYS_exit, 0);  // of this thread alone
  }

  const std::string name_;
  const std::uint32_t halt_at_;
  std::uint32_t visits_ = 0;
  std::function<void()> operation_;
  std::vector<std::string> visited_;
  std::atomic<State> state_{State::running};
  std::thread thread_;  // last: it uses the others
};

}  // namespace ipcq::crash
