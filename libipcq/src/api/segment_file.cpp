#include "api/segment_file.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "api/names.hpp"
#include "ipcq/admin.hpp"
#include "layout/layout.hpp"
#include "os/life_lock.hpp"

namespace ipcq::detail {
namespace {

[[noreturn]] void fail_at(const Place& place, Errc code, std::string_view what, std::string_view to_do,
                          int system_errno = 0) {
  fail(code, place.name, place.path, what, to_do, system_errno);
}

// In a directory that others cannot write, any owner is accepted; in a sticky or world-writable one whoever may create
// files there may have put this one under our name.
void check_owner(const Place& place, const struct stat& info, const std::vector<uid_t>& trusted_owners) {
  const std::string owner = "it belongs to uid " + std::to_string(info.st_uid);
  if (info.st_uid == os::overflow_uid()) {
    fail_at(place, Errc::untrusted_owner, owner + ", which stands for owners unknown here",
            "open it outside the user namespace, or let its owner recreate it");
  }
  struct stat directory {};
  if (::stat(place.directory.c_str(), &directory) == 0 && (directory.st_mode & (S_ISVTX | S_IWOTH)) == 0) return;
  const uid_t me = ::geteuid();
  if (info.st_uid == 0 || (info.st_uid == me && me != os::overflow_uid())) return;
  if (std::find(trusted_owners.begin(), trusted_owners.end(), info.st_uid) != trusted_owners.end()) return;
  fail_at(place, Errc::untrusted_owner, owner + ", and anybody may create files in this directory",
          "name that uid as trusted (trusted_owners, --trust) or use a directory of your own");
}

[[noreturn]] void fail_open(const Place& place, int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      fail_at(place, Errc::no_such_queue, "there is no such queue", "create it: ipcq create " + place.name);
    case EACCES:
    case EPERM:
    case EROFS:
      fail_at(place, Errc::permission_denied, "the file may not be opened",
              "ask its owner for access (ipcq create --mode --file-group)", error);
    case ELOOP:
      fail_at(place, Errc::not_a_queue, "it is a symbolic link", "links are not followed: open the queue where it is");
    case EISDIR:
      fail_at(place, Errc::not_a_queue, "it is a directory", "choose another name");
    case ENXIO:
    case ENODEV:
      fail_at(place, Errc::not_a_queue, "it is no regular file", "choose another name");
    default:
      fail_at(place, Errc::system, "the file cannot be opened", "see the system's error", error);
  }
}

std::string namespace_text(const os::FileId& id) { return std::to_string(id.ino); }

void check_namespaces(const Place& place, const layout::HeaderCopy& header) {
  const os::Namespaces own = os::own_namespaces();
  const auto differ = [&](const char* kind, const os::FileId& theirs, const os::FileId& ours) {
    if (theirs == ours) return;
    fail_at(place, Errc::other_namespace,
            std::string("it was created in ") + kind + " namespace " + namespace_text(theirs) +
                ", this process is in " + namespace_text(ours),
            "its locks are unsafe across them: share the namespace (docker: --pid=host or --pid=container:…) or "
            "recreate it here");
  };
  differ("PID", header.namespaces.pid, own.pid);
  differ("time", header.namespaces.time, own.time);
}

}  // namespace

Place place_of(std::string_view name, const std::string& directory) {
  std::string path = path_of(directory, name);
  return {std::string(name), resolve_directory(directory), std::move(path)};
}

