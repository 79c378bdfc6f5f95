#include "crash/sweep/touches.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace ipcq::sweep {
namespace {

constexpr long kSystemCall = 0x050f;  // the instruction's two bytes, as read

// Never called here: a child, which has the same addresses, is sent to its first instruction, which is the system call also where
// functions count how often they are called.
__attribute__((naked, used, no_profile_instrument_function)) void call_the_kernel() {
  __asm__ volatile("syscall; int3");
}

// What a traced process has mapped of the files in a directory, and may be kept from.
class ClosedPages {
 public:
  ClosedPages(pid_t pid, std::string directory) : pid_(pid), directory_(std::move(directory)) { close(); }

  // Also what was mapped since.
  void close() {
    ranges_.clear();
    std::ifstream maps("/proc/" + std::to_string(pid_) + "/maps");
    for (std::string line; std::getline(maps, line);) {
      Range range;
      char access[8] = {};
      if (line.find(directory_) == std::string::npos ||
          std::sscanf(line.c_str(), "%lx-%lx %7s", &range.from, &range.to, access) != 3)
        continue;
      range.access = (access[0] == 'r' ? PROT_READ : 0) | (access[1] == 'w' ? PROT_WRITE : 0);
      if (range.access != 0) ranges_.push_back(range);
    }
    close_again();
  }
  void close_again() const {
    for (const Range& range : ranges_) protect(range, PROT_NONE);
  }
  void open() const {
    for (const Range& range : ranges_) protect(range, range.access);
  }
  [[nodiscard]] bool has(std::uintptr_t address) const noexcept {
    for (const Range& range : ranges_) {
      if (address >= range.from && address < range.to) return true;
    }
    return false;
  }

 private:
  struct Range {
    unsigned long from = 0;
    unsigned long to = 0;
    int access = 0;
  };

  // Has the child call mprotect(), between two of its own instructions.
  void protect(const Range& range, int access) const {
    user_regs_struct saved{};
    if (::ptrace(PTRACE_GETREGS, pid_, nullptr, &saved) != 0) fail("PTRACE_GETREGS");
    user_regs_struct call = saved;
    call.rip = reinterpret_cast<std::uintptr_t>(&call_the_kernel);
    call.rax = SYS_mprotect;
    call.orig_rax = ~0ULL;  // in no system call: nothing to begin again
    call.rdi = range.from;
    call.rsi = range.to - range.from;
    call.rdx = static_cast<unsigned>(access);
    int status = 0;
    if (::ptrace(PTRACE_SETREGS, pid_, nullptr, &call) != 0 ||
        ::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0 || ::waitpid(pid_, &status, 0) != pid_)
      fail("mprotect() in the child");
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || ::ptrace(PTRACE_GETREGS, pid_, nullptr, &call) != 0 ||
        call.rax != 0)
      throw std::runtime_error("mprotect() in the child: status " + std::to_string(status));
    saved.orig_rax = ~0ULL;
    if (::ptrace(PTRACE_SETREGS, pid_, nullptr, &saved) != 0) fail("PTRACE_SETREGS");
  }
  [[noreturn]] static void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

  pid_t pid_;
  std::string directory_;
  std::vector<Range> ranges_;
};

bool before_system_call(const Tracee& child) {
  const long text = ::ptrace(PTRACE_PEEKTEXT, child.pid(), child.address(), nullptr);
  return (text & 0xffff) == kSystemCall;
}

// Whether the child stands, refused, at an instruction that needs these pages.
bool refused(const Tracee& child, const ClosedPages& pages) {
  siginfo_t info{};
  return ::ptrace(PTRACE_GETSIGINFO, child.pid(), nullptr, &info) == 0 && info.si_signo == SIGSEGV &&
         pages.has(reinterpret_cast<std::uintptr_t>(info.si_addr));
}

}  // namespace

std::vector<std::uint64_t> touches_of(Tracee& child, const std::string& directory, Path& path) {
  std::vector<std::uint64_t> touches;
  ClosedPages pages(child.pid(), directory);
  bool more = true;
  for (std::uint64_t number = 0; more; ++number) {
    path.add(child.address());
    if (before_system_call(child)) {
      touches.push_back(number);
      pages.open();
      more = child.step();
      if (child.pid() > 0) pages.close();
      continue;
    }
    switch (child.try_step()) {
      case Tracee::Tried::stepped:
        break;
      case Tracee::Tried::done:
        more = false;
        break;
      case Tracee::Tried::signalled:
        if (!refused(child, pages)) throw std::runtime_error("the child got a signal that is none of ours");
        touches.push_back(number);
        pages.open();
        more = child.step();
        if (child.pid() > 0) pages.close_again();
        break;
    }
  }
  if (!child.failure().empty()) throw std::runtime_error(child.failure());
  return touches;
}

}  // namespace ipcq::sweep
