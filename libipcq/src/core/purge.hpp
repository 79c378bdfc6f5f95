// Purge: messages of a group are given up unread.
#pragma once

#include <cstdint>

#include "core/groups.hpp"
#include "core/view.hpp"

namespace ipcq::core {

enum class Purged : std::uint8_t {
  ok,
  no_such_group,
  has_member,       // a living member is attached, and `force` was not asked for: named in `holder`
  in_use,           // an exclusive group's consumer lives: named in `holder`
  too_many_leases,  // leases of the living leave no ledger entry for what is behind them
  timed_out,
  poisoned,
  damaged,
};

/// Gives up what is parked in a group; `messages` were. Killed half way, some of it is given up.
[[nodiscard]] Purged purge_parked(const View& view, GroupId id, std::uint64_t& messages, Owner& holder) noexcept;

/// Gives up all that was committed when it began and that no living owner holds a lease of; `messages` were, also where
/// it ends early. `force` overrides idle members, never an exclusive consumer. Killed half way, some of it is given up.
[[nodiscard]] Purged purge(const View& view, GroupId id, bool force, std::uint64_t& messages, Owner& holder) noexcept;

}  // namespace ipcq::core
