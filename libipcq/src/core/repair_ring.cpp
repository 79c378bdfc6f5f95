// Positions and records.
//
// What is trusted, and why. A record stands where the walk from a known boundary comes to it. Known boundaries are the
// words that name positions: each group's `retired`, the ranges of ledgers, the end of what is claimed. Where a record and
// a word contradict each other, that one is right from which the walk comes to the next known boundary.
#include <algorithm>
#include <string>
#include <vector>

#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/producer_side.hpp"
#include "core/repair_parts.hpp"
#include "core/ring.hpp"

// relaxed: nobody else writes.

namespace ipcq::core {
namespace {

using layout::GroupState;

bool counts(const layout::GroupRow& row) noexcept { return state_of(row) != GroupState::free; }

class RingMender {
 public:
  explicit RingMender(RepairWork& work)
      : work_(work),
        view_(work.view()),
        claim_(view_.side().claim),
        room_(view_.capacity - view_.alignment),
        claim_position_(claim_.claim_position.load(std::memory_order_relaxed)) {}

  bool run() {
    if (!mend_claim_position()) return false;
    find_anchors();
    mend_retired();
    find_anchors();
    mend_records();
    mend_end();
    mend_runs();
    move_retired_to_boundaries();
    mend_times();
    mend_side();
    return true;
  }

 private:
  [[nodiscard]] bool is_record(std::uint64_t at, std::uint64_t limit) const noexcept {
    const std::uint64_t head = load_head(view_, at);
    const std::uint64_t span = span_of(view_, head);
    const RecordState state = detail::head_state(head);
    return span != 0 && span <= limit - at && !(view_.exclusive() && state == RecordState::claimed);
  }
  [[nodiscard]] std::uint64_t span_at(std::uint64_t at) const noexcept { return span_of(view_, load_head(view_, at)); }

  // Where the walk from `at` ends, at `limit` at the latest.
  [[nodiscard]] std::uint64_t walk_to(std::uint64_t at, std::uint64_t limit) const noexcept {
    while (at < limit && is_record(at, limit)) at += span_at(at);
    return at;
  }

  [[nodiscard]] bool fits(std::uint64_t retired, std::uint64_t claim_position) const noexcept {
    if (!can_be_position(view_, retired) || !can_be_position(view_, claim_position)) return false;
    if (retired > claim_position) return view_.exclusive() && retired - claim_position <= room_;
    return claim_position - retired <= room_;
  }

  bool mend_claim_position() {
    std::vector<std::uint64_t> starts;
    for (std::uint32_t i = 0; i < view_.groups_max; ++i) {
      if (counts(view_.group(i))) starts.push_back(view_.group(i).retired.load(std::memory_order_relaxed));
    }
    starts.push_back(claim_.least_retired.load(std::memory_order_relaxed));
    if (std::any_of(starts.begin(), starts.end(), [&](std::uint64_t start) { return fits(start, claim_position_); })) {
      move_out_of_a_record(starts);
      return true;
    }
    // It fits nothing else: it is the end of the records that follow one of the others.
    for (const std::uint64_t start : starts) {
      const std::optional<std::uint64_t> frontier = frontier_from(start);
      if (!frontier) continue;
      move_claim_position(*frontier, "it fits no group; the records that follow " + number(start) + " end there");
      return true;
    }
    return false;
  }

  // Where the records from `start` on end, with nothing behind them.
  [[nodiscard]] std::optional<std::uint64_t> frontier_from(std::uint64_t start) const noexcept {
    if (!can_be_position(view_, start)) return std::nullopt;
    const std::uint64_t frontier = walk_to(start, start + room_);
    if (load_head(view_, frontier) != 0) return std::nullopt;
    return frontier;
  }

  // A record stands across it. Where claim_position is right, a head of 0 stands there (Z); is there none, the record is.
  void move_out_of_a_record(const std::vector<std::uint64_t>& starts) {
    if (load_head(view_, claim_position_) == 0) return;
    for (const std::uint64_t start : starts) {
      if (!fits(start, claim_position_) || start > claim_position_) continue;
      std::uint64_t at = start;
      while (at < claim_position_ && is_record(at, start + room_)) at += span_at(at);
      if (at <= claim_position_) continue;
      const std::optional<std::uint64_t> frontier = frontier_from(start);
      if (!frontier) continue;
      move_claim_position(*frontier, "it is inside a record; those that follow " + number(start) + " end there");
      return;
    }
  }

