// ScratchDirectory: a directory in shared memory for one test's queues.
#pragma once

#include <sys/types.h>

#include <string>

namespace ipcq::support {

/// A new, empty directory under /dev/shm (mode 0700), removed with all that is in it when the object goes. A forked
/// child that destroys its copy removes nothing. Throws std::system_error if it can't be made.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  pid_t maker_;
};

}  // namespace ipcq::support
