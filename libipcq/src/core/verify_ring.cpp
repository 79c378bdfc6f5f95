// The ring: the walk over all records from the least retired position to the end of everything claimed.
//
// Producers go on, and consumers too: what they have retired may be written over while it is looked at. So heads are read
// in batches, and a batch is judged only if afterwards no group had retired where it began; else the walk goes on from
// where the groups are now.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/groups.hpp"
#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/ring.hpp"

namespace ipcq::core {
namespace {

constexpr std::size_t kBatch = 256;
constexpr int kOutrunMax = 64;  // consumers that are always faster than the look leave nothing to look at

struct Record {
  std::uint64_t position;
  std::uint64_t head;
  std::uint64_t time;
};

class RingLook {
 public:
  explicit RingLook(Look& look)
      : look_(look),
        live_(look.live()),
        end_(look.claim_position()),
        room_(live_.capacity - live_.alignment) {  // an end mark always has room behind it
    auto& boundaries = look_.boundaries();
    std::sort(boundaries.begin(), boundaries.end(),
              [](const Boundary& a, const Boundary& b) { return a.position < b.position; });
    auto& ranges = look_.ranges();
    std::sort(ranges.begin(), ranges.end(), [](const RecordRange& a, const RecordRange& b) { return a.begin < b.begin; });
  }

  void run() {
    std::uint64_t at = least_retired();
    if (!can_be_position(live_, at) || !can_be_position(live_, end_)) return;  // both are findings by now
    const bool ahead = at > end_;
    if ((ahead && (!live_.exclusive() || at - end_ > room_)) || (!ahead && end_ - at > room_)) return;
    if (ahead) look_at_what_is_finished_and_not_counted(at);
    int outrun = 0;
    begin_at(at);
    while (!finished_) {
      if (at >= limit_) {
        const std::uint64_t head = peek_head(live_, at);
        // An exclusive producer may have got room since, and gone on.
        const std::uint64_t least = least_retired();
        if (!live_.exclusive() || least + room_ <= limit_) {
          finish(at, head);
        } else if (least > limit_ || ++outrun > kOutrunMax) {
          return;
        } else {
          limit_ = least + room_;
        }
        continue;
      }
      const std::vector<Record> batch = read(at);
      const std::uint64_t least = least_retired();
      if (least > at) {
        if (!can_be_position(live_, least) || ++outrun > kOutrunMax || least >= limit_) return;
        at = least;
        begin_at(at);
        continue;
      }
      for (const Record& record : batch) {
        if (finished_) break;
        judge_record(record);
      }
      if (!finished_) at = batch.back().position + span_of(live_, batch.back().head);
    }
  }

 private:
  // Of the segment itself: what it says only rises.
  [[nodiscard]] std::uint64_t least_retired() const noexcept {
    std::uint64_t least = UINT64_MAX;
    for (std::uint32_t i = 0; i < live_.groups_max; ++i) {
      const auto& row = live_.group(i);
      if (state_of(row) == layout::GroupState::free) continue;
      least = std::min(least, row.retired.load(std::memory_order_acquire));  // A:retired, with R:retired
    }
    return least == UINT64_MAX ? end_ : least;
  }

  void begin_at(std::uint64_t at) {
    // An exclusive producer's claim_position may lag by a batch: then the walk goes to the frontier, as far as there is room.
    limit_ = live_.exclusive() ? at + room_ : end_;
    const auto& boundaries = look_.boundaries();
    next_boundary_ = static_cast<std::size_t>(
        std::lower_bound(boundaries.begin(), boundaries.end(), at,
                         [](const Boundary& boundary, std::uint64_t from) { return boundary.position < from; }) -
        boundaries.begin());
    const auto& ranges = look_.ranges();
    next_range_ = static_cast<std::size_t>(
        std::lower_bound(ranges.begin(), ranges.end(), at,
                         [](const RecordRange& range, std::uint64_t from) { return range.begin < from; }) -
        ranges.begin());
    open_.clear();
    run_.left = 0;
  }

  // What an exclusive producer published last may be finished by all before he has counted it. His successor walks over it.
  void look_at_what_is_finished_and_not_counted(std::uint64_t least) {
    std::uint64_t at = end_;
    while (at < least) {
      const std::uint64_t head = peek_head(live_, at);
      const std::uint64_t span = detail::head_state(head) == RecordState::committed ? span_of(live_, head) : 0;
      if (span == 0 || span > least - at) break;
      at += span;
    }
    if (at == least) return;
    // As long as it is not counted he claims no more, so nothing was written over.
    const std::uint64_t now = live_.side().claim.claim_position.load(std::memory_order_acquire);  // A:claim_position
    if (now != end_) return;
    look_.broken("side.claim_position", layout::kSideOffset + offsetof(layout::Side, claim),
                 "claim_position is " + number(end_) + ", but no records lead from there to " + number(least) +
                     ", before which everything is finished");
  }

