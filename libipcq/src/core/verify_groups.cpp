// The table of groups, and each group's ledger.
#include <algorithm>
#include <string>
#include <vector>

#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/look.hpp"
#include "layout/name.hpp"

// relaxed loads here are of the look's own copy.

namespace ipcq::core {
namespace {

using layout::GroupState;

std::string number(std::uint64_t value) { return std::to_string(value); }

// A name as it may be shown, whatever stands there.
std::string shown(std::string_view name) {
  std::string text;
  for (const char c : name) text += c >= ' ' && c < 127 ? c : '?';
  return text;
}

std::string group_text(const View& copy, std::uint32_t i) {
  return "group '" + shown(GroupName(copy.group(i)).view()) + "' (row " + number(i) + ")";
}

class LedgerLook {
 public:
  LedgerLook(Look& look, std::uint32_t group)
      : look_(look), copy_(look.copy()), group_(group), row_(copy_.group(group)), name_(group_text(copy_, group)) {}

  void run() {
    const Holding holding = look_.holding(row_.mutex);
    if (holding == Holding::living) return;  // noted with the mutexes
    // What a death leaves, the repair mends: on this copy, now.
    if (holding == Holding::torn && !Ledger(copy_, group_).repair()) {
      look_.broken("ledger.repair", look_.offset_of(&row_.retired),
                   name_ + ": its ledger cannot be mended as after a death");
    }
    for (std::uint32_t i = 0; i < copy_.ledger_entries; ++i) look_at_entry(i);
    look_at_tiles();
    look_at_index();
  }

