// A line on the terminal that tells how far a long transfer is.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace ipcq::cli {

/// Written by a thread of its own, so that it also tells when the transfer stands still in a system call or in the
/// library. Nothing at all unless standard error is a terminal, or with --quiet.
class Progress {
 public:
  struct Options {
    std::chrono::milliseconds show_after{1000};
    std::optional<std::uint64_t> input_bytes{};  ///< of the whole transfer, where known: percentage and time left
    const char* waiting = "";                    ///< what stands there while wait_begins() .. wait_ends()
  };

  /// `wanted`: false where the terminal is needed for something else.
  Progress(bool wanted, const Options& options);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { end(); }

  /// Takes the line away; there will be no other.
  void end();

  /// What has been transferred: in all, not since the last call. From one thread.
  void update(std::uint64_t messages, std::uint64_t payload_bytes, std::uint64_t input_bytes) noexcept {
    messages_.store(messages, std::memory_order_relaxed);
    payload_bytes_.store(payload_bytes, std::memory_order_relaxed);
    input_bytes_.store(input_bytes, std::memory_order_relaxed);
  }
  void wait_begins() noexcept { waiting_.store(true, std::memory_order_relaxed); }
  void wait_ends() noexcept { waiting_.store(false, std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  [[nodiscard]] std::string line(Clock::time_point at);

  const Options options_;
  const Clock::time_point start_;
  std::atomic<std::uint64_t> messages_{0};
  std::atomic<std::uint64_t> payload_bytes_{0};
  std::atomic<std::uint64_t> input_bytes_{0};
  std::atomic<bool> waiting_{false};

  // Of the thread alone: the last line's figures, for the rates.
  Clock::time_point last_at_;
  std::uint64_t last_messages_ = 0;
  std::uint64_t last_bytes_ = 0;
  double messages_rate_ = 0;
  double bytes_rate_ = 0;

  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ipcq::cli
