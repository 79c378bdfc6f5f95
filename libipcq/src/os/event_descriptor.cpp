#include "os/event_descriptor.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace ipcq::os {

EventDescriptor::EventDescriptor() noexcept : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void EventDescriptor::signal() noexcept {
  const int saved = errno;
  const std::uint64_t one = 1;
  // EAGAIN: signalled 2^64 - 2 times since it was cleared, so it is readable.
  while (::write(fd_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  errno = saved;
}

void EventDescriptor::clear() noexcept {
  const int saved = errno;
  std::uint64_t count = 0;
  while (::read(fd_.get(), &count, sizeof(count)) < 0 && errno == EINTR) {
  }
  errno = saved;
}

}  // namespace ipcq::os
