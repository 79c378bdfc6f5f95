// Recovery: finds what the dead left and resolves it. Idempotent and killable: each part is, and they need no order.
#pragma once

#include "core/view.hpp"

namespace ipcq::core {

/// Looks once for dead holders of mutexes, dead owners of rows (their claims are skipped, their rows freed), dead holders
/// of leases in all groups, removals and closes that were broken off. Holds one lock at a time, each for bounded work;
/// a lock held by a stopped process is passed over. Called by sleepers at every backstop, and by whoever finds no row.
void recover(const View& view) noexcept;

}  // namespace ipcq::core
