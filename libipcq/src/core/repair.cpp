#include "core/repair.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/look.hpp"
#include "core/producer_side.hpp"
#include "core/recovery.hpp"
#include "core/repair_parts.hpp"
#include "core/ring.hpp"

namespace ipcq::core {
namespace {

constexpr std::int64_t kPatience_ns = 100 * kLockPatience_ns;

bool is(const Finding& finding, const char* invariant) noexcept {
  return std::strcmp(finding.invariant, invariant) == 0;
}

bool any_counts(const std::vector<Finding>& findings) noexcept {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& finding) { return !finding.recoverable; });
}

// What is left may stay: it is in nobody's way, and belongs to a version that this one does not know.
bool may_be_used(const std::vector<Finding>& findings) noexcept {
  return std::all_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.recoverable || is(finding, "flags.poisoned") || is(finding, "flags.known") ||
           is(finding, "quota.zero");
  });
}

// Steps; nobody lives in the segment, and nobody attaches while the caller holds the life range.
//  1. the flag of the poisoned       (die here → every call is refused by name; a repair begins again)
//  2. the producer side: group table, positions, records          (die in it → each store derives from what is there)
//  3. each group's ledger
//  4. the endpoint table, after the claims: a row says where its claim is
//  5. verified, the flag goes         (die here → whole)
void mend_everything(RepairWork& work) {
  const View& view = work.view();
  view.frozen().flags.fetch_or(layout::flag::kPoisoned, std::memory_order_seq_cst);  // R:flags, with A:flags
  IPCQ_CRASH_POINT("mend.flag");
  auto& side = view.side();
  bool derived = false;
  if (const TakenMutex taken(work, side.producer_lock.mutex, "producer side"); taken) {
    mend_group_table(work);
    derived = mend_ring(work);
    if (!derived) {
      work.gave_up("side.claim_position", work.offset_of(&side.claim.claim_position),
                   "claim_position and what all groups have finished contradict each other, and no record tells which "
                   "is right: nothing can be mended");
    }
  }
  for (std::uint32_t i = 0; derived && i < view.groups_max; ++i) {
    const TakenMutex taken(work, view.group(i).mutex, "group row " + std::to_string(i));
    if (!taken || state_of(view.group(i)) == layout::GroupState::free) continue;
    is_exclusive_group(view, i) ? mend_exclusive(work, i) : mend_ledger(work, i);
  }
  if (const TakenMutex taken(work, side.table_lock.mutex, "endpoint table"); taken && derived) {
    mend_quotas(work);
    mend_endpoints(work);
  }
  recover(view);  // groups that are being removed
  if (!may_be_used(verify(view))) return;
  view.frozen().flags.fetch_and(~layout::flag::kPoisoned, std::memory_order_seq_cst);  // R:flags, with A:flags
  IPCQ_CRASH_POINT("mend.unflagged");
  publish_both(view);
}

// Z and the least `retired`, while no claim is in progress.
void mend_side_in_use(const View& view) {
  if (lock_producer_side(view, os::monotonic_ns() + kPatience_ns) != Locked::yes) return;
  refresh_least_retired(view);
  const std::uint64_t position =
      view.side().claim.claim_position.load(std::memory_order_relaxed);  // relaxed: under the mutex
  // Only a claim that was broken off: a record that is published there says that claim_position is what is wrong.
  if (!view.exclusive() && (position & (view.alignment - 1)) == 0 &&
      detail::head_state(load_head(view, position)) == RecordState::claimed) {
    store_head(writable_record_at(view, position).head, 0, std::memory_order_release);  // R:publish   (one store)
    IPCQ_CRASH_POINT("mend.end_mark");
  }
  unlock_producer_side(view);
}

// The index is derived from the entries, which are whole: what does not fit is only it.
void mend_index_in_use(const View& view, std::uint32_t group) {
  bool moved = false;
  if (lock_group(view, group, os::monotonic_ns() + kPatience_ns, moved) != Locked::yes) return;
  if (state_of(view.group(group)) == layout::GroupState::active && !is_exclusive_group(view, group)) {
    // Killed in it, the next locker repairs (die anywhere → as in any repair of a ledger). It refuses what it cannot mend,
    // and then has changed only what every repair would.
    (void)Ledger(view, group).repair();
  }
  unlock_group(view, group);
  publish_both(view);
}

void mend_mutex_in_use(const View& view, std::uint64_t offset) {
  const auto mend = [&](os::RobustMutex& mutex) {
    const auto at = static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(&mutex) - view.control);
    const os::MutexState state = mutex.look();
    // One exchange of the very word that was judged   (die before or after)
    if (at == offset && holder_is_gone(view, state)) mutex.mark_holder_died(state.holder);
  };
  mend(view.side().producer_lock.mutex);
  mend(view.side().table_lock.mutex);
  for (std::uint32_t i = 0; i < view.groups_max; ++i) mend(view.group(i).mutex);
}

bool mends_quota(const Finding& finding) noexcept {
  return std::strncmp(finding.invariant, "quota.", 6) == 0 && !is(finding, "quota.zero");
}

