// Parking: what becomes of messages past max_deliveries that cannot be moved to the dead-letter queue.
//
// A range leased to be moved (LeaseStep::to_dead_letter) is copied by the api layer, which knows other queues, while it
// holds no lock here; then it is finished or parked. A parked range belongs to nobody, keeps its room, and is tried again
// once a second by whoever leases (a shared group: or is short of room).
//   leased                            (die here → given back, and no delivery more: see given_back)
//   copied to the dead-letter queue   (die here → as leased: it is copied again, so that queue may hold it twice)
//   done, or parked                   (die here → whole; the statistic may lack it)
// An exclusive group has no ledger: its consumer keeps the record at `retired`, nothing is leased, and what ends it is
// `retired` or `parked_at`. What is parked there holds up all that is behind it.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/exclusive_consumer.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/view.hpp"
#include "os/clock.hpp"

namespace ipcq::core {

/// Why a range is parked. In the segment: values never change. In a parked entry's word it stands in the owner's place.
enum class Parked : std::uint32_t {
  no = 0,
  missing = 1,       // there is no such queue
  not_writable = 2,  // its file's mode or owner forbids it
  full = 3,          // no room, or its producer side is held
  too_big = 4,       // with its origin the message is larger than that queue takes
  closed = 5,
  refused = 6,   // no row is free, or its exclusive producer lives
  unusable = 7,  // damaged, of another layout, itself, …
};

inline constexpr std::int64_t kParkedRetry_ns = 1'000'000'000;

/// Whether what is parked is to be tried now. `parked_tried_ns` is a hint that many may write: too many tries do no harm.
[[nodiscard]] inline bool parked_due(const View& view, std::uint32_t group) noexcept {
  const std::uint64_t tried = view.group(group).parked_tried_ns.load(std::memory_order_relaxed);  // relaxed: a hint
  return tried != 0 && os::monotonic_ns() - static_cast<std::int64_t>(tried) >= kParkedRetry_ns;
}

/// Whether anything can be parked in this queue.
[[nodiscard]] inline bool can_park(const View& view) noexcept { return view.max_deliveries != 0 && !view.drop_after; }

/// Messages in [begin, end), a range of whole records; of a damaged one, as many as can be counted.
[[nodiscard]] std::uint32_t messages_between(const View& view, std::uint64_t begin, std::uint64_t end) noexcept;

/// The copy is made: finishes the range. ok or disowned, as ack().
Outcome finish_dead_letter(const View& view, std::uint32_t group, std::uint32_t incarnation,
                           const LeaseTaken& taken) noexcept;
Outcome finish_dead_letter_exclusive(const View& view, std::uint32_t group, ExclusiveState& state,
                                     const LeaseTaken& taken) noexcept;

/// It could not be made: leased → parked by one compare-exchange. ok or disowned. Wakes members: it may end the stream.
Outcome park(const View& view, std::uint32_t group, const LeaseTaken& taken, Parked why) noexcept;
Outcome park_exclusive(const View& view, std::uint32_t group, const ExclusiveState& state, Parked why) noexcept;

/// For observers: why the record at an exclusive group's `retired` is parked; `no` if it is not.
[[nodiscard]] inline Parked parked_front(const layout::GroupRow& row, std::uint64_t retired) noexcept {
  // relaxed: a report, or the consumer's own words.
  if (row.parked_at.load(std::memory_order_relaxed) != retired) return Parked::no;
  return static_cast<Parked>(row.parked_why.load(std::memory_order_relaxed));
}

}  // namespace ipcq::core
