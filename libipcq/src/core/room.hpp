// Room: what a producer short of room does for it. Called without locks.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace ipcq::core {

struct RoomFreed {
  bool rejects = false;  // a group that is still short answers `full` at once
};

/// Tries to let every group that is too far behind for `end` (the position behind the claim and its end mark) go on:
/// retires, passes skipped records, repairs, frees rows of removed groups and ephemeral groups of the dead, drops oldest
/// where the policy says so. Publishes space if anything moved.
RoomFreed free_room(const View& view, std::uint64_t end) noexcept;

}  // namespace ipcq::core
