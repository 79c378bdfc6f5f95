#include "core/exclusive_consumer.hpp"

#include <algorithm>

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/event_count.hpp"

namespace ipcq::core {

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
    const std::uint64_t retired = row.retired.load(std::memory_order_acquire);      // A:retired, with R:retired
    const std::uint64_t leased_to = row.leased_to.load(std::memory_order_acquire);  // A:leased_to, with R:leased_to
    // Take-over counts only if the predecessor died with something open: what he may have died of is one of these.
    if (holder != 0 && leased_to > retired) {
      // 1. the count with its position: no count while the position changes, so that no other position's is taken for ours
      //    (die before the count → this death is counted by the next one; after → once more: at most one too many, never
      //    one too few)
      const bool same = row.takeover_retired.load(std::memory_order_relaxed) == retired;  // relaxed: under the mutex
      if (!same) row.takeover_count.store(0, std::memory_order_relaxed);
      const std::uint32_t before = row.takeover_count.load(std::memory_order_relaxed);
      IPCQ_CRASH_POINT("xjoin.no_count");
      row.takeover_retired.store(retired, std::memory_order_relaxed);
      IPCQ_CRASH_POINT("xjoin.position");
      row.takeover_count.store(before + 1, std::memory_order_relaxed);
      IPCQ_CRASH_POINT("xjoin.count");
      state.one_by_one_to = leased_to;
      state.deliveries = before + 1;
    } else {
      // What an earlier one had open and gave back, or left, is nobody's burden: a death counts only what it took itself.
      row.leased_to.store(retired, std::memory_order_release);  // R:leased_to
      state.one_by_one_to = retired;
      state.deliveries = 0;
    }
    state.position = retired;
    // 2. the owner word, last            (die here → a dead consumer with what its predecessor had open)
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
    const Walk range = walk(view, state.position, state.position + view.capacity, one_by_one ? 1 : request.max_messages,
                            request.max_bytes);
    taken.stop = range.stop;
    taken.head = range.head;
    if (range.why == WalkEnd::damaged) {
      taken.step = LeaseStep::damaged;
      return taken;
    }
    if (range.messages == 0 && range.stop > state.position && (nothing_open || range.why == WalkEnd::limit)) {
      state.position = range.stop;
      if (nothing_open) {
        // Only skipped records, and nothing open before them: they are finished   (one store: die before or after)
        row.retired.exchange(range.stop, std::memory_order_seq_cst);  // R:retired, R:wake
        IPCQ_CRASH_POINT("xconsumer.skipped");
        notify(view.side().space);
      }
      if (range.why == WalkEnd::limit) continue;
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
    taken.deliveries = one_by_one ? state.deliveries : 0;
    state.position = range.end;
    // relaxed, load and store: one writer.
    auto& statistic = one_by_one ? row.redelivered_messages : row.leased_messages;
    statistic.store(statistic.load(std::memory_order_relaxed) + range.messages, std::memory_order_relaxed);
    return taken;
  }
}

Outcome ack_exclusive(const View& view, std::uint32_t group, const ExclusiveState& state,
                      std::uint64_t position) noexcept {
  auto& row = view.group(group);
  // A lost life lock and a successor: `retired` is his. (A check, not a fence: it narrows, it cannot close, the window.)
  if (row.owner.load(std::memory_order_relaxed) != state.owner) return Outcome::disowned;  // relaxed: see above
  // R:retired, with A:retired: our reads are before the producer's next writes there. seq_cst: the fence before the look at
  // the waiters too (R:wake). One exchange   (die before → delivered again; after → finished)
  row.retired.exchange(position, std::memory_order_seq_cst);  // R:retired, R:wake
  IPCQ_CRASH_POINT("xconsumer.retired");
  notify(view.side().space);
  return Outcome::ok;
}

}  // namespace ipcq::core
