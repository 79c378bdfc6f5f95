#include "core/purge.hpp"

#include <algorithm>

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/lease.hpp"
#include "core/ledger.hpp"
#include "core/parking.hpp"
#include "core/producer_side.hpp"
#include "core/ring.hpp"

namespace ipcq::core {
namespace {

// The group's mutex for a purge, taken and let go of.
class PurgeTurn {
 public:
  PurgeTurn(const View& view, GroupId id, Owner& holder) noexcept : view_(view), id_(id) {
    const auto& row = view.group(id.row);
    const bool exclusive = is_exclusive_group(view, id.row);
    if (exclusive) {
      holder = row.owner.load(std::memory_order_acquire);  // A:takeover, with R:takeover
      if (holder != 0 && judge(view, holder) != Verdict::dead) {
        refused_ = Purged::in_use;
        return;
      }
    }
    switch (lock_group(view, id.row, os::monotonic_ns() + 100 * kLockPatience_ns, moved)) {
      case Locked::yes:
        held_ = true;
        break;
      case Locked::timed_out:
        refused_ = Purged::timed_out;
        return;
      case Locked::poisoned:
        refused_ = Purged::poisoned;
        return;
    }
    if (!group_is(view, id.row, id.incarnation)) {
      refused_ = Purged::no_such_group;
    } else if (exclusive && row.owner.load(std::memory_order_relaxed) != holder) {  // relaxed: under the mutex
      holder = row.owner.load(std::memory_order_relaxed);
      refused_ = Purged::in_use;  // somebody joined since
    }
  }
  ~PurgeTurn() {
    if (!held_) return;
    unlock_group(view_, id_.row);
    if (moved) publish_retired(view_);
  }
  PurgeTurn(const PurgeTurn&) = delete;
  PurgeTurn& operator=(const PurgeTurn&) = delete;

  /// `ok`: the mutex is held, the group is there, and nobody consumes it alone.
  [[nodiscard]] Purged refused() const noexcept { return refused_; }

  bool moved = false;

 private:
  const View& view_;
  GroupId id_;
  bool held_ = false;
  Purged refused_ = Purged::ok;
};

std::uint64_t give_up(const View& view, Ledger& ledger, bool parked_only) noexcept {
  std::uint64_t messages = 0;
  for (std::uint32_t k = 0; k < ledger.in_use(); ++k) {
    const std::uint32_t number = ledger.at(k);
    const EntryState state = word_state(ledger.word(number));
    if (state != EntryState::parked && (parked_only || state != EntryState::redeliverable)) continue;
    const layout::LedgerEntry& entry = ledger.entry(number);
    // relaxed: under the mutex.
    messages +=
        messages_between(view, entry.begin.load(std::memory_order_relaxed), entry.end.load(std::memory_order_relaxed));
    ledger.give_up(number);
    IPCQ_CRASH_POINT("purge.done");  // die here → so many are given up; the statistic lacks them
  }
  return messages;
}

// [lease position, end) is done.
bool cover(Ledger& ledger, std::uint64_t end) noexcept {
  if (ledger.in_use() > 0) {
    const std::uint32_t last = ledger.at(ledger.in_use() - 1);
    if (word_state(ledger.word(last)) == EntryState::done) {
      ledger.entry(last).end.store(end, std::memory_order_release);  // R:ack   (one store: die before or after)
      IPCQ_CRASH_POINT("purge.grown");
      return true;
    }
  }
  if (ledger.full() && !ledger.merge()) return false;
  ledger.insert(ledger.in_use(), ledger.lease_position(), end, EntryState::done, 0, 0, 0);
  IPCQ_CRASH_POINT("purge.covered");
  return true;
}

Purged purge_shared(const View& view, std::uint32_t group, std::uint64_t limit, PurgeTurn& turn, Walk& range,
                    std::uint64_t& messages) noexcept {
  Ledger ledger(view, group);
  turn.moved |= ledger.retire();
  if (!ledger.can_be()) return Purged::damaged;
  // 1. what came back, and what is parked, is done, one store an entry   (die here → so many are given up)
  messages += give_up(view, ledger, false);
  // 2. a done entry covers what is behind, as much as one walk takes     (die here → given up; retired by whoever comes)
  Purged purged = Purged::ok;
  const std::uint64_t begin = ledger.lease_position();
  range = walk(view, begin, std::max(begin, limit), UINT32_MAX, UINT64_MAX);
  if (range.why == WalkEnd::damaged || !can_be_range(view, ledger.retired(), range.stop)) {
    purged = Purged::damaged;
  } else if (range.stop > begin) {
    if (cover(ledger, range.stop)) {
      messages += range.messages;
    } else {
      purged = Purged::too_many_leases;
    }
  }
  // 3. retired                                                          (die here → whole)
  turn.moved |= ledger.retire();
  return purged;
}

Purged purge_exclusive(const View& view, std::uint32_t group, std::uint64_t limit, PurgeTurn& turn, Walk& range,
                       std::uint64_t& messages) noexcept {
  auto& row = view.group(group);
  const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);  // relaxed: under the mutex, no consumer
  range = walk(view, retired, std::max(retired, limit), UINT32_MAX, UINT64_MAX);
  if (range.why == WalkEnd::damaged || !can_be_range(view, retired, range.stop)) return Purged::damaged;
  if (range.stop == retired) return Purged::ok;
  row.retired.store(range.stop, std::memory_order_release);  // R:retired   (one store: die before or after)
  IPCQ_CRASH_POINT("purge.retired");
  turn.moved = true;
  messages += range.messages;
  return Purged::ok;
}

// Where a purge that begins now ends, however fast producers are.
std::uint64_t limit_of(const View& view, std::uint32_t group) noexcept {
  // A:claim_position, with R:claim_position.
  if (!view.exclusive()) return view.side().claim.claim_position.load(std::memory_order_acquire);
  // It may lag: what a dead producer published and did not count is there to be read, too.
  return view.group(group).retired.load(std::memory_order_acquire) + view.capacity;  // A:retired, with R:retired
}

void count(const View& view, std::uint32_t group, std::uint64_t messages) noexcept {
  view.group(group).purged_messages.fetch_add(messages, std::memory_order_relaxed);  // relaxed: a statistic
}

}  // namespace