  void move_claim_position(std::uint64_t position, const std::string& why) {
    // (die before → the same is derived; after → it fits)
    work_.set(claim_.claim_position, position, "side.claim_position",
              "claim_position was " + number(claim_position_) + ", is " + number(position) + ": " + why);
    IPCQ_CRASH_POINT("mend.claim_position");
    claim_position_ = position;
  }

  void find_anchors() {
    anchors_.clear();
    for (const std::uint64_t position : named_positions(view_)) {
      if (fits(position, claim_position_)) anchors_.push_back(position);
    }
    anchors_.push_back(claim_position_);
    std::sort(anchors_.begin(), anchors_.end());
    anchors_.erase(std::unique(anchors_.begin(), anchors_.end()), anchors_.end());
  }
  // The first anchor beyond a position; the end of what is claimed at the latest.
  [[nodiscard]] std::uint64_t anchor_behind(std::uint64_t position) const noexcept {
    const auto found = std::upper_bound(anchors_.begin(), anchors_.end(), position);
    return found == anchors_.end() ? claim_position_ : *found;
  }
  // Whether the walk from `at` comes to a known boundary: bytes that are no records hardly ever do.
  [[nodiscard]] bool leads_to_an_anchor(std::uint64_t at) const noexcept {
    while (at < claim_position_) {
      if (!is_record(at, claim_position_)) return false;
      at += span_at(at);
      if (std::binary_search(anchors_.begin(), anchors_.end(), at)) return true;
    }
    return true;
  }

  // The begin of the first range of a shared group's ledger, which is what `retired` must be.
  [[nodiscard]] std::optional<std::uint64_t> first_begin(std::uint32_t group) const {
    std::optional<std::uint64_t> first;
    if (is_exclusive_group(view_, group)) return first;
    for (std::uint32_t i = 0; i < view_.ledger_entries; ++i) {
      const auto& entry = view_.entries(group)[i];
      const EntryState state = word_state(entry.word.load(std::memory_order_relaxed));
      const std::uint64_t begin = entry.begin.load(std::memory_order_relaxed);
      if (state == EntryState::free || state > EntryState::parked || !fits(begin, claim_position_)) continue;
      if (entry.end.load(std::memory_order_relaxed) <= begin) continue;
      if (!first || begin < *first) first = begin;
    }
    return first;
  }

  // Whether what a group retired can be: records lead on from there.
  [[nodiscard]] bool can_be_retired(std::uint64_t retired) const noexcept {
    if (!fits(retired, claim_position_)) return false;
    if (retired <= claim_position_) return leads_to_an_anchor(retired);
    // An exclusive producer's last batch was finished before he counted it.
    return walk_to(claim_position_, retired) == retired;
  }

  void mend_retired() {
    for (std::uint32_t i = 0; i < view_.groups_max; ++i) {
      if (!counts(view_.group(i))) continue;
      find_retired(i);
      lower_to_what_is_not_finished(i);
    }
  }

  void find_retired(std::uint32_t group) {
    auto& row = view_.group(group);
    const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
    if (can_be_retired(retired)) return;
    if (retired <= claim_position_ && fits(retired, claim_position_)) {
      // Is it inside a record, or are the records behind it what is damaged?
      const std::optional<std::uint64_t> before = boundary_before(retired);
      if (before) move_retired(group, *before, "the boundary before it; what follows comes again");
      return;
    }
    const std::optional<std::uint64_t> begin = first_begin(group);
    if (begin && leads_to_an_anchor(*begin)) {
      move_retired(group, *begin, "where the first range of its ledger begins");
      return;
    }
    // `least_retired` lags: what is behind it was not written over.
    const std::uint64_t least = claim_.least_retired.load(std::memory_order_relaxed);
    if (fits(least, claim_position_) && least <= claim_position_ && leads_to_an_anchor(least)) {
      std::uint64_t at = least;
      while (at < claim_position_ && is_record(at, claim_position_) && at + span_at(at) <= retired) at += span_at(at);
      move_retired(group, fits(retired, claim_position_) && at <= retired ? at : least,
                   "the last boundary that is known to be finished; what follows comes again");
      return;
    }
    work_.gave_up("group.retired", work_.offset_of(&row.retired),
                  group_text(view_, group) + ": nothing tells what it has finished before " + number(retired) +
                      ", which cannot be: its unfinished messages are given up, it goes on at " +
                      number(claim_position_));
    row.retired.store(claim_position_, std::memory_order_release);  // release: deaths find them in this order
    IPCQ_CRASH_POINT("mend.retired");
  }

