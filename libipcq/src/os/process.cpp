#include "os/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "os/unique_fd.hpp"

namespace ipcq::os {
namespace {

FileId id_of(const char* path) noexcept {
  struct stat info {};
  if (::stat(path, &info) != 0) return {};
  return {info.st_dev, info.st_ino};
}

// Reads a small /proc file whole; returns its length, -1 if it cannot be opened.
ssize_t read_small(const char* path, char* buffer, std::size_t size) noexcept {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return -1;
  const ssize_t length = ::read(fd.get(), buffer, size - 1);
  if (length >= 0) buffer[length] = '\0';
  return length;
}

enum class Maps : std::uint8_t { yes, no, nothing, unknown };

// Walks a maps file, line by line: "from-to perms offset major:minor inode path". `nothing`: it has no line at all.
Maps maps_of(const char* path, FileId id) noexcept {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return Maps::unknown;  // gone, hidden (hidepid), or no /proc: the caller asks the pidfd which
  std::array<char, 8192> buffer;
  std::size_t kept = 0;
  Maps answer = Maps::nothing;
  for (;;) {
    const ssize_t length = ::read(fd.get(), buffer.data() + kept, buffer.size() - 1 - kept);
    if (length < 0) return errno == ESRCH ? Maps::nothing : Maps::unknown;
    if (length == 0) return answer;
    answer = Maps::no;
    const std::size_t filled = kept + static_cast<std::size_t>(length);
    buffer[filled] = '\0';
    char* line = buffer.data();
    for (char* newline = nullptr; (newline = std::strchr(line, '\n')) != nullptr; line = newline + 1) {
      *newline = '\0';
      unsigned dev_major = 0;
      unsigned dev_minor = 0;
      unsigned long long inode = 0;
      if (std::sscanf(line, "%*s %*s %*s %x:%x %llu", &dev_major, &dev_minor, &inode) == 3 && inode == id.ino &&
          makedev(dev_major, dev_minor) == id.dev) {
        return Maps::yes;
      }
    }
    kept = std::strlen(line);
    if (kept >= buffer.size() - 1) kept = 0;  // a line longer than any of ours: skip it
    std::memmove(buffer.data(), line, kept);
  }
}

// A process whose first thread has ended shows no maps under its own number, but under those of its other threads.
Maps maps_file(std::uint32_t pid, FileId id) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%u/maps", pid);
  const Maps own = maps_of(path, id);
  if (own != Maps::nothing) return own;
  std::snprintf(path, sizeof path, "/proc/%u/task", pid);
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir(path), &::closedir);
  if (tasks == nullptr) return Maps::unknown;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this call's own
  while (const dirent* task = ::readdir(tasks.get())) {
    const unsigned long thread = std::strtoul(task->d_name, nullptr, 10);
    if (thread == 0) continue;
    std::snprintf(path, sizeof path, "/proc/%u/task/%lu/maps", pid, thread);
    const Maps maps = maps_of(path, id);
    if (maps != Maps::nothing) return maps;
  }
  return Maps::no;
}

}  // namespace

Namespaces own_namespaces() noexcept { return {id_of("/proc/self/ns/pid"), id_of("/proc/self/ns/time")}; }

std::uint64_t start_time(std::uint32_t pid) noexcept {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%u/stat", pid);
  char text[1024];
  if (read_small(path, text, sizeof text) <= 0) return 0;
  // The command in field 2 may hold anything, also ") ": count fields from the last ')'.
  const char* at = std::strrchr(text, ')');
  if (at == nullptr) return 0;
  ++at;
  for (int field = 3; field <= 22; ++field) {
    while (*at == ' ') ++at;
    if (field == 22) return std::strtoull(at, nullptr, 10);
    while (*at != ' ' && *at != '\0') ++at;
  }
  return 0;
}

bool lives_and_maps(std::uint32_t pid, std::uint64_t started, FileId id) noexcept {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd && errno == ESRCH) return false;
  const auto exited = [&] {  // perhaps not reaped
    pollfd poller{pidfd.get(), POLLIN, 0};
    return pidfd && ::poll(&poller, 1, 0) == 1;
  };
  if (exited()) return false;
  const std::uint64_t start = start_time(pid);
  if (start != 0 && started != 0 && start != started) return false;  // the number belongs to another process now
  switch (maps_file(pid, id)) {
    case Maps::yes:
      return true;
    case Maps::no:
    case Maps::nothing:
      return false;
    case Maps::unknown:
      break;
  }
  return !exited();
}

std::uint32_t own_thread() noexcept { return static_cast<std::uint32_t>(::gettid()); }

std::string command_of(std::uint32_t pid) {
  if (pid == 0) return {};
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%u/comm", pid);
  char text[64];
  const ssize_t length = read_small(path, text, sizeof text);
  if (length <= 0) return {};
  std::string_view command(text, static_cast<std::size_t>(length));
  if (command.back() == '\n') command.remove_suffix(1);
  return std::string(command);
}

std::uint32_t overflow_uid() noexcept {
  static const std::uint32_t kUid = [] {
    char text[32];
    return read_small("/proc/sys/kernel/overflowuid", text, sizeof text) > 0
               ? static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10))
               : 65534U;
  }();
  return kUid;
}

}  // namespace ipcq::os
