// The parent's half of the harness.
#include "pair.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

#include "clock.hpp"
#include "interrupt.hpp"
#include "payload.hpp"
#include "shared_run.hpp"

namespace ipcq::bench {
namespace {

using detail::SharedRun;

constexpr double kHangSeconds = 20;

class File {
 public:
  explicit File(int fd, const char* what) : fd_(fd) {
    if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

void pin(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot run on cpu " + std::to_string(cpu));
  }
}

[[noreturn]] void be_side(SharedRun& run, std::size_t index, const PairPlan& plan, const SideCode& code, pid_t parent) {
  restore_signals();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before the line above
  detail::SideResult& result = run.sides[index];
  try {
    pin(plan.cpus[index]);
    Side side(run, index, plan.probe);
    code(side);
    _exit(0);
  } catch (const PayloadError& error) {
    result.payload_bad = true;
    std::snprintf(result.error, sizeof result.error, "%s", error.what());
  } catch (const std::exception& error) {
    std::snprintf(result.error, sizeof result.error, "%s", error.what());
  }
  _exit(1);
}

/// A side's process. Destroyed while it lives: killed, by its pid, which nobody else can have before we have reaped it.
class Child {
 public:
  Child(SharedRun& run, std::size_t index, const PairPlan& plan, const SideCode& code)
      : pid_(start(run, index, plan, code)), pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)), "pidfd_open") {}
  ~Child() {
    if (reaped_) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] int pidfd() const noexcept { return pidfd_.fd(); }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Takes its exit status if it has ended.
  bool ended() noexcept {
    if (!reaped_ && waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
    return reaped_;
  }
  [[nodiscard]] bool succeeded() const noexcept { return reaped_ && WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }
  /// How it ended, if it did not say why itself.
  [[nodiscard]] std::string fate() const {
    if (!reaped_) return "did not end";
    if (WIFSIGNALED(status_)) return std::string("killed: ") + strsignal(WTERMSIG(status_));
    return "ended too early with status " + std::to_string(WEXITSTATUS(status_));
  }

 private:
  static pid_t start(SharedRun& run, std::size_t index, const PairPlan& plan, const SideCode& code) {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid == 0) be_side(run, index, plan, code, parent);
    return pid;
  }

  pid_t pid_;
  File pidfd_;
  int status_ = 0;
  bool reaped_ = false;
};

class Supervisor {
 public:
  enum class Event { time_passed, started, failed, all_ended, interrupted };

  Supervisor(SharedRun& run, Child& first, Child& second) : run_(run), children_{&first, &second} {}

  /// Waits for `seconds`, or until the sides have started (`until_started`), one has failed, both have ended.
  Event wait(double seconds, bool until_started) {
    const std::uint64_t until = clock_ns(CLOCK_MONOTONIC) + static_cast<std::uint64_t>(seconds * 1e9);
    for (;;) {
      const std::uint64_t now = clock_ns(CLOCK_MONOTONIC);
      const std::uint64_t left = until > now ? until - now : 0;
      const timespec timeout{static_cast<time_t>(left / 1'000'000'000U), static_cast<long>(left % 1'000'000'000U)};
      std::array<pollfd, 3> files{};
      for (std::size_t i = 0; i < 2; ++i) files[i] = {children_[i]->ended() ? -1 : children_[i]->pidfd(), POLLIN, 0};
      files[2] = {until_started ? run_.started_event : -1, POLLIN, 0};
      const int ready = ppoll(files.data(), files.size(), &timeout, &waiting_mask());
      if (interrupted() != 0) return Event::interrupted;
      const bool first_ended = children_[0]->ended();
      const bool second_ended = children_[1]->ended();
      for (const Child* child : children_) {
        if ((child == children_[0] ? first_ended : second_ended) && !child->succeeded()) return Event::failed;
      }
      if (first_ended && second_ended) return Event::all_ended;
      if (files[2].revents != 0) return Event::started;
      if (ready == 0) return Event::time_passed;
    }
  }

  /// The run's error after Event::failed: of the side that failed, in its own words if it left any.
  void explain(PairRun& result) const {
    result.end = PairRun::End::failed;
    for (std::size_t i = 0; i < 2; ++i) {
      const detail::SideResult& side = run_.sides[i];
      if (!children_[i]->ended() || children_[i]->succeeded()) continue;
      if (side.payload_bad) result.end = PairRun::End::payload_bad;
      result.error = name(i) + ": " + (side.error[0] != '\0' ? std::string(side.error) : children_[i]->fate());
      return;
    }
  }

