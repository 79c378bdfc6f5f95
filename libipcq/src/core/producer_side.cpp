#include "core/producer_side.hpp"

#include <algorithm>
#include <optional>

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/event_count.hpp"
#include "core/head_window.hpp"

// 0 makes a library that keeps to no quota: for the program that the watchdog's tests catch.
#ifndef IPCQ_QUOTA_CHECK
#define IPCQ_QUOTA_CHECK 1
#endif

namespace ipcq::core {
namespace {

using detail::make_head;

// Repair after a holder of the producer side's mutex died.
// Shared: a claim that died between its steps 2 and 3 left its head at claim_position: zero it (Z), nobody else knows it.
// Exclusive: nothing in the ring; a batch published there may stand at claim_position.
bool repair_producer_side(const View& view) noexcept {
  auto& side = view.side();
  side.close.recoveries.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  if (!view.exclusive()) {
    const std::uint64_t position = side.claim.claim_position.load(std::memory_order_relaxed);  // relaxed: under the mutex
    const HeadWindow window(view, position);
    if (!window || !can_be_position(view, position)) return false;
    store_head(window.head(), 0, std::memory_order_release);  // R:publish
  }
  IPCQ_CRASH_POINT("repair.producer");
  return true;
}

Outcome flags_outcome(std::uint32_t flags) noexcept {
  if ((flags & layout::flag::kPoisoned) != 0) return Outcome::poisoned;
  if ((flags & layout::flag::kRemoved) != 0) return Outcome::removed;
  if ((flags & layout::flag::kClosed) != 0) return Outcome::closed;
  return Outcome::ok;
}

Outcome claim_shared(const View& view, ProducerState& producer, bool limited, std::uint64_t need,
                     std::int64_t deadline_ns, ClaimTaken& taken) noexcept {
  auto& side = view.side();
  switch (lock_producer_side(view, deadline_ns)) {
    case Locked::yes:
      break;
    case Locked::timed_out:
      return Outcome::blocked;
    case Locked::poisoned:
      return Outcome::poisoned;
  }
  // Inside the mutex: close() stores its flag first and closed_at under the mutex, so no claim comes behind closed_at.
  const Outcome flags = flags_outcome(view.frozen().flags.load(std::memory_order_acquire));  // A:flags, with R:flags
  if (flags != Outcome::ok) {
    unlock_producer_side(view);
    return flags;
  }
  const std::uint64_t position = side.claim.claim_position.load(std::memory_order_relaxed);  // relaxed: under the mutex
  Outcome outcome = can_be_position(view, position) ? Outcome::ok : Outcome::damaged;
  // Behind what this producer saw last is damage too: the limit is then no bound.
  if (outcome == Outcome::ok &&
      (position + need + view.alignment > producer.limit || producer.limit - position > view.capacity)) {
    const std::uint64_t least = refresh_least_retired(view);
    producer.limit = least + view.capacity;
    if (!can_be_range(view, least, position)) {
      outcome = Outcome::damaged;
      producer.limit = 0;  // the next claim looks again
    } else if (position + need + view.alignment > producer.limit) {
      outcome = Outcome::full;
    }
  }
  if (limited && outcome == Outcome::ok && !producer.debit.pass(view, producer.owner)) outcome = Outcome::over_quota;
  if (outcome != Outcome::ok) {
    unlock_producer_side(view);
    return outcome;
  }
  auto& row = view.row(owner_row(producer.owner));
  // 0. where to look for our claim          (die here → the head there is not this owner's: nothing to do)
  row.open_claim.store(position, std::memory_order_release);  // R:open_claim, with A:open_claim
  IPCQ_CRASH_POINT("claim.0");
  // 1. the end mark (Z)                     (die here → nothing happened)
  store_head(writable_record_at(view, position + need).head, 0,
             std::memory_order_relaxed);  // relaxed: before step 2's release
  IPCQ_CRASH_POINT("claim.1");
  // 2. time, then the claimed head          (die here → owner-died repair zeroes the head at claim_position)
  std::uint64_t time = view.stamp();
  const std::uint64_t last = side.claim.last_time.load(std::memory_order_relaxed);  // relaxed: under the mutex
  time = std::max(time, last);
  side.claim.last_time.store(time, std::memory_order_relaxed);
  store_time(view, position, time);  // for blocked_by's age
  store_head(writable_record_at(view, position).head, make_head(RecordState::claimed, need, producer.owner),
             std::memory_order_release);  // R:publish, with A:publish
  IPCQ_CRASH_POINT("claim.2");
  // 3. claim_position                       (die here or later → abandoned by whoever needs it)
  side.claim.claim_position.store(position + need, std::memory_order_release);  // R:claim_position, with A:claim_position
  IPCQ_CRASH_POINT("claim.3");
  unlock_producer_side(view);
  taken = {position, time};
  return Outcome::ok;
}

Outcome claim_exclusive(const View& view, ProducerState& producer, bool limited, std::uint64_t need,
                        std::int64_t deadline_ns, ClaimTaken& taken) noexcept {
  const Outcome flags = flags_outcome(view.frozen().flags.load(std::memory_order_acquire));  // A:flags, with R:flags
  if (flags != Outcome::ok) {
    if (flags == Outcome::closed) finish_close_as_owner(view, producer.owner);
    return flags;
  }
  const std::uint64_t position = producer.position;
  if (position + need + view.alignment > producer.limit) {
    switch (lock_producer_side(view, deadline_ns)) {
      case Locked::yes:
        break;
      case Locked::timed_out:
        return Outcome::blocked;
      case Locked::poisoned:
        return Outcome::poisoned;
    }
    // relaxed: written under the mutex only.
    const bool ours = view.side().close.exclusive_owner.load(std::memory_order_relaxed) == producer.owner;
    const std::uint64_t least = refresh_least_retired(view);
    unlock_producer_side(view);
    if (!ours) return Outcome::disowned;  // judged dead (a lost life lock), and a successor took over
    if (!can_be_range(view, least, position)) return Outcome::damaged;
    producer.limit = least + view.capacity;
    if (position + need + view.alignment > producer.limit) return Outcome::full;
  }
  if (limited && !producer.debit.pass(view, producer.owner)) return Outcome::over_quota;
  // Nothing is written to the ring: the frontier's head stays 0 until commit   (die here → nothing happened)
  producer.time = std::max(view.stamp(), producer.time);
  view.side().claim.last_time.store(producer.time, std::memory_order_relaxed);  // relaxed: before commit's first head
  view.row(owner_row(producer.owner)).open_claim.store(position, std::memory_order_relaxed);  // for reports only
  IPCQ_CRASH_POINT("exclusive.claimed");
  taken = {position, producer.time};
  return Outcome::ok;
}

// Exclusive: inner heads stand.
//  1. the end mark (Z)                     (die here → the frontier's head is 0: nothing happened)
//  2. the first head, exchanged: publication and fence in one   (die here → a successor walks over it)
//  3. claim_position                       (die here → whole)
void publish_exclusive(const View& view, ProducerState& producer, std::uint64_t position, std::uint64_t used,
                       std::uint64_t first_head) noexcept {
  store_head(writable_record_at(view, position + used).head, 0, std::memory_order_relaxed);  // relaxed: before step 2
  IPCQ_CRASH_POINT("exclusive.zeroed");
  exchange_head(writable_record_at(view, position).head, first_head);  // R:publish, R:wake
  IPCQ_CRASH_POINT("exclusive.published");
  producer.position = position + used;
  view.side().claim.claim_position.store(producer.position, std::memory_order_release);  // R:claim_position
  IPCQ_CRASH_POINT("exclusive.claim_position");
}

}  // namespace

void mark_poisoned(const View& view) noexcept {
  view.frozen().flags.fetch_or(layout::flag::kPoisoned, std::memory_order_seq_cst);  // R:flags, R:wake
  notify(view.side().data);
  notify(view.side().space);
  notify(quota_event(view));
}

Locked lock_producer_side(const View& view, std::int64_t call_deadline_ns) noexcept {
  auto& mutex = view.side().producer_lock.mutex;
  std::optional<HeadWindow> window;
  if (!view.exclusive() && view.data_writable == nullptr && mutex.holder_died()) {
    // A repair is due, and it writes where claim_position is: who cannot open that page leaves the repair to others.
    const std::uint64_t position =
        view.side().claim.claim_position.load(std::memory_order_relaxed);  // relaxed: its holder is dead
    window.emplace(view, position);
    if (!*window && can_be_position(view, position)) return Locked::timed_out;  // else nobody can: the repair says so
  }
  return lock_for_call(view, mutex, call_deadline_ns, [&] { return repair_producer_side(view); });
}

std::uint64_t refresh_least_retired(const View& view) noexcept {
  std::uint64_t least = UINT64_MAX;
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    auto& group = view.group(i);
    // relaxed: groups come and go under this mutex only. Marked ones still count: their removal is not done.
    if (group.state.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(layout::GroupState::free)) continue;
    // A:retired, with R:retired: whoever read the messages before it has done so.
    least = std::min(least, group.retired.load(std::memory_order_acquire));
  }
  auto& claim = view.side().claim;
  if (least == UINT64_MAX)
    least = claim.claim_position.load(std::memory_order_acquire);  // A:claim_position: no group to wait for
  claim.least_retired.store(least, std::memory_order_relaxed);     // relaxed: under the mutex
  return least;
}

