#include "processes.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace ipcq::daemon {
namespace {

std::string command_of(std::uint32_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%u/comm", pid);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  char text[64];
  const ssize_t length = ::read(fd, text, sizeof text);
  ::close(fd);
  std::string command(text, length > 0 ? static_cast<std::size_t>(length) : 0);
  while (!command.empty() && command.back() == '\n') command.pop_back();
  return command;
}

}  // namespace

Processes::~Processes() {
  for (const auto& [pid, process] : all_) ::close(process.fd);
}

bool Processes::follow(std::uint32_t pid, const std::string& queue) {
  auto at = all_.find(pid);
  if (at == all_.end()) {
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) return false;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kTag | pid;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
      ::close(fd);
      return false;
    }
    at = all_.emplace(pid, Process{fd, command_of(pid), {}}).first;
  }
  at->second.queues.insert(queue);
  return true;
}

void Processes::leave(std::uint32_t pid, const std::string& queue) {
  const auto at = all_.find(pid);
  if (at == all_.end()) return;
  at->second.queues.erase(queue);
  if (at->second.queues.empty()) forget(at);
}

std::vector<std::string> Processes::ended(std::uint32_t pid) {
  const auto at = all_.find(pid);
  if (at == all_.end()) return {};
  std::vector<std::string> queues(at->second.queues.begin(), at->second.queues.end());
  forget(at);
  return queues;
}

std::string Processes::text(std::uint32_t pid) const {
  std::string text = "pid " + std::to_string(pid);
  const auto at = all_.find(pid);
  if (at != all_.end() && !at->second.command.empty()) text += " (" + at->second.command + ")";
  return text;
}

void Processes::forget(std::map<std::uint32_t, Process>::iterator at) {
  ::close(at->second.fd);  // which takes it out of the epoll
  all_.erase(at);
}

}  // namespace ipcq::daemon
