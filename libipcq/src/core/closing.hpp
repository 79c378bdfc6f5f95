// Closing: the end of the stream. The flag first, then closed_at = where the stream ends.
#pragma once

#include "core/view.hpp"

namespace ipcq::core {

/// Stores the flag, then closed_at if that is ours to do and can be done now. Idempotent.
void close(const View& view) noexcept;

/// For whoever meets the flag without closed_at: does that step if nobody living must do it (an exclusive producer does
/// it itself: at its next claim, after its open claim, or when it detaches). Cheap when there is nothing to do.
void finish_close(const View& view) noexcept;
/// The living exclusive producer's own step.
void finish_close_as_owner(const View& view, std::uint32_t owner) noexcept;

/// Clears closed_at and the flag. False: a stopped process holds the producer side.
bool reopen(const View& view) noexcept;

[[nodiscard]] inline bool is_closed(const View& view) noexcept {
  return (view.frozen().flags.load(std::memory_order_acquire) & layout::flag::kClosed) != 0;  // A:flags, with R:flags
}
[[nodiscard]] inline std::uint64_t closed_at(const View& view) noexcept {
  return view.side().close.closed_at.load(std::memory_order_seq_cst);  // A:closed_at, with R:closed_at
}

/// For whoever changed the ring's end, the stream's end or everything at once: both sides look again.
void publish_both(const View& view) noexcept;

/// For whoever moved a group's `retired`, after unlocking: producers wait for room, and members for the end of the stream.
void publish_retired(const View& view) noexcept;

}  // namespace ipcq::core
