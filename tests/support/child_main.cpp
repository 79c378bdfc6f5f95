#include "child_main.hpp"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "child_process.hpp"

namespace ipcq::support {
namespace {

// Roles register themselves from static initialisers of other files: the list must exist before the first of them.
std::vector<const ChildRole*>& roles() {
  static std::vector<const ChildRole*> list;
  return list;
}

void write_line(int fd, std::string_view line) {
  std::array<char, 1024> buffer{};
  const std::size_t length = std::min(line.size(), buffer.size() - 1);
  std::copy_n(line.begin(), length, buffer.begin());
  buffer[length] = '\n';
  // A pipe takes up to PIPE_BUF bytes whole; a parent that is gone is noticed by who waits for a command.
  while (write(fd, buffer.data(), length + 1) < 0 && errno == EINTR) {
  }
}

int forbidden_report_fd = -1;

void on_forbidden_call(int /*signal*/, siginfo_t* info, void* /*context*/) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "system call %d", info->si_syscall);
  write_line(forbidden_report_fd, {text.data(), static_cast<std::size_t>(length)});
  _exit(kSystemCallMade);
}

int run_role(int argc, char** argv) {
  const std::string name = argv[2];
  std::vector<std::string> arguments(argv + 5, argv + argc);
  Child child(std::stoi(argv[3]), std::stoi(argv[4]), std::move(arguments));
  const auto is_it = [&](const ChildRole* role) { return name == role->name; };
  try {
    require(std::count_if(roles().begin(), roles().end(), is_it) == 1, "\"" + name + "\" is not the name of one role");
    return (*std::find_if(roles().begin(), roles().end(), is_it))->run(child);
  } catch (const std::exception& error) {
    child.report(std::string("failed: ") + error.what());
    return 1;
  }
}

}  // namespace

ChildRole::ChildRole(const char* role_name, int (*role_run)(Child&)) : name(role_name), run(role_run) {
  roles().push_back(this);
}

Child::Child(int report_fd, int command_fd, std::vector<std::string> arguments)
    : report_fd_(report_fd), command_fd_(command_fd), arguments_(std::move(arguments)) {}

const std::string& Child::argument(std::size_t index) const { return arguments_.at(index); }

std::uint64_t Child::number(std::size_t index) const { return std::stoull(argument(index)); }

void Child::report(std::string_view line) const { write_line(report_fd_, line); }

void Child::await(std::string_view command) {
  std::size_t end = 0;
  while ((end = unread_.find('\n')) == std::string::npos) {
    std::array<char, 256> buffer{};
    const ssize_t got = read(command_fd_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) leave(1);
    unread_.append(buffer.data(), static_cast<std::size_t>(got));
  }
  const std::string said = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  require(said == command, "was told \"" + said + "\" instead of \"" + std::string(command) + "\"");
}

int Child::hold() const {
  char byte = 0;
  while (true) {
    const ssize_t got = read(command_fd_, &byte, 1);
    if (got == 0 || (got < 0 && errno != EINTR)) leave(0);
  }
}

void Child::leave(int code) const { _exit(code); }

int Child::become(const ChildRole& role, const std::vector<std::string>& arguments) const {
  ChildProcess::execute(role, report_fd_, command_fd_, arguments);
}

void Child::close_other_descriptors() const {
  const auto [low, high] = std::minmax(report_fd_, command_fd_);
  const auto close_between = [](int first, int last) {  // both included
    if (first <= last) close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), 0);
  };
  close_between(STDERR_FILENO + 1, low - 1);
  close_between(low + 1, high - 1);
  close_between(high + 1, std::numeric_limits<int>::max());
}

void Child::forbid_system_calls() const {
  forbidden_report_fd = report_fd_;
  struct sigaction action {};
  action.sa_sigaction = on_forbidden_call;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGSYS, &action, nullptr) != 0) throw std::system_error(errno, std::generic_category(), "sigaction");

  constexpr auto nr = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
  constexpr auto first_argument = static_cast<std::uint32_t>(offsetof(seccomp_data, args));  // low half: little-endian
  // The filter sees one ABI only: this process is native and makes no compat call.
  std::array<sock_filter, 7> filter = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, nr),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, first_argument),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(report_fd_), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  }};
  const sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
    throw std::system_error(errno, std::generic_category(), "seccomp");
  }
}

void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

}  // namespace ipcq::support

int main(int argc, char** argv) {
  if (argc >= 5 && std::string_view(argv[1]) == "--child") return ipcq::support::run_role(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
