// The parent's half of the harness.
#include "run.hpp"

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
#include <deque>
#include <exception>
#include <limits>
#include <new>
#include <stdexcept>
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

/// Which side of the run is the first of its role: those two tell the placement.
bool is_first_of_role(const std::vector<SidePlan>& sides, std::size_t index) {
  return std::none_of(sides.begin(), sides.begin() + static_cast<std::ptrdiff_t>(index),
                      [&](const SidePlan& before) { return before.role == sides[index].role; });
}

[[noreturn]] void be_side(SharedRun& run, std::size_t index, const Plan& plan, const std::vector<SidePlan>& sides,
                          pid_t parent) {
  restore_signals();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before the line above
  detail::SideResult& result = run.sides[index];
  try {
    const Role role = sides[index].role;
    pin(plan.cpus[role == Role::sends ? 0 : 1]);
    Side side(run, index, role, plan.probe && is_first_of_role(sides, index));
    sides[index].code(side);
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
  Child(SharedRun& run, std::size_t index, const Plan& plan, const std::vector<SidePlan>& sides)
      : pid_(start(run, index, plan, sides)), pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)), "pidfd_open") {}
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
  static pid_t start(SharedRun& run, std::size_t index, const Plan& plan, const std::vector<SidePlan>& sides) {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid == 0) be_side(run, index, plan, sides, parent);
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

  Supervisor(SharedRun& run, std::deque<Child>& children) : run_(run), children_(children) {}

  /// Waits for `seconds`, or until the sides have started (`until_started`), one has failed, all have ended.
  Event wait(double seconds, bool until_started) {
    const std::uint64_t until = clock_ns(CLOCK_MONOTONIC) + static_cast<std::uint64_t>(seconds * 1e9);
    for (;;) {
      const std::uint64_t now = clock_ns(CLOCK_MONOTONIC);
      const std::uint64_t left = until > now ? until - now : 0;
      const timespec timeout{static_cast<time_t>(left / 1'000'000'000U), static_cast<long>(left % 1'000'000'000U)};
      std::vector<pollfd> files;
      for (Child& child : children_) files.push_back({child.ended() ? -1 : child.pidfd(), POLLIN, 0});
      files.push_back({until_started ? run_.started_event : -1, POLLIN, 0});
      const int ready = ppoll(files.data(), files.size(), &timeout, &waiting_mask());
      if (interrupted() != 0) return Event::interrupted;
      bool all_ended = true;
      for (Child& child : children_) {
        if (!child.ended()) {
          all_ended = false;
        } else if (!child.succeeded()) {
          return Event::failed;
        }
      }
      if (all_ended) return Event::all_ended;
      if (files.back().revents != 0) return Event::started;
      if (ready == 0) return Event::time_passed;
    }
  }

  /// The run's error after Event::failed: of the side that failed, in its own words if it left any.
  void explain(Run& result) {
    result.end = Run::End::failed;
    for (std::size_t i = 0; i < children_.size(); ++i) {
      const detail::SideResult& side = run_.sides[i];
      if (!children_[i].ended() || children_[i].succeeded()) continue;
      if (side.payload_bad) result.end = Run::End::payload_bad;
      result.error = name(i) + ": " + (side.error[0] != '\0' ? std::string(side.error) : children_[i].fate());
      return;
    }
  }

  /// The run's error after a time-out: who hangs.
  void explain_hang(Run& result) {
    result.end = Run::End::failed;
    for (std::size_t i = 0; i < children_.size(); ++i) {
      if (children_[i].ended()) continue;
      if (!result.error.empty()) result.error += "; ";
      result.error += name(i) + " hung for " + std::to_string(static_cast<int>(kHangSeconds)) + " s and was killed";
    }
  }

 private:
  [[nodiscard]] std::string name(std::size_t index) const {
    return "side " + std::to_string(index + 1) + " (pid " + std::to_string(children_[index].pid()) + ")";
  }

  SharedRun& run_;
  std::deque<Child>& children_;
};

/// All that this role has passed; nothing if it passes no messages.
std::optional<Passed> sum_of(const SharedRun& run, const Run& result, Role role) {
  std::optional<Passed> all;
  for (std::size_t i = 0; i < result.sides.size(); ++i) {
    if (result.sides[i].role != role || !run.sides[i].passes_messages) continue;
    all = all.value_or(Passed{});
    all->messages += run.sides[i].passed.messages;
    all->sum += run.sides[i].passed.sum;
  }
  return all;
}

