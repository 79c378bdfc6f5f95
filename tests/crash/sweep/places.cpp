#include "crash/sweep/places.hpp"

#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <random>
#include <stdexcept>
#include <utility>

#include "crash/sweep/image.hpp"

namespace ipcq::sweep {
namespace {

// The shared pages of a queue's file as a traced process has them, named or not.
class SharedPages {
 public:
  SharedPages(pid_t pid, std::string directory) : pid_(pid), directory_(std::move(directory)) {}

  void find() {
    std::vector<Range> found;
    std::ifstream maps("/proc/" + std::to_string(pid_) + "/maps");
    for (std::string line; std::getline(maps, line);) {
      unsigned long from = 0;
      unsigned long to = 0;
      char access[8] = {};
      if (line.find(directory_) == std::string::npos) continue;
      if (std::sscanf(line.c_str(), "%lx-%lx %7s", &from, &to, access) == 3 && access[1] == 'w')
        found.push_back({from, to});
    }
    if (found == ranges_) return;
    ranges_ = found;
    (void)changed();
  }
  // Whether the next instruction may store there: some register is its address, or its base. To compare the bytes behind
  // every instruction would be most of the time.
  [[nodiscard]] bool may_be_changed(const user_regs_struct& at) const noexcept {
    for (const unsigned long long value : {at.rax, at.rbx, at.rcx, at.rdx, at.rsi, at.rdi, at.rbp, at.r8, at.r9, at.r10,
                                           at.r11, at.r12, at.r13, at.r14, at.r15}) {
      for (const Range& range : ranges_) {
        if (value + kReach >= range.first && value < range.second + kReach) return true;
      }
    }
    return false;
  }
  // Whether their bytes are others than at the last look.
  bool changed() {
    std::size_t size = 0;
    for (const Range& range : ranges_) size += range.second - range.first;
    next_.resize(size);
    std::size_t at = 0;
    for (const Range& range : ranges_) {
      const iovec here{&next_[at], range.second - range.first};
      const iovec there{reinterpret_cast<void*>(range.first), range.second - range.first};
      if (::process_vm_readv(pid_, &here, 1, &there, 1, 0) != static_cast<ssize_t>(here.iov_len)) return false;
      at += here.iov_len;
    }
    const bool differs = next_ != last_;
    last_.swap(next_);
    return differs;
  }

 private:
  static constexpr unsigned long kReach = 1UL << 20;  // displacements in an instruction
  using Range = std::pair<unsigned long, unsigned long>;
  pid_t pid_;
  std::string directory_;
  std::vector<Range> ranges_;
  Image last_;
  Image next_;
};

user_regs_struct registers_of(pid_t pid) {
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) throw std::runtime_error("no registers");
  return registers;
}

bool before_system_call(pid_t pid, const user_regs_struct& registers) {
  const long text = ::ptrace(PTRACE_PEEKTEXT, pid, registers.rip, nullptr);
  return (text & 0xffff) == 0x050f;  // syscall
}

}  // namespace

std::string text(const Place& place) {
  return std::to_string(place.system_calls) + " system calls and " + std::to_string(place.instructions) +
         " instructions";
}

std::vector<Place> places_of(Tracee& child, const std::string& directory, std::uint64_t& instructions) {
  std::vector<Place> places{{0, 0}};
  SharedPages pages(child.pid(), directory);
  Place now_at;
  for (bool more = true; more; ++instructions) {
    const user_regs_struct registers = registers_of(child.pid());
    const bool call = before_system_call(child.pid(), registers);
    const bool look = pages.may_be_changed(registers);
    if (call && (places.back().system_calls != now_at.system_calls || places.back().instructions != now_at.instructions))
      places.push_back(now_at);
    more = child.step();
    now_at = call ? Place{now_at.system_calls + 1, 0} : Place{now_at.system_calls, now_at.instructions + 1};
    if (call) pages.find();
    if ((call || (look && pages.changed())) && more) places.push_back(now_at);
  }
  if (!child.failure().empty()) throw std::runtime_error(child.failure());
  return places;
}

void go_to(Tracee& child, const Place& place) {
  // Each system call stops at its entry and at its exit.
  for (std::uint64_t stops = 0; stops < 2 * place.system_calls; ++stops) {
    if (!child.step_to_system_call()) return;
  }
  for (std::uint64_t i = 0; i < place.instructions; ++i) {
    if (!child.step()) return;
  }
}

std::uint64_t system_calls_of(Tracee& child) {
  std::uint64_t stops = 0;  // at the entry and at the exit of each
  while (child.step_to_system_call()) ++stops;
  if (!child.failure().empty()) throw std::runtime_error(child.failure());
  return stops / 2;
}

std::uint64_t go_to_store(Tracee& child, const std::string& directory) {
  SharedPages pages(child.pid(), directory);
  pages.find();
  for (std::uint64_t instructions = 0;; ++instructions) {
    const user_regs_struct registers = registers_of(child.pid());
    if (before_system_call(child.pid(), registers)) return instructions;
    const bool look = pages.may_be_changed(registers);
    if (!child.step() || (look && pages.changed())) return instructions + 1;
  }
}

std::vector<Place> chosen(std::vector<Place> places, std::uint64_t points, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::shuffle(places.begin(), places.end(), random);
  if (points != 0 && places.size() > points) places.resize(points);
  return places;
}

void in_a_process(const std::function<void()>& work, const std::string& what) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    try {
      work();
      ::_exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", what.c_str(), error.what());
      ::_exit(1);
    }
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error(what + " failed");
}

}  // namespace ipcq::sweep