Outcome claim(const View& view, ProducerState& producer, std::uint64_t need, std::int64_t deadline_ns,
              ClaimTaken& taken) noexcept {
  // relaxed: a claim begun before the revocation, or before there was a quota, may still pass.
  const auto& row = view.row(owner_row(producer.owner));
  const std::uint32_t flags = row.flags.load(std::memory_order_relaxed);
  const bool limited = flags != 0;
  if (limited && (flags & layout::kRevoked) != 0) return Outcome::revoked;
  // Judged dead by others (a lost life lock) and the row used again: our claims would carry another's name.
  if (row.incarnation.load(std::memory_order_relaxed) != owner_incarnation(producer.owner)) return Outcome::disowned;
  const bool checked = limited && IPCQ_QUOTA_CHECK;
  return view.exclusive() ? claim_exclusive(view, producer, checked, need, deadline_ns, taken)
                          : claim_shared(view, producer, checked, need, deadline_ns, taken);
}

Outcome commit(const View& view, ProducerState& producer, std::uint64_t position, std::uint64_t need,
               std::uint64_t used, std::uint64_t first_head) noexcept {
  auto& row = view.row(owner_row(producer.owner));
  if (view.exclusive()) {
    IPCQ_CRASH_POINT("commit.inner");
    publish_exclusive(view, producer, position, used, first_head);
  } else {
    // Room left over is skipped. relaxed: inside the claim, before its first head (R:publish).
    if (used < need) {
      store_head(writable_record_at(view, position + used).head, make_head(RecordState::skipped, need - used, 0),
                 std::memory_order_relaxed);
    }
    IPCQ_CRASH_POINT("commit.inner");  // die here → the claim is abandoned whole
    std::uint64_t expected = make_head(RecordState::claimed, need, producer.owner);
    // One exchange from our own claimed head: publication (R:publish, with A:publish) and the batch's fence (R:wake) in one.
    // Failure: others judged us dead and skipped the range.
    if (!compare_exchange_head(writable_record_at(view, position).head, expected, first_head)) {
      return Outcome::disowned;
    }
  }
  IPCQ_CRASH_POINT("commit.published");  // die here → whole; sleepers look at their next backstop
  row.open_claim.store(kNoPosition, std::memory_order_relaxed);  // relaxed: the head decides, this says where to look
  notify(view.side().data);
  if (view.exclusive() && (view.frozen().flags.load(std::memory_order_relaxed) & layout::flag::kClosed) != 0) {
    finish_close_as_owner(view, producer.owner);
  }
  return Outcome::ok;
}