  // Where the record begins in which a position is, if records lead there from what another word says is finished.
  [[nodiscard]] std::optional<std::uint64_t> boundary_before(std::uint64_t position) const noexcept {
    std::vector<std::uint64_t> starts{claim_.least_retired.load(std::memory_order_relaxed)};
    for (std::uint32_t i = 0; i < view_.groups_max; ++i) {
      if (counts(view_.group(i))) starts.push_back(view_.group(i).retired.load(std::memory_order_relaxed));
    }
    for (std::uint64_t at : starts) {
      if (at >= position || !fits(at, claim_position_)) continue;
      while (at < position && is_record(at, claim_position_) && at + span_at(at) <= position) at += span_at(at);
      if (at < position && is_record(at, claim_position_)) return at;
    }
    return std::nullopt;
  }

  // A range that is not finished begins before `retired`, and whole records lead from there to it: believe the range.
  void lower_to_what_is_not_finished(std::uint32_t group) {
    if (is_exclusive_group(view_, group)) return;
    const std::uint64_t retired = view_.group(group).retired.load(std::memory_order_relaxed);
    std::uint64_t least = retired;
    for (std::uint32_t i = 0; i < view_.ledger_entries; ++i) {
      const auto& entry = view_.entries(group)[i];
      const std::uint64_t begin = entry.begin.load(std::memory_order_relaxed);
      if (begin >= least || entry.end.load(std::memory_order_relaxed) <= begin) continue;
      if (!is_unfinished(view_, group, entry.word.load(std::memory_order_relaxed))) continue;
      if (fits(begin, claim_position_) && leads_to(begin, retired)) least = begin;
    }
    if (least != retired) move_retired(group, least, "where a range begins that is not finished");
  }
  [[nodiscard]] bool leads_to(std::uint64_t at, std::uint64_t position) const noexcept {
    while (at < position) {
      if (!is_record(at, position) || detail::head_state(load_head(view_, at)) == RecordState::claimed) return false;
      at += span_at(at);
    }
    return true;
  }

  void move_retired(std::uint32_t group, std::uint64_t position, const std::string& why) {
    auto& row = view_.group(group);
    const std::uint64_t before = row.retired.load(std::memory_order_relaxed);
    work_.set(row.retired, position, "group.retired",
              group_text(view_, group) + ": retired was " + number(before) + ", is " + number(position) + ": " + why);
    IPCQ_CRASH_POINT("mend.retired");
  }

  // [begin, end) becomes skipped room. The later heads first: until the first one stands, the walk ends where it did.
  void give_up(std::uint64_t begin, std::uint64_t end, const std::string& why) {
    work_.gave_up("ring.tiles", work_.ring_offset(begin),
                  "the records from " + number(begin) + " to " + number(end) + ", " + number(end - begin) +
                      " bytes, cannot be read: " + why + "; whatever messages stood there are given up");
    const std::uint64_t most = std::min<std::uint64_t>(view_.capacity, detail::kClaimBytesMax - view_.alignment);
    std::vector<std::uint64_t> begins;
    for (std::uint64_t at = begin; at < end; at += most) begins.push_back(at);
    for (auto at = begins.rbegin(); at != begins.rend(); ++at) {
      const std::uint64_t span = std::min(most, end - *at);
      store_head(writable_record_at(view_, *at).head, detail::make_head(RecordState::skipped, span, 0),
                 std::memory_order_release);  // R:publish
      IPCQ_CRASH_POINT("mend.skipped");
    }
  }

