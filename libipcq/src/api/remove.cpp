#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <memory>
#include <string>

#include "api/endpoint.hpp"
#include "api/frozen.hpp"
#include "api/names.hpp"
#include "api/segment.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/quota.hpp"
#include "ipcq/admin.hpp"
#include "os/life_lock.hpp"

namespace ipcq {
namespace {

// Who lives in the queue, by name; of another layout only that somebody does.
std::string who_lives(const detail::Segment* segment) {
  if (segment == nullptr) return "somebody";
  const core::View& view = segment->view();
  std::string text;
  int shown = 0;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const core::Owner owner = core::attached_owner(view, i);
    if (owner == 0 || core::judge(view, owner) == core::Verdict::dead) continue;
    if (++shown > 8) return text + ", …";
    // relaxed: a report.
    const bool producer =
        view.row(i).kind.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(layout::RowKind::producer);
    text +=
        (shown == 1 ? "" : ", ") + std::string(producer ? "producer " : "consumer ") + detail::process_text(view, owner);
  }
  return text.empty() ? "somebody who is attaching just now" : text;
}

// Whether this process may unlink the queue's name, as far as the modes tell: asked before the mark, which cannot be taken
// back from those who have seen it.
bool may_unlink(const detail::Place& place, const struct stat& file) noexcept {
  struct stat directory {};
  if (::stat(place.directory.c_str(), &directory) != 0) return false;
  if (::faccessat(AT_FDCWD, place.directory.c_str(), W_OK | X_OK, AT_EACCESS) != 0) return false;
  const uid_t me = ::geteuid();
  return (directory.st_mode & S_ISVTX) == 0 || me == 0 || me == file.st_uid || me == directory.st_uid;
}

}  // namespace

// Steps; the remover's byte is held from 1 to the end, so that two removers do not mix.
//  1. the remover's byte             (die here → the byte is free again)
//  2. the whole life range, unless forced: fails while anybody lives; nobody attaches while we hold it
//  3. `removed` in the flags         (die here → whoever opens or creates the name finishes)
//  4. unlink, if the name still is this file   (die here → removed; sleepers look at their next backstop)
//  5. wake all
void remove(std::string_view name, const RemoveOptions& options) {
  const detail::Place place = detail::place_of(name, options.directory);
  const detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_write, detail::Depth::frozen, options.trusted_owners);
  const auto fail = [&](Errc code, const std::string& what, const std::string& to_do, int error = 0) {
    detail::fail(code, place.name, place.path, what, to_do, error);
  };
  if (!may_unlink(place, file.info)) {
    fail(Errc::permission_denied, "its file may not be unlinked from " + place.directory, "its owner, or root, can");
  }
  // The rest of the segment, if it is of this layout: to name who lives and to wake them.
  std::shared_ptr<detail::Segment> segment;
  try {
    detail::OpenedFile again =
        detail::open_file(place, detail::Access::read_write, detail::Depth::whole, options.trusted_owners);
    if (detail::file_id(again.info) == detail::file_id(file.info)) {
      segment = detail::Segment::map(place, std::move(again), detail::Access::read_write);
    }
  } catch (const Error&) {
    // Another layout, machine or namespace: the frozen header is enough to remove it.
  }

  const os::UniqueFd locks = os::reopen(file.fd.get(), O_RDWR);
  if (!locks) fail(Errc::system, "no descriptor for the locks", "raise the limit of open files (ulimit -n)", errno);
  bool locked = false;
  for (int attempt = 0; attempt < 1000 && !locked; ++attempt) {
    locked = os::lock_bytes(locks.get(), file.header.life_begin - 1, 1);
    if (!locked) {
      const timespec nap{0, 1'000'000};
      ::nanosleep(&nap, nullptr);
    }
  }
  if (!locked) fail(Errc::in_use, "another process is removing it", "let it finish");
  if (!options.force && !os::lock_bytes(locks.get(), file.header.life_begin, file.header.life_count)) {
    fail(Errc::in_use, "it is in use by " + who_lives(segment.get()), "end them first, or force (ipcq rm --force)");
  }
  detail::FrozenMapping(place, file).add_flags(layout::flag::kRemoved);
  IPCQ_CRASH_POINT("remove.marked");
  const bool unlinked = detail::unlink_same(place, detail::file_id(file.info));
  const int error = errno;
  IPCQ_CRASH_POINT("remove.unlinked");
  if (segment != nullptr) {
    core::publish_fenced(segment->view().side().data);
    core::publish_fenced(segment->view().side().space);
    core::publish_fenced(core::quota_event(segment->view()));
  }
  struct stat info {};
  if (!unlinked && ::lstat(place.path.c_str(), &info) == 0 && detail::file_id(info) == detail::file_id(file.info)) {
    fail(Errc::permission_denied, "it is marked as removed, but its file may not be unlinked",
         "its owner, or root, can", error);
  }
}

}  // namespace ipcq
