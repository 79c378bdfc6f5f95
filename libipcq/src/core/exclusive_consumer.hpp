// Exclusive consumer: one at a time in its group, no mutex and no ledger on the way. It alone writes `retired` while it
// lives; recovery and producers touch that only under the group's mutex with the owner found dead or absent.
#pragma once

#include <cstdint>

#include "core/endpoints.hpp"
#include "core/lease.hpp"
#include "core/view.hpp"

namespace ipcq::core {

/// The consumer's own state. Belongs to one thread.
struct ExclusiveState {
  Owner owner = 0;
  std::uint64_t position = 0;       // the next lease begins here; the first open lease begins at `retired`
  std::uint64_t one_by_one_to = 0;  // what lies before it was handed out before: one at a time
  std::uint64_t counted_at = kNoPosition;
  std::uint32_t deliveries = 0;  // of the record at counted_at; the others up to one_by_one_to count as handed out once
};

/// Makes `state.owner` the group's consumer, taking over from a dead one. On in_use, `holder` is the living one.
enum class Join : std::uint8_t { ok, in_use, group_removed, timed_out, poisoned, damaged };
[[nodiscard]] Join join_exclusive(const View& view, std::uint32_t group, std::uint32_t incarnation,
                                  ExclusiveState& state, Owner& holder) noexcept;
/// Clean end; nothing is open.
void leave_exclusive(const View& view, std::uint32_t group, const ExclusiveState& state) noexcept;

/// One attempt. `nothing_open`: no lease is open, so skipped records may be passed. Steps as for a shared lease.
[[nodiscard]] LeaseTaken lease_exclusive(const View& view, std::uint32_t group, std::uint32_t incarnation,
                                         ExclusiveState& state, const LeaseRequest& request, bool nothing_open) noexcept;

/// Gives back the open lease that begins at `begin`, and all later ones; `oldest`: no older one is open. `deliveries`: how
/// often its messages were handed out before it.
void requeue_exclusive(const View& view, std::uint32_t group, ExclusiveState& state, std::uint64_t begin,
                       std::uint32_t deliveries, bool oldest) noexcept;

/// Finishes everything before `position`. ok or disowned. Wakes.
[[nodiscard]] Outcome ack_exclusive(const View& view, std::uint32_t group, const ExclusiveState& state,
                                    std::uint64_t position) noexcept;

}  // namespace ipcq::core
