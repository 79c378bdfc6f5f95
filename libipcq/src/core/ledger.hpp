// Ledger: the ranges that a shared group has handed out or has back.
//
// Invariants, whenever the group's mutex is free and nobody died holding it
//   T  the entries in use tile [retired, lease position) without gap or overlap; the lease position is the last one's end
//   W  a word that is not `leased` changes by one store under the mutex; a `leased` word only by compare-exchange: by its
//      owner without the mutex, by recovery under it, from the word read after the verdict
//   I  the index lists the entries in use in order of begin, then the free ones. It is derived: every repair rebuilds it
#pragma once

#include <atomic>
#include <cstdint>

#include "core/lock.hpp"
#include "core/ring.hpp"
#include "core/view.hpp"

namespace ipcq::core {

enum class EntryState : std::uint32_t { free = 0, leased = 1, done = 2, redeliverable = 3, parked = 4 };

inline constexpr std::uint32_t kDeliveriesMax = 8191;  // 13 bits, saturating

constexpr std::uint64_t make_word(EntryState state, std::uint32_t deliveries, std::uint32_t sequence,
                                  Owner owner) noexcept {
  return std::uint64_t{static_cast<std::uint32_t>(state)} | (std::uint64_t{deliveries & 0x1fffU} << 3) |
         (std::uint64_t{sequence & 0xffffU} << 16) | (std::uint64_t{owner} << 32);
}
constexpr EntryState word_state(std::uint64_t word) noexcept { return static_cast<EntryState>(word & 7U); }
constexpr std::uint32_t word_deliveries(std::uint64_t word) noexcept {
  return static_cast<std::uint32_t>(word >> 3) & 0x1fffU;
}
constexpr std::uint32_t word_sequence(std::uint64_t word) noexcept {
  return static_cast<std::uint32_t>(word >> 16) & 0xffffU;
}
constexpr Owner word_owner(std::uint64_t word) noexcept { return static_cast<Owner>(word >> 32); }
/// Whether a message that was handed out so often is not to be handed out again. `most`: 0 is without limit.
constexpr bool exhausted(std::uint32_t deliveries, std::uint32_t most) noexcept {
  return most != 0 && deliveries >= most;
}
/// The word of a leased range that is given back: one delivery more, nobody's. A range past `max_deliveries` is leased to
/// be moved to the dead-letter queue only, which is no delivery.
constexpr std::uint64_t given_back(std::uint64_t word, std::uint32_t max_deliveries) noexcept {
  const std::uint32_t deliveries = word_deliveries(word);
  const bool counts = deliveries < kDeliveriesMax && !exhausted(deliveries, max_deliveries);
  return make_word(EntryState::redeliverable, counts ? deliveries + 1 : deliveries, word_sequence(word), 0);
}

/// A group's ledger, for whoever holds the group's mutex (but where said otherwise).
class Ledger {
 public:
  Ledger(const View& view, std::uint32_t group) noexcept
      : view_(view), row_(view.group(group)), entries_(view.entries(group)), index_(view.index(group)) {}

  [[nodiscard]] std::uint32_t in_use() const noexcept {
    const std::uint32_t count = row_.index_count.load(std::memory_order_relaxed);  // relaxed: under the mutex
    return count <= view_.ledger_entries ? count : view_.ledger_entries;
  }
  [[nodiscard]] bool full() const noexcept { return in_use() == view_.ledger_entries; }
  /// Number of the k-th entry in order of begin; those from in_use() on are free.
  [[nodiscard]] std::uint32_t at(std::uint32_t k) const noexcept { return within(index_[slot(k)]); }
  [[nodiscard]] layout::LedgerEntry& entry(std::uint32_t number) const noexcept { return entries_[number]; }
  /// A:ack, with R:ack: whoever finished the range has read it.
  [[nodiscard]] std::uint64_t word(std::uint32_t number) const noexcept {
    return entries_[number].word.load(std::memory_order_acquire);  // A:ack
  }
  [[nodiscard]] std::uint64_t retired() const noexcept {
    return row_.retired.load(std::memory_order_relaxed);
  }  // relaxed: under the mutex
  [[nodiscard]] std::uint64_t lease_position() const noexcept {
    const std::uint32_t count = in_use();
    return count == 0 ? retired()
                      : entries_[at(count - 1)].end.load(std::memory_order_relaxed);  // relaxed: under the mutex
  }

