// The tables of groups and endpoints.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/repair_parts.hpp"
#include "layout/name.hpp"

// relaxed: nobody else writes.

namespace ipcq::core {
namespace {

using layout::GroupState;

constexpr std::uint32_t kComingBack = 0xfffffffeU;

bool has_ledger_in_use(const View& view, std::uint32_t group) noexcept {
  for (std::uint32_t i = 0; i < view.ledger_entries; ++i) {
    if (word_state(view.entries(group)[i].word.load(std::memory_order_relaxed)) != EntryState::free) return true;
  }
  return false;
}

// A state that there is not. A row that was never a group's is free. Else the group is there again: nothing of it is lost,
// and should it have been removed, it can be again.
void mend_state(RepairWork& work, std::uint32_t group) {
  auto& row = work.view().group(group);
  const std::uint32_t state = row.state.load(std::memory_order_relaxed);
  if (state <= static_cast<std::uint32_t>(GroupState::marked)) return;
  const bool never = row.incarnation.load(std::memory_order_relaxed) == 0;
  const GroupState should = never ? GroupState::free : GroupState::active;
  work.set(
      row.state, static_cast<std::uint32_t>(should), "group.state",
      never ? "the state of group row " + number(group) + " was " + number(state) + ", is free: it was never used"
            : group_text(work.view(), group) +
                  (state == kComingBack ? ", as there was no group at all," : " had the state " + number(state) + ",") +
                  " is there again; if it was removed, remove it again (ipcq group rm)");
  IPCQ_CRASH_POINT("mend.group");
}

void mend_name(RepairWork& work, std::uint32_t group) {
  const View& view = work.view();
  auto& row = view.group(group);
  const auto taken = [&](std::string_view name) {
    for (std::uint32_t other = 0; other < view.groups_max; ++other) {
      if (other != group && state_of(view.group(other)) == GroupState::active &&
          GroupName(view.group(other)).view() == name)
        return true;
    }
    return false;
  };
  bool twice = false;
  for (std::uint32_t other = 0; other < group; ++other) {
    twice |= state_of(view.group(other)) == GroupState::active &&
             GroupName(view.group(other)).view() == GroupName(row).view();
  }
  if (layout::is_name(GroupName(row).view()) && !twice) return;
  std::string name = "recovered-" + number(group);
  while (taken(name)) name += "-";
  const std::string before = group_text(view, group);
  std::array<std::uint64_t, layout::kNameBytes / 8> words{};
  std::memcpy(words.data(), name.data(), std::min(name.size(), layout::kNameBytes - 1));
  // The last words first (die between → no valid name, or one of its own: the same, or done)
  for (std::size_t i = words.size(); i-- > 0;)
    row.name[i].store(words[i], std::memory_order_release);  // release: deaths find them in this order
  work.mended("group.name", work.offset_of(&row.name),
              before + " in row " + number(group) + (twice ? " had the name of another" : " had no valid name") +
                  ": its name is '" + name + "'");
  IPCQ_CRASH_POINT("mend.group");
}

// What cannot be becomes what loses nothing.
void mend_options(RepairWork& work, std::uint32_t group) {
  const View& view = work.view();
  auto& row = view.group(group);
  const std::string name = group_text(view, group);
  const auto option = [&](layout::AtomicU8& value, const char* what, std::uint8_t most, std::uint8_t should,
                          const char* word) {
    const std::uint8_t now = value.load(std::memory_order_relaxed);
    if (now <= most) return;
    work.set(value, should, "group.options", name + ": " + what + " was " + number(now) + ", is " + word);
    IPCQ_CRASH_POINT("mend.group");
  };
  const bool exclusive = !has_ledger_in_use(view, group) &&
                         (row.owner.load(std::memory_order_relaxed) != 0 ||
                          view.header().consumers == static_cast<std::uint8_t>(ConsumerMode::exclusive));
  option(row.consumers, "the kind of consumers", 1, exclusive ? 1 : 0, exclusive ? "exclusive" : "shared");
  option(row.start, "start", 1, static_cast<std::uint8_t>(Start::oldest), "oldest");
  option(row.overflow, "overflow", 2, static_cast<std::uint8_t>(Overflow::block), "block");
  option(row.lifetime, "lifetime", 1, static_cast<std::uint8_t>(Lifetime::persistent), "persistent");
  if (is_exclusive_group(view, group) && overflow_of(row) == Overflow::drop_oldest) {
    work.set(row.overflow, static_cast<std::uint8_t>(Overflow::block), "group.options",
             name + ": overflow was drop-oldest, which an exclusive consumer excludes, is block");
  }
  if (row.incarnation.load(std::memory_order_relaxed) == 0) {
    work.set(row.incarnation, 1U, "group.incarnation", name + ": the incarnation was 0, is 1");
  }
  IPCQ_CRASH_POINT("mend.group");
}

}  // namespace

// A queue always has a group: so one of those that seem to be removed is there, and nothing tells which. All come back:
// first into a state that there is not, then, with all others in such a state, to life.
// (die among the first → as before; among the others → as any row of such a state)
void call_back_groups(RepairWork& work) {
  const View& view = work.view();
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const std::uint32_t state = view.group(i).state.load(std::memory_order_relaxed);
    if (state != static_cast<std::uint32_t>(GroupState::free) && state != kComingBack) return;
  }
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    auto& row = view.group(i);
    if (row.incarnation.load(std::memory_order_relaxed) == 0 || !layout::is_name(GroupName(row).view())) continue;
    row.state.store(kComingBack, std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.group");
  }
}

void mend_group_table(RepairWork& work) {
  const View& view = work.view();
  call_back_groups(work);
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    mend_state(work, i);
    if (state_of(view.group(i)) == GroupState::free) continue;
    mend_name(work, i);
    mend_options(work, i);
  }
}

void mend_endpoints(RepairWork& work) {
  const View& view = work.view();
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    auto& row = view.row(i);
    const std::uint32_t state = row.state.load(std::memory_order_relaxed);
    if (state == static_cast<std::uint32_t>(layout::RowState::free)) continue;
    const bool attached = state == static_cast<std::uint32_t>(layout::RowState::attached);
    work.set(row.state, static_cast<std::uint32_t>(layout::RowState::free), attached ? "row.dead" : "row.state",
             "row " + number(i) +
                 (attached ? " was a dead one's: it is free" : " had the state " + number(state) + ": it is free"));
    IPCQ_CRASH_POINT("mend.row");
  }
}

}  // namespace ipcq::core