  // As many heads as can be told apart; at least one.
  [[nodiscard]] std::vector<Record> read(std::uint64_t at) const {
    std::vector<Record> batch;
    while (at < limit_ && batch.size() < kBatch) {
      batch.push_back({at, peek_head(live_, at), peek_time(live_, at)});
      const std::uint64_t span = span_of(live_, batch.back().head);
      if (span == 0 || span > limit_ - at) break;
      at += span;
    }
    return batch;
  }

  void judge_record(const Record& record) {
    const std::uint64_t span = span_of(live_, record.head);
    const RecordState state = detail::head_state(record.head);
    const std::string where = "at " + number(record.position) + " ";
    if (state == RecordState::none && live_.exclusive() && record.position >= end_) {
      finish(record.position, record.head);
      return;
    }
    // An exclusive producer publishes messages and nothing else.
    const bool uncounted = live_.exclusive() && record.position >= end_ && state == RecordState::skipped;
    if (state == RecordState::none || span == 0 || span > limit_ - record.position || uncounted) {
      const char* what = state == RecordState::none ? "nothing stands, which is before "
                         : span == 0                ? "a record stands whose length cannot be, before "
                         : uncounted                ? "skipped room stands that was never counted, before "
                                                    : "a record stands that reaches beyond ";
      look_.broken("ring.tiles", look_.ring_offset(record.position),
                   where + what + number(limit_) + " (head " + number(record.head) + ")");
      finished_ = true;
      return;
    }
    judge_run(record);
    if (state == RecordState::claimed) judge_claim(record);
    judge_time(record, state);
    judge_ranges(record, state, span);
    while (next_boundary_ < look_.boundaries().size() &&
           look_.boundaries()[next_boundary_].position < record.position + span) {
      const Boundary& boundary = look_.boundaries()[next_boundary_++];
      if (boundary.position == record.position) continue;
      look_.broken(
          boundary.invariant, boundary.offset,
          boundary.text + " at " + number(boundary.position) + ", inside the record at " + number(record.position));
    }
    if (live_.exclusive() && record.position < end_ && end_ < record.position + span) {
      look_.broken("side.claim_position", layout::kSideOffset + offsetof(layout::Side, claim),
                   "claim_position is " + number(end_) + ", inside the record at " + number(record.position));
    }
  }

  void judge_claim(const Record& record) {
    const Owner owner = detail::head_high(record.head);
    const std::string text = "at " + number(record.position) + " stands a claim of " + look_.owner_text(owner);
    const std::uint64_t offset = look_.ring_offset(record.position);
    if (live_.exclusive()) {
      look_.broken("ring.claim", offset, text + "; an exclusive producer makes no such head");
      return;
    }
    if (owner_row(owner) >= live_.endpoints_max) {
      look_.broken("ring.claim", offset, text + ", and there is no such row");
      return;
    }
    // Whoever claims says so first, and says so until the claim is dealt with: his row is not used again before.
    const auto& row = live_.row(owner_row(owner));
    const std::uint64_t open_claim = row.open_claim.load(std::memory_order_acquire);  // A:open_claim
    const bool producer = row.kind.load(std::memory_order_relaxed) ==  // relaxed: behind the claim's head
                          static_cast<std::uint32_t>(layout::RowKind::producer);
    const bool his = owner_of_row(live_, owner_row(owner)) == owner;
    const bool dead = look_.verdict(owner) == Verdict::dead;
    if (!his) {
      look_.broken("ring.claim", offset, text + ", whose row is another's by now");
    } else if (!producer || open_claim != record.position) {
      look_.broken("ring.claim", offset,
                   text + (dead ? ", who is dead" : ", who lives") +
                       (producer ? " and claimed at " + number(open_claim) : " and is no producer"));
    } else if (dead) {
      look_.noted("ring.claim", offset, text + ", who is dead; it is skipped");
    }
  }

