// The table of groups, and what an exclusive group has instead of a ledger.
#include <string>

#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/parking.hpp"
#include "layout/name.hpp"

// relaxed loads here are of the look's own copy.

namespace ipcq::core {
namespace {

using layout::GroupState;

// What is parked in an exclusive group is the record at `retired`.
void look_at_parked_front(Look& look, std::uint32_t i, const layout::GroupRow& row, const std::string& name) {
  const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
  const std::uint64_t at = row.parked_at.load(std::memory_order_relaxed);
  const std::uint32_t why = row.parked_why.load(std::memory_order_relaxed);
  if (at == kNoPosition) return;
  const std::string text = name + " parked the record at " + number(at);
  if (at > retired || !look.is_aligned(at)) {
    look.broken("group.parked_at", look.offset_of(&row.parked_at), text + ", but retired is " + number(retired));
    return;
  }
  if (at != retired) return;  // it is gone since
  if (why == 0 || why > static_cast<std::uint32_t>(Parked::unusable)) {
    look.broken("group.parked_why", look.offset_of(&row.parked_why),
                text + " for the reason " + number(why) + ", not one of 1 to 7");
  }
  if (!can_park(look.copy())) {
    look.broken("group.parked_at", look.offset_of(&row.parked_at),
                text + ", but no message of this queue goes to a dead-letter queue");
  }
  look.expect_tried(i, text);
}

void look_at_exclusive_group(Look& look, std::uint32_t i, const layout::GroupRow& row) {
  const View& copy = look.copy();
  const std::string name = group_text(copy, i);
  const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
  // Each may be behind `retired`: what it named is finished.
  const auto open_up_to = [&](const char* invariant, const layout::AtomicU64& word, const char* what) {
    const std::uint64_t end = word.load(std::memory_order_relaxed);
    if (end <= retired && look.is_aligned(end)) return;
    if (!can_be_range(copy, retired, end)) {
      look.broken(invariant, look.offset_of(&word),
                  name + ": " + what + " ends at " + number(end) + "; retired is " + number(retired) +
                      ", and claims end at " + number(look.claim_position()));
    } else {
      look.expect_boundary({end, invariant, look.offset_of(&word), name + ": " + what + " ends"});
    }
  };
  open_up_to("group.leased_to", row.leased_to, "what is handed out");
  open_up_to("group.again_to", row.again_to, "what came back");
  const std::uint64_t takeover = row.takeover_retired.load(std::memory_order_relaxed);
  if (takeover != kNoPosition && takeover > retired) {
    look.broken("group.takeover", look.offset_of(&row.takeover_retired),
                name + ": deliveries are counted at " + number(takeover) + ", but retired is " + number(retired));
  }
  const std::uint32_t count = row.takeover_count.load(std::memory_order_relaxed);
  if (count > kDeliveriesMax) {
    look.broken("group.takeover", look.offset_of(&row.takeover_count),
                name + ": " + number(count) + " deliveries are counted, of " + number(kDeliveriesMax) + " at most");
  }
  look_at_parked_front(look, i, row, name);
  const Owner owner = row.owner.load(std::memory_order_relaxed);
  const std::uint64_t offset = look.offset_of(&row.owner);
  if (owner != 0 && owner_row(owner) >= copy.endpoints_max) {
    look.broken("group.owner", offset,
                name + ": the consumer is " + look.owner_text(owner) + ", and there is no such row");
  } else if (owner != 0 && look.verdict(owner) == Verdict::dead) {
    look.noted("group.owner", offset,
               name + ": the consumer, " + look.owner_text(owner) + ", is dead; a successor takes over");
  } else if (owner != 0 && owner_of_row(copy, owner_row(owner)) == owner) {
    const auto& consumer = copy.row(owner_row(owner));
    if (consumer.kind.load(std::memory_order_relaxed) != static_cast<std::uint32_t>(layout::RowKind::consumer) ||
        consumer.group.load(std::memory_order_relaxed) != i) {
      look.broken("group.owner", offset, name + ": the consumer, " + look.owner_text(owner) + ", is no member");
    }
  }
  for (std::uint32_t k = 0; k < copy.ledger_entries; ++k) {
    const auto& word = copy.entries(i)[k].word;
    if (word_state(word.load(std::memory_order_relaxed)) == EntryState::free) continue;
    look.broken("ledger.exclusive", look.offset_of(&word),
                name + " has one consumer and so no ledger, but entry " + number(k) + " is in use");
    break;
  }
}

void look_at_group(Look& look, std::uint32_t i) {
  const View& copy = look.copy();
  const layout::GroupRow& row = copy.group(i);
  const std::string name = group_text(copy, i);
  if (state_of(row) == GroupState::marked) {
    look.noted("group.marked", look.offset_of(&row.state),
               name + " is being removed; whoever is short of room finishes that");
  }
  if (row.incarnation.load(std::memory_order_relaxed) == 0) {
    look.broken("group.incarnation", look.offset_of(&row.incarnation), name + " has incarnation 0");
  }
  if (!layout::is_name(GroupName(row).view())) {
    look.broken("group.name", look.offset_of(&row.name), name + " has no valid name");
  }
  for (std::uint32_t other = 0; other < i; ++other) {
    if (state_of(copy.group(other)) != GroupState::active || state_of(row) != GroupState::active) continue;
    if (GroupName(copy.group(other)).view() != GroupName(row).view()) continue;
    look.broken("group.name", look.offset_of(&row.name), name + " has the name of row " + number(other));
  }
  const auto option = [&](const layout::AtomicU8& value, const char* what, std::uint32_t most) {
    const std::uint32_t now = value.load(std::memory_order_relaxed);
    if (now > most)
      look.broken("group.options", look.offset_of(&value),
                  name + ": " + what + " is " + number(now) + ", at most " + number(most));
  };
  option(row.start, "start", 1);
  option(row.overflow, "overflow", 2);
  option(row.consumers, "the kind of consumers", 1);
  option(row.lifetime, "lifetime", 1);
  const bool exclusive = is_exclusive_group(copy, i);
  if (exclusive && overflow_of(row) == Overflow::drop_oldest) {
    look.broken("group.options", look.offset_of(&row.overflow),
                name + " drops the oldest messages, which one with an exclusive consumer cannot");
  }
  const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
  const std::uint64_t end = look.claim_position();
  const std::uint64_t earlier_end = copy.side().claim.claim_position.load(std::memory_order_relaxed);
  // The copy's claim_position is older than its `retired`, the look's is newer.
  const std::uint64_t most = copy.capacity - copy.alignment;
  const bool ahead = retired > end && (!copy.exclusive() || retired - end > most);
  const bool behind = earlier_end > retired && earlier_end - retired > most;
  if (!can_be_position(copy, retired) || ahead || behind) {
    look.broken("group.retired", look.offset_of(&row.retired),
                name + " has finished everything before " + number(retired) + ", but claims end at " +
                    number(earlier_end) + " and the ring has " + number(copy.capacity) + " bytes");
    return;
  }
  look.expect_boundary({retired, "group.retired", look.offset_of(&row.retired), name + ": what is finished ends"});
  if (exclusive) {
    look_at_exclusive_group(look, i, row);
    return;
  }
  if (const std::uint64_t at = row.parked_at.load(std::memory_order_relaxed); at != kNoPosition) {
    look.broken("group.parked_at", look.offset_of(&row.parked_at),
                name + " shares its messages, but parked the record at " + number(at) + " outside its ledger");
  }
  if (row.owner.load(std::memory_order_relaxed) != 0) {
    look.broken("group.owner", look.offset_of(&row.owner),
                name + " shares its messages, but has one consumer: " +
                    look.owner_text(row.owner.load(std::memory_order_relaxed)));
  }
  look_at_ledger(look, i);
}

}  // namespace

void look_at_groups(Look& look) {
  const View& copy = look.copy();
  const auto& least_word = copy.side().claim.least_retired;
  const std::uint64_t least = least_word.load(std::memory_order_relaxed);
  bool any = false;
  std::uint64_t lowest = UINT64_MAX;
  std::uint32_t lowest_row = 0;
  for (std::uint32_t i = 0; i < copy.groups_max; ++i) {
    const layout::GroupRow& row = copy.group(i);
    const GroupState state = state_of(row);
    if (state == GroupState::free) continue;
    if (state > GroupState::marked) {
      look.broken("group.state", look.offset_of(&row.state),
                  "the state of group row " + number(i) + " is " + number(static_cast<std::uint64_t>(state)) +
                      ", neither free (0), active (1) nor marked (2)");
      continue;
    }
    any = true;
    look_at_group(look, i);
    if (const std::uint64_t retired = row.retired.load(std::memory_order_relaxed); retired < lowest) {
      lowest = retired;
      lowest_row = i;
    }
  }
  if (lowest < least) {
    look.broken("side.least_retired", look.offset_of(&least_word),
                "all groups have finished everything before " + number(least) + ", it says, but " +
                    group_text(copy, lowest_row) + " only what is before " + number(lowest));
  }
  if (!any) look.broken("group.none", copy.groups_offset, "there is no group");
}

}  // namespace ipcq::core
