#include "api/removal.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "api/frozen.hpp"
#include "api/names.hpp"
#include "core/crash_point.hpp"
#include "core/event_count.hpp"
#include "core/quota.hpp"
#include "os/life_lock.hpp"

namespace ipcq::detail {

RemovalLocks::RemovalLocks(const Place& place, const OpenedFile& file)
    : fd_(os::reopen(file.fd.get(), O_RDWR)), life_begin_(file.header.life_begin), life_count_(file.header.life_count) {
  if (!fd_) {
    fail(Errc::system, place.name, place.path, "no descriptor for the locks",
         "raise the limit of open files (ulimit -n)", errno);
  }
}

bool RemovalLocks::lock_out_removers(int attempts) const noexcept {
  for (int attempt = 0; attempt < attempts; ++attempt) {
    if (os::lock_bytes(fd_.get(), life_begin_ - 1, 1)) return true;
    const timespec nap{0, 1'000'000};
    ::nanosleep(&nap, nullptr);
  }
  return false;
}

bool RemovalLocks::lock_out_everybody() const noexcept { return os::lock_bytes(fd_.get(), life_begin_, life_count_); }

void check_may_unlink(const Place& place, const OpenedFile& file) {
  struct stat directory {};
  const uid_t me = ::geteuid();
  if (::stat(place.directory.c_str(), &directory) == 0 &&
      ::faccessat(AT_FDCWD, place.directory.c_str(), W_OK | X_OK, AT_EACCESS) == 0 &&
      ((directory.st_mode & S_ISVTX) == 0 || me == 0 || me == file.info.st_uid || me == directory.st_uid)) {
    return;
  }
  fail(Errc::permission_denied, place.name, place.path, "its file may not be unlinked from " + place.directory,
       "its owner, or root, can");
}

// Steps, after 1. the remover's byte and 2. the whole life range (not with force):
//  3. `removed` in the flags         (die here → whoever opens, creates or cleans the name finishes)
//  4. unlink, if the name still is this file   (die here → removed; sleepers look at their next backstop)
//  5. wake all
void mark_and_unlink(const Place& place, const OpenedFile& file, const Segment* segment) {
  FrozenMapping(place, file).add_flags(layout::flag::kRemoved);
  IPCQ_CRASH_POINT("remove.marked");
  const bool unlinked = unlink_same(place, file_id(file.info));
  const int error = errno;
  IPCQ_CRASH_POINT("remove.unlinked");
  if (segment != nullptr) {
    core::publish_fenced(segment->view().side().data);
    core::publish_fenced(segment->view().side().space);
    core::publish_fenced(core::quota_event(segment->view()));
  }
  struct stat info {};
  if (!unlinked && ::lstat(place.path.c_str(), &info) == 0 && file_id(info) == file_id(file.info)) {
    fail(Errc::permission_denied, place.name, place.path, "it is marked as removed, but its file may not be unlinked",
         "its owner, or root, can", error);
  }
}

}  // namespace ipcq::detail
