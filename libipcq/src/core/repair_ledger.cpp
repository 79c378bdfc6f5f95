// A group's ledger, from whatever stands in its entries.
//
// An entry is believed if its state is one, and its range is one of whole records before the end of what is claimed. Where
// entries overlap, the later begin wins, as after a death; but what one entry has not finished no other has, so that nothing
// is lost. What lies between what is retired and the last range and is in no entry that can be believed was handed out
// once, and nobody knows how that ended: it is delivered again.
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "core/crash_point.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/parking.hpp"
#include "core/repair_parts.hpp"
#include "core/ring.hpp"

// relaxed: nobody else writes.

namespace ipcq::core {
namespace {

std::string range(std::uint64_t begin, std::uint64_t end) { return "[" + number(begin) + ", " + number(end) + ")"; }

struct Kept {
  std::uint32_t entry;
  std::uint64_t begin;
  std::uint64_t end;
  std::uint64_t word;
};

class LedgerMender {
 public:
  LedgerMender(RepairWork& work, std::uint32_t group)
      : work_(work),
        view_(work.view()),
        group_(group),
        row_(view_.group(group)),
        name_(group_text(view_, group)),
        end_(view_.side().claim.claim_position.load(std::memory_order_relaxed)),
        boundaries_(view_, least_retired_of(view_), end_, named_positions(view_)) {}

  void run() {
    for (std::uint32_t i = 0; i < view_.ledger_entries; ++i) collect(i);
    give_up_what_is_behind_retired();
    tile();
    merge_gaps_that_find_no_entry();
    apply();
    if (!Ledger(view_, group_).repair()) {
      work_.gave_up("ledger.tiles", work_.offset_of(&row_.retired), name_ + ": its ledger cannot be made whole");
    }
    IPCQ_CRASH_POINT("mend.ledger");
  }

 private:
  [[nodiscard]] layout::LedgerEntry& entry(std::uint32_t i) const noexcept { return view_.entries(group_)[i]; }

