// A shared group's ledger, and what is parked in it.
#include <algorithm>
#include <string>
#include <vector>

#include "core/ledger.hpp"
#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/parking.hpp"

// relaxed loads here are of the look's own copy.

namespace ipcq::core {
namespace {

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
    look_at_drop();
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

  // A drop that its maker did not come to count is counted or forgotten by the repair.
  void look_at_drop() {
    const std::uint64_t counted = row_.dropped_messages.load(std::memory_order_relaxed);
    const std::uint64_t count = row_.drop_count.load(std::memory_order_relaxed);
    if (count <= counted) return;
    look_.broken(
        "group.drop", look_.offset_of(&row_.drop_count),
        name_ + ": the last drop was the " + number(count) + "th, it says, but " + number(counted) + " are counted");
  }

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
    if (state == EntryState::parked) look_at_parked(i, word);
    used_.push_back(i);
    if (begin(i) == end(i) || !can_be_range(copy_, begin(i), end(i)) || end(i) > end_max()) {
      look_.broken("ledger.range", look_.offset_of(&entry(i).begin),
                   entry_text(i) + " is [" + number(begin(i)) + ", " + number(end(i)) +
                       "), no range of records before " + number(end_max()));
      return;
    }
    look_.expect_boundary({begin(i), "ledger.boundary", look_.offset_of(&entry(i).begin), entry_text(i) + " begins"});
    look_.expect_boundary({end(i), "ledger.boundary", look_.offset_of(&entry(i).end), entry_text(i) + " ends"});
  }

  void look_at_parked(std::uint32_t i, std::uint64_t word) {
    const std::uint64_t offset = look_.offset_of(&entry(i).word);
    const std::string text = entry_text(i) + " is parked (word " + number(word) + ")";
    if (word_owner(word) == 0 || word_owner(word) > static_cast<std::uint32_t>(Parked::unusable)) {
      look_.broken("ledger.parked", offset,
                   text + " for the reason " + number(word_owner(word)) + ", not one of 1 to 7");
    }
    if (!can_park(copy_) || !exhausted(word_deliveries(word), copy_.max_deliveries)) {
      look_.broken("ledger.parked", offset,
                   text + " after " + number(word_deliveries(word)) + " deliveries, of " +
                       (copy_.max_deliveries == 0 ? "any number" : number(copy_.max_deliveries)) +
                       (copy_.drop_after ? " before it is dropped" : ""));
    }
    look_.expect_tried(group_, text);
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
    const auto& owners_row = copy_.row(owner_row(owner));
    if (owner_of_row(copy_, owner_row(owner)) != owner) return;  // attached after the row was copied
    // A producer short of room tries what is parked again.
    if (owners_row.kind.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(layout::RowKind::producer) &&
        exhausted(word_deliveries(word), copy_.max_deliveries)) {
      return;
    }
    if (owners_row.kind.load(std::memory_order_relaxed) != static_cast<std::uint32_t>(layout::RowKind::consumer) ||
        owners_row.group.load(std::memory_order_relaxed) != group_ ||
        owners_row.group_incarnation.load(std::memory_order_relaxed) != row_.incarnation.load(std::memory_order_relaxed)) {
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
      } else {
        const std::uint64_t word = this->word(i);
        look_.expect_range(
            {begin(i), end(i), word_state(word) != EntryState::done, look_.offset_of(&entry(i).word),
             entry_text(i) + ", " + "[" + number(begin(i)) + ", " + number(end(i)) + "), word " + number(word)});
      }
      expected = end(i);
      before = "entry " + number(i);
    }
    const std::uint64_t retired = row_.retired.load(std::memory_order_relaxed);
    if (!used_.empty() && !can_be_range(copy_, retired, expected)) {
      look_.broken("ledger.tiles", look_.offset_of(&entry(used_.back()).end),
                   name_ + ": the ranges from " + number(retired) + " to " + number(expected) +
                       " are longer than the ring has room");
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

}  // namespace

void look_at_ledger(Look& look, std::uint32_t group) { LedgerLook(look, group).run(); }

}  // namespace ipcq::core
