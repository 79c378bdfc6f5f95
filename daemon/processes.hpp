// The processes that are attached somewhere, each by one pidfd in an epoll: the end of one is an event.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace ipcq::daemon {

class Processes {
 public:
  /// Pidfds are added to `epoll` with the pid as data, and kTag above it.
  explicit Processes(int epoll) noexcept : epoll_(epoll) {}
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  static constexpr std::uint64_t kTag = std::uint64_t{1} << 32;

  /// From here on the end of `pid` is told, for `queue`. False: there is no such process, or no descriptor for it; then it is
  /// told by nobody. The number may meanwhile mean another process: look at the life lock after this.
  bool follow(std::uint32_t pid, const std::string& queue);
  /// `queue` has no endpoint of it any more.
  void leave(std::uint32_t pid, const std::string& queue);
  /// It has ended: forgets it, and says in which queues it was.
  [[nodiscard]] std::vector<std::string> ended(std::uint32_t pid);
  /// "pid 123 (cat)"; what it was called when it was first seen.
  [[nodiscard]] std::string text(std::uint32_t pid) const;
  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }

 private:
  struct Process {
    int fd = -1;
    std::string command;
    std::set<std::string> queues;
  };
  void forget(std::map<std::uint32_t, Process>::iterator at);

  int epoll_;
  std::map<std::uint32_t, Process> all_;
};

}  // namespace ipcq::daemon
