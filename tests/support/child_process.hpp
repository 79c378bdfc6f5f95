// ChildProcess: the test's side of a process that plays a role (child_main.hpp). Whatever happens it is ended and reaped.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "child_main.hpp"

namespace ipcq::support {

/// How a process ended.
class Ending {
 public:
  /// `wait_status` as waitpid(2) gives it; nothing: it has not ended in time.
  explicit Ending(std::optional<int> wait_status) noexcept : status_(wait_status) {}
  [[nodiscard]] bool exited_with(int code) const noexcept;
  [[nodiscard]] bool killed_by(int signal_number) const noexcept;
  [[nodiscard]] bool in_time() const noexcept { return status_.has_value(); }
  /// "exited with 0", "killed by signal 9", "still running".
  [[nodiscard]] std::string text() const;

 private:
  std::optional<int> status_;
};

class ChildProcess {
 public:
  using Milliseconds = std::chrono::milliseconds;
  using Environment = std::vector<std::pair<std::string, std::string>>;
  /// How long every wait below goes on unless said otherwise: never, unless something hangs.
  static constexpr Milliseconds kLong{60'000};

  ChildProcess() = default;
  /// fork(2) and exec(2) of the test program as `role`. The child gets this process's environment with `environment` set
  /// on top, and is killed when the thread that started it ends.
  ChildProcess(const ChildRole& role, const std::vector<std::string>& arguments, const Environment& environment = {});
  ChildProcess(ChildProcess&& other) noexcept { swap(other); }
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] bool running() const noexcept { return pid_ > 0 && !ending_; }

  /// The child's next report. When there is none in time, a text in angle brackets says why.
  [[nodiscard]] std::string next_report(Milliseconds within = kLong);
  /// All reports not read yet, after the child has ended.
  [[nodiscard]] std::vector<std::string> rest_of_reports();
  /// What Child::await() gets.
  void tell(std::string_view line) const;

  /// SIGKILL, and reaps.
  Ending kill();
  /// SIGKILL, and waits until it is dead, but leaves it unreaped: a zombie.
  void kill_without_reaping();
  /// Sends a signal, to a child that has not been reaped.
  void signal(int number) const;
  /// SIGSTOP, and waits until it has stopped.
  void stop();
  /// Waits until it has stopped (by itself, at a named point).
  [[nodiscard]] bool wait_until_stopped(Milliseconds within = kLong);
  void resume() const { signal(SIGCONT); }
  /// Waits until it has slept in the kernel for a few looks in a row.
  [[nodiscard]] bool wait_until_asleep(Milliseconds within = kLong);
  /// Waits for its end, and reaps. Reports that come meanwhile are kept.
  Ending wait(Milliseconds within = kLong);
  /// wait(), as an assertion: it exits with 0. If not, says how it ended and what it reported.
  [[nodiscard]] testing::AssertionResult succeeds(Milliseconds within = kLong);

  /// exec(2) of the test program as `role` in this process. Does not return.
  [[noreturn]] static void execute(const ChildRole& role, int report_fd, int command_fd,
                                   const std::vector<std::string>& arguments, const Environment& environment = {});

 private:
  void swap(ChildProcess& other) noexcept;
  bool read_reports(Milliseconds within);
  std::optional<int> reap(int options);
  void close_channels() noexcept;

  pid_t pid_ = -1;
  int report_fd_ = -1;
  int command_fd_ = -1;
  bool stopped_ = false;
  std::string unread_;
  std::optional<Ending> ending_;
};

}  // namespace ipcq::support
