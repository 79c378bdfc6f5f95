// Endpoints: the rows of attached producers and consumers, and the verdict whether an owner lives.
#pragma once

#include <cstdint>
#include <optional>

#include "core/lock.hpp"
#include "core/view.hpp"

namespace ipcq::core {

enum class Verdict : std::uint8_t {
  alive,
  dead,            // row used again or free, or life lock free and the process gone or no longer mapping the segment
  lost_life_lock,  // life lock free, but the process is there and maps the segment: reported, never robbed
};

/// Whether `owner` still lives. Holds nothing; 0.3 us for a living owner, more for a free life byte. A verdict `dead` is
/// final. Errors of the kernel count as alive: nobody is robbed for want of /proc.
[[nodiscard]] Verdict judge(const View& view, Owner owner) noexcept;

struct AttachRequest {
  layout::RowKind kind = layout::RowKind::none;
  std::uint32_t group = 0;
  std::uint32_t group_incarnation = 0;
};

enum class AttachResult : std::uint8_t {
  ok,
  full,       // every row belongs to the living
  again,      // the row was snatched, or a remover holds it: try again in a millisecond
  timed_out,  // a stopped process holds the table
  poisoned,
};

/// Takes a row: a free one, else one of the dead (whose open claim is abandoned first). `life_fd` is a description of this
/// endpoint's own, never mapped; it carries the row's life lock from here on.
[[nodiscard]] AttachResult attach(const View& view, int life_fd, const AttachRequest& request, Owner& owner) noexcept;

/// Frees the row of an endpoint that has nothing open. The caller closes the life descriptor afterwards.
void detach(const View& view, Owner owner) noexcept;

/// Frees the rows that an earlier program image of this very process left behind (exec closes the life descriptors while
/// pid and start time stay): nobody else may judge them dead once the new image maps the segment.
void free_rows_of_earlier_images(const View& view) noexcept;

/// Frees the row of `owner`, judged dead by the caller, after its claim is dealt with. False: somebody holds the table.
bool free_row_of_dead(const View& view, Owner owner) noexcept;

/// Locks the endpoint table, which is that of quotas too, ending a change of them that its holder died in.
[[nodiscard]] Locked lock_table(const View& view, std::int64_t call_deadline_ns) noexcept;
inline void unlock_table(const View& view) noexcept { view.side().table_lock.mutex.unlock(); }

enum class Revoked : std::uint8_t { yes, nobody, timed_out, poisoned };
/// Takes the right to claim of a producer that is attached; wakes it.
[[nodiscard]] Revoked revoke(const View& view, Owner owner) noexcept;

/// Locks the endpoint table once if its holder died, so that the kernel's mark goes.
void mend_table(const View& view) noexcept;

/// CLOCK_MONOTONIC of the last moment at which an endpoint is known to have lived: the last one's detach, or when recovery
/// found it dead, or an attach. 0: nobody was ever attached. While somebody is attached it says nothing.
[[nodiscard]] std::uint64_t last_lived_ns(const View& view) noexcept;

/// A number of this program image, drawn once.
[[nodiscard]] std::uint64_t own_image() noexcept;

[[nodiscard]] inline Owner owner_of_row(const View& view, std::uint32_t row) noexcept {
  // A:row, with R:row: the identity behind a state is whole.
  return make_owner(row, view.row(row).incarnation.load(std::memory_order_acquire) & 0xffffffU);
}
[[nodiscard]] inline bool row_attached(const View& view, std::uint32_t row) noexcept {
  // A:row, with R:row.
  return view.row(row).state.load(std::memory_order_acquire) == static_cast<std::uint32_t>(layout::RowState::attached);
}
/// Who is attached in the row; 0: nobody. The name is read before the state, which attach stores after it: the other way
/// round, somebody attaching just now is found with his predecessor's state and his own name, and that name is not yet
/// attached, that is, judged dead.
[[nodiscard]] inline Owner attached_owner(const View& view, std::uint32_t row) noexcept {
  const Owner owner = owner_of_row(view, row);
  return row_attached(view, row) ? owner : 0;
}

}  // namespace ipcq::core
