// Producer side: claim, commit, abort, abandon; the exclusive producer and its take-over.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/endpoints.hpp"
#include "core/lock.hpp"
#include "core/quota.hpp"
#include "core/ring.hpp"
#include "core/view.hpp"
#include "ipcq/error.hpp"

namespace ipcq::core {

/// A producer as the core sees it. Belongs to one thread.
struct ProducerState {
  Owner owner = 0;
  std::uint64_t position = 0;  // exclusive: the next claim's position
  std::uint64_t limit = 0;     // least retired + capacity, as last seen: room may only be more
  std::uint64_t time = 0;      // exclusive: the last stamp
  Debit debit;                 // of the claim that is being made, or is open
};

struct ClaimTaken {
  std::uint64_t position = 0;
  std::uint64_t time = 0;
};

/// Ring bytes that a room needs. messages >= 1. Saturates.
[[nodiscard]] inline std::uint64_t need_of(const View& view, std::uint64_t messages, std::uint64_t bytes,
                                           std::uint64_t bytes_each) noexcept {
  const std::uint64_t a = view.alignment;
  constexpr std::uint64_t kTooMuch = std::uint64_t{1} << 62;
  if (messages > detail::kClaimBytesMax || bytes > kTooMuch / 2 || bytes_each > detail::kClaimBytesMax) return kTooMuch;
  if (bytes_each > 0) return messages * detail::record_bytes(bytes_each, a);
  // Any split of `bytes` over the messages fits: each costs a header of A bytes, and if it has any at most A - 1 of padding.
  return messages * a + ((bytes + std::min(messages, bytes) * (a - 1)) & ~(a - 1));
}

/// One attempt. ok: `taken` is open. full: no room as far as `retired` tells. over_quota: there is room, and `debit` tells
/// when its turn comes, if it was told what the claim asks for. closed, removed, poisoned, revoked; blocked: a stopped
/// process holds the producer side's mutex.
[[nodiscard]] Outcome claim(const View& view, ProducerState& producer, std::uint64_t need, std::int64_t deadline_ns,
                            ClaimTaken& taken) noexcept;

/// Publishes [position, position + used) of an open claim of `need` bytes; its inner heads are written; `first_head` is
/// the first record's committed head. ok or disowned. Wakes.
[[nodiscard]] Outcome commit(const View& view, ProducerState& producer, std::uint64_t position, std::uint64_t need,
                             std::uint64_t used, std::uint64_t first_head) noexcept;

/// Skips an open claim. ok or disowned. Wakes both directions: data behind it, and space.
[[nodiscard]] Outcome abort(const View& view, ProducerState& producer, std::uint64_t position,
                            std::uint64_t need) noexcept;

/// Skips the claim of `owner` at `position`, if it is still there. The caller has judged the owner dead; holds no lock.
/// False if that could not be done now (a stopped holder of the mutex, no memory for a window).
bool abandon(const View& view, std::uint64_t position, Owner owner) noexcept;
/// The same for wherever the row of the dead `owner` says its open claim is.
bool abandon_claim_of(const View& view, Owner owner) noexcept;

/// Locks the producer side, repairing it if its holder died.
[[nodiscard]] Locked lock_producer_side(const View& view, std::int64_t call_deadline_ns) noexcept;
inline void unlock_producer_side(const View& view) noexcept { view.side().producer_lock.mutex.unlock(); }

/// Under the mutex: the least `retired` of all groups.
std::uint64_t refresh_least_retired(const View& view) noexcept;

/// Makes `producer` the exclusive producer, taking over from a dead one. ok; `in_use` by a living one (named in `holder`).
enum class TakeOver : std::uint8_t { ok, in_use, timed_out, poisoned, damaged };
[[nodiscard]] TakeOver take_over_producer(const View& view, ProducerState& producer, Owner& holder) noexcept;
/// Clean end of an exclusive producer.
void leave_producer(const View& view, ProducerState& producer) noexcept;

/// Under the mutex, with no exclusive producer alive: moves claim_position over what it published last. False: damaged.
[[nodiscard]] bool walk_claim_position(const View& view) noexcept;

}  // namespace ipcq::core