  // Who walks believes a message's run, and reads none of the heads that it speaks of.
  void judge_run(const Record& record) {
    const bool message = detail::head_state(record.head) == RecordState::committed;
    const std::uint32_t length = detail::head_length(record.head);
    if (run_.left > 0) {
      if (!message || length != run_.length) {
        break_run("at " + number(record.position) + " in it stands none");
      } else {
        --run_.left;
      }
    }
    const std::uint32_t run = message ? detail::head_run(record.head) : 0;
    if (run > run_.left) run_ = {record.position, run, length};
  }
  void break_run(const std::string& why) {
    look_.broken("ring.run", look_.ring_offset(run_.position),
                 "the message at " + number(run_.position) + " says that more of " + number(run_.length) +
                     " bytes follow at once, but " + why);
    run_.left = 0;
  }

  void judge_ranges(const Record& record, RecordState state, std::uint64_t span) {
    const auto& ranges = look_.ranges();
    for (; next_range_ < ranges.size() && ranges[next_range_].begin <= record.position; ++next_range_) {
      open_.push_back(next_range_);
    }
    std::erase_if(open_, [&](std::size_t number_of_range) {
      const RecordRange& range = ranges[number_of_range];
      if (range.end <= record.position) return true;
      if (state == RecordState::claimed) {
        look_.broken("ledger.records", range.offset,
                     range.text + ": at " + number(record.position) + " in it stands a claim");
        return true;
      }
      if (range.end > record.position + span) return false;
      if (range.ends_with_message && state != RecordState::committed) {
        look_.broken("ledger.records", range.offset, range.text + ": it is not finished, and no message ends it");
      }
      return true;
    });
  }

  // Skipped room has no stamp of its own.
  void judge_time(const Record& record, RecordState state) {
    if (state == RecordState::skipped) return;
    if (record.time < time_) {
      look_.broken("ring.time", look_.ring_offset(record.position) + offsetof(detail::RecordHeader, time),
                   "the record at " + number(record.position) + " is of time " + number(record.time) +
                       ", before it one of " + number(time_));
      return;
    }
    time_ = record.time;
    const auto& last = live_.side().claim.last_time;
    const std::uint64_t newest = last.load(std::memory_order_relaxed);  // relaxed: stored before the head that was read
    if (time_ > newest && !late_) {
      late_ = true;
      look_.broken("side.last_time",
                   layout::kSideOffset + offsetof(layout::Side, claim) + offsetof(layout::ClaimLine, last_time),
                   "the newest enqueue time is " + number(newest) + ", but the record at " + number(record.position) +
                       " is of " + number(time_));
    }
  }

  void finish(std::uint64_t frontier, std::uint64_t head) {
    finished_ = true;
    if (run_.left > 0) break_run("the last record ends at " + number(frontier));
    for (; next_boundary_ < look_.boundaries().size(); ++next_boundary_) {
      const Boundary& boundary = look_.boundaries()[next_boundary_];
      if (boundary.position <= frontier) continue;
      look_.broken(boundary.invariant, boundary.offset,
                   boundary.text + " at " + number(boundary.position) + ", beyond the last record, which ends at " +
                       number(frontier));
    }
    if (!live_.exclusive()) return;
    if (head != 0) {
      look_.broken("side.end_mark", look_.ring_offset(frontier),
                   "the head behind the last record, at " + number(frontier) + ", is " + number(head) + ", not 0");
      return;
    }
    if (frontier <= end_) return;
    const auto& close = look_.copy().side().close;  // relaxed, both: a copy
    if (const std::uint64_t closed = close.closed_at.load(std::memory_order_relaxed); closed != kNoPosition) {
      look_.broken("close.position", layout::kSideOffset + offsetof(layout::Side, close),
                   "the stream ends at " + number(closed) + ", but published is up to " + number(frontier));
      return;
    }
    const Owner owner = close.exclusive_owner.load(std::memory_order_relaxed);
    if (owner != 0 && look_.verdict(owner) != Verdict::dead) return;  // he counts it, or has done so by now
    look_.noted("side.claim_position", layout::kSideOffset + offsetof(layout::Side, claim),
                "claim_position is " + number(end_) + ", published is up to " + number(frontier) +
                    "; the next producer, or a close, counts it");
  }

  Look& look_;
  const View& live_;
  std::uint64_t end_;
  std::uint64_t room_;
  std::uint64_t limit_ = 0;
  std::uint64_t time_ = 0;
  bool late_ = false;
  bool finished_ = false;
  std::size_t next_boundary_ = 0;
  std::size_t next_range_ = 0;
  std::vector<std::size_t> open_;  // the ranges in which the walk is
  struct Run {
    std::uint64_t position = 0;  // of the message that said so
    std::uint32_t left = 0;      // messages of its length still to come
    std::uint32_t length = 0;
  };
  Run run_;
};

}  // namespace

void look_at_ring(Look& look) { RingLook(look).run(); }

}  // namespace ipcq::core