void collect(const SharedRun& run, const std::vector<SidePlan>& sides, Run& result) {
  const TickClock& clock = tick_clock();
  result.probes_ns = run.probes_ns;
  for (std::size_t i = 0; i < sides.size(); ++i) {
    const detail::SideResult& side = run.sides[i];
    result.sides.push_back({.role = sides[i].role, .begin = side.begin, .stop = side.stop, .passed = side.passed});
    if (side.passes_messages && side.begin.ns != 0 && side.stop.ns == 0) {
      result.end = Run::End::failed;
      result.error = "a side counted from the beginning and not to the end";
    }
  }
  result.told = run.told;
  result.trips = run.histogram.samples();
  result.mean_ns = clock.ns(run.histogram.mean());
  result.p50_ns = clock.ns(run.histogram.quantile(0.5));
  result.p99_ns = clock.ns(run.histogram.quantile(0.99));
  result.p999_ns = clock.ns(run.histogram.quantile(0.999));
  for (std::size_t i = 0; i < kFractions.size(); ++i) {
    result.curve_ns[i] = clock.ns(run.histogram.quantile(kFractions[i]));
  }
  const std::optional<Passed> sent = sum_of(run, result, Role::sends);
  const std::optional<Passed> received = sum_of(run, result, Role::receives);
  if (!sent || !received) return;
  if (sent->messages != received->messages) {
    result.end = Run::End::payload_bad;
    result.error =
        std::to_string(sent->messages) + " messages were sent and " + std::to_string(received->messages) + " received";
  } else if (sent->sum != received->sum) {
    result.end = Run::End::payload_bad;
    result.error = "as many messages were received as sent, but not the same ones";
  }
}

}  // namespace

SharedMemory::SharedMemory(std::size_t bytes) : data_(nullptr), size_(bytes) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "cannot map shared memory");
  data_ = static_cast<std::byte*>(at);
}

SharedMemory::~SharedMemory() { munmap(data_, size_); }

double Run::SideOfRun::messages_per_s() const noexcept {
  if (begin.ns == 0 || stop.ns <= begin.ns) return 0;
  return static_cast<double>(stop.count - begin.count) * 1e9 / static_cast<double>(stop.ns - begin.ns);
}

double Run::SideOfRun::cpu_share() const noexcept {
  if (begin.ns == 0 || stop.ns <= begin.ns) return 0;
  return static_cast<double>(stop.cpu_ns - begin.cpu_ns) / static_cast<double>(stop.ns - begin.ns);
}

double Run::messages_per_s() const noexcept {
  std::array<double, 2> rates{};
  for (const SideOfRun& side : sides) rates[side.role == Role::sends ? 0 : 1] += side.messages_per_s();
  if (rates[0] == 0 || rates[1] == 0) return rates[0] + rates[1];
  return std::min(rates[0], rates[1]);
}

double Run::cpu_share(Role role) const noexcept {
  double least = 1;
  for (const SideOfRun& side : sides) {
    if (side.role == role) least = std::min(least, side.cpu_share());
  }
  return least;
}

double Run::sleeps_per_message() const noexcept {
  double sleeps = 0, messages = 0;
  for (const SideOfRun& side : sides) {
    if (side.role != Role::receives) continue;
    sleeps += static_cast<double>(side.stop.sleeps - side.begin.sleeps);
    messages += static_cast<double>(side.stop.count - side.begin.count);
  }
  return messages == 0 ? 0 : sleeps / messages;
}

std::uint64_t Run::messages() const noexcept {
  std::uint64_t all = 0;
  for (const SideOfRun& side : sides) all += side.role == Role::sends ? side.passed.messages : 0;
  return all;
}

Run run_sides(const Plan& plan, const std::vector<SidePlan>& sides) {
  if (sides.size() > kSidesMax) throw std::invalid_argument("a run has too many sides");
  tick_clock();  // calibrated here at the latest, so that all sides inherit it
  const SharedMemory memory(sizeof(SharedRun));
  auto& run = *new (memory.data()) SharedRun{};
  const File started(eventfd(0, EFD_CLOEXEC), "eventfd");
  run.started_event = started.fd();
  run.told = std::numeric_limits<double>::quiet_NaN();
  run.sides_number = static_cast<std::uint32_t>(sides.size());

  std::deque<Child> children;
  for (std::size_t i = 0; i < sides.size(); ++i) children.emplace_back(run, i, plan, sides);
  Supervisor supervisor(run, children);

  Run result;
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
      collect(run, sides, result);
      if (run.phase.load(std::memory_order_relaxed) != Phase::stop) {
        result.end = Run::End::failed;
        result.error = "all sides ended before they were told to";
      }
      break;
    case Event::failed:
      supervisor.explain(result);
      break;
    case Event::interrupted:
      result.end = Run::End::interrupted;
      break;
    default:
      supervisor.explain_hang(result);
  }
  return result;
}

Run run_pair(const Plan& plan, const SideCode& first, const SideCode& second) {
  return run_sides(plan, {{Role::sends, first}, {Role::receives, second}});
}

}  // namespace ipcq::bench
