#include "events.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <string_view>
#include <system_error>

namespace ipcq::daemon {
namespace {

// The kernel names a file that was opened without a name (O_TMPFILE) "#INODE" for whoever opened it so.
ino_t number_of(std::string_view name) {
  if (name.empty() || name.front() != '#') return 0;
  ino_t inode = 0;
  const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), inode);
  return error == std::errc{} && end == name.data() + name.size() ? inode : 0;
}

}  // namespace

DirectoryEvents::DirectoryEvents(const std::string& directory) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  constexpr std::uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_OPEN | IN_CLOSE_WRITE;
  if (fd_ >= 0 && ::inotify_add_watch(fd_, directory.c_str(), kMask | IN_ONLYDIR) >= 0) return;
  const int error = errno;
  if (fd_ >= 0) ::close(fd_);
  throw std::system_error(error, std::generic_category(), directory + " cannot be watched");
}

DirectoryEvents::~DirectoryEvents() { ::close(fd_); }

std::vector<FileEvent> DirectoryEvents::read() const {
  std::vector<FileEvent> events;
  alignas(inotify_event) std::array<std::byte, 65536> buffer;
  // Bounded: who opens files without end does not keep us here.
  for (int round = 0; round < 16; ++round) {
    const ssize_t length = ::read(fd_, buffer.data(), buffer.size());
    if (length <= 0) return events;
    for (std::size_t at = 0; at < static_cast<std::size_t>(length);) {
      const auto* event = reinterpret_cast<const inotify_event*>(&buffer[at]);
      at += sizeof(inotify_event) + event->len;
      FileEvent found;
      if (event->len > 0) found.name = event->name;
      found.inode = number_of(found.name);
      if ((event->mask & (IN_Q_OVERFLOW | IN_IGNORED)) != 0) {
        found.what = FileEvent::What::lost_some;
      } else if ((event->mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
        found.what = FileEvent::What::came;
      } else if ((event->mask & (IN_DELETE | IN_MOVED_FROM)) != 0) {
        found.what = FileEvent::What::went;
      } else {
        found.what = (event->mask & IN_OPEN) != 0 ? FileEvent::What::opened : FileEvent::What::closed;
      }
      events.push_back(std::move(found));
    }
  }
  return events;
}

}  // namespace ipcq::daemon
