#include "core/exclusive_consumer.hpp"

#include <algorithm>

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/event_count.hpp"
#include "core/parking.hpp"
#include "core/without.hpp"

namespace ipcq::core {
namespace {

// How often the record at `retired` was handed out: what was counted for it, else once if it came back with others.
std::uint32_t handed_out(const layout::GroupRow& row, std::uint64_t retired, bool again) noexcept {
  // A:leased_to, with R:leased_to: a count that is not 0 is that of the position before it.
  const std::uint32_t count = row.takeover_count.load(std::memory_order_acquire);  // A:leased_to
  if (count != 0 && row.takeover_retired.load(std::memory_order_relaxed) == retired)
    return count;  // relaxed: see above
  return again ? 1 : 0;
}

// Counts the record at `retired`. No count while the position changes, so that no other position's is taken for ours.
//  (die before the count → the death, or the delivery that comes back, is counted by the next one; after → once more, until
//  leased_to says that nothing is open: at most one too many, never one too few)
void count_front(layout::GroupRow& row, std::uint64_t retired, std::uint32_t deliveries) noexcept {
  if (row.takeover_retired.load(std::memory_order_relaxed) != retired) {  // relaxed: ours to write
    row.takeover_count.store(0, std::memory_order_release);               // R:leased_to
    IPCQ_CRASH_POINT("xcount.none");
    row.takeover_retired.store(retired, std::memory_order_release);  // R:leased_to
    IPCQ_CRASH_POINT("xcount.position");
  }
  row.takeover_count.store(deliveries, std::memory_order_release);  // R:leased_to
  IPCQ_CRASH_POINT("xcount.count");
}

// The next message is past max_deliveries. What becomes of it: true, the walk goes on behind it; false: `taken` says.
bool give_up_front(const View& view, layout::GroupRow& row, std::uint32_t group, ExclusiveState& state,
                   const Walk& range, bool nothing_open, LeaseTaken& taken) noexcept {
  if (!nothing_open) {  // leases are finished in order: those before it first
    taken.step = LeaseStep::too_many_leases;
    taken.front_owner = state.owner;
    return false;
  }
  if (view.drop_after) {
    // Finished, and counted   (one store: die before or after; the statistic may lack it)
    row.retired.exchange(range.end, std::memory_order_seq_cst);  // R:retired, R:wake
    IPCQ_CRASH_POINT("exhausted.dropped");
    notify(view.side().space);
    state.position = range.end;
    // relaxed, load and store: one writer.
    row.dropped_messages.store(row.dropped_messages.load(std::memory_order_relaxed) + range.messages,
                               std::memory_order_relaxed);
    return true;
  }
  taken.begin = state.position;
  taken.end = range.end;
  taken.messages = range.messages;
  taken.bytes = range.bytes;
  taken.deliveries = state.deliveries;
  if (parked_front(row, state.position) == Parked::no || parked_due(view, group)) {
    taken.step = LeaseStep::to_dead_letter;
    return false;
  }
  taken.step = LeaseStep::parked;
  taken.stop = state.position;
  taken.head = load_head(view, state.position);
  const std::uint64_t end = closed_at(view);
  if (end != kNoPosition) {
    // Nothing behind it but the end of the stream: nobody here can do more.
    const Walk rest = walk(view, range.end, range.end + view.capacity, 1, UINT64_MAX);
    if (rest.messages == 0 && rest.stop == end) taken.step = LeaseStep::drained;
  }
  return false;
}

}  // namespace

Join join_exclusive(const View& view, std::uint32_t group, std::uint32_t incarnation, ExclusiveState& state,
                    Owner& holder) noexcept {
  auto& row = view.group(group);
  for (int attempt = 0; attempt < 20; ++attempt) {
    holder = row.owner.load(std::memory_order_acquire);  // A:takeover, with R:takeover
    if (holder != 0 && judge(view, holder) != Verdict::dead) return Join::in_use;
    IPCQ_CRASH_POINT("xjoin.judged");
    bool moved = false;
    switch (lock_group(view, group, os::monotonic_ns() + 100 * kLockPatience_ns, moved)) {
      case Locked::yes:
        break;
      case Locked::timed_out:
        return Join::timed_out;
      case Locked::poisoned:
        return Join::poisoned;
    }
    if (!group_is(view, group, incarnation)) {
      unlock_group(view, group);
      return Join::group_removed;
    }
    if (row.owner.load(std::memory_order_relaxed) != holder) {  // relaxed: under the mutex
      unlock_group(view, group);
      continue;  // somebody else took over: judge him
    }
    const std::uint64_t retired = row.retired.load(std::memory_order_acquire);        // A:retired, with R:retired
    const std::uint64_t leased_to = row.leased_to.load(std::memory_order_acquire);    // A:leased_to, with R:leased_to
    const std::uint64_t came_back_to = row.again_to.load(std::memory_order_acquire);  // A:leased_to, with R:leased_to
    // Only what the predecessor took himself and had open when he died counts: what he died of is one of these.
    const bool died_with_it = holder != 0 && leased_to > retired;
    const bool again = came_back_to > retired;
    const std::uint32_t before = handed_out(row, retired, again);
    if (!can_be_position(view, retired) || (died_with_it && !can_be_range(view, retired, leased_to)) ||
        (again && !can_be_range(view, retired, came_back_to))) {
      unlock_group(view, group);
      return Join::damaged;
    }
    state.position = retired;
    state.one_by_one_to = std::max(retired, std::max(came_back_to, died_with_it ? leased_to : 0));
    state.counted_at = retired;
    state.deliveries = died_with_it && before < kDeliveriesMax ? before + 1 : before;
    // 1. the count with its position   (see there; this one took nothing, so at most one delivery too many is counted)
    if (state.deliveries != 0) count_front(row, retired, state.deliveries);
    // 2. what came back                (die here → as behind the count)
    row.again_to.store(state.one_by_one_to, std::memory_order_release);  // R:leased_to
    IPCQ_CRASH_POINT("xjoin.again_to");
    // 3. this one has taken nothing    (die here → nobody's or a dead one's group, and nothing more to count)
    row.leased_to.store(retired, std::memory_order_release);  // R:leased_to
    IPCQ_CRASH_POINT("xjoin.leased_to");
    // 4. the owner word, last            (die here → a dead consumer that took nothing)
    row.owner.store(state.owner, std::memory_order_release);  // R:takeover
    IPCQ_CRASH_POINT("xjoin.owner");
    unlock_group(view, group);
    return Join::ok;
  }
  return Join::timed_out;
}

void leave_exclusive(const View& view, std::uint32_t group, const ExclusiveState& state) noexcept {
  bool moved = false;
  if (lock_group(view, group, 0, moved) != Locked::yes) return;  // found dead later
  auto& row = view.group(group);
  if (row.owner.load(std::memory_order_relaxed) == state.owner) {
    row.owner.store(0, std::memory_order_release);  // R:takeover
    IPCQ_CRASH_POINT("leave.xconsumer");            // die here → nobody's group, like after it
  }
  unlock_group(view, group);
}

LeaseTaken lease_exclusive(const View& view, std::uint32_t group, std::uint32_t incarnation, ExclusiveState& state,
                           const LeaseRequest& request, bool nothing_open) noexcept {
  LeaseTaken taken;
  auto& row = view.group(group);
  if (!group_is(view, group, incarnation)) {
    taken.step = LeaseStep::group_removed;
    return taken;
  }
  // A lost life lock and a successor: nothing here is ours any more. (A check, not a fence, as in ack_exclusive.)
  if (row.owner.load(std::memory_order_relaxed) != state.owner) {  // relaxed: see above
    taken.step = LeaseStep::disowned;
    return taken;
  }
  // Skipped records that were passed while a lease was open are finished now that none is   (one store: die before or after)
  if (nothing_open && row.retired.load(std::memory_order_relaxed) < state.position) {  // relaxed: our own word
    row.retired.exchange(state.position, std::memory_order_seq_cst);                   // R:retired, R:wake
    notify(view.side().space);
  }
  for (;;) {
    const bool one_by_one = state.position < state.one_by_one_to;
    const Walk range = walk_here(view, state.position, state.position + view.capacity,
                                 one_by_one ? 1 : request.max_messages, request.max_bytes);
    taken.stop = range.stop;
    taken.head = range.head;
    taken.took_all = range.why != WalkEnd::limit;
    const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);  // relaxed: our own word
    if (range.why == WalkEnd::damaged || !can_be_range(view, retired, range.stop)) {
      taken.step = LeaseStep::damaged;
      return taken;
    }
    if (range.messages == 0 && range.stop > state.position && (nothing_open || range.why == WalkEnd::limit)) {
      // A:claim_position, with R:claim_position: who skips has claimed before. All round the ring it would go on for ever.
      if (range.stop > view.side().claim.claim_position.load(std::memory_order_acquire)) {
        taken.step = LeaseStep::damaged;
        return taken;
      }
      state.position = range.stop;
      if (nothing_open) {
        // Only skipped records, and nothing open before them: they are finished   (one store: die before or after)
        row.retired.exchange(range.stop, std::memory_order_seq_cst);  // R:retired, R:wake
        IPCQ_CRASH_POINT("xconsumer.skipped");
        notify(view.side().space);
      }
      if (range.why == WalkEnd::limit) continue;
    }
    const std::uint32_t before = !one_by_one ? 0 : state.position == state.counted_at ? state.deliveries : 1;
    if (range.messages > 0 && exhausted(before, view.max_deliveries)) {
      if (give_up_front(view, row, group, state, range, nothing_open, taken)) continue;
      return taken;
    }
    const bool no_more_can_come = range.stop == closed_at(view);
    if (range.messages == 0 ||
        (range.messages < request.min_messages && range.messages < request.max_messages && !one_by_one &&
         range.why != WalkEnd::limit && !request.take_what_is_there && !no_more_can_come)) {
      taken.step = range.why == WalkEnd::claimed ? LeaseStep::claimed : LeaseStep::nothing;
      const std::uint64_t end = closed_at(view);
      // relaxed: our own word.
      if (end != kNoPosition && nothing_open && row.retired.load(std::memory_order_relaxed) == end)
        taken.step = LeaseStep::drained;
      if (!can_be_end(view, end, row.retired.load(std::memory_order_relaxed), range)) taken.step = LeaseStep::damaged;
      return taken;
    }
    // leased_to before the messages are handed out: what is read then counts if we die of it.
    if (range.end > row.leased_to.load(std::memory_order_relaxed)) {  // relaxed: our own word
      row.leased_to.store(range.end, std::memory_order_release);      // R:leased_to
    }
    IPCQ_CRASH_POINT("xconsumer.leased_to");
    taken.step = LeaseStep::leased;
    taken.begin = state.position;
    taken.end = range.end;
    taken.messages = range.messages;
    taken.bytes = range.bytes;
    taken.first_time = range.first_time;
    taken.deliveries = before;
    state.position = range.end;
    // relaxed, load and store: one writer.
    auto& statistic = one_by_one ? row.redelivered_messages : row.leased_messages;
    statistic.store(statistic.load(std::memory_order_relaxed) + range.messages, std::memory_order_relaxed);
    return taken;
  }
}

