#include "crash/sweep/tracee.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

namespace ipcq::sweep {
namespace {

constexpr int kPatience_s = 20;  // of a child that should come to its end: only a hang reaches it

void say(Progress& progress, const char* what) noexcept {
  std::strncpy(progress.error, what, sizeof progress.error - 1);
  progress.phase.store(Progress::Phase::failed);
}

// Somebody stopped the whole sweep, and let it go on: that was no step, and the signal is not handed on.
bool of_a_pause(int signal) noexcept { return signal == SIGSTOP || signal == SIGCONT; }

[[noreturn]] void run(const Prepare& prepare, Progress& progress) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
    say(progress, "ptrace is not permitted");
    ::_exit(2);
  }
  try {
    Step step = prepare();
    progress.phase.store(Progress::Phase::running);
    __asm__ volatile("int3");  // the one instruction before the operation
    step(progress);
    progress.phase.store(Progress::Phase::done);
    step = nullptr;
    ::_exit(0);
  } catch (const std::exception& error) {
    say(progress, error.what());
    ::_exit(1);
  }
}

}  // namespace

void Tracee::Unmap::operator()(Progress* progress) const noexcept { ::munmap(progress, sizeof *progress); }

Tracee::Tracee(const Prepare& prepare) {
  void* memory = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  progress_.reset(new (memory) Progress);
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) run(prepare, *progress_);
  int status = 0;
  while (::waitpid(pid_, &status, 0) == pid_ && WIFSTOPPED(status) && of_a_pause(WSTOPSIG(status))) {
    ::ptrace(PTRACE_CONT, pid_, nullptr, nullptr);  // as in resume()
  }
  if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && progress_->phase.load() == Progress::Phase::running) return;
  if (!WIFSTOPPED(status)) pid_ = -1;
  const std::string why = progress_->error;
  kill();
  throw std::runtime_error("the child came to no operation: " + why);
}

Tracee::~Tracee() { kill(); }

std::uint32_t Tracee::reached() const noexcept { return progress_->reached.load(); }
bool Tracee::done() const noexcept { return progress_->phase.load() != Progress::Phase::running; }
std::string Tracee::failure() const {
  return progress_->phase.load() == Progress::Phase::failed ? std::string(progress_->error) : std::string();
}

Tracee::Tried Tracee::resume_to_any_signal(int request) {
  for (;;) {
    if (::ptrace(static_cast<__ptrace_request>(request), pid_, nullptr, nullptr) != 0) return Tried::done;
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) return Tried::done;
    if (!WIFSTOPPED(status)) break;
    if (WSTOPSIG(status) == SIGTRAP) return done() ? Tried::done : Tried::stepped;
    if (!of_a_pause(WSTOPSIG(status))) return Tried::signalled;
  }
  pid_ = -1;
  return Tried::done;
}

bool Tracee::resume(int request) {
  const Tried tried = resume_to_any_signal(request);
  if (tried == Tried::signalled) {
    siginfo_t info{};
    (void)::ptrace(PTRACE_GETSIGINFO, pid_, nullptr, &info);
    say(*progress_, ("the child got signal " + std::to_string(info.si_signo)).c_str());
    kill();
  }
  return tried == Tried::stepped;
}

bool Tracee::step() { return resume(PTRACE_SINGLESTEP); }
Tracee::Tried Tracee::try_step() { return resume_to_any_signal(PTRACE_SINGLESTEP); }

std::uintptr_t Tracee::address() const {
  errno = 0;
  const long address = ::ptrace(PTRACE_PEEKUSER, pid_, offsetof(user, regs.rip), nullptr);
  if (errno != 0) throw std::system_error(errno, std::generic_category(), "PTRACE_PEEKUSER");
  return static_cast<std::uintptr_t>(address);
}

bool Tracee::set_breakpoint(std::uintptr_t address, bool on) {
  // The first of the four; of the control register bit 0 switches it on for this process, and 0 elsewhere means: execution.
  const auto poke = [&](std::size_t number, std::uintptr_t value) {
    return ::ptrace(PTRACE_POKEUSER, pid_, offsetof(user, u_debugreg) + number * sizeof(long), value) == 0;
  };
  return on ? poke(0, address) && poke(7, 1) : poke(7, 0);
}

bool Tracee::run_to(std::uintptr_t wanted, std::uint32_t visits) {
  if (!set_breakpoint(wanted, true)) return false;
  std::uintptr_t at = address();
  for (; visits > 0; --visits) {
    // Off the place where it stands; an instruction that repeats itself is one visit.
    do {
      if (!step()) return false;
    } while (at == wanted && address() == wanted);
    at = address();
    if (at == wanted) continue;
    if (!resume(PTRACE_CONT)) return false;
    at = address();
    if (at != wanted) return false;
  }
  return set_breakpoint(wanted, false);
}

bool Tracee::step_to_system_call() { return resume(PTRACE_SYSCALL); }

void Tracee::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) == pid_ && !WIFSIGNALED(status) && !WIFEXITED(status)) {
  }
  pid_ = -1;
}

bool Tracee::finish() {
  if (pid_ < 0) return failure().empty();
  if (::ptrace(PTRACE_CONT, pid_, nullptr, nullptr) != 0) return false;
  for (int i = 0; i < kPatience_s * 5000; ++i) {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == pid_ && !WIFSTOPPED(status)) {
      pid_ = -1;
      return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    if (ended == pid_) {  // as in resume(); any other signal is its end
      const int signal = WSTOPSIG(status) == SIGTRAP || of_a_pause(WSTOPSIG(status)) ? 0 : WSTOPSIG(status);
      ::ptrace(PTRACE_CONT, pid_, nullptr, signal);
    }
    const timespec nap{0, 200'000};
    ::nanosleep(&nap, nullptr);
  }
  kill();
  return false;
}

bool tracing_permitted(std::string& why_not) {
  try {
    Tracee tracee([] { return Step([](Progress&) {}); });
    if (tracee.step()) return true;
    why_not = "ptrace(PTRACE_SINGLESTEP) does not step";
  } catch (const std::exception& error) {
    why_not = error.what();
  }
  return false;
}

}  // namespace ipcq::sweep
