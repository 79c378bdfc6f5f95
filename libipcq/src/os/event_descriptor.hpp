// EventDescriptor: an eventfd(2), readable or not.
#pragma once

#include "os/unique_fd.hpp"

namespace ipcq::os {

class EventDescriptor {
 public:
  /// Not readable. Fails with errno set: then it is false.
  EventDescriptor() noexcept;
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  [[nodiscard]] int get() const noexcept { return fd_.get(); }
  /// Readable. Async-signal-safe.
  void signal() noexcept;
  /// Not readable.
  void clear() noexcept;

 private:
  UniqueFd fd_;
};

}  // namespace ipcq::os
