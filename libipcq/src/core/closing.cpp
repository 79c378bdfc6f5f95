#include "core/closing.hpp"

#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/producer_side.hpp"
#include "core/quota.hpp"

namespace ipcq::core {
namespace {

// seq_cst, so that an acker that came too early to see closed_at is seen by whoever publishes after it (A:closed_at).
void store_closed_at(const View& view, std::uint64_t position) noexcept {
  view.side().close.closed_at.store(position, std::memory_order_seq_cst);  // R:closed_at
  IPCQ_CRASH_POINT("close.closed_at");
}

}  // namespace

void publish_both(const View& view) noexcept {
  publish_fenced(view.side().data);
  publish_fenced(view.side().space);
}

void finish_close_as_owner(const View& view, std::uint32_t owner) noexcept {
  (void)owner;
  if (closed_at(view) != kNoPosition) return;
  if (lock_producer_side(view, os::monotonic_ns() + kLockPatience_ns) != Locked::yes) return;  // next time
  const bool ours =
      view.side().close.exclusive_owner.load(std::memory_order_relaxed) == owner;  // relaxed: under the mutex
  if (ours && is_closed(view) && closed_at(view) == kNoPosition) {
    store_closed_at(view, view.side().claim.claim_position.load(std::memory_order_relaxed));  // relaxed: our own
  }
  unlock_producer_side(view);
  publish_both(view);
}

void finish_close(const View& view) noexcept {
  if (!is_closed(view) || closed_at(view) != kNoPosition) return;
  Owner holder = 0;
  if (view.exclusive()) {
    holder = view.side().close.exclusive_owner.load(std::memory_order_acquire);  // A:takeover, with R:takeover
    if (holder != 0 && judge(view, holder) != Verdict::dead) return;             // he does it
  }
  IPCQ_CRASH_POINT("close.judged");
  if (lock_producer_side(view, os::monotonic_ns() + kLockPatience_ns) != Locked::yes) return;
  bool done = false;
  if (is_closed(view) && closed_at(view) == kNoPosition) {
    // relaxed: written under the mutex.
    const bool still_alone =
        !view.exclusive() || view.side().close.exclusive_owner.load(std::memory_order_relaxed) == holder;
    if (still_alone && (!view.exclusive() || walk_claim_position(view))) {
      store_closed_at(view, view.side().claim.claim_position.load(std::memory_order_relaxed));
      done = true;
    }
  }
  unlock_producer_side(view);
  if (done) publish_both(view);
}

void close(const View& view) noexcept {
  // 1. the flag: no new claims      (die here → whoever meets the flag without closed_at does step 2)
  view.frozen().flags.fetch_or(layout::flag::kClosed, std::memory_order_seq_cst);  // R:flags, with A:flags; R:wake
  IPCQ_CRASH_POINT("close.flag");
  // Producers that wait for room, and consumers that meet the flag, look again.
  notify(view.side().space);
  notify(view.side().data);
  notify(quota_event(view));
  // 2. closed_at                    (die here → whole)
  finish_close(view);
}

void publish_retired(const View& view) noexcept {
  publish_fenced(view.side().space);
  if (closed_at(view) != kNoPosition) publish_fenced(view.side().data);
}

bool reopen(const View& view) noexcept {
  if (lock_producer_side(view, os::monotonic_ns() + 100 * kLockPatience_ns) != Locked::yes) return false;
  // closed_at first: the flag without closed_at is the state of a close that is not finished   (die between → that)
  store_closed_at(view, kNoPosition);
  view.frozen().flags.fetch_and(~layout::flag::kClosed, std::memory_order_seq_cst);  // R:flags, with A:flags
  IPCQ_CRASH_POINT("reopen.flag");
  unlock_producer_side(view);
  publish_both(view);
  return true;
}

}  // namespace ipcq::core
