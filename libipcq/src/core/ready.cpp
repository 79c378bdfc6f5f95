#include "core/ready.hpp"

#include <algorithm>
#include <array>

#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"
#include "core/ledger.hpp"
#include "core/parking.hpp"
#include "core/quota.hpp"

namespace ipcq::core {
namespace {

constexpr std::uint32_t kSkippedPerLook = 1024;

// Under the group's mutex: what lease() would do.
LeaseStep step_of_ledger(const View& view, std::uint32_t group, Ledger& ledger, LeaseTaken& look, bool& moved) noexcept {
  const std::uint32_t in_use = ledger.in_use();
  bool parked = false;
  bool only_finished = true;  // or parked
  if (!ledger.can_be()) return LeaseStep::damaged;
  for (std::uint32_t k = 0; k < in_use; ++k) {
    const std::uint64_t word = ledger.word(ledger.at(k));
    switch (word_state(word)) {
      case EntryState::redeliverable:
        return LeaseStep::leased;
      case EntryState::leased:
        if (owner_row(word_owner(word)) >= view.endpoints_max) return LeaseStep::damaged;
        only_finished = false;
        break;
      case EntryState::parked:
        parked = true;
        break;
      case EntryState::done:
        break;
      default:
        return LeaseStep::damaged;
    }
  }
  if (parked && parked_due(view, group)) return LeaseStep::leased;
  const std::uint64_t begin = ledger.lease_position();
  const Walk range = walk(view, begin, begin + view.capacity, 1, UINT64_MAX);
  look.stop = range.stop;
  look.head = range.head;
  if (range.why == WalkEnd::damaged || !can_be_range(view, ledger.retired(), range.stop)) return LeaseStep::damaged;
  if (range.messages == 0 && range.stop > begin && in_use == 0) {
    const Skipped skipped = ledger.pass_skipped(kSkippedPerLook);
    moved |= skipped.end != begin;
    if (skipped.damaged) return LeaseStep::damaged;
    if (skipped.unfinished) return LeaseStep::leased;  // the lease that follows passes the others
  }
  // At its limit the walk found a message, or more skipped records than a look goes over: the lease passes them.
  if (range.why == WalkEnd::limit) {
    return !ledger.full() || ledger.merge() ? LeaseStep::leased : LeaseStep::too_many_leases;
  }
  const std::uint64_t end = closed_at(view);
  if (end != kNoPosition && (in_use == 0 ? ledger.retired() == end : range.stop == end && only_finished))
    return LeaseStep::drained;
  if (!can_be_end(view, end, ledger.retired(), range)) return LeaseStep::damaged;
  return range.why == WalkEnd::claimed ? LeaseStep::claimed : LeaseStep::nothing;
}

// The next message is past max_deliveries.
LeaseStep step_of_exhausted(const View& view, std::uint32_t group, const ExclusiveState& state, const Walk& range,
                            bool nothing_open) noexcept {
  if (!nothing_open) return LeaseStep::too_many_leases;
  if (view.drop_after || parked_front(view.group(group), state.position) == Parked::no || parked_due(view, group))
    return LeaseStep::leased;
  const std::uint64_t end = closed_at(view);
  if (end == kNoPosition) return LeaseStep::parked;
  const Walk rest = walk(view, range.end, range.end + view.capacity, 1, UINT64_MAX);
  return rest.messages == 0 && rest.stop == end ? LeaseStep::drained : LeaseStep::parked;
}

Outcome outcome_of_flags(std::uint32_t flags) noexcept {
  if ((flags & layout::flag::kPoisoned) != 0) return Outcome::poisoned;
  if ((flags & layout::flag::kRemoved) != 0) return Outcome::removed;
  return (flags & layout::flag::kClosed) != 0 ? Outcome::closed : Outcome::ok;
}

}  // namespace

LeaseTaken look_for_messages(const View& view, std::uint32_t group, std::uint32_t incarnation) noexcept {
  LeaseTaken look;
  bool moved = false;
  switch (lock_group(view, group, 0, moved)) {
    case Locked::yes:
      break;
    case Locked::timed_out:
      look.step = LeaseStep::lock_held;
      return look;
    case Locked::poisoned:
      look.step = LeaseStep::poisoned;
      return look;
  }
  if (!group_is(view, group, incarnation)) {
    look.step = LeaseStep::group_removed;
  } else {
    Ledger ledger(view, group);
    moved |= ledger.retire();
    look.step = step_of_ledger(view, group, ledger, look, moved);
  }
  unlock_group(view, group);
  if (moved) publish_retired(view);
  return look;
}

LeaseTaken look_for_messages_exclusive(const View& view, std::uint32_t group, std::uint32_t incarnation,
                                       ExclusiveState& state, bool nothing_open) noexcept {
  LeaseTaken look;
  auto& row = view.group(group);
  if (!group_is(view, group, incarnation)) {
    look.step = LeaseStep::group_removed;
    return look;
  }
  // relaxed: as in lease_exclusive.
  if (row.owner.load(std::memory_order_relaxed) != state.owner) {
    look.step = LeaseStep::disowned;
    return look;
  }
  const Walk range = walk(view, state.position, state.position + view.capacity, 1, UINT64_MAX);
  look.stop = range.stop;
  look.head = range.head;
  const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);  // relaxed: our own word
  if (range.why == WalkEnd::damaged || !can_be_range(view, retired, range.stop)) {
    look.step = LeaseStep::damaged;
    return look;
  }
  if (range.messages == 0 && nothing_open && range.stop > retired) {
    // A:claim_position, with R:claim_position: who skips has claimed before.
    if (range.stop > view.side().claim.claim_position.load(std::memory_order_acquire)) {
      look.step = LeaseStep::damaged;
      return look;
    }
    // Only skipped records, and nothing open before them: they are finished   (one store: die before or after)
    state.position = range.stop;
    row.retired.exchange(range.stop, std::memory_order_seq_cst);  // R:retired, R:wake
    IPCQ_CRASH_POINT("xconsumer.skipped");
    notify(view.side().space);
  }
  if (range.messages > 0) {
    const bool one_by_one = state.position < state.one_by_one_to;
    const std::uint32_t before = !one_by_one ? 0 : state.position == state.counted_at ? state.deliveries : 1;
    look.step = exhausted(before, view.max_deliveries) ? step_of_exhausted(view, group, state, range, nothing_open)
                                                       : LeaseStep::leased;
    return look;
  }
  const std::uint64_t end = closed_at(view);
  const std::uint64_t finished = row.retired.load(std::memory_order_relaxed);  // relaxed: our own word
  if (range.why == WalkEnd::limit) {
    look.step = LeaseStep::leased;  // more skipped records than a look goes over: the lease passes them
  } else if (end != kNoPosition && nothing_open && finished == end) {
    look.step = LeaseStep::drained;
  } else if (!can_be_end(view, end, finished, range)) {
    look.step = LeaseStep::damaged;
  } else {
    look.step = range.why == WalkEnd::claimed ? LeaseStep::claimed : LeaseStep::nothing;
  }
  return look;
}

