#include <memory>
#include <string>

#include "api/endpoint.hpp"
#include "api/names.hpp"
#include "api/removal.hpp"
#include "core/endpoints.hpp"
#include "ipcq/admin.hpp"

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

}  // namespace

// Steps; those after are mark_and_unlink's. The locks are held to the end, so that two removers do not mix.
//  1. the remover's byte             (die here → the byte is free again)
//  2. the whole life range, unless forced: fails while anybody lives; nobody attaches while we hold it
void remove(std::string_view name, const RemoveOptions& options) {
  const detail::Place place = detail::place_of(name, options.directory);
  const detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_write, detail::Depth::frozen, options.trusted_owners);
  const auto fail = [&](Errc code, const std::string& what, const std::string& to_do) {
    detail::fail(code, place.name, place.path, what, to_do);
  };
  detail::check_may_unlink(place, file);
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
  const detail::RemovalLocks locks(place, file);
  if (!locks.lock_out_removers(1000)) fail(Errc::in_use, "another process is removing it", "let it finish");
  if (!options.force && !locks.lock_out_everybody()) {
    fail(Errc::in_use, "it is in use by " + who_lives(segment.get()), "end them first, or force (ipcq rm --force)");
  }
  detail::mark_and_unlink(place, file, segment.get());
}

}  // namespace ipcq
