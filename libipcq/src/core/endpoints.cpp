#include "core/endpoints.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>

#include "core/crash_point.hpp"
#include "core/event_count.hpp"
#include "core/producer_side.hpp"
#include "core/quota_table.hpp"
#include "os/life_lock.hpp"

namespace ipcq::core {
namespace {

constexpr auto kFreeRow = static_cast<std::uint32_t>(layout::RowState::free);
constexpr auto kAttached = static_cast<std::uint32_t>(layout::RowState::attached);

// When it was, before it is free: who looks how long nobody has lived here must not find a row free that seems never used.
void free_row(layout::EndpointRow& row) noexcept {
  // relaxed: published by the state.
  row.left_ns.store(static_cast<std::uint64_t>(os::monotonic_ns()), std::memory_order_relaxed);
  row.state.store(kFreeRow, std::memory_order_release);  // R:row
}

}  // namespace

// Every row is whole by itself (its state is stored last): a death under the table's mutex leaves nothing of them to mend.
Locked lock_table(const View& view, std::int64_t call_deadline_ns) noexcept {
  auto& mutex = view.side().table_lock.mutex;
  return lock_for_call(view, mutex, call_deadline_ns, [&] {
    finish_quota_change(view);
    return true;
  });
}

std::uint64_t own_image() noexcept {
  static const std::uint64_t kImage = [] {
    std::uint64_t number = 0;
    if (::getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number) number = os::tsc();
    return number | 1;
  }();
  return kImage;
}

Verdict judge(const View& view, Owner owner) noexcept {
  const std::uint32_t row_number = owner_row(owner);
  if (row_number >= view.endpoints_max) return Verdict::alive;  // no such row: damage, and no licence to rob
  auto& row = view.row(row_number);
  const auto same = [&] { return owner_of_row(view, row_number) == owner && row_attached(view, row_number); };
  if (!same()) return Verdict::dead;
  switch (os::probe_byte(view.fd, view.life_begin + row_number)) {
    case os::ByteState::free:
      break;
    case os::ByteState::held:
    case os::ByteState::unknown:
      return Verdict::alive;
  }
  // relaxed: read between two looks at the incarnation that names them.
  const std::uint32_t pid = row.pid.load(std::memory_order_relaxed);
  const std::uint64_t started = row.start_time.load(std::memory_order_relaxed);
  if (!same()) return Verdict::dead;
  return os::lives_and_maps(pid, started, view.file) ? Verdict::lost_life_lock : Verdict::dead;
}

AttachResult attach(const View& view, int life_fd, const AttachRequest& request, Owner& owner) noexcept {
  // Choose outside the mutex, check again inside. A free row whose byte is held has a remover at work, or an endpoint that
  // is on its way out: only if there is nothing else it is worth waiting for.
  std::uint32_t chosen = view.endpoints_max;
  bool free_but_held = false;
  Owner dead = 0;  // whom a chosen row belonged to
  for (std::uint32_t i = 0; i < view.endpoints_max && chosen == view.endpoints_max; ++i) {
    if (row_attached(view, i)) continue;
    if (os::probe_byte(view.fd, view.life_begin + i) == os::ByteState::held) {
      free_but_held = true;
    } else {
      chosen = i;
    }
  }
  for (std::uint32_t i = 0; i < view.endpoints_max && chosen == view.endpoints_max; ++i) {
    const Owner holder = attached_owner(view, i);
    if (holder != 0 && judge(view, holder) == Verdict::dead) {
      if (!abandon_claim_of(view, holder)) return AttachResult::again;
      chosen = i;
      dead = holder;
    }
  }
  if (chosen == view.endpoints_max && free_but_held) return AttachResult::again;
  if (chosen == view.endpoints_max) return AttachResult::full;
  auto& row = view.row(chosen);
  const Owner before = owner_of_row(view, chosen);
  const bool was_attached = row_attached(view, chosen);
  // Taken again since we judged: the new owner is not the one we found dead, and his claim is not the one we dealt with.
  if (was_attached && before != dead) return AttachResult::again;

  const auto pid = static_cast<std::uint32_t>(::getpid());
  const std::uint64_t started = os::start_time(pid);  // a system call or three: before the mutex
  IPCQ_CRASH_POINT("attach.chosen");
  switch (lock_table(view, os::monotonic_ns() + 100 * kLockPatience_ns)) {
    case Locked::yes:
      break;
    case Locked::timed_out:
      return AttachResult::timed_out;
    case Locked::poisoned:
      return AttachResult::poisoned;
  }
  auto& mutex = view.side().table_lock.mutex;
  if (owner_of_row(view, chosen) != before || row_attached(view, chosen) != was_attached) {
    mutex.unlock();
    return AttachResult::again;
  }
  // 1. the life lock           (die here → the byte is free again; the row is as it was)
  if (!os::lock_bytes(life_fd, view.life_begin + chosen, 1)) {
    mutex.unlock();
    return AttachResult::again;
  }
  IPCQ_CRASH_POINT("attach.locked");
  // 2. a dead predecessor's state goes, so that our lock does not make it look alive   (die here → a free row)
  row.state.store(kFreeRow, std::memory_order_release);  // R:row
  IPCQ_CRASH_POINT("attach.freed");
  // 3. who we are              (die here → a free row with strange particulars)
  // relaxed: published by the incarnation and the state below.
  row.pid.store(pid, std::memory_order_relaxed);
  row.uid.store(static_cast<std::uint32_t>(::geteuid()), std::memory_order_relaxed);
  row.start_time.store(started, std::memory_order_relaxed);
  row.kind.store(static_cast<std::uint32_t>(request.kind), std::memory_order_relaxed);
  row.group.store(request.group, std::memory_order_relaxed);
  row.group_incarnation.store(request.group_incarnation, std::memory_order_relaxed);
  row.flags.store(begin_row_quota(view, chosen) ? layout::kLimited : 0, std::memory_order_relaxed);
  row.attached_ns.store(static_cast<std::uint64_t>(os::monotonic_ns()), std::memory_order_relaxed);
  row.image.store(own_image(), std::memory_order_relaxed);
  row.open_claim.store(kNoPosition, std::memory_order_relaxed);
  const auto keep = [](layout::AtomicU64& base, const layout::AtomicU64& counter) {
    base.store(counter.load(std::memory_order_relaxed), std::memory_order_relaxed);
  };
  const auto& counters = request.kind == layout::RowKind::producer ? row.produced : row.consumed;
  keep(row.base.messages, counters.messages);
  keep(row.base.bytes, counters.bytes);
  keep(row.base.batches, counters.batches);
  keep(row.base.waits, counters.waits);
  keep(row.base.refusals, counters.refusals);
  keep(row.base.wait_ns, counters.wait_ns);
  keep(row.base.processing_ticks, counters.processing_ticks);
  IPCQ_CRASH_POINT("attach.identified");
  // 4. incarnation + 1         (die here → a free row; every owner word of before is dead)
  std::uint32_t incarnation = (owner_incarnation(before) + 1) & 0xffffffU;
  if (incarnation == 0) incarnation = 1;                          // owner 0 is nobody
  row.incarnation.store(incarnation, std::memory_order_release);  // R:row
  IPCQ_CRASH_POINT("attach.incarnation");
  // 5. state                   (die here → a row of the dead, like after any death)
  row.state.store(kAttached, std::memory_order_release);  // R:row
  IPCQ_CRASH_POINT("attach.state");
  mutex.unlock();
  owner = make_owner(chosen, incarnation);
  return AttachResult::ok;
}

void detach(const View& view, Owner owner) noexcept {
  auto& row = view.row(owner_row(owner));
  if (owner_of_row(view, owner_row(owner)) != owner) return;  // judged dead meanwhile; the row is another's
  // One store counts: the owner holds nothing, and the lock goes with its descriptor   (die before or after → a free row)
  free_row(row);
  IPCQ_CRASH_POINT("detach.cleared");
}

bool free_row_of_dead(const View& view, Owner owner) noexcept {
  IPCQ_CRASH_POINT("recover.claim_skipped");  // die here → an attached row of the dead whose claim is gone
  if (lock_table(view, 0) != Locked::yes) return false;
  auto& row = view.row(owner_row(owner));
  // The caller's verdict is final for this incarnation: only a row that still names it is freed.
  if (owner_of_row(view, owner_row(owner)) == owner) free_row(row);
  IPCQ_CRASH_POINT("recover.row_freed");  // die here → whole
  view.side().table_lock.mutex.unlock();
  return true;
}

Revoked revoke(const View& view, Owner owner) noexcept {
  // Rows are taken under the table's mutex, which also clears the flag: so no successor in the row loses its right.
  switch (lock_table(view, 0)) {
    case Locked::yes:
      break;
    case Locked::timed_out:
      return Revoked::timed_out;
    case Locked::poisoned:
      return Revoked::poisoned;
  }
  auto& row = view.row(owner_row(owner));
  const bool there = attached_owner(view, owner_row(owner)) == owner &&
                     row.kind.load(std::memory_order_relaxed) ==
                         static_cast<std::uint32_t>(layout::RowKind::producer);  // relaxed: A:row
  // One store   (die before or after; a sleeper whose wake was not made looks at its next backstop)
  // relaxed: a claim that has looked may still pass; a sleeper looks again after the wake that follows.
  if (there) row.flags.fetch_or(layout::kRevoked, std::memory_order_relaxed);
  unlock_table(view);
  if (!there) return Revoked::nobody;
  publish_fenced(view.side().space);
  publish_fenced(quota_event(view));
  return Revoked::yes;
}

void mend_table(const View& view) noexcept {
  auto& mutex = view.side().table_lock.mutex;
  if (mutex.holder_died() && lock_table(view, 0) == Locked::yes) mutex.unlock();
}

std::uint64_t last_lived_ns(const View& view) noexcept {
  std::uint64_t last = 0;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const auto& row = view.row(i);
    // relaxed: figures that are right by themselves.
    last = std::max({last, row.left_ns.load(std::memory_order_relaxed), row.attached_ns.load(std::memory_order_relaxed)});
  }
  return last;
}

void free_rows_of_earlier_images(const View& view) noexcept {
  const auto pid = static_cast<std::uint32_t>(::getpid());
  const std::uint64_t started = os::start_time(pid);
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const Owner owner = attached_owner(view, i);
    if (owner == 0) continue;
    auto& row = view.row(i);
    // relaxed: compared under the incarnation that is checked again when the row is freed.
    if (row.pid.load(std::memory_order_relaxed) != pid || row.start_time.load(std::memory_order_relaxed) != started ||
        row.image.load(std::memory_order_relaxed) == own_image() ||
        os::probe_byte(view.fd, view.life_begin + i) != os::ByteState::free) {  // another copy of the library lives here
      continue;
    }
    // The claim before the row: the row says where the claim is   (die between → whoever meets the claim judges it)
    if (abandon_claim_of(view, owner)) free_row_of_dead(view, owner);
  }
}

}  // namespace ipcq::core
