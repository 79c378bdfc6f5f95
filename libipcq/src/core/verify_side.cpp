// What stands once in a segment: header and flags, mutexes, the producer side, the end of the stream.
#include <array>
#include <string>

#include "core/closing.hpp"
#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/ring.hpp"
#include "layout/format.hpp"

// relaxed loads here are of the look's own copy, unless they say otherwise.

namespace ipcq::core {
namespace {

void look_at_mutex(Look& look, const os::RobustMutex& mutex, const std::string& whose) {
  const os::MutexState state = mutex.look();
  const std::uint64_t offset = look.offset_of(&mutex);
  if (!state.well_formed) {
    look.broken("mutex.kind", offset,
                "the " + whose + "'s mutex is none as the C library makes them: error-checking, robust, shared");
    return;
  }
  if (state.not_recoverable) {
    look.broken("mutex.poisoned", offset,
                "the " + whose + "'s mutex is not recoverable: the repair of what it protects was given up");
  } else if (state.holder_died) {
    look.noted("mutex.holder_died", offset,
               "the holder of the " + whose + "'s mutex died; whoever takes it next mends what it protects");
  } else if (state.holder != 0) {
    const std::string holder = "thread " + number(state.holder);
    if (holder_is_gone(look.live(), state)) {
      look.broken("mutex.holder", offset,
                  "the " + whose + "'s mutex is held by " + holder + ", which is not there or does not map the queue");
    } else {
      look.noted("mutex.held", offset,
                 "the " + whose + "'s mutex is held by " + holder + ": what it protects was not looked at");
    }
  }
}

// Z: nothing stands at the end of everything claimed. Words of the segment itself, in an order that decides.
void look_at_end_mark(Look& look) {
  const View& live = look.live();
  const auto& claim = live.side().claim;
  const auto& mutex = live.side().producer_lock.mutex;
  const std::uint64_t position = claim.claim_position.load(std::memory_order_acquire);  // A:claim_position
  if (!look.is_aligned(position)) return;                                               // reported already
  const std::uint64_t head = peek_head(live, position);
  if (head == 0) return;
  // A claimer's head, while he holds the mutex and his claim_position is still to come; or he has stored it meanwhile.
  const os::MutexState state = mutex.look();
  if (claim.claim_position.load(std::memory_order_acquire) != position) return;  // A:claim_position
  const bool torn = state.holder_died || state.not_recoverable || holder_is_gone(live, state);
  if (state.holder != 0 && !torn) return;
  const std::string text = "the head at claim_position " + number(position) + " is " + number(head) + ", not 0";
  if (state.holder_died && detail::head_state(head) == RecordState::claimed && can_be_claimed(live, head)) {
    look.noted("side.end_mark", look.ring_offset(position),
               text + ": a claim that was broken off; the next claim zeroes it");
  } else {
    look.broken("side.end_mark", look.ring_offset(position), text);
  }
}

void look_at_close(Look& look) {
  const View& copy = look.copy();
  const auto& word = copy.side().close.closed_at;
  const std::uint64_t closed_at = word.load(std::memory_order_relaxed);
  const std::uint64_t end = copy.side().claim.claim_position.load(std::memory_order_relaxed);
  const std::uint64_t offset = look.offset_of(&word);
  if (is_closed(copy)) {
    if (closed_at == kNoPosition) {
      look.noted("close.unfinished", offset, "the queue is closed, but the end of its stream is not stored yet");
    } else if (closed_at != end) {
      look.broken("close.position", offset,
                  "the stream ends at " + number(closed_at) + ", but claim_position is " + number(end));
    }
  } else if (closed_at != kNoPosition) {
    look.broken("close.flag", offset, "the stream ends at " + number(closed_at) + ", but the queue is not closed");
  }
}

void look_at_exclusive_owner(Look& look) {
  const View& copy = look.copy();
  const auto& word = copy.side().close.exclusive_owner;
  const Owner owner = word.load(std::memory_order_relaxed);
  const std::uint64_t offset = look.offset_of(&word);
  if (owner == 0) return;
  if (!copy.exclusive()) {
    look.broken("side.exclusive_owner", offset,
                "a queue of shared producers has an exclusive one: " + look.owner_text(owner));
    return;
  }
  if (owner_row(owner) >= copy.endpoints_max) {
    look.broken("side.exclusive_owner", offset,
                "the exclusive producer is " + look.owner_text(owner) + ", and there is no such row");
    return;
  }
  if (look.verdict(owner) == Verdict::dead) {
    look.noted("side.exclusive_owner", offset,
               "the exclusive producer, " + look.owner_text(owner) + ", is dead; a successor takes over");
  } else if (const auto& row = copy.row(owner_row(owner));
             owner_of_row(copy, owner_row(owner)) == owner &&
             row.kind.load(std::memory_order_relaxed) != static_cast<std::uint32_t>(layout::RowKind::producer)) {
    look.broken("side.exclusive_owner", offset,
                "the exclusive producer, " + look.owner_text(owner) + ", is no producer");
  }
}

}  // namespace

void look_at_header(Look& look) {
  const View& copy = look.copy();
  const View& live = look.live();
  layout::HeaderCopy header;
  const layout::Validation found =
      layout::validate(copy.control, layout::kSideOffset, live.control_bytes + live.capacity, header);
  if (found.verdict != layout::Verdict::ok) {
    look.broken("header.valid", found.offset, std::string("the header is not that of a queue: ") + found.reason);
  } else {
    // What this process took the header to be when it opened the queue.
    const layout::Header& now = header.header;
    const auto same = [&](const char* what, std::size_t offset, std::uint64_t here, std::uint64_t opened) {
      if (here == opened) return;
      look.broken(
          "header.copy", offset,
          std::string(what) + " is " + number(here) + "; it was " + number(opened) + " when the queue was opened");
    };
    constexpr std::size_t kAt = layout::kHeaderOffset;
    same("the place of the life locks", offsetof(layout::FrozenHeader, life_begin), header.life_begin, live.life_begin);
    same("the capacity", kAt + offsetof(layout::Header, capacity), now.capacity, live.capacity);
    same("the number of endpoints", kAt + offsetof(layout::Header, endpoints_max), now.endpoints_max, live.endpoints_max);
    same("the number of groups", kAt + offsetof(layout::Header, groups_max), now.groups_max, live.groups_max);
    same("the number of ledger entries", kAt + offsetof(layout::Header, ledger_entries), now.ledger_entries,
         live.ledger_entries);
    same("the alignment", kAt + offsetof(layout::Header, alignment), now.alignment, live.alignment);
    same("the kind of producers", kAt + offsetof(layout::Header, producers), now.producers,
         static_cast<std::uint64_t>(live.producers));
    same("the kind of clock", kAt + offsetof(layout::Header, clock), static_cast<std::uint64_t>(now.clock),
         static_cast<std::uint64_t>(live.clock));
    same("the clock's factor", kAt + offsetof(layout::Header, clock_mult), now.clock_mult, live.scale.mult);
    same("the clock's shift", kAt + offsetof(layout::Header, clock_shift), now.clock_shift, live.scale.shift);
  }
  const std::uint32_t flags = copy.frozen().flags.load(std::memory_order_relaxed);
  const std::uint64_t offset = offsetof(layout::FrozenHeader, flags);
  using namespace layout::flag;
  if ((flags & ~(kClosed | kRemoved | kPoisoned)) != 0)
    look.broken("flags.known", offset, "the flags are " + number(flags) + ", of which only 1, 2 and 4 are known");
  if ((flags & kPoisoned) != 0)
    look.broken("flags.poisoned", offset, "the queue is poisoned: a repair was given up, and every call is refused");
  if ((flags & kRemoved) != 0)
    look.noted("flags.removed", offset, "the queue is removed; whoever opens or creates its name takes that away");
}

void look_at_side(Look& look) {
  const View& copy = look.copy();
  layout::Side& side = copy.side();
  look_at_mutex(look, side.producer_lock.mutex, "producer side");
  look_at_mutex(look, side.table_lock.mutex, "endpoint table");
  for (std::uint32_t i = 0; i < copy.groups_max; ++i) {
    look_at_mutex(look, copy.group(i).mutex, "group row " + number(i));
  }
  const std::uint64_t position = side.claim.claim_position.load(std::memory_order_relaxed);
  if (!can_be_position(copy, position)) {
    look.broken("side.claim_position", look.offset_of(&side.claim.claim_position),
                "claim_position is " + number(position) + ", no multiple of " + number(copy.alignment) +
                    " that a queue may come to");
  }
  if (!copy.exclusive()) look_at_end_mark(look);
  look_at_exclusive_owner(look);
  look_at_close(look);
  const std::uint64_t last_time = side.claim.last_time.load(std::memory_order_relaxed);
  if (last_time != 0 &&
      (copy.clock == layout::ClockKind::off || copy.stamp_difference_ns(copy.stamp(), last_time) > kClockSlack_ns)) {
    look.broken("side.last_time", look.offset_of(&side.claim.last_time),
                "the newest enqueue time, " + number(last_time) + ", is still to come");
  }
}

}  // namespace ipcq::core
