#include "service.hpp"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>

namespace ipcq::daemon {
namespace {

std::string environment(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): at the start, with one thread
  const char* value = ::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
  return text;
}

// A datagram socket connected to `path`; one that begins with '@' is in the abstract name space.
int connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || path.size() >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return -1;
  std::memcpy(address.sun_path, path.data(), path.size());
  const bool abstract = path[0] == '@';
  if (abstract) address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), length) == 0) return fd;
  ::close(fd);
  return -1;
}

}  // namespace

ServiceManager::ServiceManager() {
  const std::string path = environment("NOTIFY_SOCKET");
  const std::string interval = environment("WATCHDOG_USEC");
  const std::string pid = environment("WATCHDOG_PID");
  if (!path.empty()) socket_ = connect_to(path);
  if (socket_ < 0 || interval.empty() || (!pid.empty() && pid != std::to_string(::getpid()))) return;
  const unsigned long long microseconds = std::strtoull(interval.c_str(), nullptr, 10);
  if (microseconds > 1) interval_ = std::chrono::microseconds(microseconds / 2);
}

ServiceManager::~ServiceManager() {
  if (socket_ >= 0) ::close(socket_);
}

void ServiceManager::tell(std::string_view state) const noexcept {
  if (socket_ >= 0) (void)::send(socket_, state.data(), state.size(), MSG_NOSIGNAL);
}

}  // namespace ipcq::daemon