Outcome look_for_room(const View& view, ProducerState& producer, std::uint64_t need) noexcept {
  // relaxed, all of it: as claim() looks at its row.
  const auto& row = view.row(owner_row(producer.owner));
  if ((row.flags.load(std::memory_order_relaxed) & layout::kRevoked) != 0) return Outcome::revoked;
  if (row.incarnation.load(std::memory_order_relaxed) != owner_incarnation(producer.owner)) return Outcome::disowned;
  auto& side = view.side();
  const Outcome flags = outcome_of_flags(view.frozen().flags.load(std::memory_order_acquire));  // A:flags, with R:flags
  if (flags != Outcome::ok) return flags;
  const auto has_room = [&] {
    // relaxed: an exclusive producer's own; else a hint, and the claim looks again.
    const std::uint64_t position =
        view.exclusive() ? producer.position : side.claim.claim_position.load(std::memory_order_relaxed);
    return position + need + view.alignment <= producer.limit && producer.limit - position <= view.capacity;
  };
  if (has_room()) return Outcome::ok;
  switch (lock_producer_side(view, 0)) {
    case Locked::yes:
      break;
    case Locked::timed_out:
      return Outcome::blocked;
    case Locked::poisoned:
      return Outcome::poisoned;
  }
  // relaxed: written under the mutex only.
  const bool ours = !view.exclusive() || side.close.exclusive_owner.load(std::memory_order_relaxed) == producer.owner;
  const std::uint64_t position =
      view.exclusive() ? producer.position : side.claim.claim_position.load(std::memory_order_relaxed);
  const std::uint64_t least = refresh_least_retired(view);
  producer.limit = least + view.capacity;
  unlock_producer_side(view);
  if (!ours) return Outcome::disowned;
  if (!can_be_range(view, least, position)) {
    producer.limit = 0;
    return Outcome::damaged;
  }
  return has_room() ? Outcome::ok : Outcome::full;
}

std::int64_t quota_turn_ns(const View& view, Owner owner, std::uint64_t messages, std::uint64_t bytes) noexcept {
  // relaxed: as claim() looks at its row.
  if (view.row(owner_row(owner)).flags.load(std::memory_order_relaxed) == 0) return 0;
  const layout::QuotaBucket& own = quota_bucket(view, row_bucket(owner_row(owner)));
  const BucketLinks links = links_of(own);
  const layout::QuotaBucket* each = links.each == 0 ? nullptr : &quota_bucket(view, links.each);
  const layout::QuotaBucket* user = links.user == 0 ? nullptr : &quota_bucket(view, links.user);
  // relaxed: our own row's; a bucket that is another user's by now binds us no more.
  if (user != nullptr &&
      user->whose.load(std::memory_order_relaxed) != view.row(owner_row(owner)).uid.load(std::memory_order_relaxed))
    user = nullptr;
  const QuotaTime now = quota_time(os::monotonic_ns());
  QuotaTime ready = 0;
  const auto bind = [&](const layout::QuotaBucket& bucket, const layout::QuotaBucket* beside) {
    for (const bool of_bytes : {false, true}) {
      // A:quota, with R:quota. A change meanwhile wakes whoever waits, and he asks again.
      const QuotaTime time =
          (of_bytes ? bucket.byte_time : bucket.message_time).load(std::memory_order_acquire);  // A:quota
      Limit limit = of_bytes ? byte_limit(bucket) : message_limit(bucket);
      if (beside != nullptr) {
        const Limit other = of_bytes ? byte_limit(*beside) : message_limit(*beside);
        if (other) limit = limit ? lower(limit, other) : other;
      }
      if (!limit) continue;
      const QuotaTime cost = cost_of(of_bytes ? bytes : messages, limit.interval);
      ready = std::max(ready, turn_of(time, now, cost, limit.burst).ready);
    }
  };
  bind(quota_bucket(view, kQueueBucket), nullptr);
  if (user != nullptr) bind(*user, nullptr);
  bind(own, each);
  return quota_ns(ready);
}

}  // namespace ipcq::core
