#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "api/inspection.hpp"
#include "api/names.hpp"
#include "api/removal.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/recovery.hpp"
#include "ipcq/admin.hpp"
#include "os/clock.hpp"
#include "os/life_lock.hpp"

namespace ipcq {
namespace {

using detail::OpenedFile;
using detail::Place;
using detail::Segment;
using std::chrono::nanoseconds;

constexpr nanoseconds kLeftoverGrace = std::chrono::seconds(30);
constexpr nanoseconds kSoon = std::chrono::seconds(1);

std::string seconds_text(nanoseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}
std::string messages_text(std::uint64_t count) {
  return std::to_string(count) + " unacked message" + (count == 1 ? "" : "s");
}

nanoseconds since_unix(std::uint64_t unix_ns) {
  const auto now = static_cast<std::uint64_t>(os::unix_ns());
  return nanoseconds(now > unix_ns ? now - unix_ns : 0);  // the wall clock may have been set back
}

CleanAction kept(const Place& place, std::string reason, std::optional<nanoseconds> again_in = {}) {
  return {place.name, place.path, Cleaned::kept, std::move(reason), again_in};
}

/// What stands for or against the removal of an ephemeral queue at one moment.
struct Need {
  std::uint32_t living = 0;  // attached; a stopped one, and one that lost its life lock, too
  std::uint32_t dead = 0;    // attached and dead: not recovered
  nanoseconds deserted{0};   // for how long nobody has been attached
  std::uint64_t messages = 0;
  bool counted = true;  // false: more than could be counted
};

Need need_of(const Segment& segment, const core::View& view) {
  Need need;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const core::Owner owner = core::attached_owner(view, i);
    if (owner == 0) continue;
    ++(core::judge(view, owner) == core::Verdict::dead ? need.dead : need.living);
  }
  if (need.living + need.dead == 0) {
    const std::uint64_t last = core::last_lived_ns(view);
    const auto now = static_cast<std::uint64_t>(os::monotonic_ns());
    need.deserted = last == 0 ? since_unix(segment.header().created_unix_ns) : nanoseconds(now > last ? now - last : 0);
  }
  for (const GroupInfo& group : detail::inspect_segment(segment).groups) {
    need.messages += group.depth_messages;
    need.counted = need.counted && group.depth_exact;
  }
  return need;
}

// Why an ephemeral queue stays; nothing: it may go.
std::optional<CleanAction> reason_to_keep(const Place& place, const Need& need, nanoseconds grace, bool with_messages) {
  if (need.living > 0) return kept(place, "in use: " + std::to_string(need.living) + " attached");
  if (need.dead > 0) return kept(place, "whoever was attached has died; the grace time begins now", grace);
  if (need.deserted < grace) {
    return kept(
        place,
        "nobody has been attached for " + seconds_text(need.deserted) + ", the grace time is " + seconds_text(grace),
        grace - need.deserted);
  }
  if (with_messages || (need.messages == 0 && need.counted)) return std::nullopt;
  return kept(place, need.counted ? "it holds " + messages_text(need.messages) : "what it holds cannot be counted");
}

CleanAction clean_ephemeral(const Place& place, OpenedFile opened, const CleanOptions& options) {
  OpenedFile file;  // for the header, and the place of the locks: the descriptor goes to the segment
  file.info = opened.info;
  file.header = opened.header;
  file.fd = os::reopen(opened.fd.get(), O_RDWR);
  if (!file.fd) return kept(place, "no descriptor is to be had (ulimit -n)", kSoon);
  const nanoseconds grace = options.grace.value_or(std::chrono::seconds(opened.header.header.grace_s));
  const auto segment = Segment::map(place, std::move(opened), detail::Access::read_write);
  if ((segment->view().frozen().flags.load(std::memory_order_acquire) & layout::flag::kPoisoned) != 0)  // A:flags
    return kept(place, "it is poisoned, so what it holds is unknown: see 'ipcq repair'");
  if (!options.dry_run) core::recover(segment->view());
  Need need = need_of(*segment, segment->view());
  if (auto reason = reason_to_keep(place, need, grace, options.with_messages)) return *reason;
  IPCQ_CRASH_POINT("clean.decided");  // die here → the next cleaner
  if (!options.dry_run) {
    detail::check_may_unlink(place, file);
    const detail::RemovalLocks locks(place, file);
    if (!locks.lock_out_removers(1)) return kept(place, "another process is removing it", kSoon);
    if (!locks.lock_out_everybody()) return kept(place, "somebody is attaching just now", kSoon);
    // Again, now that nobody attaches: what was true a moment ago may have been drained, filled, or left by now.
    core::View view = segment->view();
    view.fd = locks.fd();  // probed through this description, our own locks are free
    need = need_of(*segment, view);
    if (auto reason = reason_to_keep(place, need, grace, options.with_messages)) return *reason;
    IPCQ_CRASH_POINT("clean.sure");  // die here → the locks are gone, and nothing has happened
    detail::mark_and_unlink(place, file, segment.get());
  }
  std::string what = need.messages == 0 ? "drained" : messages_text(need.messages) + ", given up as asked";
  return {place.name,
          place.path,
          Cleaned::removed,
          std::move(what) + ", and nobody has been attached for " + seconds_text(need.deserted),
          {}};
}

CleanAction finish_removal(const Place& place, const OpenedFile& file, const CleanOptions& options) {
  if (!options.dry_run) {
    try {
      (void)detail::open_file(place, detail::Access::read_write, detail::Depth::frozen, {::geteuid()});
    } catch (const Error& error) {
      if (error.errc() != Errc::no_such_queue) throw;
    }
    struct stat info {};
    if (::lstat(place.path.c_str(), &info) == 0 && detail::file_id(info) == detail::file_id(file.info))
      return kept(place, "its remover is still at work", kSoon);
  }
  return {
      place.name, place.path, Cleaned::removal_finished, "it was removed, and its remover died before its name was", {}};
}

std::optional<CleanAction> clean_queue(const Place& place, const CleanOptions& options) {
  const bool named = !options.names.empty();
  struct stat info {};
  if (::lstat(place.path.c_str(), &info) == 0 && info.st_uid != ::geteuid()) {
    if (!named) return std::nullopt;
    detail::fail(Errc::untrusted_owner, place.name, place.path, "it belongs to uid " + std::to_string(info.st_uid),
                 "cleaning is for its owner: run it as that user");
  }
  OpenedFile file = detail::open_file(place, detail::Access::read_write, detail::Depth::as_is, {});
  if (file.info.st_uid != ::geteuid()) return std::nullopt;  // another's, that came under the name just now
  if (file.validation.verdict != layout::Verdict::ok)
    return kept(place, std::string("damaged: ") + file.validation.reason);
  if ((file.header.flags & layout::flag::kRemoved) != 0) return finish_removal(place, file, options);
  if (file.header.header.lifetime != static_cast<std::uint8_t>(Lifetime::ephemeral)) {
    if (!named) return std::nullopt;
    return kept(place, "it is persistent: only 'ipcq rm' removes it");
  }
  return clean_ephemeral(place, std::move(file), options);
}

// Its creator holds a lock on it. Between that one's open and its lock there is none: so a file must be old, too.
std::optional<CleanAction> clean_leftover(const Place& place, const CleanOptions& options) {
  const os::UniqueFd fd(::open(place.path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) return std::nullopt;
  const nanoseconds grace = options.grace.value_or(kLeftoverGrace);
  const nanoseconds age = since_unix(static_cast<std::uint64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
                                     static_cast<std::uint64_t>(info.st_mtim.tv_nsec));
  if (age < grace) return kept(place, "its creator may be at work: it is " + seconds_text(age) + " old", grace - age);
  if (os::probe_byte(fd.get(), detail::kCreatorByte) != os::ByteState::free)
    return kept(place, "its creator is at work", kSoon);
  if (!options.dry_run && !detail::unlink_same(place, detail::file_id(info))) {
    if (errno == ENOENT) return std::nullopt;  // another cleaner was first
    return kept(place, "it may not be unlinked");
  }
  return CleanAction{place.name,
                     place.path,
                     Cleaned::leftover_removed,
                     "its creator died before it was a queue, " + seconds_text(age) + " ago",
                     {}};
}

bool is_leftover(const std::string& name) { return name.rfind(detail::kLeftoverPrefix, 0) == 0; }

std::optional<CleanAction> clean_one(const std::string& name, const CleanOptions& options) {
  const std::string directory = resolve_directory(options.directory);
  if (!is_leftover(name)) return clean_queue(detail::place_of(name, directory), options);
  if (name.find('/') != std::string::npos) return std::nullopt;
  return clean_leftover({name, directory, directory + "/" + name}, options);
}

}  // namespace

std::vector<CleanAction> clean(const CleanOptions& options) {
  if (options.with_messages && options.names.empty()) {
    throw Error(Errc::invalid_option,
                "messages are given up by name only: say which queues shall go with what they hold");
  }
  std::vector<CleanAction> actions;
  for (const std::string& name : options.names) {
    if (auto action = clean_one(name, options)) actions.push_back(*std::move(action));
  }
  if (!options.names.empty()) return actions;
  for (const std::string& name : detail::names_in(resolve_directory(options.directory))) {
    try {
      if (auto action = clean_one(name, options)) actions.push_back(*std::move(action));
    } catch (const Error&) {
      // No queue, of another layout, or gone by now: not ours to clean. `ipcq ls` shows what it is.
    }
  }
  return actions;
}

}  // namespace ipcq
