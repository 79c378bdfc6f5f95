// Tracee: a child under ptrace that stands at the first instruction of its operation, and is moved by one at a time.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ipcq::sweep {

/// How far the child has come, in memory that it shares with the sweep and not with the queue.
struct Progress {
  enum class Phase : std::uint32_t { preparing, running, done, failed };
  std::atomic<Phase> phase{Phase::preparing};
  std::atomic<std::uint32_t> reached{0};  ///< how many calls of the operation have returned
  char error[256] = {};
};

/// The operation, stepped; made by `Prepare` in the child, which is not.
using Step = std::function<void(Progress&)>;
using Prepare = std::function<Step()>;

class Tracee {
 public:
  /// Forks, lets the child prepare, and returns when it stands before its operation. Throws std::runtime_error if ptrace
  /// is not permitted or the preparation failed.
  explicit Tracee(const Prepare& prepare);
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;
  ~Tracee();  ///< kills and reaps

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::uint32_t reached() const noexcept;
  /// The operation has returned (or thrown: failure() is not empty).
  [[nodiscard]] bool done() const noexcept;
  [[nodiscard]] std::string failure() const;

  /// One instruction. False: the operation is done.
  bool step();
  /// The same, but an instruction that brings a signal (whatever of its is wanted) is left where it is, the signal not
  /// delivered, for the caller to look at.
  enum class Tried { stepped, done, signalled };
  Tried try_step();
  /// Where it stands.
  [[nodiscard]] std::uintptr_t address() const;
  /// Runs until it has come to this address so many times more, by a breakpoint of the processor. False: the operation is
  /// done, or the processor lends no breakpoints.
  bool run_to(std::uintptr_t address, std::uint32_t visits);
  /// Up to the entry or the exit of the next system call. False: the operation is done.
  bool step_to_system_call();
  /// SIGKILL, and reaps: from here on the kernel has let go of everything.
  void kill();
  /// Lets it run to its end, with destructors. True: it exited with 0 in time; else it is killed.
  bool finish();

 private:
  [[nodiscard]] bool resume(int request);
  [[nodiscard]] Tried resume_to_any_signal(int request);
  [[nodiscard]] bool set_breakpoint(std::uintptr_t address, bool on);

  struct Unmap {
    void operator()(Progress* progress) const noexcept;
  };
  std::unique_ptr<Progress, Unmap> progress_;
  pid_t pid_ = -1;
};

/// Whether this host lets a process trace its child. Else why not.
[[nodiscard]] bool tracing_permitted(std::string& why_not);

}  // namespace ipcq::sweep