  void mend_records() {
    std::uint64_t at = least_retired_of(view_);
    while (at < claim_position_) {
      const std::uint64_t anchor = anchor_behind(at);
      if (!is_record(at, claim_position_)) {
        const RecordState state = detail::head_state(load_head(view_, at));
        give_up(
            at, anchor,
            state == RecordState::none ? "no record stands at the first" : "the first one's length or state cannot be");
        at = anchor;
        continue;
      }
      const std::uint64_t end = at + span_at(at);
      // A word says that a record begins inside this one: whose walk comes to the next boundary?
      if (anchor < end && !leads_to_an_anchor(end) && leads_to_an_anchor(anchor)) {
        give_up(at, anchor, "the first one's length is not what others know");
        at = anchor;
        continue;
      }
      skip_claim(at);
      at = end;
    }
  }

  // Whether some group has come to the record: then it was no claim.
  [[nodiscard]] bool was_handed_out(std::uint64_t at) const noexcept {
    for (std::uint32_t i = 0; i < view_.groups_max; ++i) {
      const auto& row = view_.group(i);
      if (!counts(row)) continue;
      if (row.retired.load(std::memory_order_relaxed) > at) return true;
      if (is_exclusive_group(view_, i)) {
        if (row.leased_to.load(std::memory_order_relaxed) > at) return true;
        continue;
      }
      for (std::uint32_t k = 0; k < view_.ledger_entries; ++k) {
        const auto& entry = view_.entries(i)[k];
        if (word_state(entry.word.load(std::memory_order_relaxed)) == EntryState::free) continue;
        if (entry.begin.load(std::memory_order_relaxed) <= at && at < entry.end.load(std::memory_order_relaxed))
          return true;
      }
    }
    return false;
  }

  // Nobody lives, so nobody will ever commit it.
  void skip_claim(std::uint64_t at) {
    const std::uint64_t head = load_head(view_, at);
    if (detail::head_state(head) != RecordState::claimed) return;
    const std::string text = "the claim at " + number(at);
    const Owner owner = detail::head_high(head);
    const bool said = owner_row(owner) < view_.endpoints_max && owner_of_row(view_, owner_row(owner)) == owner &&
                      view_.row(owner_row(owner)).open_claim.load(std::memory_order_relaxed) == at &&
                      !was_handed_out(at);
    if (said) {
      work_.mended("ring.claim", work_.ring_offset(at), text + " was a dead one's; it is skipped");
    } else {
      work_.gave_up("ring.claim", work_.ring_offset(at),
                    text + " is of nobody who ever claimed there: whatever messages stood there are given up");
    }
    store_head(writable_record_at(view_, at).head, detail::make_head(RecordState::skipped, detail::head_length(head), 0),
               std::memory_order_release);  // R:publish
    IPCQ_CRASH_POINT("mend.skipped");
  }

  // What was published behind claim_position belongs to it (an exclusive producer's last batch, or claim_position was
  // wrong); else nothing stands there (Z).
  void mend_end() {
    const std::uint64_t limit = least_retired_of(view_) + room_;
    std::uint64_t at = claim_position_;
    const auto published = [&] {
      const RecordState state = detail::head_state(load_head(view_, at));
      const bool can_be = view_.exclusive() ? state == RecordState::committed : state != RecordState::claimed;
      return can_be && at < limit && is_record(at, limit);
    };
    while (published()) at += span_at(at);
    // An exclusive producer counts what it has published: it stands there in any case.
    if (at != claim_position_ && (view_.exclusive() || load_head(view_, at) == 0)) {
      move_claim_position(at, "published records stand up to there");
    }
    const std::uint64_t head = load_head(view_, claim_position_);
    if (head == 0) return;
    const std::string text = "the head at claim_position " + number(claim_position_) + " was " + number(head) + ", is 0";
    if (detail::head_state(head) == RecordState::committed) {
      work_.gave_up("side.end_mark", work_.ring_offset(claim_position_),
                    text + ": should a message have stood there, it is given up");
    } else {
      work_.mended("side.end_mark", work_.ring_offset(claim_position_), text);
    }
    store_head(writable_record_at(view_, claim_position_).head, 0, std::memory_order_release);  // R:publish
    IPCQ_CRASH_POINT("mend.end_mark");
  }

