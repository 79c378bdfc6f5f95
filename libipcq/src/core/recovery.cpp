#include "core/recovery.hpp"

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/producer_side.hpp"

namespace ipcq::core {

void recover(const View& view) noexcept {
  auto& side = view.side();
  // Mutexes first: a torn producer side must be whole before a claim there is judged. Locking repairs.
  if (side.producer_lock.mutex.holder_died() && lock_producer_side(view, 0) == Locked::yes) {
    unlock_producer_side(view);
    publish_fenced(side.data);
    publish_fenced(side.space);
  }
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    if (!view.group(i).mutex.holder_died()) continue;
    bool moved = false;
    if (lock_group(view, i, 0, moved) != Locked::yes) continue;
    unlock_group(view, i);
    publish_fenced(side.space);
    publish_fenced(side.data);
  }
  mend_table(view);
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const Owner owner = attached_owner(view, i);
    if (owner == 0 || judge(view, owner) != Verdict::dead) continue;
    IPCQ_CRASH_POINT("recover.judged");  // die here → the next recoverer judges again
    // The claim before the row: the row says where the claim is.
    if (abandon_claim_of(view, owner) && !free_row_of_dead(view, owner))
      break;  // a stopped process: not one wait a row
  }
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const layout::GroupState state = state_of(view.group(i));
    if (state == layout::GroupState::active) redeliver_dead(view, i);
    if (state == layout::GroupState::marked) finish_group_removal(view, i);
  }
  finish_close(view);
}

}  // namespace ipcq::core