Purged purge_parked(const View& view, GroupId id, std::uint64_t& messages, Owner& holder) noexcept {
  messages = 0;
  PurgeTurn turn(view, id, holder);
  if (turn.refused() != Purged::ok) return turn.refused();
  auto& row = view.group(id.row);
  if (is_exclusive_group(view, id.row)) {
    const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);  // relaxed: under the mutex
    const Walk one = walk(view, retired, retired + view.capacity, 1, UINT64_MAX);
    if (parked_front(row, retired) != Parked::no && one.messages == 1) {
      messages = 1;
      row.retired.store(one.end, std::memory_order_release);  // R:retired   (one store: die before or after)
      IPCQ_CRASH_POINT("purge.done");
      turn.moved = true;
    }
  } else {
    Ledger ledger(view, id.row);
    messages = give_up(view, ledger, true);
    turn.moved |= ledger.retire();
  }
  count(view, id.row, messages);
  return Purged::ok;
}

Purged purge(const View& view, GroupId id, bool force, std::uint64_t& messages, Owner& holder) noexcept {
  messages = 0;
  if (!group_is(view, id.row, id.incarnation)) return Purged::no_such_group;
  // Verdicts outside the mutex: who lives, and whose leases are whose. (An exclusive group's member is asked for each turn.)
  if (!force && !is_exclusive_group(view, id.row)) {
    const Members members = members_of(view, id);
    holder = members.one;
    if (members.living > 0) return Purged::has_member;
  }
  redeliver_dead(view, id.row);
  const std::uint64_t limit = limit_of(view, id.row);
  std::uint64_t abandoned = kNoPosition;
  for (;;) {
    Walk range;
    std::uint64_t given_up = 0;
    Purged purged = Purged::ok;
    {
      PurgeTurn turn(view, id, holder);
      purged = turn.refused();
      if (purged == Purged::ok) {
        purged = is_exclusive_group(view, id.row) ? purge_exclusive(view, id.row, limit, turn, range, given_up)
                                                  : purge_shared(view, id.row, limit, turn, range, given_up);
        count(view, id.row, given_up);
      }
    }
    messages += given_up;
    if (purged != Purged::ok) return purged;
    if (range.why == WalkEnd::claimed) {
      // What a dead producer had begun is no message, and hides those behind it.
      const Owner claimer = detail::head_high(range.head);
      if (judge(view, claimer) != Verdict::dead || !abandon(view, range.stop, claimer)) return Purged::ok;
      if (abandoned == range.stop) return Purged::damaged;  // no claim that could be skipped
      abandoned = range.stop;
    } else if (range.why != WalkEnd::limit || range.stop >= limit) {
      return Purged::ok;
    }
  }
}

}  // namespace ipcq::core