void requeue_exclusive(const View& view, std::uint32_t group, ExclusiveState& state, std::uint64_t begin,
                       std::uint32_t deliveries, bool oldest) noexcept {
  auto& row = view.group(group);
  if (row.owner.load(std::memory_order_relaxed) != state.owner) return;  // relaxed: as in ack_exclusive
  // Skipped records before the oldest lease were passed, but not retired: they are part of it.
  state.counted_at = oldest ? row.retired.load(std::memory_order_relaxed) : begin;  // relaxed: our own word
  state.deliveries = deliveries < kDeliveriesMax ? deliveries + 1 : deliveries;
  state.one_by_one_to = std::max(state.one_by_one_to, state.position);
  // 1. the count with its position   (see there)
  if (oldest) count_front(row, state.counted_at, state.deliveries);
  // 2. what came back                (die here → as behind the count; not the oldest: all that is open came with this death)
  row.again_to.store(state.one_by_one_to, std::memory_order_release);  // R:leased_to
  IPCQ_CRASH_POINT("xrequeue.again_to");
  // 3. from here on nothing is open  (die here → whole)
  row.leased_to.store(state.counted_at, std::memory_order_release);  // R:leased_to
  IPCQ_CRASH_POINT("xrequeue.done");
  state.position = state.counted_at;
}

Outcome ack_exclusive(const View& view, std::uint32_t group, const ExclusiveState& state,
                      std::uint64_t position) noexcept {
  auto& row = view.group(group);
  // A lost life lock and a successor: `retired` is his. (A check, not a fence: it narrows, it cannot close, the window.)
  if (row.owner.load(std::memory_order_relaxed) != state.owner) return Outcome::disowned;  // relaxed: see above
  // R:retired, with A:retired: our reads are before the producer's next writes there. seq_cst: the fence before the look at
  // the waiters too (R:wake). One exchange   (die before → delivered again; after → finished)
  if constexpr (has(Idea::fence)) {
    row.retired.exchange(position, std::memory_order_seq_cst);  // R:retired, R:wake
  } else {
    row.retired.store(position, std::memory_order_release);  // R:retired
  }
  IPCQ_CRASH_POINT("xconsumer.retired");
  notify(view.side().space);
  return Outcome::ok;
}

}  // namespace ipcq::core
