#include "core/ledger.hpp"

#include <algorithm>

#include "core/crash_point.hpp"

namespace ipcq::core {

bool Ledger::can_be() const noexcept {
  const std::uint32_t count = in_use();
  // relaxed: under the mutex.
  return can_be_range(view_, retired(), lease_position()) &&
         (count == 0 ||
          (entries_[at(0)].begin.load(std::memory_order_relaxed) == retired() && lease_position() != retired()));
}

bool Ledger::retire() noexcept {
  bool moved = false;
  for (std::uint32_t count = in_use(); count > 0; --count) {
    const std::uint32_t number = at(0);
    if (word_state(word(number)) != EntryState::done) break;
    // relaxed, both: under the mutex.
    const std::uint64_t end = entries_[number].end.load(std::memory_order_relaxed);
    if (entries_[number].begin.load(std::memory_order_relaxed) != retired() || !can_be_range(view_, retired(), end) ||
        end == retired()) {
      break;  // damage: whoever leases says so
    }
    // 1. retired                  (die here → an entry that ends at or before `retired` is free: the repair frees it)
    // R:retired, with A:retired: the consumer's reads of the range are before the producer's next writes to it.
    row_.retired.store(end, std::memory_order_release);  // R:retired
    IPCQ_CRASH_POINT("retire.retired");
    // 2. the entry is free        (die here → whole; the index is rebuilt)
    free_entry(number);
    IPCQ_CRASH_POINT("retire.freed");
    set_first(slot(1));
    IPCQ_CRASH_POINT("retire.index_first");
    set_count(count - 1);
    moved = true;
  }
  return moved;
}

std::uint32_t Ledger::insert(std::uint32_t k, std::uint64_t begin, std::uint64_t end, EntryState state,
                             std::uint32_t deliveries, Owner owner, std::uint64_t leased_at) noexcept {
  const std::uint32_t count = in_use();
  const std::uint32_t number = at(count);
  layout::LedgerEntry& entry = entries_[number];
  // 1. begin, end, before the word takes the entry from free   (die here → a free entry)
  entry.begin.store(begin, std::memory_order_relaxed);  // relaxed: published by the word
  entry.end.store(end, std::memory_order_relaxed);
  entry.leased_at.store(leased_at, std::memory_order_relaxed);
  IPCQ_CRASH_POINT("lease.written");
  // 2. the word: this decides                                   (die here → held by a dead owner, or done, or redeliverable)
  const std::uint32_t sequence =
      word_sequence(entry.word.load(std::memory_order_relaxed)) + (state == EntryState::leased ? 1 : 0);
  entry.word.store(make_word(state, deliveries, sequence, owner), std::memory_order_release);  // R:ack, with A:ack
  IPCQ_CRASH_POINT("lease.word");
  // 3. the index, derived
  for (std::uint32_t i = count; i > k; --i) index_[slot(i)] = index_[slot(i - 1)];
  index_[slot(k)] = static_cast<std::uint16_t>(number);
  IPCQ_CRASH_POINT("lease.index");
  set_count(count + 1);
  return number;
}

std::uint64_t Ledger::lease(std::uint32_t number, Owner owner, std::uint64_t leased_at) noexcept {
  layout::LedgerEntry& entry = entries_[number];
  const std::uint64_t before = entry.word.load(std::memory_order_relaxed);  // relaxed: not leased, so ours to change (W)
  entry.leased_at.store(leased_at, std::memory_order_relaxed);
  const std::uint64_t leased = make_word(EntryState::leased, word_deliveries(before), word_sequence(before) + 1, owner);
  // One store decides   (die before → redeliverable or parked; after → held by a dead owner)
  entry.word.store(leased, std::memory_order_release);  // R:ack, with A:ack
  return leased;
}

bool Ledger::merge() noexcept {
  // Parked ones keep deliveries and reason: only equal ones make one.
  const auto alike = [](std::uint64_t a, std::uint64_t b) {
    if (word_state(a) != word_state(b)) return false;
    if (word_state(a) == EntryState::done) return true;
    return word_state(a) == EntryState::parked && word_deliveries(a) == word_deliveries(b) &&
           word_owner(a) == word_owner(b);
  };
  const std::uint32_t count = in_use();
  for (std::uint32_t k = 0; k + 1 < count; ++k) {
    const std::uint32_t earlier = at(k);
    const std::uint32_t later = at(k + 1);
    if (!alike(word(earlier), word(later))) continue;
    // 1. the earlier's end        (die here → they overlap: the repair lets the later begin win, that is, undoes this)
    entries_[earlier].end.store(entries_[later].end.load(std::memory_order_relaxed), std::memory_order_release);  // R:ack
    IPCQ_CRASH_POINT("merge.extended");
    // 2. the later is free        (die here → whole; the index is rebuilt)
    free_entry(later);
    IPCQ_CRASH_POINT("merge.freed");
    for (std::uint32_t i = k + 1; i + 1 < count; ++i) index_[slot(i)] = index_[slot(i + 1)];
    index_[slot(count - 1)] = static_cast<std::uint16_t>(later);
    IPCQ_CRASH_POINT("merge.index");
    set_count(count - 1);
    return true;
  }
  return false;
}

Skipped Ledger::pass_skipped(std::uint32_t records_max) noexcept {
  Skipped skipped;
  skipped.end = retired();
  if (in_use() != 0) return skipped;
  skipped = walk_skipped(view_, skipped.end, records_max);
  if (skipped.damaged) skipped.end = retired();
  if (skipped.end == retired()) return skipped;
  row_.retired.store(skipped.end, std::memory_order_release);  // R:retired   (one store: die before or after)
  IPCQ_CRASH_POINT("skipped.retired");
  return skipped;
}

void Ledger::drop_front() noexcept {
  free_entry(at(0));
  IPCQ_CRASH_POINT("drop.freed");
  set_first(slot(1));
  set_count(in_use() - 1);
}

// A drop that its maker did not come to count is counted if it took place, and forgotten if not: nobody but droppers moves
// `retired` to drop_to before this runs, and each of the two stores can be made again.
void Ledger::repair_drop() noexcept {
  const std::uint64_t counted = row_.dropped_messages.load(std::memory_order_acquire);  // A:drop, with R:drop
  const std::uint64_t count = row_.drop_count.load(std::memory_order_acquire);          // A:drop, with R:drop
  if (count <= counted) return;
  if (row_.drop_to.load(std::memory_order_relaxed) <= retired()) {  // relaxed: behind drop_count
    row_.dropped_messages.store(count, std::memory_order_relaxed);  // relaxed: under the mutex
  } else {
    row_.drop_count.store(counted, std::memory_order_relaxed);  // relaxed: under the mutex
  }
}

bool Ledger::repair() noexcept {
  const std::uint32_t entries = view_.ledger_entries;
  const std::uint64_t floor = retired();
  if (!can_be_position(view_, floor)) return false;
  repair_drop();
  // 1. Collect what is in use, behind the slots of what is free. Nothing here is trusted but the words and their ranges.
  std::uint32_t used = 0;
  std::uint32_t free = entries;
  for (std::uint32_t number = 0; number < entries; ++number) {
    layout::LedgerEntry& entry = entries_[number];
    const std::uint64_t word = this->word(number);
    if (word_state(word) > EntryState::parked) return false;
    const std::uint64_t end = entry.end.load(std::memory_order_relaxed);  // relaxed: under the mutex
    if (word_state(word) != EntryState::free && end <= floor) {
      // Retired but not freed yet. A range that is leased or to be delivered cannot be retired.
      if (word_state(word) != EntryState::done && word_state(word) != EntryState::redeliverable) return false;
      free_entry(number);
      IPCQ_CRASH_POINT("repair.freed");
      index_[--free] = static_cast<std::uint16_t>(number);
    } else if (word_state(word) == EntryState::free) {
      index_[--free] = static_cast<std::uint16_t>(number);
    } else {
      // drop-oldest moves `retired` before the begin of a redeliverable entry; nothing else is retired in part.
      if (entry.begin.load(std::memory_order_relaxed) < floor) {
        if (word_state(word) != EntryState::redeliverable) return false;
        entry.begin.store(floor, std::memory_order_relaxed);
        IPCQ_CRASH_POINT("repair.begin");
      }
      index_[used++] = static_cast<std::uint16_t>(number);
    }
  }
  // By heap, which stays inside the array whatever the comparisons say: somebody may write here who should not.
  const auto earlier = [&](std::uint16_t a, std::uint16_t b) {
    return entries_[a % entries].begin.load(std::memory_order_relaxed) <
           entries_[b % entries].begin.load(std::memory_order_relaxed);
  };
  std::make_heap(index_, index_ + used, earlier);
  std::sort_heap(index_, index_ + used, earlier);
  // 2. Ends are cut to the next begin (splits, first-n acks and merges that were broken off), and must tile.
  std::uint64_t expected = floor;
  for (std::uint32_t k = 0; k < used; ++k) {
    layout::LedgerEntry& entry = entries_[index_[k] % entries];
    const std::uint64_t begin = entry.begin.load(std::memory_order_relaxed);
    std::uint64_t end = entry.end.load(std::memory_order_relaxed);
    if (k + 1 < used) {
      const std::uint64_t next = entries_[index_[k + 1] % entries].begin.load(std::memory_order_relaxed);
      if (end > next) {
        end = next;
        entry.end.store(end, std::memory_order_relaxed);
        IPCQ_CRASH_POINT("repair.cut");
      }
    }
    if (begin != expected || end <= begin || !can_be_range(view_, floor, end)) return false;
    expected = end;
  }
  set_first(0);
  IPCQ_CRASH_POINT("repair.index");
  set_count(used);
  // 3. Go on retiring.
  retire();
  IPCQ_CRASH_POINT("repair.group");
  return true;
}

Locked lock_group(const View& view, std::uint32_t group, std::int64_t call_deadline_ns, bool& moved) noexcept {
  return lock_for_call(view, view.group(group).mutex, call_deadline_ns, [&] {
    view.side().close.recoveries.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
    // An exclusive group has no ledger, and its `retired` belongs to its living consumer.
    if (is_exclusive_group(view, group)) return true;
    // Nor has a free row: whoever adds a group there formats it, under another mutex.
    if (view.group(group).state.load(std::memory_order_acquire) ==  // A:group, with R:group
        static_cast<std::uint32_t>(layout::GroupState::free)) {
      return true;
    }
    moved = true;  // the dead may have moved it, or we: say so in any case
    return Ledger(view, group).repair();
  });
}

}  // namespace ipcq::core
