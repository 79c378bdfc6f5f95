#include "partner.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace ipcq::budget {
namespace {

constexpr int kLooks = 600'000;  // a minute

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// The third field of /proc/PID/stat: S in a sleep that a signal ends. A process that is traced and stopped is in another state.
bool asleep(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd == -1) fail(path.c_str());
  std::array<char, 512> text;
  const ssize_t length = ::read(fd, text.data(), text.size());
  ::close(fd);
  if (length <= 0) return false;
  const std::string_view stat(text.data(), static_cast<std::size_t>(length));
  const std::size_t name_end = stat.rfind(')');
  return name_end != std::string_view::npos && stat.substr(name_end, 3) == ") S";
}

}  // namespace

void await_asleep(pid_t pid) {
  for (int look = 0; !asleep(pid); ++look) {
    if (look == kLooks) throw std::runtime_error("process " + std::to_string(pid) + " does not sleep");
    ::nanosleep(&kBetweenLooks, nullptr);
  }
}

Partner::Partner(void (*role)(Turns& turns)) {
  void* page = ::mmap(nullptr, sizeof(Turns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) fail("mmap");
  turns_ = new (page) Turns;
  std::fflush(nullptr);
  pid_ = ::fork();
  if (pid_ == -1) fail("fork");
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    role(*turns_);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ipcq_budget: partner: %s\n", error.what());
  }
  ::_exit(1);
}

Partner::~Partner() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::munmap(turns_, sizeof(Turns));
}

void Partner::await_asleep(std::uint64_t done) const {
  for (int look = 0; turns_->done.load() < done; ++look) {
    siginfo_t ended{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == pid_)
      throw std::runtime_error("the partner has ended");
    if (look == kLooks) throw std::runtime_error("the partner hangs");
    ::nanosleep(&kBetweenLooks, nullptr);
  }
  budget::await_asleep(pid_);
}

}  // namespace ipcq::budget
