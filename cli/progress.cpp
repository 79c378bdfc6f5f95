#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "output.hpp"
#include "signals.hpp"
#include "units.hpp"

namespace ipcq::cli {
namespace {

constexpr std::chrono::milliseconds kInterval{200};
constexpr double kNewWeight = 0.3;  // of the last interval in the rates shown: a second's memory

/// What fits is shown; a line that wraps could not be taken away again.
std::size_t terminal_columns() noexcept {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 79;
  return static_cast<std::size_t>(size.ws_col) - 1;
}

void to_terminal(const std::string& text) noexcept {
  // A progress line that cannot be written is no reason to stop, nor to try again.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

Progress::Progress(bool wanted, const Options& options) : options_(options), start_(Clock::now()), last_at_(start_) {
  if (!wanted || is_quiet() || ::isatty(STDERR_FILENO) != 1) return;
  const SignalsHeldBack held_back;  // they are for the thread that transfers
  thread_ = std::thread([this] { run(); });
}

void Progress::end() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_one();
  thread_.join();
}

void Progress::run() {
  std::unique_lock lock(mutex_);
  if (stopping_.wait_for(lock, options_.show_after, [this] { return stop_; })) return;
  do {
    std::string text = line(Clock::now());
    text.resize(std::min(text.size(), terminal_columns()));
    to_terminal("\r" + text + "\033[K");
  } while (!stopping_.wait_for(lock, kInterval, [this] { return stop_; }));
  to_terminal("\r\033[K");
}

std::string Progress::line(Clock::time_point at) {
  const std::uint64_t messages = messages_.load(std::memory_order_relaxed);
  const std::uint64_t bytes = payload_bytes_.load(std::memory_order_relaxed);
  const std::uint64_t input = input_bytes_.load(std::memory_order_relaxed);

  const double seconds = std::max(std::chrono::duration<double>(at - last_at_).count(), 1e-3);
  const double messages_rate = static_cast<double>(messages - last_messages_) / seconds;
  const double bytes_rate = static_cast<double>(bytes - last_bytes_) / seconds;
  const bool first = last_at_ == start_;
  messages_rate_ = first ? messages_rate : messages_rate_ + kNewWeight * (messages_rate - messages_rate_);
  bytes_rate_ = first ? bytes_rate : bytes_rate_ + kNewWeight * (bytes_rate - bytes_rate_);
  last_at_ = at;
  last_messages_ = messages;
  last_bytes_ = bytes;

  std::string text = format_count(messages, "message") + "  " + format_bytes(bytes) + "  " +
                     std::to_string(static_cast<std::uint64_t>(messages_rate_)) + "/s  " +
                     format_bytes(static_cast<std::uint64_t>(bytes_rate_)) + "/s";
  if (options_.input_bytes && *options_.input_bytes > 0) {
    const double done = std::min(1.0, static_cast<double>(input) / static_cast<double>(*options_.input_bytes));
    text += "  " + std::to_string(static_cast<int>(done * 100)) + "%";
    if (done > 0 && done < 1) {
      const double elapsed = std::chrono::duration<double, std::nano>(at - start_).count();
      // Centuries are no forecast: and more would not fit the number.
      const double left = std::min(elapsed / done * (1 - done), 1e18);
      text += "  " + format_duration(static_cast<std::uint64_t>(left)) + " left";
    }
  }
  if (waiting_.load(std::memory_order_relaxed)) text += std::string("  ") + options_.waiting;
  return text;
}

}  // namespace ipcq::cli