Outcome abort(const View& view, ProducerState& producer, std::uint64_t position, std::uint64_t need) noexcept {
  auto& row = view.row(owner_row(producer.owner));
  if (!view.exclusive()) {
    std::uint64_t expected = make_head(RecordState::claimed, need, producer.owner);
    // R:publish, R:wake, with A:publish, A:wake.
    if (!compare_exchange_head(writable_record_at(view, position).head, expected,
                               make_head(RecordState::skipped, need, 0))) {
      return Outcome::disowned;
    }
    IPCQ_CRASH_POINT("abort.skipped");
  }
  row.open_claim.store(kNoPosition, std::memory_order_relaxed);  // relaxed: as in commit
  if (view.exclusive()) {                                        // nothing was written: the frontier's head is 0 still
    if ((view.frozen().flags.load(std::memory_order_relaxed) & layout::flag::kClosed) != 0) {
      finish_close_as_owner(view, producer.owner);
    }
    return Outcome::ok;
  }
  notify(view.side().data);
  notify(view.side().space);
  return Outcome::ok;
}

bool abandon(const View& view, std::uint64_t position, Owner owner) noexcept {
  const HeadWindow window(view, position);  // before the mutex: it is a system call
  if (!window) return false;
  IPCQ_CRASH_POINT("abandon.judged");  // die here → nothing happened
  switch (lock_producer_side(view, 0)) {
    case Locked::yes:
      break;
    default:
      return false;
  }
  // Verdict first, word second: the owner is dead, so what the head says now is its last word. Only a claim that is still
  // inside the ring's claimed part is touched: an owner-died repair of the mutex came before us.
  const std::uint64_t least = refresh_least_retired(view);
  const std::uint64_t end = view.side().claim.claim_position.load(std::memory_order_relaxed);  // relaxed: under the mutex
  bool skipped = false;
  if (least <= position && position < end) {
    std::uint64_t head = load_head(window.head());  // A:publish
    // An exchange of the head that was read, although the dead write no more: should the verdict ever be wrong (a life
    // lock lost and not taken again), then either the commit or this wins, and both know which. R:publish, R:wake
    if (detail::head_state(head) == RecordState::claimed && detail::head_high(head) == owner &&
        compare_exchange_head(window.head(), head, make_head(RecordState::skipped, detail::head_length(head), 0))) {
      IPCQ_CRASH_POINT("abandon.skipped");
      view.side().close.abandoned_claims.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
      skipped = true;
    }
  }
  unlock_producer_side(view);
  if (skipped) {
    publish_fenced(view.side().data);
    publish_fenced(view.side().space);
  }
  return true;
}

