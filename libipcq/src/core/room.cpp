#include "core/room.hpp"

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/ring.hpp"

namespace ipcq::core {
namespace {

constexpr std::uint32_t kRecordsPerTurn = 1024;

bool is_short(const View& view, const layout::GroupRow& row, std::uint64_t end) noexcept {
  // A:retired, with R:retired. A hint: the claim computes the least again under its mutex. Short by more than the ring is
  // damage, which the claim names: no turn would ever make up for it.
  const std::uint64_t retired = row.retired.load(std::memory_order_acquire);
  return retired + view.capacity < end && end - retired <= 2 * view.capacity;
}

// Under the mutex of an exclusive group without a living consumer: `retired` passes skipped records.
bool pass_skipped_for_absent(const View& view, layout::GroupRow& row) noexcept {
  const std::uint64_t begin = row.retired.load(std::memory_order_relaxed);  // relaxed: nobody else writes it now
  const Skipped skipped = walk_skipped(view, begin, kRecordsPerTurn);
  if (skipped.damaged || skipped.end == begin) return false;
  row.retired.store(skipped.end, std::memory_order_release);  // R:retired   (one store: die before or after)
  IPCQ_CRASH_POINT("skipped.retired");
  return true;
}

// Under the group's mutex: gives up whole records that nobody leases, until there is room or the turn is over. A lease, a
// parked range or an open claim at the front ends it.
bool drop_oldest(const View& view, layout::GroupRow& row, Ledger& ledger, std::uint64_t end) noexcept {
  bool moved = false;
  for (std::uint32_t records = 0; records < kRecordsPerTurn && is_short(view, row, end); ++records) {
    const std::uint64_t at = ledger.retired();
    if (!can_be_position(view, at)) break;  // damage: whoever leases says so
    layout::LedgerEntry* front = nullptr;
    std::uint64_t limit = at + view.capacity;
    if (ledger.in_use() > 0) {
      const std::uint32_t number = ledger.at(0);
      if (word_state(ledger.word(number)) != EntryState::redeliverable) break;
      front = &ledger.entry(number);
      limit = front->end.load(std::memory_order_relaxed);  // relaxed: under the mutex
    }
    const std::uint64_t head = load_head(view, at);  // A:publish
    const RecordState state = detail::head_state(head);
    const std::uint64_t span = span_of(view, head);
    if ((state != RecordState::committed && state != RecordState::skipped) || span == 0 || at + span > limit) break;
    if (state == RecordState::committed) {
      // 1. where this drop goes   (die here → `retired` has not come there: not dropped, not counted)
      row.drop_to.store(at + span, std::memory_order_relaxed);  // relaxed: before step 2
      IPCQ_CRASH_POINT("drop.to");
      // 2. the count with it      (die here → likewise)
      row.drop_count.store(row.dropped_messages.load(std::memory_order_relaxed) + 1, std::memory_order_release);  // R:drop
      IPCQ_CRASH_POINT("drop.count");
    }
    // 3. retired                  (die here → dropped; the repair counts it, and raises the entry's begin or frees it)
    row.retired.store(at + span, std::memory_order_release);  // R:retired
    IPCQ_CRASH_POINT("drop.retired");
    if (state == RecordState::committed) {
      // 4. counted                (die here → as above, counted already)
      const std::uint64_t counted = row.drop_count.load(std::memory_order_relaxed);  // relaxed: our own
      row.dropped_messages.store(counted, std::memory_order_release);                // R:drop, behind step 3
      IPCQ_CRASH_POINT("drop.counted");
    }
    moved = true;
    if (front == nullptr) continue;
    if (at + span == limit) {
      // 5. the whole entry is gone: done and retired in one    (die between → as above)
      ledger.drop_front();
    } else {
      // 5. the entry's begin      (die here → whole)
      front->begin.store(at + span, std::memory_order_relaxed);  // relaxed: under the mutex
      IPCQ_CRASH_POINT("drop.begin");
    }
  }
  return moved;
}

enum class Pass : std::uint8_t { retire, drop };

// One group, one turn. True if `retired` moved.
bool take_turn(const View& view, std::uint32_t number, std::uint64_t end, Pass pass) noexcept {
  auto& row = view.group(number);
  const std::uint32_t incarnation = row.incarnation.load(std::memory_order_relaxed);  // relaxed: checked under the mutex
  const bool exclusive = is_exclusive_group(view, number);
  Owner holder = 0;
  if (exclusive) {
    if (pass == Pass::drop) return false;
    holder = row.owner.load(std::memory_order_acquire);                     // A:takeover, with R:takeover
    if (holder != 0 && judge(view, holder) != Verdict::dead) return false;  // `retired` is his
  }
  IPCQ_CRASH_POINT("room.judged");
  bool moved = false;
  if (lock_group(view, number, 0, moved) != Locked::yes) return false;  // a stopped process: the next look tries again
  if (group_is(view, number, incarnation)) {
    if (exclusive) {
      // relaxed: under the mutex. A successor joins under it too.
      if (row.owner.load(std::memory_order_relaxed) == holder) moved |= pass_skipped_for_absent(view, row);
    } else {
      Ledger ledger(view, number);
      moved |= ledger.retire();
      const std::uint64_t before = ledger.retired();
      moved |= ledger.pass_skipped(kRecordsPerTurn).end != before;
      if (pass == Pass::drop && overflow_of(row) == Overflow::drop_oldest) {
        moved |= drop_oldest(view, row, ledger, end);
      }
    }
  }
  unlock_group(view, number);
  return moved;
}

}  // namespace

RoomFreed free_room(const View& view, std::uint64_t end) noexcept {
  RoomFreed freed;
  bool moved = false;
  bool only_droppers = true;
  bool any_short = false;
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    auto& row = view.group(i);
    const layout::GroupState state = state_of(row);
    if (state == layout::GroupState::marked) moved |= finish_group_removal(view, i);
    if (state != layout::GroupState::active || !is_short(view, row, end)) continue;
    while (is_short(view, row, end) && take_turn(view, i, end, Pass::retire)) moved = true;
    if (!is_short(view, row, end)) continue;
    if (lifetime_of(row) == Lifetime::ephemeral &&
        remove_if_abandoned(view, {i, row.incarnation.load(std::memory_order_relaxed)})) {  // relaxed: checked again
      moved = true;
      continue;
    }
    any_short = true;
    if (overflow_of(row) != Overflow::drop_oldest) only_droppers = false;
    if (overflow_of(row) == Overflow::reject) freed.rejects = true;
  }
  if (any_short && only_droppers) {
    for (std::uint32_t i = 0; i < view.groups_max; ++i) {
      auto& row = view.group(i);
      const layout::GroupState state = state_of(row);
      if (state != layout::GroupState::active) continue;
      while (is_short(view, row, end) && take_turn(view, i, end, Pass::drop)) moved = true;
    }
  }
  if (moved) publish_retired(view);
  return freed;
}

}  // namespace ipcq::core
