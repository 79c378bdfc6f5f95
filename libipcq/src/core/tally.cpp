#include "core/tally.hpp"

#include <algorithm>

#include "core/endpoints.hpp"
#include "core/ring.hpp"

namespace ipcq::core {
namespace {

// A piece that was overwritten while it was read is thrown away.
constexpr std::uint32_t kPieceHeads = 512;
// Each producer has one open. Heads that tell of more are nobody's: what is there is not counted.
constexpr std::size_t kOpenMax = 1'024;

}  // namespace

void RecordTally::Batches::add(std::uint64_t stamp, const Amount& amount) noexcept {
  if (stamp == 0) return;
  if (stamp != time) running = {};
  time = stamp;
  running += amount;
  largest = most(largest, running);
}

RecordTally::RecordTally(const View& view) : view_(view) { begin(); }

void RecordTally::begin() {
  // A:claim_position, with R:claim_position. Claims up to here have their heads; those behind it are met by the walk.
  const std::uint64_t end = view_.side().claim.claim_position.load(std::memory_order_acquire);
  if (counted_to_ != 0 && end > counted_to_) uncounted_bytes_ += end - counted_to_;
  counted_to_ = end;
  behind_ = false;
  open_.clear();
  batches_.time = 0;
  exclusive_owner_ = view_.side().close.exclusive_owner.load(std::memory_order_acquire);  // A:takeover, with R:takeover
  look_for_claims(0);
}

std::uint64_t RecordTally::pending_bytes() const noexcept {
  const std::uint64_t end = view_.side().claim.claim_position.load(std::memory_order_acquire);  // A:claim_position
  std::uint64_t sum = end > counted_to_ ? end - counted_to_ : 0;
  for (const Range& range : open_) sum += range.end - range.begin;
  return sum;
}

Amount RecordTally::seen(Owner owner) const {
  const auto found = seen_.find(owner);
  return found == seen_.end() ? Amount{} : found->second;
}

bool RecordTally::is_open(const Range& range) const noexcept {
  // relaxed: an open claim is retired by nobody; what is retired may be another's by now.
  if (range.begin < view_.side().claim.least_retired.load(std::memory_order_relaxed)) return false;
  const std::uint64_t head = peek_head(view_, range.begin);  // A:publish
  return detail::head_state(head) == RecordState::claimed && detail::head_high(head) == range.owner;
}

// Where the rows say that their claims are, from `from` on: the one moment at which a claim tells whose it is. Before the walk,
// for by the time that comes there it is committed.
void RecordTally::look_for_claims(std::uint64_t from) {
  if (view_.exclusive()) return;
  for (std::uint32_t i = 0; i < view_.endpoints_max; ++i) {
    const Owner owner = attached_owner(view_, i);
    if (owner == 0) continue;
    const std::uint64_t position = view_.row(i).open_claim.load(std::memory_order_acquire);  // A:open_claim
    if (position == kNoPosition || position < from || !can_be_position(view_, position)) continue;
    const std::uint64_t head = peek_head(view_, position);  // A:publish
    if (detail::head_state(head) != RecordState::claimed || detail::head_high(head) != owner) continue;
    const Range range{position, position + span_of(view_, head), owner, true};
    // A:claim_position, with R:claim_position: a claim that is made. Until then its maker's death makes it nobody's.
    if (range.end == position || range.end > view_.side().claim.claim_position.load(std::memory_order_acquire))
      continue;
    add_claim(range);
  }
}

void RecordTally::add_claim(const Range& claim) {
  const auto at = std::lower_bound(open_.begin(), open_.end(), claim.begin,
                                   [](const Range& one, std::uint64_t begin) { return one.begin < begin; });
  if (at != open_.end() && at->begin < claim.end) return;  // known
  if (open_.size() < kOpenMax) {
    open_.insert(at, claim);
  } else {
    uncounted_bytes_ += claim.end - claim.begin;
  }
}

void RecordTally::read(Piece& piece, std::uint64_t end, std::uint32_t heads_max) const {
  auto next = std::lower_bound(open_.begin(), open_.end(), piece.at,
                               [](const Range& one, std::uint64_t begin) { return one.begin < begin; });
  for (std::uint32_t heads = 0; heads < heads_max && piece.at < end; ++heads) {
    while (next != open_.end() && next->begin < piece.at) ++next;
    if (next != open_.end() && next->begin == piece.at) {
      piece.at = next->end;
      continue;
    }
    const std::uint64_t head = peek_head(view_, piece.at);  // A:publish
    const std::uint64_t span = span_of(view_, head);
    piece.sound = span != 0 && span <= end - piece.at;
    if (!piece.sound) return;
    std::uint64_t messages = 1;
    switch (detail::head_state(head)) {
      case RecordState::committed:
        // The first of a batch tells of those that are like it.
        messages += detail::head_run(head);
        messages = std::min(messages, (end - piece.at) / span);
        piece.amount += {messages, messages * detail::head_length(head)};
        piece.batches.add(peek_time(view_, piece.at), {messages, messages * detail::head_length(head)});
        break;
      case RecordState::claimed:
        piece.sound = !view_.exclusive() && can_be_claimed(view_, head);
        if (!piece.sound) return;
        piece.claims.push_back({piece.at, piece.at + span, detail::head_high(head), true});
        break;
      default:
        break;
    }
    piece.at += messages * span;
  }
}

// Goes on at `to`. Claims that were seen in between are counted, or lost, by themselves.
void RecordTally::lose(Range& range, std::uint64_t to) {
  std::uint64_t lost = to - range.begin;
  if (!range.claim) {
    batches_.time = 0;
    for (const Range& claim : open_) {
      if (claim.begin < to && claim.end > range.begin)
        lost -= std::min(claim.end, to) - std::max(claim.begin, range.begin);
    }
  }
  uncounted_bytes_ += lost;
  range.begin = to;
}

// Counts from the range's begin on, which follows.
void RecordTally::advance(Range& range, std::uint32_t& heads_left) {
  while (range.begin < range.end && heads_left > 0) {
    const std::uint32_t heads = std::min(heads_left, kPieceHeads);
    Piece piece{range.begin, {}, batches_, {}};
    read(piece, range.end, heads);
    heads_left -= heads;
    // relaxed: behind the loads of the heads, which acquire. Producers write to what is before it plus the capacity, and no
    // further; so what is not before it, nobody had begun to overwrite.
    const std::uint64_t least_retired = view_.side().claim.least_retired.load(std::memory_order_relaxed);
    if (range.begin < least_retired) {
      lose(range, std::min(least_retired, range.end));
      continue;
    }
    if (!piece.sound) {
      lose(range, range.end);
      return;
    }
    range.begin = std::min(piece.at, range.end);
    counted_ += piece.amount;
    if (range.owner != 0) seen_[range.owner] += piece.amount;
    if (range.claim) {
      range.amount += piece.amount;
      batches_.largest = most(batches_.largest, range.amount);
    } else {
      batches_ = piece.batches;
    }
    for (const Range& claim : piece.claims) add_claim(claim);
  }
}

void RecordTally::count() {
  look_for_claims(counted_to_);
  const Owner exclusive = view_.side().close.exclusive_owner.load(std::memory_order_acquire);   // A:takeover
  const std::uint64_t end = view_.side().claim.claim_position.load(std::memory_order_acquire);  // A:claim_position
  // Mended by hand, or damaged.
  if (end < counted_to_ || !can_be_position(view_, end)) return begin();
  std::uint32_t heads_left = kTallyHeadsMax;
  // Of those that were seen only now, the walk must step over first, also of those that are finished by now.
  for (std::size_t i = 0; i < open_.size() && open_[i].begin < counted_to_;) {
    Range range = open_[i];
    if (is_open(range)) {
      ++i;
      continue;
    }
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    advance(range, heads_left);
    if (range.begin == range.end) continue;
    open_.insert(open_.begin() + static_cast<std::ptrdiff_t>(i), range);
    ++i;
  }
  Range fresh{counted_to_, end, exclusive == exclusive_owner_ ? exclusive : 0};
  advance(fresh, heads_left);
  counted_to_ = fresh.begin;
  behind_ = heads_left == 0;
  exclusive_owner_ = exclusive;
  forget_the_gone();
}

void RecordTally::forget_the_gone() {
  std::erase_if(seen_, [this](const auto& each) {
    const Owner owner = each.first;
    return owner_row(owner) >= view_.endpoints_max || attached_owner(view_, owner_row(owner)) != owner;
  });
}

}  // namespace ipcq::core
