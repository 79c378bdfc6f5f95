#include "instance.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "journal.hpp"

namespace ipcq::daemon {
namespace {

std::string first_word(const char* variable) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): at the start, with one thread
  const char* value = ::secure_getenv(variable);
  if (value == nullptr || *value != '/') return {};
  const std::string text = value;
  return text.substr(0, text.find(':'));
}

std::string read_pid(int fd) {
  char text[16];
  const ssize_t length = ::pread(fd, text, sizeof text, 0);
  std::string pid(text, length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::size_t end = pid.find_first_not_of("0123456789");
  return end == std::string::npos ? pid : pid.substr(0, end);
}

// The descriptor of the locked file; -1 and `why` if it cannot be made or is not ours. Throws AnotherInstance.
int lock_file(const std::string& path, std::string& why) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
  struct stat info {};
  if (fd < 0) {
    why = path + ": " + std::error_code(errno, std::generic_category()).message();
    return -1;
  }
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) {
    why = path + ": it is not a file of ours";
    ::close(fd);
    return -1;
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    AnotherInstance another{path, read_pid(fd)};
    ::close(fd);
    throw another;
  }
  // For people; the lock is what counts.
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0)
    say(Level::debug, path + ": no pid in it");
  return fd;
}

}  // namespace

InstanceLock::InstanceLock(const std::string& directory) {
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0)
    throw std::runtime_error(directory + ": " + std::error_code(errno, std::generic_category()).message());
  const std::string uid = std::to_string(::geteuid());
  std::vector<std::string> paths{directory + "/.ipcqd-" + uid + ".lock"};
  for (const char* variable : {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"}) {
    const std::string runtime = first_word(variable);
    if (runtime.empty()) continue;
    std::string path = runtime;
    path.append("/ipcqd-").append(std::to_string(info.st_dev)).append("-").append(std::to_string(info.st_ino));
    paths.push_back(path.append("-").append(uid).append(".lock"));
  }
  std::string failures;
  try {
    for (const std::string& path : paths) {
      std::string why;
      const int fd = lock_file(path, why);
      if (fd >= 0) {
        held_.push_back(fd);
      } else {
        failures += (failures.empty() ? "" : "; ") + why;
      }
    }
  } catch (...) {
    for (const int fd : held_) ::close(fd);
    throw;
  }
  if (held_.empty()) throw std::runtime_error("no lock file can be made: " + failures);
  if (!failures.empty()) say(Level::debug, "not locked: " + failures);
}

InstanceLock::~InstanceLock() {
  for (const int fd : held_) ::close(fd);
}

}  // namespace ipcq::daemon
