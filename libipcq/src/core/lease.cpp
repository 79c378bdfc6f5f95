#include "core/lease.hpp"

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/parking.hpp"
#include "core/without.hpp"

namespace ipcq::core {
namespace {

constexpr std::uint32_t kSkippedPerTurn = 1024;

void count(layout::AtomicU64& statistic, std::uint64_t by) noexcept {
  // relaxed, load and store: under the mutex.
  statistic.store(statistic.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

// Whether an entry in use can have this word. Nobody could finish, or be found dead with, another's.
bool can_be_in_use(const View& view, std::uint64_t word) noexcept {
  const EntryState state = word_state(word);
  if (state == EntryState::leased) return owner_row(word_owner(word)) < view.endpoints_max;
  return state != EntryState::free && state <= EntryState::parked;
}

// The clock is read only here, where the first entry is another's: what a dead one held is then found at its first sight.
bool probe_due(const LeaseRequest& request) noexcept {
  return request.probe_front_at_ns != os::kNoDeadline && os::monotonic_ns() >= request.probe_front_at_ns;
}

// A free entry, by merging if need be.
bool has_free_entry(Ledger& ledger) noexcept { return !ledger.full() || ledger.merge(); }

// What a turn under the mutex came to; `again`: an unfinished turn, nobody may answer `empty` behind it.
struct LeaseTurn {
  LeaseTaken& taken;
  bool moved = false;
  bool again = false;
};

// Messages past max_deliveries where they are dropped: done, and counted.
void drop_exhausted(const View& view, Ledger& ledger, std::uint32_t number, std::uint32_t group,
                    LeaseTurn& turn) noexcept {
  const layout::LedgerEntry& entry = ledger.entry(number);
  // relaxed: under the mutex.
  const std::uint32_t messages =
      messages_between(view, entry.begin.load(std::memory_order_relaxed), entry.end.load(std::memory_order_relaxed));
  ledger.give_up(number);
  IPCQ_CRASH_POINT("exhausted.dropped");  // die here → done; the statistic lacks them
  count(view.group(group).dropped_messages, messages);
  turn.moved |= ledger.retire();
  turn.again = true;
}

// Hands out the redeliverable entry that is k-th in order: its first message alone, so that only a message that kills is
// counted out.
void lease_again(const View& view, Ledger& ledger, std::uint32_t k, std::uint32_t group, Owner owner,
                 LeaseTurn& turn) noexcept {
  const std::uint32_t number = ledger.at(k);
  layout::LedgerEntry& entry = ledger.entry(number);
  const std::uint64_t begin = entry.begin.load(std::memory_order_relaxed);  // relaxed: under the mutex
  const std::uint64_t end = entry.end.load(std::memory_order_relaxed);
  const Walk first = walk(view, begin, end, 1, UINT64_MAX);
  if (first.messages == 0 || begin < ledger.retired() || end > ledger.lease_position()) {
    turn.taken.step = LeaseStep::damaged;
    return;
  }
  const bool is_exhausted = exhausted(word_deliveries(ledger.word(number)), view.max_deliveries);
  if (is_exhausted && view.drop_after) {
    drop_exhausted(view, ledger, number, group, turn);
    return;
  }
  Walk range = first;
  std::uint64_t taken_end = end;
  // `word` first: splitting may merge, which moves entries of the index but never this one's number.
  if (first.end < end && has_free_entry(ledger)) {
    // merge() may have shifted the index: find our place again.
    while (k > 0 && ledger.at(k) != number) --k;
    // 1. the rest, into a free entry      (die here → they overlap: the later begin wins)
    ledger.insert(k + 1, first.end, end, EntryState::redeliverable, word_deliveries(ledger.word(number)), 0, 0);
    IPCQ_CRASH_POINT("split.rest");
    // 2. the first one's end              (die here → two redeliverable entries)
    entry.end.store(first.end, std::memory_order_release);  // R:ack
    taken_end = first.end;
    IPCQ_CRASH_POINT("split.cut");
  } else if (first.end < end) {
    range = walk(view, begin, end, UINT32_MAX, UINT64_MAX);  // no entry to be had: whole, never refused
    if (range.why == WalkEnd::damaged) {
      turn.taken.step = LeaseStep::damaged;
      return;
    }
  }
  turn.taken.word = ledger.lease(number, owner, view.stamp());
  IPCQ_CRASH_POINT("lease.leased");
  turn.taken.step = is_exhausted ? LeaseStep::to_dead_letter : LeaseStep::leased;
  if (is_exhausted) IPCQ_CRASH_POINT("dead.leased");  // die here → a dead owner's lease: given back, no delivery more
  turn.taken.begin = begin;
  turn.taken.end = taken_end;
  turn.taken.messages = range.messages;
  turn.taken.bytes = range.bytes;
  turn.taken.first_time = range.first_time;
  turn.taken.entry = number;
  turn.taken.deliveries = word_deliveries(turn.taken.word);
  if (!is_exhausted) count(view.group(group).redelivered_messages, range.messages);
}

// The k-th entry is parked and it is time to try again: as if it had just come to its end.
void lease_parked_entry(const View& view, Ledger& ledger, std::uint32_t k, std::uint32_t group, Owner owner,
                        LeaseTurn& turn) noexcept {
  view.group(group).parked_tried_ns.store(static_cast<std::uint64_t>(os::monotonic_ns()), std::memory_order_relaxed);
  // Redeliverable first, since splitting may merge neighbours that are parked   (one store: die before or after)
  ledger.unpark(ledger.at(k));
  IPCQ_CRASH_POINT("park.again");
  lease_again(view, ledger, k, group, owner, turn);
}

// Whether all that the group has not retired is done or parked.
bool only_parked_left(const Ledger& ledger) noexcept {
  for (std::uint32_t k = 0; k < ledger.in_use(); ++k) {
    const EntryState state = word_state(ledger.word(ledger.at(k)));
    if (state != EntryState::done && state != EntryState::parked) return false;
  }
  return true;
}

// There is something new and no entry to hold it.
void refuse_new(const Ledger& ledger, LeaseTurn& turn) noexcept {
  turn.taken.step = LeaseStep::too_many_leases;
  const std::uint64_t front = ledger.word(ledger.at(0));
  turn.taken.front_owner = word_state(front) == EntryState::leased ? word_owner(front) : 0;
}

void lease_new(const View& view, Ledger& ledger, std::uint32_t group, Owner owner, const LeaseRequest& request,
               LeaseTurn& turn) noexcept {
  const std::uint64_t begin = ledger.lease_position();
  const Walk range = walk_here(view, begin, begin + view.capacity, request.max_messages, request.max_bytes);
  turn.taken.stop = range.stop;
  turn.taken.head = range.head;
  turn.taken.took_all = range.why != WalkEnd::limit;
  if (range.why == WalkEnd::damaged || !can_be_range(view, ledger.retired(), range.stop)) {
    turn.taken.step = LeaseStep::damaged;
    return;
  }
  if (range.messages == 0 && range.stop > begin) {
    // Only skipped records. With an empty ledger `retired` passes them; else a done entry covers a whole turn of them.
    if (ledger.in_use() == 0) {
      const Skipped skipped = ledger.pass_skipped(kSkippedPerTurn);
      if (skipped.damaged) {
        turn.taken.step = LeaseStep::damaged;
        return;
      }
      turn.moved |= skipped.end != begin;
      turn.again = skipped.unfinished;
    } else if (range.why == WalkEnd::limit) {
      if (!has_free_entry(ledger)) {
        refuse_new(ledger, turn);  // not `nothing`: what is behind them was not looked at
        return;
      }
      ledger.insert(ledger.in_use(), begin, range.stop, EntryState::done, 0, 0, 0);
      turn.again = true;
    }
  }
  const bool no_more_can_come = range.stop == closed_at(view);
  if (range.messages == 0 || (range.messages < request.min_messages && range.messages < request.max_messages &&
                              range.why != WalkEnd::limit && !request.take_what_is_there && !no_more_can_come)) {
    turn.taken.step = range.why == WalkEnd::claimed ? LeaseStep::claimed : LeaseStep::nothing;
    const std::uint64_t end = closed_at(view);
    // What is parked ends no stream: nobody here can finish it, and who waits for it would wait for ever.
    if (end != kNoPosition &&
        (ledger.in_use() == 0 ? ledger.retired() == end : range.stop == end && only_parked_left(ledger))) {
      turn.taken.step = LeaseStep::drained;
    }
    if (!can_be_end(view, end, ledger.retired(), range)) turn.taken.step = LeaseStep::damaged;
    return;
  }
  if (!has_free_entry(ledger)) {
    refuse_new(ledger, turn);
    return;
  }
  const std::uint32_t number =
      ledger.insert(ledger.in_use(), begin, range.end, EntryState::leased, 0, owner, view.stamp());
  IPCQ_CRASH_POINT("lease.leased");
  turn.taken.step = LeaseStep::leased;
  turn.taken.begin = begin;
  turn.taken.end = range.end;
  turn.taken.word = ledger.word(number);
  turn.taken.messages = range.messages;
  turn.taken.bytes = range.bytes;
  turn.taken.first_time = range.first_time;
  turn.taken.entry = number;
  count(view.group(group).leased_messages, range.messages);
}

}  // namespace

LeaseTaken lease(const View& view, std::uint32_t group, std::uint32_t incarnation, Owner owner,
                 const LeaseRequest& request, std::int64_t deadline_ns) noexcept {
  LeaseTaken taken;  // filled in where the caller has it: a copy would wait for stores that are on their way
  for (;;) {
    LeaseTurn turn{taken};
    switch (lock_group(view, group, deadline_ns, turn.moved)) {
      case Locked::yes:
        break;
      case Locked::timed_out:
        taken.step = LeaseStep::lock_held;
        return taken;
      case Locked::poisoned:
        taken.step = LeaseStep::poisoned;
        return taken;
    }
    if (!group_is(view, group, incarnation)) {
      unlock_group(view, group);
      taken.step = LeaseStep::group_removed;
      return taken;
    }
    Ledger ledger(view, group);
    turn.moved |= ledger.retire();
    const std::uint32_t in_use = ledger.in_use();
    std::uint32_t again = in_use;
    std::uint32_t parked = in_use;
    std::uint32_t front = in_use;  // the first that somebody holds
    bool damaged = !ledger.can_be();
    for (std::uint32_t k = 0; k < in_use; ++k) {
      const std::uint64_t word = ledger.word(ledger.at(k));
      damaged |= !can_be_in_use(view, word);
      if (word_state(word) == EntryState::redeliverable) {
        again = k;
        break;
      }
      if (word_state(word) == EntryState::parked && parked == in_use) parked = k;
      if (word_state(word) != EntryState::leased) continue;
      if (front == in_use) front = k;
      if (k == front && word_owner(word) != owner) {
        taken.front_owner = word_owner(word);
        if (probe_due(request)) {
          taken.step = LeaseStep::probe_front;
          break;
        }
      }
    }
    if (damaged) {
      taken.step = LeaseStep::damaged;
    } else if (taken.step != LeaseStep::probe_front) {
      if (parked < in_use && parked_due(view, group)) {
        lease_parked_entry(view, ledger, parked, group, owner, turn);
      } else if (again < in_use) {
        lease_again(view, ledger, again, group, owner, turn);
      } else {
        lease_new(view, ledger, group, owner, request, turn);
      }
    }
    unlock_group(view, group);
    if (turn.moved) publish_retired(view);
    if (!turn.again || taken.step == LeaseStep::leased) return taken;
    taken = LeaseTaken();
  }
}

LeaseTaken lease_parked(const View& view, std::uint32_t group, std::uint32_t incarnation, Owner owner) noexcept {
  LeaseTaken taken;
  LeaseTurn turn{taken};
  if (lock_group(view, group, 0, turn.moved) != Locked::yes) return taken;
  if (group_is(view, group, incarnation) && !is_exclusive_group(view, group) && parked_due(view, group)) {
    Ledger ledger(view, group);
    turn.moved |= ledger.retire();
    std::uint32_t k = 0;
    while (k < ledger.in_use() && word_state(ledger.word(ledger.at(k))) != EntryState::parked) ++k;
    if (k < ledger.in_use()) {
      lease_parked_entry(view, ledger, k, group, owner, turn);
    } else {
      // Nothing is parked any more. An exchange, since somebody may be parking something just now.
      auto& tried = view.group(group).parked_tried_ns;
      std::uint64_t before = tried.load(std::memory_order_relaxed);  // relaxed: whoever parks writes it first
      if (parked_due(view, group)) tried.compare_exchange_strong(before, 0, std::memory_order_relaxed);
    }
  }
  unlock_group(view, group);
  if (turn.moved) publish_retired(view);
  return taken;
}

Outcome ack(const View& view, std::uint32_t group, std::uint32_t incarnation, std::uint32_t entry,
            std::uint64_t word) noexcept {
  std::uint64_t expected = word;
  // Our reads of the range are before anything that is written there later, with A:ack, by the retirer. seq_cst, since it
  // is the fence before the look at the waiters too.
  if (!view.entries(group)[entry].word.compare_exchange_strong(  // R:ack, R:wake
          expected, make_word(EntryState::done, word_deliveries(word), word_sequence(word), 0),
          std::memory_order_seq_cst)) {
    return Outcome::disowned;
  }
  IPCQ_CRASH_POINT("ack.done");  // die here → done; the next holder of the mutex retires
  if (!has(Idea::free_ack)) {
    retire_and_publish(view, group, incarnation);
    return Outcome::ok;
  }
  if (somebody_waits(view.side().space) || closed_at(view) != kNoPosition) retire_and_publish(view, group, incarnation);
  return Outcome::ok;
}

void retire_and_publish(const View& view, std::uint32_t group, std::uint32_t incarnation) noexcept {
  bool moved = false;
  if (lock_group(view, group, 0, moved) != Locked::yes) return;  // best effort: who waits retires by himself
  // With our lease done the group may have been removed, and its row be in the hands of somebody who adds another.
  if (group_is(view, group, incarnation)) moved |= Ledger(view, group).retire();
  unlock_group(view, group);
  if (moved) publish_retired(view);
}

Outcome requeue(const View& view, std::uint32_t group, std::uint32_t entry, std::uint64_t word) noexcept {
  std::uint64_t expected = word;
  // R:ack, R:wake, as in ack().
  if (!view.entries(group)[entry].word.compare_exchange_strong(expected, given_back(word, view.max_deliveries),
                                                               std::memory_order_seq_cst)) {
    return Outcome::disowned;
  }
  IPCQ_CRASH_POINT("requeue.done");  // die here → redeliverable
  notify(view.side().data);
  return Outcome::ok;
}

Outcome ack_first(const View& view, std::uint32_t group, std::uint32_t incarnation, std::uint64_t cut,
                  std::int64_t deadline_ns, LeaseTaken& taken) noexcept {
  bool moved = false;
  switch (lock_group(view, group, deadline_ns, moved)) {
    case Locked::yes:
      break;
    case Locked::timed_out:
      return Outcome::timed_out;
    case Locked::poisoned:
      return Outcome::poisoned;
  }
  Ledger ledger(view, group);
  Outcome outcome = Outcome::ok;
  layout::LedgerEntry& entry = ledger.entry(taken.entry);
  if (!group_is(view, group, incarnation)) {
    outcome = Outcome::group_removed;
  } else if (ledger.word(taken.entry) != taken.word) {
    outcome = Outcome::disowned;
  } else {
    moved |= ledger.retire();
    if (!has_free_entry(ledger)) outcome = Outcome::too_many_leases;
  }
  if (outcome == Outcome::ok) {
    std::uint32_t k = 0;
    while (k < ledger.in_use() && ledger.at(k) != taken.entry) ++k;
    const Owner owner = word_owner(taken.word);
    // 1. the rest, leased by us           (die here → overlap: the later begin wins; both are given back)
    const std::uint32_t rest = ledger.insert(k + 1, cut, taken.end, EntryState::leased, word_deliveries(taken.word),
                                             owner, entry.leased_at.load(std::memory_order_relaxed));
    IPCQ_CRASH_POINT("ackn.rest");
    // 2. the first one's end              (die here → two leases of a dead owner)
    entry.end.store(cut, std::memory_order_release);  // R:ack
    IPCQ_CRASH_POINT("ackn.cut");
    // 3. the first is done                (die here → done, and a lease of a dead owner)
    std::uint64_t expected = taken.word;
    const std::uint64_t done = make_word(EntryState::done, word_deliveries(taken.word), word_sequence(taken.word), 0);
    // R:ack, with A:ack. It cannot fail: recovery changes our word under this mutex only.
    (void)entry.word.compare_exchange_strong(expected, done, std::memory_order_seq_cst);  // R:ack
    IPCQ_CRASH_POINT("ackn.done");
    taken.begin = cut;
    taken.entry = rest;
    taken.word = ledger.word(rest);
    moved |= ledger.retire();
  }
  unlock_group(view, group);
  if (moved) publish_retired(view);
  return outcome;
}

bool redeliver_dead(const View& view, std::uint32_t group) noexcept {
  if (is_exclusive_group(view, group)) return false;
  bool any = false;
  for (std::uint32_t number = 0; number < view.ledger_entries; ++number) {
    auto& entry_word = view.entries(group)[number].word;
    std::uint64_t word = entry_word.load(std::memory_order_acquire);  // A:ack
    if (word_state(word) != EntryState::leased) continue;
    IPCQ_CRASH_POINT("redeliver.read");
    if (judge(view, word_owner(word)) != Verdict::dead) continue;
    IPCQ_CRASH_POINT("redeliver.judged");  // die here → the next recoverer judges again
    bool moved = false;
    if (lock_group(view, group, 0, moved) != Locked::yes) break;
    // The exact word that was judged: if it changed, its owner (then still alive) finished it, or another recoverer did.
    if (entry_word.compare_exchange_strong(word, given_back(word, view.max_deliveries),
                                           std::memory_order_seq_cst)) {  // R:ack, R:wake
      IPCQ_CRASH_POINT("recover.redeliverable");
      count(view.group(group).recovered_leases, 1);
      any = true;
    }
    unlock_group(view, group);
    if (moved) publish_retired(view);
  }
  if (any) notify(view.side().data);
  return any;
}

}  // namespace ipcq::core