  /// The run's error after a time-out: who hangs.
  void explain_hang(PairRun& result) const {
    result.end = PairRun::End::failed;
    for (std::size_t i = 0; i < 2; ++i) {
      if (children_[i]->ended()) continue;
      if (!result.error.empty()) result.error += "; ";
      result.error += name(i) + " hung for " + std::to_string(static_cast<int>(kHangSeconds)) + " s and was killed";
    }
  }

 private:
  [[nodiscard]] std::string name(std::size_t index) const {
    return (index == 0 ? "first side (pid " : "second side (pid ") + std::to_string(children_[index]->pid()) + ")";
  }

  SharedRun& run_;
  std::array<Child*, 2> children_;
};

void collect(const SharedRun& run, PairRun& result) {
  const TickClock& clock = tick_clock();
  result.probes_ns = run.probes_ns;
  for (std::size_t i = 0; i < 2; ++i) {
    result.begin[i] = run.sides[i].begin;
    result.stop[i] = run.sides[i].stop;
    result.total[i] = run.sides[i].total;
  }
  result.trips = run.histogram.samples();
  result.mean_ns = clock.ns(run.histogram.mean());
  result.p50_ns = clock.ns(run.histogram.quantile(0.5));
  result.p99_ns = clock.ns(run.histogram.quantile(0.99));
  result.p999_ns = clock.ns(run.histogram.quantile(0.999));
  if (run.sides[0].passes_messages && run.sides[1].passes_messages && result.total[0] != result.total[1]) {
    result.end = PairRun::End::payload_bad;
    result.error = "the first side counts " + std::to_string(result.total[0]) + " messages, the second " +
                   std::to_string(result.total[1]);
  }
}

}  // namespace

SharedMemory::SharedMemory(std::size_t bytes) : data_(nullptr), size_(bytes) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "cannot map shared memory");
  data_ = static_cast<std::byte*>(at);
}

SharedMemory::~SharedMemory() { munmap(data_, size_); }

double PairRun::messages_per_s() const noexcept {
  double slower = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    if (begin[i].ns == 0 || stop[i].ns <= begin[i].ns) continue;
    const double rate =
        static_cast<double>(stop[i].count - begin[i].count) * 1e9 / static_cast<double>(stop[i].ns - begin[i].ns);
    slower = slower == 0 ? rate : std::min(slower, rate);
  }
  return slower;
}

double PairRun::cpu_share(std::size_t side) const noexcept {
  if (begin[side].ns == 0 || stop[side].ns <= begin[side].ns) return 0;
  return static_cast<double>(stop[side].cpu_ns - begin[side].cpu_ns) /
         static_cast<double>(stop[side].ns - begin[side].ns);
}

PairRun run_pair(const PairPlan& plan, const SideCode& first, const SideCode& second) {
  tick_clock();  // calibrated here at the latest, so that both sides inherit it
  const SharedMemory memory(sizeof(SharedRun));
  auto& run = *new (memory.data()) SharedRun{};
  const File started(eventfd(0, EFD_CLOEXEC), "eventfd");
  run.started_event = started.fd();

  Child first_child(run, 0, plan, first);
  Child second_child(run, 1, plan, second);
  Supervisor supervisor(run, first_child, second_child);

  PairRun result;
  using Event = Supervisor::Event;
  Event event = supervisor.wait(kHangSeconds, true);
  if (event == Event::started) {
    event = supervisor.wait(plan.warm_up_s, false);
    if (event == Event::time_passed) {
      run.phase.store(Phase::measure, std::memory_order_release);
      event = supervisor.wait(plan.measure_s, false);
    }
    if (event == Event::time_passed) {
      run.phase.store(Phase::stop, std::memory_order_release);
      event = supervisor.wait(kHangSeconds, false);
    }
  }
  switch (event) {
    case Event::all_ended:
      collect(run, result);
      if (run.phase.load(std::memory_order_relaxed) != Phase::stop) {
        result.end = PairRun::End::failed;
        result.error = "both sides ended before they were told to";
      }
      break;
    case Event::failed:
      supervisor.explain(result);
      break;
    case Event::interrupted:
      result.end = PairRun::End::interrupted;
      break;
    default:
      supervisor.explain_hang(result);
  }
  return result;
}

}  // namespace ipcq::bench