// Limits and what is owed are words by themselves, and which of them bind whom is derived: all of it under the table's mutex.
void mend_quotas_in_use(const View& view) {
  if (lock_table(view, os::monotonic_ns() + kPatience_ns) != Locked::yes) return;
  RepairWork work(view);
  mend_quotas(work);
  unlock_table(view);
  publish_fenced(quota_event(view));
}

// Who sleeps looks after his life lock when he wakes.
void wake_who_lost_his_life_lock(const View& view) {
  const auto anybody = [&] {
    for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
      if (row_attached(view, i) && judge(view, owner_of_row(view, i)) == Verdict::lost_life_lock) return true;
    }
    return false;
  };
  for (int attempt = 0; attempt < 30 && anybody(); ++attempt) {
    publish_both(view);
    const timespec nap{0, 10'000'000};
    ::nanosleep(&nap, nullptr);
  }
}

std::uint32_t group_at(const View& view, std::uint64_t offset) noexcept {
  return offset < view.groups_offset ? view.groups_max
                                     : static_cast<std::uint32_t>((offset - view.groups_offset) / view.group_stride);
}

// Else a repair of the ledger would refuse, half way through the index.
bool only_the_index(const View& view, const std::vector<Finding>& findings, std::uint32_t group) noexcept {
  return std::none_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return !finding.recoverable && group_at(view, finding.offset) == group && !is(finding, "ledger.index");
  });
}

}  // namespace

TakenMutex::TakenMutex(RepairWork& work, os::RobustMutex& mutex, const std::string& whose) : mutex_(mutex) {
  const std::uint64_t offset = work.offset_of(&mutex);
  if (!mutex.look().well_formed) {
    work.mended("mutex.kind", offset, "the " + whose + "'s mutex was none: it is made anew");
    mutex.init();  // (die here → one that is free; what it protects is looked at all the same)
    IPCQ_CRASH_POINT("mend.mutex");
  }
  for (int attempt = 0; attempt < 10 && !taken_; ++attempt) {
    switch (mutex.lock(os::monotonic_ns() + kPatience_ns)) {
      case os::LockResult::owner_died:
        holder_died_ = true;
        taken_ = true;
        return;
      case os::LockResult::clean:
        taken_ = true;
        return;
      case os::LockResult::not_recoverable:
        // As the kernel marks one whose holder died   (die here → the next locker is told so)
        if (mutex.mark_holder_died(0))
          work.mended("mutex.poisoned", offset, "the " + whose + "'s mutex was not recoverable: it is in use again");
        break;
      default: {
        const os::MutexState state = mutex.look();
        if (!holder_is_gone(work.view(), state) || !mutex.mark_holder_died(state.holder)) return;
        work.mended("mutex.holder", offset,
                    "the " + whose + "'s mutex was held by thread " + std::to_string(state.holder) +
                        ", which is not there: it is free");
        break;
      }
    }
    IPCQ_CRASH_POINT("mend.mutex");
  }
}

TakenMutex::~TakenMutex() {
  if (!taken_) return;
  if (holder_died_) mutex_.consistent();
  mutex_.unlock();
}

std::vector<RepairStep> repair_alone(const View& view) {
  recover(view);
  RepairWork work(view);
  if (any_counts(verify(view))) mend_everything(work);
  return std::move(work.steps());
}

bool mends_in_use(const Finding& finding) noexcept {
  if (finding.recoverable) {
    // A living process, or one's successor, does these.
    return !is(finding, "mutex.held") && !is(finding, "side.exclusive_owner") && !is(finding, "group.owner") &&
           !is(finding, "side.claim_position");
  }
  return is(finding, "side.least_retired") || is(finding, "side.end_mark") || is(finding, "ledger.index") ||
         is(finding, "mutex.holder") || mends_quota(finding);
}

void repair_in_use(const View& view, const std::vector<Finding>& findings) {
  bool side = false;
  bool quotas = false;
  for (const Finding& finding : findings) {
    if (is(finding, "mutex.holder")) mend_mutex_in_use(view, finding.offset);
    quotas |= mends_quota(finding);
    side |= is(finding, "side.least_retired") || is(finding, "side.end_mark");
  }
  recover(view);
  if (side) mend_side_in_use(view);
  if (quotas) mend_quotas_in_use(view);
  for (const Finding& finding : findings) {
    const std::uint32_t group = group_at(view, finding.offset);
    if (is(finding, "ledger.index") && group < view.groups_max && only_the_index(view, findings, group)) {
      mend_index_in_use(view, group);
    }
    if (is(finding, "row.lost_life_lock")) wake_who_lost_his_life_lock(view);
  }
}

std::vector<RepairStep> recovered(const std::vector<Finding>& before, const std::vector<Finding>& after,
                                  const std::vector<RepairStep>& steps) {
  std::vector<RepairStep> went;
  for (const Finding& finding : before) {
    const auto same = [&](const auto& other) {
      return other.offset == finding.offset && std::strcmp(other.invariant, finding.invariant) == 0;
    };
    if (std::any_of(after.begin(), after.end(), same) || std::any_of(steps.begin(), steps.end(), same)) continue;
    went.push_back({finding.invariant, finding.offset, finding.text, false});
  }
  return went;
}

}  // namespace ipcq::core
