// What a group with one consumer has instead of a ledger: how far it was handed out, what came back, what is parked.
#include <string>

#include "core/crash_point.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/parking.hpp"
#include "core/repair_parts.hpp"

// relaxed: nobody else writes.

namespace ipcq::core {
namespace {

class ExclusiveMender {
 public:
  ExclusiveMender(RepairWork& work, std::uint32_t group)
      : work_(work),
        view_(work.view()),
        group_(group),
        row_(view_.group(group)),
        name_(group_text(view_, group)),
        retired_(row_.retired.load(std::memory_order_relaxed)),
        boundaries_(view_, least_retired_of(view_), view_.side().claim.claim_position.load(std::memory_order_relaxed),
                    named_positions(view_)) {}

  void run() {
    mend_owner();
    mend_end(row_.leased_to, "group.leased_to", "was handed out");
    mend_end(row_.again_to, "group.again_to", "came back");
    IPCQ_CRASH_POINT("mend.leased_to");
    mend_count();
    mend_parked();
    free_ledger();
  }

 private:
  // Of the dead it is kept: with it a successor knows that the messages handed out last may have killed somebody.
  void mend_owner() {
    const Owner owner = row_.owner.load(std::memory_order_relaxed);
    if (owner_row(owner) < view_.endpoints_max) return;
    work_.set(row_.owner, Owner{0}, "group.owner",
              name_ + ": the consumer was row " + number(owner_row(owner)) + ", and there is no such row: it is nobody");
    IPCQ_CRASH_POINT("mend.leased_to");
  }

  // Behind `retired` it says nothing; before the last record it must be a boundary.
  void mend_end(layout::AtomicU64& word, const char* invariant, const char* what) {
    const std::uint64_t end = word.load(std::memory_order_relaxed);
    if (end > retired_ && !boundaries_.is(end)) {
      work_.gave_up(invariant, work_.offset_of(&word),
                    name_ + ": messages up to " + number(end) + " " + what + ", which cannot be: from " +
                        number(retired_) + " on they come as if for the first time");
      word.store(retired_, std::memory_order_release);  // release: deaths find them in this order
    } else if (!work_.is_aligned(end)) {
      work_.set(word, retired_, invariant,
                name_ + ": what " + what + " ended at " + number(end) + ", ends at " + number(retired_));
    }
  }

  void mend_count() {
    const std::uint64_t at = row_.takeover_retired.load(std::memory_order_relaxed);
    const std::uint32_t count = row_.takeover_count.load(std::memory_order_relaxed);
    const bool right = (at == kNoPosition || at <= retired_) && count <= kDeliveriesMax;
    if (right) return;
    work_.gave_up("group.takeover", work_.offset_of(&row_.takeover_retired),
                  name_ + ": " + number(count) + " deliveries were counted at " + number(at) +
                      ", which cannot be: how often the next message was delivered is not known");
    // The count first: with it the position says nothing.
    row_.takeover_count.store(0, std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.count");
    row_.takeover_retired.store(kNoPosition, std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.count");
  }

  void mend_parked() {
    const std::uint64_t at = row_.parked_at.load(std::memory_order_relaxed);
    const std::uint32_t why = row_.parked_why.load(std::memory_order_relaxed);
    const bool reason = why != 0 && why <= static_cast<std::uint32_t>(Parked::unusable);
    if (at != kNoPosition &&
        (at > retired_ || !work_.is_aligned(at) || (at == retired_ && !(reason && can_park(view_))))) {
      work_.set(row_.parked_at, kNoPosition, at == retired_ && !reason ? "group.parked_why" : "group.parked_at",
                name_ + ": the record at " + number(at) + " was parked for the reason " + number(why) +
                    ", which cannot be: it comes again");
      IPCQ_CRASH_POINT("mend.parked");
    } else if (at == retired_) {
      mend_tried(work_, group_);
    }
  }

  void free_ledger() {
    for (std::uint32_t i = 0; i < view_.ledger_entries; ++i) {
      auto& word = view_.entries(group_)[i].word;
      const std::uint64_t before = word.load(std::memory_order_relaxed);
      if (word_state(before) == EntryState::free) continue;
      work_.gave_up(
          "ledger.exclusive", work_.offset_of(&word),
          name_ + ", entry " + number(i) +
              " was in use, which an exclusive consumer has no use for: its messages come as if for the first time");
      word.store(make_word(EntryState::free, 0, word_sequence(before), 0),
                 std::memory_order_release);  // release: deaths find them in this order
      IPCQ_CRASH_POINT("mend.entry");
    }
  }

  RepairWork& work_;
  const View& view_;
  std::uint32_t group_;
  layout::GroupRow& row_;
  std::string name_;
  std::uint64_t retired_;
  Boundaries boundaries_;
};

}  // namespace

// What is parked is to be tried again some time: at once, if nothing tells when.
void mend_tried(RepairWork& work, std::uint32_t group) {
  auto& row = work.view().group(group);
  const std::uint64_t tried = row.parked_tried_ns.load(std::memory_order_relaxed);
  if (tried != 0 && tried <= static_cast<std::uint64_t>(os::monotonic_ns())) return;
  work.set(row.parked_tried_ns, std::uint64_t{1}, "group.parked_tried",
           group_text(work.view(), group) + " has something parked, and was to try it again at " + number(tried) +
               ": it does so at once");
  IPCQ_CRASH_POINT("mend.parked");
}

void mend_exclusive(RepairWork& work, std::uint32_t group) { ExclusiveMender(work, group).run(); }

}  // namespace ipcq::core
