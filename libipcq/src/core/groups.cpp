#include "core/groups.hpp"

#include <cstring>

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/lease.hpp"
#include "core/parking.hpp"
#include "core/producer_side.hpp"

namespace ipcq::core {
namespace {

using layout::GroupState;

constexpr auto kFreeGroup = static_cast<std::uint32_t>(GroupState::free);
constexpr auto kActive = static_cast<std::uint32_t>(GroupState::active);
constexpr auto kMarked = static_cast<std::uint32_t>(GroupState::marked);

std::uint32_t active_groups(const View& view) noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    // relaxed: under the producer side's mutex, where rows come and go.
    if (view.group(i).state.load(std::memory_order_relaxed) == kActive) ++count;
  }
  return count;
}

std::int64_t patience() noexcept { return os::monotonic_ns() + 100 * kLockPatience_ns; }

// Whether the row is an attached consumer of the group.
bool is_member(const View& view, std::uint32_t number, GroupId id) noexcept {
  if (!row_attached(view, number)) return false;
  const auto& row = view.row(number);
  // relaxed: behind the state (A:row).
  return row.kind.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(layout::RowKind::consumer) &&
         row.group.load(std::memory_order_relaxed) == id.row &&
         row.group_incarnation.load(std::memory_order_relaxed) == id.incarnation;
}

std::uint32_t attached_members(const View& view, GroupId id) noexcept {
  std::uint32_t members = 0;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) members += is_member(view, i, id) ? 1U : 0U;
  return members;
}

// The first row without a group, and its incarnation; groups_max: there is none. A hint, but under the producer side's mutex.
std::uint32_t free_row(const View& view, std::uint32_t& incarnation) noexcept {
  for (std::uint32_t number = 0; number < view.groups_max; ++number) {
    // The incarnation before the state: if both are the same at a second look, the row was free all the while.
    incarnation = view.group(number).incarnation.load(std::memory_order_acquire);  // A:group, with R:group
    if (state_of(view.group(number)) == GroupState::free) return number;
  }
  return view.groups_max;
}

// Passes through the mutex of a row that is free. A member of the group that was there may be inside still, in the repair
// after another's death, and would go on with it in the ledger of the next group. Who comes later finds the row free and
// repairs nothing.
AddGroup await_members_left(const View& view, std::uint32_t number) noexcept {
  bool moved = false;
  switch (lock_group(view, number, patience(), moved)) {
    case Locked::yes:
      break;
    case Locked::timed_out:
      return AddGroup::timed_out;
    case Locked::poisoned:
      return AddGroup::poisoned;
  }
  unlock_group(view, number);
  if (moved) publish_retired(view);
  return AddGroup::ok;
}

// Under the group's mutex: whether something is parked in it.
bool has_parked(const View& view, std::uint32_t number, bool exclusive) noexcept {
  const auto& row = view.group(number);
  if (exclusive) return parked_front(row, row.retired.load(std::memory_order_relaxed)) != Parked::no;
  const Ledger ledger(view, number);
  for (std::uint32_t k = 0; k < ledger.in_use(); ++k) {
    if (word_state(ledger.word(ledger.at(k))) == EntryState::parked) return true;
  }
  return false;
}

enum class Freed : std::uint8_t { yes, no, restored };

// Frees the marked row of `incarnation`. Somebody may have done so, and used the row again: checked under the mutex. Two
// removers may have marked the last two groups at once: the first to come here finds no active one and takes his mark back.
Freed free_marked(const View& view, std::uint32_t number, std::uint32_t incarnation, std::int64_t deadline_ns) noexcept {
  IPCQ_CRASH_POINT("group.to_free");
  if (lock_producer_side(view, deadline_ns) != Locked::yes) return Freed::no;
  auto& row = view.group(number);
  Freed freed = Freed::no;
  if (row.state.load(std::memory_order_relaxed) == kMarked &&  // relaxed: under the mutex
      row.incarnation.load(std::memory_order_relaxed) == incarnation) {
    freed = active_groups(view) == 0 ? Freed::restored : Freed::yes;
    row.state.store(freed == Freed::restored ? kActive : kFreeGroup, std::memory_order_release);  // R:group
    IPCQ_CRASH_POINT("group.freed");
  }
  unlock_producer_side(view);
  if (freed != Freed::no) {
    publish_fenced(view.side().space);
    publish_fenced(view.side().data);
  }
  return freed;
}

}  // namespace

bool find_group(const View& view, std::string_view name, GroupId& id) noexcept {
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const auto& row = view.group(i);
    const std::uint32_t incarnation = row.incarnation.load(std::memory_order_acquire);  // A:group, with R:group
    if (GroupName(row).view() != name || !group_is(view, i, incarnation)) continue;
    id = {i, incarnation};
    return true;
  }
  return false;
}

