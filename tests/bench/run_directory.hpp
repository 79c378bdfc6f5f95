// The directory that all queues of one program run lie in: made under a tmpfs, unique, removed with all in it at the end.
#pragma once

#include <string>

namespace ipcq::bench {

class RunDirectory {
 public:
  /// Makes `base`/ipcq-bench.<pid>.<six characters>, mode 0700. Throws std::system_error.
  explicit RunDirectory(const std::string& base);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Removes what a failed run left in it.
  void clear() const noexcept;

 private:
  std::string path_;
};

}  // namespace ipcq::bench
