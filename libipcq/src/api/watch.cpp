#include "ipcq/watch.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "api/names.hpp"
#include "api/segment.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/quota_table.hpp"
#include "core/recovery.hpp"

namespace ipcq {
namespace {

using core::View;

struct Totals {
  std::uint64_t claims = 0;
  std::uint64_t leases = 0;
  std::uint64_t mutexes = 0;
};

// relaxed, all of it: figures that are right by themselves.
Totals totals_of(const View& view) noexcept {
  const auto& close = view.side().close;
  Totals totals{close.abandoned_claims.load(std::memory_order_relaxed), 0,
                close.recoveries.load(std::memory_order_relaxed)};
  for (std::uint32_t i = 0; i < view.groups_max; ++i)
    totals.leases += view.group(i).recovered_leases.load(std::memory_order_relaxed);
  return totals;
}

// A counter may be set back by damage; less than nothing was not recovered.
std::uint64_t difference(std::uint64_t before, std::uint64_t after) noexcept {
  return after > before ? after - before : 0;
}

bool is_attached(const View& view, core::Owner owner) noexcept {
  return core::owner_row(owner) < view.endpoints_max && core::attached_owner(view, core::owner_row(owner)) == owner;
}

std::vector<core::Owner> dead_owners(const View& view) {
  std::vector<core::Owner> dead;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const core::Owner owner = core::attached_owner(view, i);
    if (owner != 0 && core::judge(view, owner) == core::Verdict::dead) dead.push_back(owner);
  }
  return dead;
}

// Whether a lock that was not to be had kept something from being recovered. Rows are looked at by the caller.
bool something_is_left(const View& view) noexcept {
  if (view.side().producer_lock.mutex.holder_died() || view.side().table_lock.mutex.holder_died()) return true;
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const auto& group = view.group(i);
    if (group.mutex.holder_died() || core::state_of(group) == layout::GroupState::marked) return true;
    if (core::state_of(group) != layout::GroupState::active || core::is_exclusive_group(view, i)) continue;
    for (std::uint32_t k = 0; k < view.ledger_entries; ++k) {
      const std::uint64_t word = view.entries(i)[k].word.load(std::memory_order_acquire);  // A:ack, with R:ack
      if (core::word_state(word) == core::EntryState::leased && !is_attached(view, core::word_owner(word))) return true;
    }
  }
  return false;
}

bool flag(const View& view, std::uint32_t bit) noexcept {
  return (view.frozen().flags.load(std::memory_order_acquire) & bit) != 0;  // A:flags, with R:flags
}

}  // namespace

std::optional<FileName> parse_file_name(std::string_view file_name) {
  if (file_name.starts_with(detail::kLeftoverPrefix)) return FileName{std::string(file_name), true};
  if (!file_name.starts_with(detail::kFilePrefix)) return std::nullopt;
  file_name.remove_prefix(detail::kFilePrefix.size());
  if (!is_valid_name(file_name)) return std::nullopt;
  return FileName{std::string(file_name), false};
}

std::vector<FileName> file_names(const OpenOptions& options) {
  std::vector<FileName> names;
  for (std::string& name : detail::names_in(resolve_directory(options.directory))) {
    const bool leftover = name.starts_with(detail::kLeftoverPrefix);
    names.push_back({std::move(name), leftover});
  }
  return names;
}

Watch::Watch(std::string_view name, const OpenOptions& options) {
  const detail::Place place = detail::place_of(name, options.directory);
  detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_write, detail::Depth::whole, options.trusted_owners);
  if (file.info.st_uid != ::geteuid()) {
    detail::fail(Errc::untrusted_owner, place.name, place.path, "it belongs to uid " + std::to_string(file.info.st_uid),
                 "only a watchdog of that uid recovers it");
  }
  segment_ = detail::Segment::map(place, std::move(file), detail::Access::read_write);
}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

std::vector<Attached> Watch::attached() const {
  const View& view = segment_->view();
  std::vector<Attached> all;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const core::Owner owner = core::attached_owner(view, i);
    if (owner == 0) continue;
    // relaxed: compared under the incarnation by whoever acts on it.
    const auto& row = view.row(i);
    const bool producer =
        row.kind.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(layout::RowKind::producer);
    all.push_back({i, core::owner_incarnation(owner), row.pid.load(std::memory_order_relaxed), producer});
  }
  return all;
}

Life Watch::life(const Attached& endpoint) const {
  segment_->check_usable();
  switch (core::judge(segment_->view(), core::make_owner(endpoint.row, endpoint.incarnation))) {
    case core::Verdict::alive:
      return Life::alive;
    case core::Verdict::lost_life_lock:
      return Life::lost_life_lock;
    case core::Verdict::dead:
      break;
  }
  return Life::dead;
}

Recovery Watch::recover() const {
  segment_->check_usable();
  const View& view = segment_->view();
  const std::vector<core::Owner> dead = dead_owners(view);
  const Totals before = totals_of(view);
  core::recover(view);
  const Totals after = totals_of(view);
  Recovery recovery;
  recovery.claims = difference(before.claims, after.claims);
  recovery.leases = difference(before.leases, after.leases);
  recovery.mutexes = difference(before.mutexes, after.mutexes);
  for (const core::Owner owner : dead) {
    if (is_attached(view, owner)) {
      recovery.complete = false;
    } else {
      ++recovery.rows;
    }
  }
  if (something_is_left(view)) recovery.complete = false;
  return recovery;
}

void Watch::rest() const noexcept {
  const View& view = segment_->view();
  // Of a shared mapping this drops page table entries, never data.
  if (segment_->forked()) return;
  ::madvise(view.control, view.control_bytes, MADV_DONTNEED);
  ::madvise(const_cast<std::byte*>(view.data), 2 * view.capacity, MADV_DONTNEED);  // what an audit has read
}

bool Watch::removed() const noexcept { return flag(segment_->view(), layout::flag::kRemoved); }
bool Watch::poisoned() const noexcept { return flag(segment_->view(), layout::flag::kPoisoned); }
Lifetime Watch::lifetime() const noexcept {
  return segment_->header().header.lifetime == static_cast<std::uint8_t>(Lifetime::ephemeral) ? Lifetime::ephemeral
                                                                                              : Lifetime::persistent;
}
bool Watch::limited() const noexcept {
  const View& view = segment_->view();
  for (std::uint32_t i = 0; i < core::quota_buckets(view); ++i) {
    // A row's bucket is cleared when the row is taken, not when it is left.
    if (i > core::kUserBuckets && !core::row_attached(view, i - core::row_bucket(0))) continue;
    if (core::has_limits(core::quota_bucket(view, i))) return true;
  }
  return false;
}
ino_t Watch::inode() const noexcept { return segment_->view().file.ino; }

bool revoke(std::string_view name, std::uint32_t row, std::uint32_t incarnation, const OpenOptions& options) {
  const detail::Place place = detail::place_of(name, options.directory);
  detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_write, detail::Depth::whole, options.trusted_owners);
  const auto segment = detail::Segment::map(place, std::move(file), detail::Access::read_write);
  segment->check_alive();
  if (row >= segment->view().endpoints_max) return false;
  switch (core::revoke(segment->view(), core::make_owner(row, incarnation))) {
    case core::Revoked::yes:
      return true;
    case core::Revoked::nobody:
      break;
    case core::Revoked::timed_out:
      segment->fail(Errc::timed_out, "a stopped process holds the endpoint table", "let it continue, or end it");
    case core::Revoked::poisoned:
      segment->fail(Errc::poisoned, "the endpoint table's mutex cannot be repaired", detail::kHowToMend);
  }
  return false;
}

}  // namespace ipcq