AddGroup add_group(const View& view, const GroupPlan& plan, GroupId& id) noexcept {
  for (std::uint32_t i = 0; i < view.groups_max; ++i) finish_group_removal(view, i);
  std::uint32_t number = 0;
  for (int attempt = 0;; ++attempt) {
    if (attempt == 20) return AddGroup::timed_out;
    std::uint32_t before = 0;
    number = free_row(view, before);
    if (number < view.groups_max) {
      const AddGroup left = await_members_left(view, number);
      if (left != AddGroup::ok) return left;
    }
    switch (lock_producer_side(view, patience())) {
      case Locked::yes:
        break;
      case Locked::timed_out:
        return AddGroup::timed_out;
      case Locked::poisoned:
        return AddGroup::poisoned;
    }
    if (find_group(view, plan.name, id)) {
      unlock_producer_side(view);
      return AddGroup::exists;
    }
    std::uint32_t now = 0;
    const std::uint32_t first = free_row(view, now);
    if (first == number && now == before && number < view.groups_max) break;  // free all the while
    unlock_producer_side(view);
    if (first == view.groups_max) return AddGroup::full;
  }
  auto& row = view.group(number);
  // Everything below is in a free row, which nobody reads   (die here → a free row)
  // relaxed: published by the state.
  std::uint32_t incarnation = row.incarnation.load(std::memory_order_relaxed) + 1;
  if (incarnation == 0) incarnation = 1;
  row.incarnation.store(incarnation, std::memory_order_release);  // R:group
  IPCQ_CRASH_POINT("group.incarnation");
  std::array<std::uint64_t, layout::kNameBytes / 8> name{};
  std::memcpy(name.data(), plan.name.data(),
              plan.name.size() < layout::kNameBytes ? plan.name.size() : layout::kNameBytes - 1);
  for (std::size_t i = 0; i < name.size(); ++i) row.name[i].store(name[i], std::memory_order_relaxed);
  row.start.store(static_cast<std::uint8_t>(plan.start), std::memory_order_relaxed);
  row.overflow.store(static_cast<std::uint8_t>(plan.overflow), std::memory_order_relaxed);
  row.consumers.store(static_cast<std::uint8_t>(plan.consumers), std::memory_order_relaxed);
  row.lifetime.store(static_cast<std::uint8_t>(plan.lifetime), std::memory_order_relaxed);
  const auto clear = [](layout::AtomicU64& value) { value.store(0, std::memory_order_relaxed); };
  clear(row.leased_messages);
  clear(row.redelivered_messages);
  clear(row.dropped_messages);
  clear(row.drop_to);
  clear(row.drop_count);
  clear(row.recovered_leases);
  clear(row.dead_lettered_messages);
  clear(row.purged_messages);
  clear(row.parked_tried_ns);
  row.owner.store(0, std::memory_order_relaxed);
  row.takeover_count.store(0, std::memory_order_relaxed);
  row.takeover_retired.store(kNoPosition, std::memory_order_relaxed);
  row.parked_at.store(kNoPosition, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < view.ledger_entries; ++i) {
    auto& word = view.entries(number)[i].word;
    word.store(make_word(EntryState::free, 0, word_sequence(word.load(std::memory_order_relaxed)), 0),
               std::memory_order_relaxed);
    view.index(number)[i] = static_cast<std::uint16_t>(i);
  }
  row.index_first.store(0, std::memory_order_relaxed);
  row.index_count.store(0, std::memory_order_relaxed);
  auto& histograms = view.histograms(number);
  for (layout::Histogram* histogram :
       {&histograms.queue, &histograms.transfer, &histograms.processing, &histograms.latency}) {
    clear(histogram->messages);
    clear(histogram->sum_ns);
    clear(histogram->max_ns);
    for (auto& bucket : histogram->buckets) clear(bucket);
  }
  // 1. retired: the least of all, computed under the mutex, so that what the producers may overwrite is before it; or the
  //    end of what is claimed (exclusive: of what is committed; it may lag by the batch being published)
  //    An exclusive producer moves it without the mutex, and the group's first member looks for a head there, where a claim
  //    that was aborted may have had its payload: hence not relaxed.
  const std::uint64_t retired =
      plan.start == Start::oldest ? refresh_least_retired(view)
                                  : view.side().claim.claim_position.load(std::memory_order_acquire);  // A:claim_position
  row.leased_to.store(retired, std::memory_order_relaxed);
  row.again_to.store(retired, std::memory_order_relaxed);
  row.retired.store(retired, std::memory_order_release);  // R:retired
  IPCQ_CRASH_POINT("group.added_retired");                // die here → a free row
  // 2. the state, last                                      (die here → the group is there)
  row.state.store(kActive, std::memory_order_release);  // R:group
  IPCQ_CRASH_POINT("group.added");
  id = {number, incarnation};
  unlock_producer_side(view);
  return AddGroup::ok;
}

