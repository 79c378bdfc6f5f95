// Lease: shared groups. Lease under the group's mutex; ack and requeue by one compare-exchange without it.
#pragma once

#include <cstdint>

#include "core/ledger.hpp"
#include "core/ring.hpp"
#include "core/view.hpp"
#include "ipcq/error.hpp"
#include "os/futex.hpp"

namespace ipcq::core {

struct LeaseRequest {
  std::uint32_t max_messages = 64;
  std::uint32_t min_messages = 1;
  std::uint64_t max_bytes = UINT64_MAX;
  bool take_what_is_there = false;  // no more waiting for min_messages
  // From this time on (os::monotonic_ns) the first entry's owner is judged before anything is taken, if it is another's.
  std::int64_t probe_front_at_ns = os::kNoDeadline;
};

enum class LeaseStep : std::uint8_t {
  leased,
  nothing,          // nothing (or less than min_messages) up to a frontier
  claimed,          // nothing before an open claim: its owner is in `head`
  probe_front,      // nothing was taken: the first entry is another's, judge `front_owner` and call again
  drained,          // closed, and this group has finished everything but what is parked
  to_dead_letter,   // leased, but not to be handed out: past max_deliveries. Copy it, then finish_dead_letter or park
  parked,           // an exclusive group: what comes next is parked, and everything behind it waits
  too_many_leases,  // no free ledger entry; `front_owner` holds the oldest
  lock_held,        // a stopped process holds the group's mutex
  group_removed,
  disowned,  // an exclusive consumer judged dead: a successor took over
  removed,
  poisoned,
  damaged,
};

struct LeaseTaken {
  LeaseTaken() noexcept {}  // not defaulted: GCC would first zero all of it in a loop, for every call
  explicit LeaseTaken(LeaseStep why, Owner front = 0) noexcept : step(why), front_owner(front) {}
  LeaseStep step = LeaseStep::nothing;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t word = 0;
  std::uint64_t first_time = 0;
  std::uint64_t bytes = 0;
  std::uint64_t stop = 0;  // where the walk ended, and the head there: what a spinning consumer watches
  std::uint64_t head = 0;
  std::uint32_t entry = 0;
  std::uint32_t messages = 0;
  std::uint32_t deliveries = 0;
  Owner front_owner = 0;  // another's lease at the front of the ledger, if there is one
  bool took_all = false;  // new messages, up to a frontier or an open claim
};

/// One attempt: redeliverable ranges first, oldest first, one message at a time; else new records from the lease position.
[[nodiscard]] LeaseTaken lease(const View& view, std::uint32_t group, std::uint32_t incarnation, Owner owner,
                               const LeaseRequest& request, std::int64_t deadline_ns) noexcept;

/// leased → done. ok or disowned: that exchange alone decides. Then, only if somebody waits for room or the stream is
/// closed, retires.
[[nodiscard]] Outcome ack(const View& view, std::uint32_t group, std::uint32_t incarnation, std::uint32_t entry,
                          std::uint64_t word) noexcept;

/// leased → redeliverable, one delivery more. ok or disowned. Wakes.
[[nodiscard]] Outcome requeue(const View& view, std::uint32_t group, std::uint32_t entry, std::uint64_t word) noexcept;

/// Finishes [lease.begin, cut) of a leased entry; `taken` becomes the rest. ok, disowned, too_many_leases, timed_out,
/// group_removed, poisoned.
[[nodiscard]] Outcome ack_first(const View& view, std::uint32_t group, std::uint32_t incarnation, std::uint64_t cut,
                                std::int64_t deadline_ns, LeaseTaken& taken) noexcept;

/// For a producer short of room: leases what is parked, if it is time to try again. to_dead_letter or nothing.
[[nodiscard]] LeaseTaken lease_parked(const View& view, std::uint32_t group, std::uint32_t incarnation,
                                      Owner owner) noexcept;

/// Gives back the leases of the dead. Called without locks. True if there were any.
bool redeliver_dead(const View& view, std::uint32_t group) noexcept;

/// Retires if that may free room for somebody who waits, or end the stream for a member; publishes what moved.
void retire_and_publish(const View& view, std::uint32_t group, std::uint32_t incarnation) noexcept;

}  // namespace ipcq::core