  // A message's run is what the heads behind it say: walks believe it.   (one store each: die before or after; derived again)
  void mend_runs() {
    for (std::uint64_t at = least_retired_of(view_); at < claim_position_; at += span_at(at)) {
      const std::uint64_t head = load_head(view_, at);
      if (detail::head_state(head) != RecordState::committed || detail::head_run(head) == 0) continue;
      const std::uint64_t span = span_at(at);
      const std::uint32_t run = detail::head_run(head);
      std::uint32_t alike = 0;
      for (std::uint64_t next = at + span; alike < run && next < claim_position_; next += span, ++alike) {
        const std::uint64_t there = load_head(view_, next);
        if (detail::head_state(there) != RecordState::committed ||
            detail::head_length(there) != detail::head_length(head))
          break;
      }
      if (alike == run) continue;
      work_.mended("ring.run", work_.ring_offset(at),
                   "the message at " + number(at) + " said that " + number(run) +
                       " more of its length follow, there are " + number(alike));
      store_head(writable_record_at(view_, at).head, detail::with_run(head, alike),
                 std::memory_order_release);  // R:publish
      IPCQ_CRASH_POINT("mend.run");
    }
  }

  void move_retired_to_boundaries() {
    const Boundaries boundaries(view_, least_retired_of(view_), claim_position_, named_positions(view_));
    for (std::uint32_t i = 0; i < view_.groups_max; ++i) {
      const auto& row = view_.group(i);
      if (!counts(row)) continue;
      const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
      const std::optional<std::uint64_t> before = boundaries.before(retired);
      if (before && *before != retired) move_retired(i, *before, "the boundary before it; what follows comes again");
    }
  }

  void mend_times() {
    const std::uint64_t now = view_.stamp();
    std::uint64_t newest = 0;
    for (std::uint64_t at = least_retired_of(view_); at < claim_position_; at += span_at(at)) {
      if (detail::head_state(load_head(view_, at)) != RecordState::committed) continue;
      const std::uint64_t time = load_time(view_, at);
      if (time >= newest && time <= now) {
        newest = time;
        continue;
      }
      work_.mended("ring.time", work_.ring_offset(at) + offsetof(detail::RecordHeader, time),
                   "the time of the record at " + number(at) + " was " + number(time) +
                       ", is that of the one before: " + number(newest));
      store_time(view_, at, newest);
      IPCQ_CRASH_POINT("mend.time");
    }
    const std::uint64_t last = claim_.last_time.load(std::memory_order_relaxed);
    if (last >= newest && last <= now) return;
    work_.set(claim_.last_time, newest, "side.last_time",
              "the newest enqueue time was " + number(last) + ", is " + number(newest) + ", that of the newest record");
    IPCQ_CRASH_POINT("mend.last_time");
  }

  void mend_side() {
    auto& close = view_.side().close;
    const std::uint64_t closed_at = close.closed_at.load(std::memory_order_relaxed);
    const bool closed = (view_.frozen().flags.load(std::memory_order_relaxed) & layout::flag::kClosed) != 0;
    const std::uint64_t end = closed ? claim_position_ : kNoPosition;
    work_.set(close.closed_at, end, closed ? "close.position" : "close.flag",
              closed
                  ? "the end of the stream was " + number(closed_at) + ", is " + number(end)
                  : "the end of the stream was " + number(closed_at) + ", but the queue is not closed: there is none");
    IPCQ_CRASH_POINT("mend.closed_at");
    const Owner owner = close.exclusive_owner.load(std::memory_order_relaxed);
    work_.set(close.exclusive_owner, Owner{0}, "side.exclusive_owner",
              "the exclusive producer was row " + number(owner_row(owner)) + ", incarnation " +
                  number(owner_incarnation(owner)) + ", which does not live: it is nobody");
    IPCQ_CRASH_POINT("mend.exclusive_owner");
    const std::uint64_t least = claim_.least_retired.load(std::memory_order_relaxed);
    const std::uint64_t should = least_retired_of(view_);
    if (least <= should && fits(least, claim_position_)) return;  // it lags, as it may
    work_.set(claim_.least_retired, should, "side.least_retired",
              "the least retired was " + number(least) + ", is " + number(should));
    IPCQ_CRASH_POINT("mend.least_retired");
  }

  RepairWork& work_;
  const View& view_;
  layout::ClaimLine& claim_;
  std::uint64_t room_;  // for what is unfinished: an end mark always has room behind it
  std::uint64_t claim_position_;
  std::vector<std::uint64_t> anchors_;
};

}  // namespace

bool mend_ring(RepairWork& work) { return RingMender(work).run(); }

}  // namespace ipcq::core
