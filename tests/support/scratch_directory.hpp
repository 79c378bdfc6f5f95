// ScratchDirectory: a directory in shared memory for one test's queues.
#pragma once

#include <sys/types.h>

#include <string>

namespace ipcq::support {

/// A new, empty directory (mode 0700) under IPCQ_DIR, else /dev/shm, removed with all that is in it when the object goes. A
/// forked child that destroys its copy removes nothing; that of a process which dies stays, so ./dev test gives a directory
/// of its own to all, and removes that. Throws std::system_error if it can't be made.
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
