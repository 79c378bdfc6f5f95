// One instance for each directory and uid, by locks that are held for life.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace ipcq::daemon {

/// Thrown when another instance is at work, with its pid as its lock file tells, if it does.
struct AnotherInstance {
  std::string lock_file;
  std::string pid;
};

class InstanceLock {
 public:
  /// Locks `.ipcqd-UID.lock` in the directory, and one in each runtime directory that the environment names
  /// (RUNTIME_DIRECTORY, XDG_RUNTIME_DIR), so that nobody who may create files in the directory keeps us out, nor an
  /// instance that was started with another environment lets us in. One that may not be made is passed over as long as
  /// another is held. Throws AnotherInstance, std::runtime_error if none can be had. The files are never unlinked.
  explicit InstanceLock(const std::string& directory);
  ~InstanceLock();
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;

 private:
  std::vector<int> held_;
};

}  // namespace ipcq::daemon