Members members_of(const View& view, GroupId id) noexcept {
  Members members;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const Owner owner = attached_owner(view, i);
    if (owner == 0 || !is_member(view, i, id)) continue;
    ++members.attached;
    if (judge(view, owner) == Verdict::dead) continue;
    ++members.living;
    members.one = owner;
  }
  return members;
}

RemoveGroup remove_group(const View& view, GroupId id, bool force, std::uint32_t& holder, bool with_parked) noexcept {
  if (!group_is(view, id.row, id.incarnation)) return RemoveGroup::no_such_group;
  auto& row = view.group(id.row);
  const bool exclusive = is_exclusive_group(view, id.row);
  for (int attempt = 0; attempt < 20; ++attempt) {
    // Verdicts outside the mutex: who lives, and whose leases are whose.
    const Members members = members_of(view, id);
    if (!force && members.living > 0) {
      holder = members.one;
      return RemoveGroup::has_member;
    }
    if (exclusive) {
      holder = row.owner.load(std::memory_order_acquire);  // A:takeover, with R:takeover
      if (holder != 0 && judge(view, holder) != Verdict::dead) return RemoveGroup::has_lease;
    }
    redeliver_dead(view, id.row);
    IPCQ_CRASH_POINT("group.judged");
    bool moved = false;
    switch (lock_group(view, id.row, patience(), moved)) {
      case Locked::yes:
        break;
      case Locked::timed_out:
        return RemoveGroup::timed_out;
      case Locked::poisoned:
        return RemoveGroup::poisoned;
    }
    const auto unlock = [&] {
      unlock_group(view, id.row);
      if (moved) publish_retired(view);
    };
    if (!group_is(view, id.row, id.incarnation)) {
      unlock();
      return RemoveGroup::no_such_group;
    }
    bool leased = false;
    if (exclusive) {
      leased = row.owner.load(std::memory_order_relaxed) != holder;  // relaxed: under the mutex
    } else {
      Ledger ledger(view, id.row);
      for (std::uint32_t k = 0; k < ledger.in_use() && !leased; ++k) {
        const std::uint64_t word = ledger.word(ledger.at(k));
        if (word_state(word) != EntryState::leased) continue;
        leased = true;
        holder = word_owner(word);
      }
    }
    if (leased) {
      unlock();
      if (exclusive) continue;  // somebody joined or left: judge him
      if (judge(view, holder) != Verdict::dead) return RemoveGroup::has_lease;
      continue;  // died meanwhile: give his leases back and look again
    }
    // Somebody attached since we looked. Members join under this mutex, after their row is there: from the mark on they
    // find the group removed.
    if (!force && attached_members(view, id) > members.attached) {
      unlock();
      continue;
    }
    if (!force && !with_parked && has_parked(view, id.row, exclusive)) {
      unlock();
      return RemoveGroup::has_parked;
    }
    if (active_groups(view) <= 1) {  // a first look; the mutex that decides is the producer side's
      unlock();
      return RemoveGroup::last;
    }
    // 1. marked: leases are refused from now on   (die here → who is short of room, or adds or removes one, frees it)
    row.state.store(kMarked, std::memory_order_release);  // R:group
    IPCQ_CRASH_POINT("group.marked");
    unlock();
    // 2. free                                     (die here → whole)
    publish_fenced(view.side().data);  // members look again: group_removed
    free_marked(view, id.row, id.incarnation, patience());
    // By us or by another finisher: restored if it was the last.
    return group_is(view, id.row, id.incarnation) ? RemoveGroup::last : RemoveGroup::ok;
  }
  return RemoveGroup::timed_out;
}

bool finish_group_removal(const View& view, std::uint32_t number) noexcept {
  auto& row = view.group(number);
  if (row.state.load(std::memory_order_acquire) != kMarked) return false;             // A:group, with R:group
  const std::uint32_t incarnation = row.incarnation.load(std::memory_order_relaxed);  // relaxed: checked again
  return free_marked(view, number, incarnation, 0) == Freed::yes;
}

bool remove_if_abandoned(const View& view, GroupId id) noexcept {
  const auto& row = view.group(id.row);
  if (lifetime_of(row) != Lifetime::ephemeral) return false;
  std::uint32_t holder = 0;
  // Its messages go with it, parked ones too.
  return remove_group(view, id, false, holder, true) == RemoveGroup::ok;
}

}  // namespace ipcq::core