OpenedFile open_file(const Place& place, Access access, Depth depth, const std::vector<uid_t>& trusted_owners) {
  OpenedFile opened;
  const int flags = (access == Access::read_write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  opened.fd.reset(::open(place.path.c_str(), flags));
  if (!opened.fd) fail_open(place, errno);
  if (::fstat(opened.fd.get(), &opened.info) != 0) fail_open(place, errno);
  if (S_ISDIR(opened.info.st_mode)) fail_open(place, EISDIR);
  if (!S_ISREG(opened.info.st_mode)) fail_open(place, ENXIO);
  if (opened.info.st_nlink == 0) fail_open(place, ENOENT);
  if (opened.info.st_nlink != 1) {
    fail_at(place, Errc::not_a_queue, "the file has more than one name",
            "a queue's file has one: remove the other links");
  }
  check_owner(place, opened.info, trusted_owners);

  alignas(8) std::array<std::byte, layout::kSideOffset> bytes;
  const ssize_t length = ::pread(opened.fd.get(), bytes.data(), bytes.size(), 0);
  if (length < 0) fail_at(place, Errc::system, "the file cannot be read", "see the system's error", errno);
  const layout::Validation found = layout::validate(bytes.data(), static_cast<std::size_t>(length),
                                                    static_cast<std::uint64_t>(opened.info.st_size), opened.header);
  switch (found.verdict) {
    case layout::Verdict::ok:
      break;
    case layout::Verdict::not_a_queue:
      fail_at(place, Errc::not_a_queue, found.reason, "choose another name, or remove the file if nobody needs it");
    case layout::Verdict::damaged:
      opened.validation = found;
      if (depth == Depth::as_is) return opened;
      fail_at(place, Errc::damaged, found.reason, "remove the file and create the queue again");
    case layout::Verdict::other_layout:
      if (depth == Depth::frozen) break;
      fail_at(place, Errc::other_layout,
              "it has layout " + std::to_string(opened.header.layout_version) + ", this library has layout " +
                  std::to_string(layout::kLayoutVersion),
              "use the version of ipcq that made it, or recreate it");
    case layout::Verdict::other_machine:
      if (depth == Depth::frozen) break;
      fail_at(place, Errc::other_machine, found.reason,
              "use programs of one architecture and C library, or recreate it");
  }
  if ((opened.header.flags & layout::flag::kRemoved) != 0 && depth != Depth::as_is) {
    // Its remover died between the mark and the unlink: finish for him. Under his byte, as he would: between our look at
    // the name and our unlink nobody else unlinks it, so no new queue can have come under the name.
    const os::UniqueFd locks = os::reopen(opened.fd.get(), O_RDWR);
    if (locks && os::lock_bytes(locks.get(), opened.header.life_begin - 1, 1)) unlink_same(place, file_id(opened.info));
    fail_open(place, ENOENT);
  }
  if (depth != Depth::frozen) check_namespaces(place, opened.header);
  return opened;
}

FreeSpace free_space(const std::string& directory) noexcept {
  FreeSpace space{UINT64_MAX, UINT64_MAX};
  struct statvfs info {};
  // A tmpfs without a size limit reports no blocks at all.
  if (::statvfs(directory.c_str(), &info) == 0 && info.f_blocks != 0)
    space.file_system = std::uint64_t{info.f_bavail} * info.f_frsize;
  const os::UniqueFd fd(::open("/proc/meminfo", O_RDONLY | O_CLOEXEC));
  char text[2048];
  const ssize_t length = fd ? ::read(fd.get(), text, sizeof text - 1) : -1;
  if (length > 0) {
    text[length] = '\0';
    unsigned long long kib = 0;
    const char* line = std::strstr(text, "MemAvailable:");
    if (line != nullptr && std::sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
      space.memory = std::uint64_t{kib} * 1024;
  }
  return space;
}

namespace {

// What fills the directory, for the error of a creation that does not fit.
std::string largest_queues(const Place& place) {
  try {
    std::vector<QueueSummary> queues = list({.directory = place.directory});
    std::sort(queues.begin(), queues.end(),
              [](const auto& a, const auto& b) { return a.segment_bytes > b.segment_bytes; });
    std::string text;
    for (std::size_t i = 0; i < queues.size() && i < 3; ++i) {
      text += (i == 0 ? "; largest queues there: " : ", ") + queues[i].name + " " + size_text(queues[i].segment_bytes);
    }
    return text;
  } catch (const Error&) {
    return {};
  }
}

[[noreturn]] void fail_space(const Place& place, std::uint64_t bytes, int error) {
  const FreeSpace space = free_space(place.directory);
  std::string what = "it needs " + size_text(bytes);
  if (space.file_system != UINT64_MAX)
    what += ", " + place.directory + " has " + size_text(space.file_system) + " free";
  if (space.memory != UINT64_MAX) what += ", memory has " + size_text(space.memory) + " available";
  what += largest_queues(place);
  fail_at(place, Errc::no_space, what,
          "use a smaller capacity, remove queues, or enlarge the mount (docker: --shm-size)", error);
}

}  // namespace

os::UniqueFd make_file(const Place& place, std::uint64_t bytes, std::string& temporary) {
  const FreeSpace space = free_space(place.directory);
  if (bytes > space.file_system || bytes > space.memory) fail_space(place, bytes, ENOSPC);
  os::UniqueFd fd(::open(place.directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd && (errno == EOPNOTSUPP || errno == EISDIR)) {
    std::uint64_t number = 0;
    if (::getrandom(&number, sizeof number, 0) != sizeof number) number = static_cast<std::uint64_t>(::getpid());
    temporary =
        place.directory + "/" + std::string(kLeftoverPrefix) + std::to_string(::getpid()) + "." + std::to_string(number);
    fd.reset(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    // Says that its creator is at work, to who cleans up; of a finished queue nobody asks for this byte.
    if (fd) os::lock_bytes(fd.get(), kCreatorByte, 1);
  }
  if (!fd) {
    switch (errno) {
      case ENOENT:
      case ENOTDIR:
        fail_at(place, Errc::no_such_queue, "there is no directory " + place.directory,
                "make it (a tmpfs), or name another", errno);
      case EACCES:
      case EPERM:
      case EROFS:
        fail_at(place, Errc::permission_denied, "no file may be created in " + place.directory,
                "use a directory of your own (--dir, IPCQ_DIR)", errno);
      case ENOSPC:
      case EDQUOT:
        fail_space(place, bytes, errno);
      default:
        fail_at(place, Errc::system, "no file can be created in " + place.directory, "see the system's error", errno);
    }
  }
  // All pages now: a full file system is an error here, never a SIGBUS later.
  int error = 0;
  do {
    error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
  } while (error == EINTR);
  if (error != 0) {
    if (!temporary.empty()) ::unlink(temporary.c_str());
    if (error == ENOSPC || error == EFBIG || error == EDQUOT || error == ENOMEM) fail_space(place, bytes, error);
    fail_at(place, Errc::system, "the memory cannot be reserved", "see the system's error", error);
  }
  return fd;
}

bool link_file(const Place& place, int fd, const std::string& temporary) {
  int result = 0;
  if (temporary.empty()) {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    result = ::linkat(AT_FDCWD, path, AT_FDCWD, place.path.c_str(), AT_SYMLINK_FOLLOW);
    if (result != 0 && errno == ENOENT)
      result = ::linkat(fd, "", AT_FDCWD, place.path.c_str(), AT_EMPTY_PATH);  // no /proc
  } else {
    // One step from the one name to the other: a file with two names is refused, and a death must not leave one.
    result = ::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, place.path.c_str(), RENAME_NOREPLACE);
    const int saved = errno;
    if (result != 0) ::unlink(temporary.c_str());
    errno = saved;
  }
  if (result == 0) return true;
  if (errno == EEXIST) return false;
  const int error = errno;
  const Errc code = error == EACCES || error == EPERM ? Errc::permission_denied : Errc::system;
  fail_at(place, code, "the finished queue cannot be given its name", "see the system's error", error);
}

bool unlink_same(const Place& place, os::FileId id) noexcept {
  struct stat info {};
  if (::lstat(place.path.c_str(), &info) != 0 || file_id(info) != id) return false;
  return ::unlink(place.path.c_str()) == 0;
}

}  // namespace ipcq::detail