  void free_entry(std::uint32_t i) {
    auto& word = entry(i).word;
    const std::uint64_t before = word.load(std::memory_order_relaxed);
    word.store(make_word(EntryState::free, 0, word_sequence(before), 0),
               std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.entry");
  }

  void collect(std::uint32_t i) {
    const std::uint64_t word = entry(i).word.load(std::memory_order_relaxed);
    const std::uint64_t begin = entry(i).begin.load(std::memory_order_relaxed);
    const std::uint64_t end = entry(i).end.load(std::memory_order_relaxed);
    const EntryState state = word_state(word);
    const std::uint64_t offset = work_.offset_of(&entry(i).word);
    if (state == EntryState::free) {
      if (word_owner(word) == 0) return;
      work_.mended("ledger.owner", offset, name_ + ", entry " + number(i) + " is free, but named an owner");
      free_entry(i);
      return;
    }
    // Retired but not freed yet, as a death leaves it.
    const std::uint64_t retired = row_.retired.load(std::memory_order_relaxed);
    const bool passed = end <= retired && !is_unfinished(view_, group_, word);
    const bool right =
        state <= EntryState::parked && begin < end && end <= end_ &&
        (passed || ((begin < retired || boundaries_.is(begin)) && (end <= retired || boundaries_.is(end))));
    if (!right) {
      work_.gave_up(state > EntryState::parked ? "ledger.state" : "ledger.range", offset,
                    name_ + ", entry " + number(i) + ", of state " + number(static_cast<std::uint64_t>(state)) +
                        ", was " + range(begin, end) + ", which cannot be: what nobody else has of it comes again");
      free_entry(i);  // (die here → what it held is in no entry: the same)
      return;
    }
    kept_.push_back({i, begin, end, word_as_it_should_be(i, word)});
  }

  std::uint64_t word_as_it_should_be(std::uint32_t i, std::uint64_t word) {
    if (word_state(word) == EntryState::leased) return given_back(word, view_.max_deliveries);
    // Nobody's: apply_word() says so, if it named somebody.
    if (word_state(word) != EntryState::parked) {
      return make_word(word_state(word), word_deliveries(word), word_sequence(word), 0);
    }
    const bool known = word_owner(word) != 0 && word_owner(word) <= static_cast<std::uint32_t>(Parked::unusable);
    if (known && can_park(view_) && exhausted(word_deliveries(word), view_.max_deliveries)) return word;
    work_.mended(
        "ledger.parked", work_.offset_of(&entry(i).word),
        name_ + ", entry " + number(i) + " was parked, which cannot be (word " + number(word) + "): it comes again");
    return make_word(EntryState::redeliverable, word_deliveries(word), word_sequence(word), 0);
  }

  // The ring has been asked whether records lead from there to `retired`: they do not.
  void give_up_what_is_behind_retired() {
    const std::uint64_t retired = row_.retired.load(std::memory_order_relaxed);
    for (const Kept& kept : kept_) {
      if (kept.begin >= retired || !is_unfinished(view_, group_, kept.word)) continue;
      work_.gave_up("ledger.range", work_.offset_of(&entry(kept.entry).begin),
                    name_ + ", entry " + number(kept.entry) + ": " + range(kept.begin, std::min(kept.end, retired)) +
                        " was not finished, but is before what is retired, and no records lead there: it is given up");
    }
  }

  void tile() {
    std::sort(kept_.begin(), kept_.end(),
              [](const Kept& a, const Kept& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
    doubt_what_was_finished_in_part();
    std::uint64_t at = row_.retired.load(std::memory_order_relaxed);
    for (std::size_t k = 0; k < kept_.size(); ++k) {
      Kept kept = kept_[k];
      if (k + 1 < kept_.size()) kept.end = std::min(kept.end, kept_[k + 1].begin);
      kept.begin = std::max(kept.begin, at);
      if (kept.begin >= kept.end) {
        dropped_.push_back(kept_[k].entry);
        continue;
      }
      if (kept.begin > at) {
        // Skipped room belongs to what comes behind it.
        kept.begin = end_of_last_message(at, kept.begin);
        if (kept.begin > at) gaps_.push_back({0, at, kept.begin, 0});
      }
      end_with_a_message(kept);
      at = kept.end;
      tiles_.push_back(kept);
    }
  }

  // In order of begin. No death leaves a finished range that begins inside of an unfinished one.
  void doubt_what_was_finished_in_part() {
    const std::uint64_t retired = row_.retired.load(std::memory_order_relaxed);
    std::uint64_t unfinished_to = 0;
    for (Kept& kept : kept_) {
      if (word_state(kept.word) == EntryState::done) {
        if (kept.begin >= unfinished_to || kept.end <= retired) continue;
        work_.mended("ledger.tiles", work_.offset_of(&entry(kept.entry).word),
                     name_ + ", entry " + number(kept.entry) + ": " + range(kept.begin, kept.end) +
                         " was finished, but begins in what another entry has not: it comes again");
        kept.word =
            make_word(EntryState::redeliverable, std::max(1U, word_deliveries(kept.word)), word_sequence(kept.word), 0);
      }
      unfinished_to = std::max(unfinished_to, kept.end);
    }
  }

  // Nobody can be given what holds no message, or skipped room alone where it is split.
  void end_with_a_message(Kept& kept) {
    if (word_state(kept.word) == EntryState::done) return;
    const std::uint64_t end = end_of_last_message(kept.begin, kept.end);
    if (end == kept.end) return;
    work_.gave_up("ledger.records", work_.offset_of(&entry(kept.entry).word),
                  name_ + ", entry " + number(kept.entry) + ", " + range(kept.begin, kept.end) + ", " +
                      (end == kept.begin ? "holds no message" : "ends with skipped room") +
                      ": whatever message stood there is given up");
    if (end == kept.begin) {
      kept.word = make_word(EntryState::done, 0, word_sequence(kept.word), 0);
    } else {
      kept.end = end;
    }
  }
  [[nodiscard]] std::uint64_t end_of_last_message(std::uint64_t begin, std::uint64_t end) const noexcept {
    std::uint64_t last = begin;
    for (std::uint64_t at = begin; at < end;) {
      const std::uint64_t head = load_head(view_, at);
      const std::uint64_t span = span_of(view_, head);
      if (span == 0) break;
      at += span;
      if (detail::head_state(head) == RecordState::committed) last = at;
    }
    return last;
  }

  // What is in a gap was handed out once. Without an entry of its own it comes again with what is behind it.
  void merge_gaps_that_find_no_entry() {
    while (gaps_.size() > view_.ledger_entries - tiles_.size()) {
      const Kept gap = gaps_.back();
      gaps_.pop_back();
      say_of_gap(gap);
      const auto tile =
          std::find_if(tiles_.begin(), tiles_.end(), [&](const Kept& behind) { return behind.begin == gap.end; });
      const std::uint64_t end = tile->end;
      tile->begin = gap.begin;
      tile->end = end_of_last_message(gap.begin, end);
      tile->word =
          make_word(EntryState::redeliverable, std::max(1U, word_deliveries(tile->word)), word_sequence(tile->word), 0);
      if (tile->end != end && std::next(tile) != tiles_.end()) std::next(tile)->begin = tile->end;
    }
  }

  void apply() {
    for (const std::uint32_t i : dropped_)
      free_entry(i);  // (die here → it is covered by others, or was passed: the same)
    for (const Kept& kept : tiles_) {
      // What becomes longer must not look finished while it does.
      const bool finished = word_state(kept.word) == EntryState::done;
      if (!finished) apply_word(kept);
      apply_range(kept);
      if (finished) apply_word(kept);
    }
    for (const Kept& gap : gaps_) fill(gap);
  }

  void apply_range(const Kept& kept) {
    layout::LedgerEntry& now = entry(kept.entry);
    const std::uint64_t begin = now.begin.load(std::memory_order_relaxed);
    const std::uint64_t end = now.end.load(std::memory_order_relaxed);
    if (begin == kept.begin && end == kept.end) return;
    work_.mended(
        "ledger.tiles", work_.offset_of(&now.begin),
        name_ + ", entry " + number(kept.entry) + " was " + range(begin, end) + ", is " + range(kept.begin, kept.end));
    // Each by itself (die between → they overlap or leave a gap: the same is derived)
    now.begin.store(kept.begin, std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.entry");
    now.end.store(kept.end, std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.entry");
  }

  void apply_word(const Kept& kept) {
    layout::LedgerEntry& now = entry(kept.entry);
    if (now.word.load(std::memory_order_relaxed) == kept.word) return;
    work_.mended("ledger.owner", work_.offset_of(&now.word),
                 name_ + ", entry " + number(kept.entry) + ", " + range(kept.begin, kept.end) +
                     (word_state(kept.word) == EntryState::done ? " is finished" : " is given back"));
    // (die here → whole)
    now.word.store(kept.word, std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.entry");
  }

  void say_of_gap(const Kept& gap) {
    work_.gave_up("ledger.tiles", work_.offset_of(&row_.retired),
                  name_ + ": nothing tells what became of " + range(gap.begin, gap.end) +
                      ": it comes again, and how often it was delivered is not known");
  }

  // A free entry is there: see merge_gaps_that_find_no_entry().
  void fill(const Kept& gap) {
    say_of_gap(gap);
    std::uint32_t i = 0;
    while (i + 1 < view_.ledger_entries && word_state(entry(i).word.load(std::memory_order_relaxed)) != EntryState::free) {
      ++i;
    }
    layout::LedgerEntry& free = entry(i);
    // begin and end, then the word   (die here → a gap, as before)
    free.begin.store(gap.begin, std::memory_order_relaxed);
    free.end.store(gap.end, std::memory_order_relaxed);
    free.leased_at.store(0, std::memory_order_relaxed);
    const std::uint32_t sequence = word_sequence(free.word.load(std::memory_order_relaxed));
    free.word.store(make_word(EntryState::redeliverable, 1, sequence, 0),
                    std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.entry");
  }

  RepairWork& work_;
  const View& view_;
  std::uint32_t group_;
  layout::GroupRow& row_;
  std::string name_;
  std::uint64_t end_;
  Boundaries boundaries_;
  std::vector<Kept> kept_;   // what can be believed, as it shall be
  std::vector<Kept> tiles_;  // of these, cut so that they follow each other
  std::vector<Kept> gaps_;   // between them
  std::vector<std::uint32_t> dropped_;
};

// A drop that was broken off is counted or forgotten by the repair of the ledger. No other is ahead of what is counted.
void mend_drop(RepairWork& work, std::uint32_t group) {
  auto& row = work.view().group(group);
  const std::uint64_t counted = row.dropped_messages.load(std::memory_order_relaxed);
  const std::uint64_t count = row.drop_count.load(std::memory_order_relaxed);
  if (count <= counted || count == counted + 1) return;
  work.set(row.drop_count, counted, "group.drop",
           group_text(work.view(), group) + ": the last drop was the " + number(count) + "th, is the " +
               number(counted) + "th, as counted");
  IPCQ_CRASH_POINT("mend.drop");
}

bool anything_parked(const View& view, std::uint32_t group) noexcept {
  for (std::uint32_t i = 0; i < view.ledger_entries; ++i) {
    if (word_state(view.entries(group)[i].word.load(std::memory_order_relaxed)) == EntryState::parked) return true;
  }
  return false;
}

}  // namespace

bool is_unfinished(const View& view, std::uint32_t group, std::uint64_t word) noexcept {
  const EntryState state = word_state(word);
  if (state == EntryState::redeliverable) return overflow_of(view.group(group)) != Overflow::drop_oldest;
  return state == EntryState::leased || state == EntryState::parked;
}

void mend_ledger(RepairWork& work, std::uint32_t group) {
  const View& view = work.view();
  auto& row = view.group(group);
  const Owner owner = row.owner.load(std::memory_order_relaxed);
  work.set(row.owner, Owner{0}, "group.owner",
           group_text(view, group) + ": the consumer was row " + number(owner_row(owner)) +
               ", but its messages are shared: it is nobody");
  mend_drop(work, group);
  LedgerMender(work, group).run();
  if (anything_parked(view, group)) mend_tried(work, group);
  const std::uint64_t parked_at = row.parked_at.load(std::memory_order_relaxed);
  work.set(row.parked_at, kNoPosition, "group.parked_at",
           group_text(view, group) + " parked the record at " + number(parked_at) +
               ", which its ledger would say: it says nothing");
}

}  // namespace ipcq::core
