#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <memory>
#include <string>

#include "api/frozen.hpp"
#include "api/names.hpp"
#include "api/segment.hpp"
#include "core/closing.hpp"
#include "core/endpoints.hpp"
#include "core/groups.hpp"
#include "ipcq/admin.hpp"

namespace ipcq {
namespace {

// Members and depth of a queue, without the counting that inspect() does.
void look_inside(const detail::Segment& segment, QueueSummary& summary) {
  const core::View& view = segment.view();
  summary.segment_bytes = segment.header().segment_bytes;
  summary.capacity_bytes = view.capacity;
  summary.closed = core::is_closed(view);
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const core::Owner owner = core::attached_owner(view, i);
    if (owner == 0 || core::judge(view, owner) == core::Verdict::dead) continue;
    // relaxed: figures that are right by themselves.
    const std::uint32_t kind = view.row(i).kind.load(std::memory_order_relaxed);
    ++(kind == static_cast<std::uint32_t>(layout::RowKind::producer) ? summary.producers : summary.consumers);
  }
  summary.living = summary.producers + summary.consumers;
  // A:claim_position, with R:claim_position.
  const std::uint64_t end = view.side().claim.claim_position.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const auto& group = view.group(i);
    if (core::state_of(group) != layout::GroupState::active) continue;
    ++summary.groups;
    const std::uint64_t retired = group.retired.load(std::memory_order_acquire);  // A:retired
    if (end > retired) summary.depth_bytes = std::max(summary.depth_bytes, std::min(end - retired, view.capacity));
  }
}

// Of a queue that is for another library or namespace: what its frozen header tells.
void look_at_frozen(const detail::Place& place, const OpenOptions& options, QueueSummary& summary) {
  const detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_only, detail::Depth::frozen, options.trusted_owners);
  summary.segment_bytes = file.header.segment_bytes;
  summary.closed = (file.header.flags & layout::flag::kClosed) != 0;
  summary.living = detail::count_living(file.fd.get(), file.header);
}

QueueSummary summary_of(const std::string& directory, const std::string& name, const OpenOptions& options) {
  QueueSummary summary;
  summary.leftover = name.rfind(detail::kLeftoverPrefix, 0) == 0;
  summary.name = name;
  summary.path = directory + (directory.back() == '/' ? "" : "/") +
                 (summary.leftover ? "" : std::string(detail::kFilePrefix)) + name;
  struct stat info {};
  if (::lstat(summary.path.c_str(), &info) == 0) {
    summary.owner = info.st_uid;
    summary.mode = info.st_mode & 07777;
    summary.segment_bytes = S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0;
  }
  if (summary.leftover) return summary;
  const detail::Place place = detail::place_of(summary.name, directory);
  try {
    detail::OpenedFile file =
        detail::open_file(place, detail::Access::read_only, detail::Depth::whole, options.trusted_owners);
    look_inside(*detail::Segment::map(place, std::move(file), detail::Access::read_only), summary);
  } catch (const Error& error) {
    summary.problem = error.errc();
    summary.problem_text = error.what();
    if (!detail::only_frozen_usable(error.errc())) return summary;
    try {
      look_at_frozen(place, options, summary);
    } catch (const Error& gone) {  // replaced between the two looks
      summary.problem = gone.errc();
      summary.problem_text = gone.what();
    }
  }
  return summary;
}

}  // namespace

std::vector<std::string> detail::names_in(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), &::closedir);
  if (entries == nullptr) {
    const Errc code = errno == EACCES                       ? Errc::permission_denied
                      : errno == ENOENT || errno == ENOTDIR ? Errc::no_such_queue
                                                            : Errc::system;
    throw Error(code, "directory " + directory + " cannot be listed; make it, or name another (--dir, IPCQ_DIR)", errno);
  }
  std::vector<std::string> names;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this call's own
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string file_name = entry->d_name;
    if (file_name.rfind(kLeftoverPrefix, 0) == 0) {
      names.push_back(file_name);
    } else if (file_name.rfind(kFilePrefix, 0) == 0 && is_valid_name(file_name.substr(kFilePrefix.size()))) {
      names.push_back(file_name.substr(kFilePrefix.size()));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<QueueSummary> list(const OpenOptions& options) {
  const std::string directory = resolve_directory(options.directory);
  std::vector<QueueSummary> summaries;
  for (const std::string& name : detail::names_in(directory)) {
    QueueSummary summary = summary_of(directory, name, options);
    if (summary.problem == Errc::no_such_queue) continue;  // removed while we looked
    summaries.push_back(std::move(summary));
  }
  return summaries;
}

std::uint64_t largest_capacity_bytes(const CreateOptions& options) {
  const std::string directory = resolve_directory(options.directory);
  const detail::FreeSpace space = detail::free_space(directory);
  const std::uint64_t control = layout::control_bytes(options.endpoints_max, options.groups_max, options.ledger_entries);
  const std::uint64_t free = std::min(space.file_system, space.memory);
  if (free < control + 65536) return 0;
  return std::bit_floor(free - control);
}

}  // namespace ipcq
