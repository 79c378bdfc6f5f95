#include "core/parking.hpp"

#include "core/crash_point.hpp"
#include "core/event_count.hpp"

namespace ipcq::core {
namespace {

// From here on there may be something parked, and it was tried now.
void note_try(const View& view, std::uint32_t group) noexcept {
  view.group(group).parked_tried_ns.store(static_cast<std::uint64_t>(os::monotonic_ns()), std::memory_order_relaxed);
}

// It went: what else is parked may go as well, at once. Not before anything was ever parked.
void note_success(const View& view, std::uint32_t group, std::uint32_t messages) noexcept {
  auto& row = view.group(group);
  // relaxed: a statistic and a hint. Without the mutex, so an addition.
  row.dead_lettered_messages.fetch_add(messages, std::memory_order_relaxed);
  if (row.parked_tried_ns.load(std::memory_order_relaxed) != 0) row.parked_tried_ns.store(1, std::memory_order_relaxed);
}

}  // namespace

std::uint32_t messages_between(const View& view, std::uint64_t begin, std::uint64_t end) noexcept {
  std::uint32_t messages = 0;
  while (begin < end) {
    const Walk part = walk(view, begin, end, UINT32_MAX, UINT64_MAX);
    messages += part.messages;
    if (part.stop == begin || part.why != WalkEnd::limit) break;
    begin = part.stop;
  }
  return messages;
}

Outcome finish_dead_letter(const View& view, std::uint32_t group, std::uint32_t incarnation,
                           const LeaseTaken& taken) noexcept {
  const Outcome outcome = ack(view, group, incarnation, taken.entry, taken.word);
  IPCQ_CRASH_POINT("dead.acked");
  if (outcome == Outcome::ok) note_success(view, group, taken.messages);
  return outcome;
}

Outcome finish_dead_letter_exclusive(const View& view, std::uint32_t group, ExclusiveState& state,
                                     const LeaseTaken& taken) noexcept {
  const Outcome outcome = ack_exclusive(view, group, state, taken.end);
  IPCQ_CRASH_POINT("dead.acked");
  if (outcome != Outcome::ok) return outcome;
  state.position = taken.end;
  note_success(view, group, taken.messages);
  return outcome;
}

Outcome park(const View& view, std::uint32_t group, const LeaseTaken& taken, Parked why) noexcept {
  note_try(view, group);
  std::uint64_t expected = taken.word;
  const std::uint64_t parked = make_word(EntryState::parked, word_deliveries(taken.word), word_sequence(taken.word),
                                         static_cast<std::uint32_t>(why));
  // R:ack, R:wake, as in ack(): from here on whoever holds the mutex may finish the range, or lease it.
  if (!view.entries(group)[taken.entry].word.compare_exchange_strong(expected, parked, std::memory_order_seq_cst)) {
    return Outcome::disowned;
  }
  IPCQ_CRASH_POINT("park.parked");  // die here → parked
  notify(view.side().data);
  return Outcome::ok;
}

Outcome park_exclusive(const View& view, std::uint32_t group, const ExclusiveState& state, Parked why) noexcept {
  auto& row = view.group(group);
  if (row.owner.load(std::memory_order_relaxed) != state.owner)
    return Outcome::disowned;  // relaxed: as in ack_exclusive
  note_try(view, group);
  // relaxed: read by this consumer, by its successor behind the owner word, and by observers.
  row.parked_why.store(static_cast<std::uint32_t>(why), std::memory_order_relaxed);
  row.parked_at.store(state.position, std::memory_order_relaxed);
  IPCQ_CRASH_POINT("park.parked");  // die before → tried again at once by the successor; after → in a second
  return Outcome::ok;
}

}  // namespace ipcq::core