 private:
  [[nodiscard]] const layout::LedgerEntry& entry(std::uint32_t i) const { return copy_.entries(group_)[i]; }
  [[nodiscard]] std::uint64_t word(std::uint32_t i) const { return entry(i).word.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t begin(std::uint32_t i) const { return entry(i).begin.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t end(std::uint32_t i) const { return entry(i).end.load(std::memory_order_relaxed); }
  [[nodiscard]] std::string entry_text(std::uint32_t i) const { return name_ + ", entry " + number(i); }

  void look_at_entry(std::uint32_t i) {
    const std::uint64_t word = this->word(i);
    const EntryState state = word_state(word);
    const std::uint64_t offset = look_.offset_of(&entry(i).word);
    if (state > EntryState::parked) {
      look_.broken(
          "ledger.state", offset,
          entry_text(i) + ": the state is " + number(static_cast<std::uint64_t>(state)) + ", not one of 0 to 4");
      return;
    }
    if ((state == EntryState::free || state == EntryState::done || state == EntryState::redeliverable) &&
        word_owner(word) != 0) {
      look_.broken("ledger.owner", offset,
                   entry_text(i) + " is nobody's, but its word names " + look_.owner_text(word_owner(word)));
    }
    if (state == EntryState::free) return;
    if (state == EntryState::leased) look_at_lease(i, word);
    used_.push_back(i);
    if (!look_.is_aligned(begin(i)) || !look_.is_aligned(end(i)) || begin(i) >= end(i) || end(i) > end_max()) {
      look_.broken("ledger.range", look_.offset_of(&entry(i).begin),
                   entry_text(i) + " is [" + number(begin(i)) + ", " + number(end(i)) +
                       "), no range of records before " + number(end_max()));
      return;
    }
    look_.expect_boundary({begin(i), "ledger.boundary", look_.offset_of(&entry(i).begin), entry_text(i) + " begins"});
    look_.expect_boundary({end(i), "ledger.boundary", look_.offset_of(&entry(i).end), entry_text(i) + " ends"});
  }

  void look_at_lease(std::uint32_t i, std::uint64_t word) {
    const Owner owner = word_owner(word);
    const std::uint64_t offset = look_.offset_of(&entry(i).word);
    const std::string text = entry_text(i) + " is leased by " + look_.owner_text(owner);
    if (owner_row(owner) >= copy_.endpoints_max) {
      look_.broken("ledger.owner", offset, text + ", and there is no such row");
      return;
    }
    if (look_.verdict(owner) == Verdict::dead) {
      look_.noted("ledger.owner", offset, text + ", who is dead; it is given back (word " + number(word) + ")");
      return;
    }
    const auto& owner_row_ = copy_.row(owner_row(owner));
    if (owner_of_row(copy_, owner_row(owner)) != owner) return;  // attached after the row was copied
    // A producer short of room tries what is parked again.
    if (owner_row_.kind.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(layout::RowKind::producer) &&
        exhausted(word_deliveries(word), copy_.max_deliveries)) {
      return;
    }
    if (owner_row_.kind.load(std::memory_order_relaxed) != static_cast<std::uint32_t>(layout::RowKind::consumer) ||
        owner_row_.group.load(std::memory_order_relaxed) != group_ ||
        owner_row_.group_incarnation.load(std::memory_order_relaxed) != row_.incarnation.load(std::memory_order_relaxed)) {
      look_.broken("ledger.owner", offset,
                   text + ", who lives and is no member of the group (word " + number(word) + ")");
    }
  }

  void look_at_tiles() {
    std::sort(used_.begin(), used_.end(),
              [&](std::uint32_t a, std::uint32_t b) { return std::pair(begin(a), a) < std::pair(begin(b), b); });
    std::uint64_t expected = row_.retired.load(std::memory_order_relaxed);
    std::string before = "what is retired";
    for (const std::uint32_t i : used_) {
      if (begin(i) != expected) {
        look_.broken(
            "ledger.tiles", look_.offset_of(&entry(i).begin),
            entry_text(i) + " begins at " + number(begin(i)) + ", but " + before + " ends at " + number(expected));
      }
      expected = end(i);
      before = "entry " + number(i);
    }
    const std::uint64_t retired = row_.retired.load(std::memory_order_relaxed);
    if (!used_.empty() && expected - retired > copy_.capacity) {
      look_.broken(
          "ledger.tiles", look_.offset_of(&entry(used_.back()).end),
          name_ + ": the ranges from " + number(retired) + " to " + number(expected) + " are longer than the ring");
    }
  }

  void look_at_index() {
    const std::uint32_t entries = copy_.ledger_entries;
    const std::uint32_t first = row_.index_first.load(std::memory_order_relaxed);
    const std::uint32_t count = row_.index_count.load(std::memory_order_relaxed);
    if (first >= entries) {
      look_.broken("ledger.index", look_.offset_of(&row_.index_first),
                   name_ + ": the index begins at " + number(first) + ", of " + number(entries));
      return;
    }
    if (count != used_.size()) {
      look_.broken("ledger.index", look_.offset_of(&row_.index_count),
                   name_ + ": the index counts " + number(count) + " entries in use, there are " + number(used_.size()));
      return;
    }
    std::vector<bool> seen(entries, false);
    for (std::uint32_t k = 0; k < entries; ++k) {
      const std::uint16_t& place = copy_.index(group_)[(first + k) % entries];
      const bool right = place < entries && !seen[place] && (k >= count || place == used_[k]);
      if (place < entries) seen[place] = true;
      if (right) continue;
      look_.broken("ledger.index", look_.offset_of(&place) & ~std::uint64_t{1},
                   name_ + ": place " + number(k) + " of the index is entry " + number(place) +
                       (k < count ? ", it should be " + number(used_[k]) : ", which is in use or there twice"));
      return;
    }
  }

  /// Ranges are of what was claimed; an exclusive producer may not have counted the last batch yet.
  [[nodiscard]] std::uint64_t end_max() const {
    return look_.claim_position() + (copy_.exclusive() ? copy_.capacity : 0);
  }

  Look& look_;
  const View& copy_;
  std::uint32_t group_;
  const layout::GroupRow& row_;
  std::string name_;
  std::vector<std::uint32_t> used_;
};

void look_at_exclusive_group(Look& look, std::uint32_t i, const layout::GroupRow& row) {
  const View& copy = look.copy();
  const std::string name = group_text(copy, i);
  const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
  const std::uint64_t leased_to = row.leased_to.load(std::memory_order_relaxed);
  const std::uint64_t end = look.claim_position() + (copy.exclusive() ? copy.capacity : 0);
  // It may be behind `retired`, which passes skipped records by itself.
  if (!look.is_aligned(leased_to) || leased_to > end || (leased_to > retired && leased_to - retired > copy.capacity)) {
    look.broken("group.leased_to", look.offset_of(&row.leased_to),
                name + ": messages up to " + number(leased_to) + " are handed out; retired is " + number(retired) +
                    ", and claims end at " + number(look.claim_position()));
  } else if (leased_to > retired) {
    look.expect_boundary(
        {leased_to, "group.leased_to", look.offset_of(&row.leased_to), name + ": what is handed out ends"});
  }
  const std::uint64_t takeover = row.takeover_retired.load(std::memory_order_relaxed);
  if (takeover != kNoPosition && takeover > retired) {
    look.broken("group.takeover", look.offset_of(&row.takeover_retired),
                name + ": a consumer died at " + number(takeover) + ", but retired is " + number(retired));
  }
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
  const bool ahead = retired > end && (!copy.exclusive() || retired - end > copy.capacity);
  if (!look.is_aligned(retired) || ahead || (earlier_end > retired && earlier_end - retired > copy.capacity)) {
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
  if (row.owner.load(std::memory_order_relaxed) != 0) {
    look.broken("group.owner", look.offset_of(&row.owner),
                name + " shares its messages, but has one consumer: " +
                    look.owner_text(row.owner.load(std::memory_order_relaxed)));
  }
  LedgerLook(look, i).run();
}

}  // namespace

void look_at_groups(Look& look) {
  const View& copy = look.copy();
  const auto& least_word = copy.side().claim.least_retired;
  const std::uint64_t least = least_word.load(std::memory_order_relaxed);
  bool any = false;
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
    const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
    if (retired < least) {
      look.broken("side.least_retired", look.offset_of(&least_word),
                  "all groups have finished everything before " + number(least) + ", it says, but " +
                      group_text(copy, i) + " only what is before " + number(retired));
    }
  }
  if (!any) look.broken("group.none", copy.groups_offset, "there is no group");
}

}  // namespace ipcq::core
