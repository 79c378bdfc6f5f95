// What happens to the files of a directory: inotify(7), in the words of queues.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ipcq::daemon {

struct FileEvent {
  enum class What : std::uint8_t {
    came,      ///< a name is new, or means another file
    went,      ///< a name is gone
    opened,    ///< perhaps somebody attaches: that takes a moment more
    closed,    ///< perhaps somebody detached, or died
    lost_some  ///< events were lost: look at everything
  };
  What what = What::lost_some;
  std::string name;  ///< of the file
  /// Instead of a name, the file's number: who created it has it open under none.
  ino_t inode = 0;
};

class DirectoryEvents {
 public:
  /// Throws std::system_error if the directory cannot be watched.
  explicit DirectoryEvents(const std::string& directory);
  ~DirectoryEvents();
  DirectoryEvents(const DirectoryEvents&) = delete;
  DirectoryEvents& operator=(const DirectoryEvents&) = delete;

  /// Readable: there are events.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// What has happened since the last call; does not wait.
  [[nodiscard]] std::vector<FileEvent> read() const;

 private:
  int fd_ = -1;
};

}  // namespace ipcq::daemon