bool abandon_claim_of(const View& view, Owner owner) noexcept {
  if (view.exclusive()) return true;  // an exclusive producer leaves no claimed head
  // A:open_claim, with R:open_claim.
  const std::uint64_t position = view.row(owner_row(owner)).open_claim.load(std::memory_order_acquire);
  if (position == kNoPosition || (position & (view.alignment - 1)) != 0) return true;
  return abandon(view, position, owner);
}

bool walk_claim_position(const View& view) noexcept {
  auto& claim = view.side().claim;
  std::uint64_t position = claim.claim_position.load(std::memory_order_relaxed);  // relaxed: under the mutex
  const std::uint64_t begin = position;
  if (!can_be_position(view, begin)) return false;
  for (;;) {
    const std::uint64_t head = load_head(view, position);  // A:publish
    if (head == 0) break;
    // An exclusive producer never writes `claimed`.
    const std::uint64_t span = detail::head_state(head) == RecordState::claimed ? 0 : span_of(view, head);
    if (span == 0 || position + span - begin > view.capacity) return false;
    const std::uint64_t time = load_time(view, position);
    if (detail::head_state(head) == RecordState::committed && time > claim.last_time.load(std::memory_order_relaxed)) {
      claim.last_time.store(time, std::memory_order_relaxed);  // relaxed: under the mutex, like claim_position
    }
    position += span;
  }
  // At its end only: what it published last may have been read and retired already.
  if (!can_be_range(view, refresh_least_retired(view), position)) return false;
  claim.claim_position.store(position, std::memory_order_release);  // R:claim_position
  return true;
}

TakeOver take_over_producer(const View& view, ProducerState& producer, Owner& holder) noexcept {
  auto& owner_word = view.side().close.exclusive_owner;
  for (int attempt = 0; attempt < 20; ++attempt) {
    holder = owner_word.load(std::memory_order_acquire);  // A:takeover, with R:takeover
    if (holder != 0 && judge(view, holder) != Verdict::dead) return TakeOver::in_use;
    IPCQ_CRASH_POINT("takeover.judged");
    switch (lock_producer_side(view, os::monotonic_ns() + 100 * kLockPatience_ns)) {
      case Locked::yes:
        break;
      case Locked::timed_out:
        return TakeOver::timed_out;
      case Locked::poisoned:
        return TakeOver::poisoned;
    }
    if (owner_word.load(std::memory_order_relaxed) != holder) {  // relaxed: under the mutex
      unlock_producer_side(view);
      continue;  // somebody else took over: judge him
    }
    // 1. claim_position over what the dead published last   (die here → the next successor walks from there)
    if (!walk_claim_position(view)) {
      unlock_producer_side(view);
      return TakeOver::damaged;
    }
    IPCQ_CRASH_POINT("takeover.claim_position");
    producer.position = view.side().claim.claim_position.load(std::memory_order_relaxed);  // relaxed: just stored
    producer.time = view.side().claim.last_time.load(std::memory_order_relaxed);
    producer.limit = refresh_least_retired(view) + view.capacity;
    // 2. the owner word, last                               (die here → a dead exclusive producer with nothing open)
    owner_word.store(producer.owner, std::memory_order_release);  // R:takeover
    IPCQ_CRASH_POINT("takeover.owner");
    unlock_producer_side(view);
    return TakeOver::ok;
  }
  return TakeOver::timed_out;
}

void leave_producer(const View& view, ProducerState& producer) noexcept {
  if ((view.frozen().flags.load(std::memory_order_relaxed) & layout::flag::kClosed) != 0) {
    finish_close_as_owner(view, producer.owner);
  }
  if (lock_producer_side(view, os::monotonic_ns() + kLockPatience_ns) != Locked::yes) return;  // found dead later
  auto& owner_word = view.side().close.exclusive_owner;
  if (owner_word.load(std::memory_order_relaxed) == producer.owner) {  // relaxed: under the mutex
    owner_word.store(0, std::memory_order_release);                    // R:takeover
    IPCQ_CRASH_POINT("leave.producer");                                // die here → nobody's side, like after it
  }
  unlock_producer_side(view);
  finish_close(view);  // a close that came since the first look is everybody's now
}

}  // namespace ipcq::core