  /// Whether the entries in use can be: the first begins at `retired`, the last ends inside the ring.
  [[nodiscard]] bool can_be() const noexcept;
  /// While the first entry is done: `retired` = its end, then the entry is free. True if `retired` moved: publish space
  /// after unlocking.
  bool retire() noexcept;
  /// Makes a free entry the holder of [begin, end) with `word`, as the k-th of the index. The ledger is not full.
  /// Returns its number. The word's sequence is set to the entry's next if the word is leased, else kept.
  std::uint32_t insert(std::uint32_t k, std::uint64_t begin, std::uint64_t end, EntryState state,
                       std::uint32_t deliveries, Owner owner, std::uint64_t leased_at) noexcept;
  /// Turns a redeliverable or parked entry into a leased one; returns the word.
  std::uint64_t lease(std::uint32_t number, Owner owner, std::uint64_t leased_at) noexcept;
  /// Makes room by merging two neighbouring entries that are both done, or parked alike. False: there are none.
  bool merge() noexcept;
  /// An empty ledger passes `retired` over skipped records, at most `records_max`: how far, which may be no way at all.
  Skipped pass_skipped(std::uint32_t records_max) noexcept;
  /// Finishes an entry that nobody holds: redeliverable or parked → done. Its messages are given up.
  void give_up(std::uint32_t number) noexcept {
    // relaxed: not leased, so ours (W). One store   (die before or after)
    const std::uint64_t word = entries_[number].word.load(std::memory_order_relaxed);
    entries_[number].word.store(make_word(EntryState::done, word_deliveries(word), word_sequence(word), 0),
                                std::memory_order_release);  // R:ack
  }
  /// parked → redeliverable.
  void unpark(std::uint32_t number) noexcept {
    const std::uint64_t word = entries_[number].word.load(std::memory_order_relaxed);  // relaxed: not leased, so ours (W)
    entries_[number].word.store(make_word(EntryState::redeliverable, word_deliveries(word), word_sequence(word), 0),
                                std::memory_order_release);  // R:ack
  }
  /// Frees the first entry, redeliverable and dropped whole: `retired` has passed its end already.
  void drop_front() noexcept;
  /// After owner-died: counts a drop that was not counted yet, mends entries, runs the retire loop, rebuilds the index. False: a state that cannot be.
  [[nodiscard]] bool repair() noexcept;

 private:
  void repair_drop() noexcept;
  [[nodiscard]] std::uint32_t slot(std::uint32_t k) const noexcept {
    const std::uint32_t sum = row_.index_first.load(std::memory_order_relaxed) + k;  // relaxed: under the mutex
    return within(sum < view_.ledger_entries ? sum : sum - view_.ledger_entries);
  }
  /// value % ledger_entries. It is below that already unless somebody damaged it, and a lease asks ten times: each division
  /// would cost it as much as its exchange of the entry's word.
  [[nodiscard]] std::uint32_t within(std::uint32_t value) const noexcept {
    // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): no segment without entries is ever opened
    return value < view_.ledger_entries ? value : value % view_.ledger_entries;
  }
  void set_first(std::uint32_t first) noexcept { row_.index_first.store(within(first), std::memory_order_relaxed); }
  void set_count(std::uint32_t count) noexcept { row_.index_count.store(count, std::memory_order_relaxed); }
  void free_entry(std::uint32_t number) noexcept {
    // The sequence stays, so that a stale handle's second ack misses.
    const std::uint64_t word = entries_[number].word.load(std::memory_order_relaxed);  // relaxed: not leased, so ours (W)
    // R:ack, and `retired` first.
    entries_[number].word.store(make_word(EntryState::free, 0, word_sequence(word), 0), std::memory_order_release);
  }

  const View& view_;
  layout::GroupRow& row_;
  layout::LedgerEntry* entries_;
  std::uint16_t* index_;
};

/// Locks a group, repairing its ledger if the holder died. Whoever moved `retired` by that publishes space after unlocking:
/// `moved` is set then.
[[nodiscard]] Locked lock_group(const View& view, std::uint32_t group, std::int64_t call_deadline_ns,
                                bool& moved) noexcept;
inline void unlock_group(const View& view, std::uint32_t group) noexcept { view.group(group).mutex.unlock(); }

/// Whether the row is an active group of that incarnation. Under the group's mutex the answer stays true.
[[nodiscard]] inline bool group_is(const View& view, std::uint32_t group, std::uint32_t incarnation) noexcept {
  const auto& row = view.group(group);
  // A:group, with R:group: what stands behind a state is whole.
  return row.state.load(std::memory_order_acquire) == static_cast<std::uint32_t>(layout::GroupState::active) &&
         row.incarnation.load(std::memory_order_relaxed) == incarnation;
}
[[nodiscard]] inline bool is_exclusive_group(const View& view, std::uint32_t group) noexcept {
  // relaxed: written before the group is visible; who holds no lock checks the incarnation after it.
  return view.group(group).consumers.load(std::memory_order_relaxed) ==
         static_cast<std::uint8_t>(ConsumerMode::exclusive);
}

}  // namespace ipcq::core
