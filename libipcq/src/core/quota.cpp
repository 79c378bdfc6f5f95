#include "core/quota.hpp"

#include <algorithm>

#include "core/crash_point.hpp"

namespace ipcq::core {
namespace {

// A change of limits at every try: then what was read is as good as any.
constexpr int kPaymentsMax = 4;

template <class Burst>
Limit lowest(const layout::AtomicU64 (&intervals)[3], const Burst (&bursts)[3]) noexcept {
  Limit limit;
  for (int source = 0; source < 3; ++source) {
    // acquire: `change` is looked at again behind them. A:quota, with R:quota
    const std::uint64_t interval = intervals[source].load(std::memory_order_acquire);
    if (interval < limit.interval || !can_be_interval(interval) || interval == 0) continue;
    const Limit one = make_limit(interval, bursts[source].load(std::memory_order_acquire));  // A:quota
    limit = limit ? lower(limit, one) : one;
  }
  return limit;
}

// Gives `paid` back, unless the bucket was changed meanwhile: that forgave it.
void give_back(layout::AtomicU64& word, const layout::AtomicU32& change, std::uint32_t change_seen,
               QuotaTime paid) noexcept {
  // The time before the change: who sees a forgiven time sees that there was a change.
  QuotaTime time = word.load(std::memory_order_acquire);  // A:quota, with R:quota
  do {
    if (change.load(std::memory_order_acquire) != change_seen) return;  // A:quota, with R:quota
  } while (!word.compare_exchange_weak(time, time > paid ? time - paid : 0,
                                       std::memory_order_acq_rel));  // R:quota, with A:quota
  IPCQ_CRASH_POINT("debit.given_back");                              // die here → what is left was paid for nothing
}

}  // namespace

Limit message_limit(const layout::QuotaBucket& bucket) noexcept {
  return lowest(bucket.message_interval, bucket.message_burst);
}
Limit byte_limit(const layout::QuotaBucket& bucket) noexcept { return lowest(bucket.byte_interval, bucket.byte_burst); }

void Debit::ask(std::uint64_t messages, std::uint64_t bytes, std::int64_t latest_ns) noexcept {
  messages_ = messages;
  bytes_ = bytes;
  latest_ns_ = latest_ns;
  shares_count_ = 0;  // of a claim that was never settled: it stays paid
  asked_ = true;
}

// Steps of a claim that is bound.
//  1. each bucket's time goes on by the cost, until one refuses   (die between → paid for nothing; nobody gives it back)
//  2. refused: those before get theirs back, each by one exchange (die between → as above)
//  3. the claim is over: what it did not use is given back        (die between → as above)
bool Debit::pass(const View& view, Owner owner) noexcept {
  expected_ = true;
  if (!asked_) return false;
  const std::int64_t now_ns = os::monotonic_ns();
  if (shares_count_ > 0 && !stands()) shares_count_ = 0;  // the change forgave everything
  if (shares_count_ == 0) {
    Taken taken = Taken::changed;
    for (int tries = 0; taken == Taken::changed && tries < kPaymentsMax; ++tries) taken = take_all(view, owner, now_ns);
    if (taken == Taken::refused) return false;
    if (shares_count_ == 0) expected_ = false;  // what bound us was taken away just now
  }
  retry_after_ns_ = std::max<std::int64_t>(ready_ns_ - now_ns, 0);
  if (shares_count_ > 0 && ready_ns_ > now_ns) return false;
  asked_ = false;
  return true;
}

Debit::Taken Debit::take_all(const View& view, Owner owner, std::int64_t now_ns) noexcept {
  const QuotaTime now = quota_time(now_ns);
  ready_ns_ = 0;
  slack_ns_ = INT64_MAX;
  layout::QuotaBucket& own = quota_bucket(view, row_bucket(owner_row(owner)));
  const BucketLinks links = links_of(own);
  const layout::QuotaBucket* each = links.each == 0 ? nullptr : &quota_bucket(view, links.each);
  layout::QuotaBucket* user = links.user == 0 ? nullptr : &quota_bucket(view, links.user);
  // relaxed: our own row's; a bucket that is another user's by now binds us no more.
  if (user != nullptr &&
      user->whose.load(std::memory_order_relaxed) != view.row(owner_row(owner)).uid.load(std::memory_order_relaxed)) {
    user = nullptr;
  }
  struct Bucket {
    layout::QuotaBucket* bucket;
    const layout::QuotaBucket* beside;  // whose limits hold too
  };
  const std::array<Bucket, 3> buckets{{{&quota_bucket(view, kQueueBucket), nullptr}, {user, nullptr}, {&own, each}}};
  Taken outcome = Taken::yes;
  for (const Bucket& one : buckets) {
    if (one.bucket == nullptr) continue;
    for (const bool of_bytes : {false, true}) {
      // Behind a refusal the others are only asked, for the time at which all would let it pass.
      const Taken taken = take(*one.bucket, one.beside, now, of_bytes, outcome == Taken::yes);
      if (taken == Taken::changed) {
        give_back_all();
        return taken;
      }
      if (taken == Taken::refused) outcome = taken;
    }
  }
  if (outcome == Taken::refused) {
    retry_after_ns_ = std::max<std::int64_t>(ready_ns_ - now_ns, 1);
    give_back_all();
  }
  return outcome;
}

// One bucket's messages or bytes.
Debit::Taken Debit::take(layout::QuotaBucket& bucket, const layout::QuotaBucket* beside, QuotaTime now, bool of_bytes,
                         bool pay) noexcept {
  layout::AtomicU64& word = of_bytes ? bucket.byte_time : bucket.message_time;
  const QuotaTime latest = std::max(now, quota_time(latest_ns_));
  for (;;) {
    const std::uint32_t change = bucket.change.load(std::memory_order_acquire);  // A:quota, with R:quota
    QuotaTime time = word.load(std::memory_order_acquire);                       // A:quota, with R:quota
    Limit limit = of_bytes ? byte_limit(bucket) : message_limit(bucket);
    if (beside != nullptr) {
      const Limit other = of_bytes ? byte_limit(*beside) : message_limit(*beside);
      if (other) limit = limit ? lower(limit, other) : other;
    }
    if (bucket.change.load(std::memory_order_acquire) != change) return Taken::changed;  // A:quota, with R:quota
    if (!limit) return Taken::yes;
    const QuotaTime cost = cost_of(of_bytes ? bytes_ : messages_, limit.interval);
    const Turn turn = turn_of(time, now, cost, limit.burst);
    ready_ns_ = std::max(ready_ns_, quota_ns(turn.ready));
    if (turn.ready > latest) return Taken::refused;
    if (!pay) return Taken::yes;
    if (!word.compare_exchange_weak(time, turn.after, std::memory_order_acq_rel)) continue;  // R:quota, with A:quota
    IPCQ_CRASH_POINT("debit.paid");  // die here → paid for nothing
    slack_ns_ = std::min(slack_ns_, quota_ns(limit.burst) + quota_ns(turn.paid));
    shares_[shares_count_++] = {&word, &bucket.change, change, of_bytes, limit.interval, turn.paid, turn.after};
    // Changed in between: the exchange was made from a time of before, so the change forgave it, or will.
    return bucket.change.load(std::memory_order_acquire) == change ? Taken::yes : Taken::changed;  // A:quota, with R:quota
  }
}

bool Debit::stands() const noexcept {
  return std::all_of(shares_.begin(), shares_.begin() + shares_count_, [](const Share& share) {
    return share.change->load(std::memory_order_acquire) == share.change_seen;  // A:quota, with R:quota
  });
}

void Debit::give_back_all() noexcept {
  while (shares_count_ > 0) {
    const Share& share = shares_[--shares_count_];
    give_back(*share.time, *share.change, share.change_seen, share.paid);
  }
}

void Debit::settle(std::uint64_t messages, std::uint64_t bytes) noexcept {
  while (shares_count_ > 0) {
    const Share& share = shares_[--shares_count_];
    const QuotaTime used = cost_of(share.of_bytes ? bytes : messages, share.interval);
    if (used < share.paid) give_back(*share.time, *share.change, share.change_seen, share.paid - used);
  }
}

void Debit::give_up() noexcept {
  asked_ = false;
  if (shares_count_ == 0) return;
  if (os::monotonic_ns() >= ready_ns_) {
    give_back_all();
    return;
  }
  while (shares_count_ > 0) {
    const Share& share = shares_[--shares_count_];
    QuotaTime last = share.after;
    // Nobody stands behind it: else the time is another. A change made it another too.
    share.time->compare_exchange_strong(last, last - share.paid, std::memory_order_acq_rel);  // R:quota, with A:quota
    IPCQ_CRASH_POINT("debit.given_back");  // die here → what is left was paid for nothing
  }
}

void Debit::count_refusal(const View& view, Owner owner) noexcept {
  layout::QuotaBucket& own = quota_bucket(view, row_bucket(owner_row(owner)));
  // relaxed: statistics.
  own.refusals.fetch_add(1, std::memory_order_relaxed);
  quota_bucket(view, kQueueBucket).refusals.fetch_add(1, std::memory_order_relaxed);
  if (const std::uint32_t user = links_of(own).user; user != 0)
    quota_bucket(view, user).refusals.fetch_add(1, std::memory_order_relaxed);
}

void Debit::count_wait(const View& view, Owner owner, std::uint64_t ns) noexcept {
  layout::QuotaBucket& own = quota_bucket(view, row_bucket(owner_row(owner)));
  // relaxed: statistics.
  own.wait_ns.fetch_add(ns, std::memory_order_relaxed);
  quota_bucket(view, kQueueBucket).wait_ns.fetch_add(ns, std::memory_order_relaxed);
  if (const std::uint32_t user = links_of(own).user; user != 0)
    quota_bucket(view, user).wait_ns.fetch_add(ns, std::memory_order_relaxed);
}

}  // namespace ipcq::core
