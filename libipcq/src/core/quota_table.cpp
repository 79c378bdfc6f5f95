#include "core/quota_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/crash_point.hpp"
#include "core/endpoints.hpp"
#include "core/event_count.hpp"

// relaxed loads of limits and links here are under the table's mutex, which all their writers hold, or for a report.

namespace ipcq::core {
namespace {

bool is_user_bucket(std::uint32_t number) noexcept { return number > kQueueBucket && number <= kUserBuckets; }

std::uint32_t whose_of(const QuotaScope& scope) noexcept {
  return scope.kind == QuotaScope::Kind::each_producer ? layout::kEachProducer : scope.number;
}

// The bucket of a user, or the first without limits; quota_buckets(): neither.
std::uint32_t find_or_choose(const View& view, const QuotaScope& scope) noexcept {
  std::uint32_t number = find_bucket(view, scope);
  if (number != quota_buckets(view)) return number;
  for (number = 1; number <= kUserBuckets; ++number) {
    if (!has_limits(quota_bucket(view, number))) return number;
  }
  return quota_buckets(view);
}

struct Words {
  std::uint64_t message_interval;
  std::uint64_t byte_interval;
  std::uint64_t byte_burst;
  std::uint32_t message_burst;

  bool operator==(const Words&) const noexcept = default;
};
Words words_of(const Quota& quota) noexcept {
  return {interval_of(quota.messages_per_second), interval_of(quota.bytes_per_second), quota.burst_bytes,
          quota.burst_messages};
}
Words words_of(const layout::QuotaBucket& bucket, std::size_t source) noexcept {
  return {bucket.message_interval[source].load(std::memory_order_relaxed),
          bucket.byte_interval[source].load(std::memory_order_relaxed),
          bucket.byte_burst[source].load(std::memory_order_relaxed),
          bucket.message_burst[source].load(std::memory_order_relaxed)};
}

// Whoever has a place in the bucket finds that it is void, and takes another; nothing is owed any more.
void forgive(layout::QuotaBucket& bucket) noexcept {
  const QuotaTime now = quota_time(os::monotonic_ns());
  bucket.message_time.store(now, std::memory_order_release);  // R:quota, with A:quota: behind the limits
  bucket.byte_time.store(now, std::memory_order_release);     // R:quota
  IPCQ_CRASH_POINT("quota.forgiven");
}

// `change` odd, and the bucket forgiven once it is even again.
void begin_change(layout::QuotaBucket& bucket) noexcept {
  const std::uint32_t change = bucket.change.load(std::memory_order_relaxed);
  bucket.change.store(change | 1U, std::memory_order_release);  // R:quota, with A:quota
  IPCQ_CRASH_POINT("quota.begun");
}
void end_change(layout::QuotaBucket& bucket) noexcept {
  const std::uint32_t change = bucket.change.load(std::memory_order_relaxed);
  bucket.change.store((change | 1U) + 1, std::memory_order_release);  // R:quota, with A:quota
  IPCQ_CRASH_POINT("quota.changed");
}

// And, if its limits are those of every row's bucket, what is owed there: that was at the old ones.
void forgive_all(const View& view, std::uint32_t number) noexcept {
  layout::QuotaBucket& bucket = quota_bucket(view, number);
  forgive(bucket);
  if (!is_user_bucket(number) || bucket.whose.load(std::memory_order_relaxed) != layout::kEachProducer) return;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    if (!row_attached(view, i)) continue;
    begin_change(quota_bucket(view, row_bucket(i)));
    forgive(quota_bucket(view, row_bucket(i)));
    end_change(quota_bucket(view, row_bucket(i)));
  }
}

// Links and flags of every row, as the limits stand. Derived: begun again after a death, it comes to the same.
void derive_rows(const View& view) noexcept {
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    if (!row_attached(view, i)) continue;
    const RowQuota quota = derive_row_quota(view, i);
    auto& links = quota_bucket(view, row_bucket(i)).whose;
    auto& flags = view.row(i).flags;
    if (links.load(std::memory_order_relaxed) != links_word(quota.links))
      links.store(links_word(quota.links), std::memory_order_release);  // R:quota, with A:quota
    const bool limited = (flags.load(std::memory_order_relaxed) & layout::kLimited) != 0;
    // relaxed: a claim begun before may still pass without.
    if (quota.limited && !limited) flags.fetch_or(layout::kLimited, std::memory_order_relaxed);
    if (!quota.limited && limited) flags.fetch_and(~layout::kLimited, std::memory_order_relaxed);
    IPCQ_CRASH_POINT("quota.row");  // die here → the repair goes on with the next
  }
}

// Under the table's mutex, nothing of it bound to anybody: a row's own limits, what was counted, and what is owed.
void clear_bucket(layout::QuotaBucket& bucket) noexcept {
  for (int source = 0; source < 3; ++source) {
    bucket.message_interval[source].store(0, std::memory_order_relaxed);
    bucket.byte_interval[source].store(0, std::memory_order_relaxed);
    bucket.byte_burst[source].store(0, std::memory_order_relaxed);
    bucket.message_burst[source].store(0, std::memory_order_relaxed);
  }
  bucket.message_time.store(0, std::memory_order_relaxed);
  bucket.byte_time.store(0, std::memory_order_relaxed);
  bucket.refusals.store(0, std::memory_order_relaxed);
  bucket.wait_ns.store(0, std::memory_order_relaxed);
}

Quota quota_in(const layout::QuotaBucket& bucket, std::size_t source) noexcept {
  const Words words = words_of(bucket, source);
  // Nine digits: what was asked for, not what its interval comes to in binary.
  const auto rounded = [](double rate) {
    if (!(rate > 0)) return 0.0;
    const double scale = std::pow(10.0, 8 - std::floor(std::log10(rate)));
    return std::round(rate * scale) / scale;
  };
  return {rounded(rate_of(words.message_interval)), rounded(rate_of(words.byte_interval)), words.message_burst,
          words.byte_burst};
}

// Messages or bytes that `limit` lets pass at once.
template <class Count>
Count burst_of(Limit limit) noexcept {
  if (!limit) return 0;
  const os::uint128 burst =
      (static_cast<os::uint128>(limit.burst) << (kIntervalShift - kQuotaTimeShift)) + limit.interval / 2;
  const os::uint128 count = burst / limit.interval;
  constexpr Count kMost = std::numeric_limits<Count>::max();
  return count > kMost ? kMost : count < 1 ? 1 : static_cast<Count>(count);
}

Quota quota_of(Limit messages, Limit bytes) noexcept {
  return {rate_of(messages.interval), rate_of(bytes.interval), burst_of<std::uint32_t>(messages),
          burst_of<std::uint64_t>(bytes)};
}

}  // namespace

const char* why_not(const Quota& quota) noexcept {
  for (const double rate : {quota.messages_per_second, quota.bytes_per_second}) {
    if (rate != 0 && !(rate >= kRateMin && rate <= kRateMax)) return "a rate must be from 1 an hour to 10^12 a second";
  }
  if (quota.burst_messages != 0 && quota.messages_per_second == 0)
    return "a burst of messages needs a rate of messages";
  if (quota.burst_bytes != 0 && quota.bytes_per_second == 0) return "a burst of bytes needs a rate of bytes";
  return nullptr;
}

bool has_limits(const layout::QuotaBucket& bucket) noexcept {
  const auto any = [](const layout::AtomicU64(&intervals)[3]) {
    return std::any_of(std::begin(intervals), std::end(intervals),
                       [](const layout::AtomicU64& one) { return one.load(std::memory_order_relaxed) != 0; });
  };
  return any(bucket.message_interval) || any(bucket.byte_interval);
}

RowQuota derive_row_quota(const View& view, std::uint32_t row) noexcept {
  RowQuota quota;
  const std::uint32_t uid = view.row(row).uid.load(std::memory_order_relaxed);
  for (std::uint32_t i = 1; i <= kUserBuckets; ++i) {
    const layout::QuotaBucket& bucket = quota_bucket(view, i);
    const std::uint32_t whose = bucket.whose.load(std::memory_order_relaxed);
    if ((whose != uid && whose != layout::kEachProducer) || !has_limits(bucket)) continue;
    (whose == layout::kEachProducer ? quota.links.each : quota.links.user) = i;
  }
  quota.limited = quota.links.user != 0 || quota.links.each != 0 || has_limits(quota_bucket(view, kQueueBucket)) ||
                  has_limits(quota_bucket(view, row_bucket(row)));
  return quota;
}

std::uint32_t find_bucket(const View& view, const QuotaScope& scope) noexcept {
  switch (scope.kind) {
    case QuotaScope::Kind::queue:
      return kQueueBucket;
    case QuotaScope::Kind::producer:
      return scope.number < view.endpoints_max ? row_bucket(scope.number) : quota_buckets(view);
    case QuotaScope::Kind::user:
    case QuotaScope::Kind::each_producer:
      break;
  }
  for (std::uint32_t i = 1; i <= kUserBuckets; ++i) {
    const layout::QuotaBucket& bucket = quota_bucket(view, i);
    if (bucket.whose.load(std::memory_order_relaxed) == whose_of(scope) && has_limits(bucket)) return i;
  }
  return quota_buckets(view);
}

// Steps, under the table's mutex.
//  1. `change` odd                (die here → the repair forgives, and `change` is even)
//  2. whose the bucket is         (die here → a bucket without limits is nobody's)
//  3. the limits: bursts, rates   (die among them → some are the new; the repair takes a burst without a rate away)
//  4. nothing is owed any more; of every producer: in each row's bucket, by its own steps 1, 4, 5       (die here → as 1)
//  5. `change` even               (die here → the repair derives the rows)
//  6. every row: which buckets bind it, and whether any          (die among them → likewise)
//  7. who waits is woken          (die here → he looks again at his next backstop)
// A claim that reads in between sees a `change` that is odd or another afterwards, and reads again.
SetQuota set_quota(const View& view, const QuotaScope& scope, QuotaSource source, const Quota& quota) noexcept {
  switch (lock_table(view, os::monotonic_ns() + 100 * kLockPatience_ns)) {
    case Locked::yes:
      break;
    case Locked::timed_out:
      return SetQuota::timed_out;
    case Locked::poisoned:
      return SetQuota::poisoned;
  }
  const auto finish = [&](SetQuota outcome) {
    unlock_table(view);
    return outcome;
  };
  if (scope.kind == QuotaScope::Kind::producer &&
      (scope.number >= view.endpoints_max || !row_attached(view, scope.number) ||
       view.row(scope.number).kind.load(std::memory_order_relaxed) !=
           static_cast<std::uint32_t>(layout::RowKind::producer))) {
    return finish(SetQuota::no_such_row);
  }
  const std::uint32_t number = find_or_choose(view, scope);
  const auto at = static_cast<std::size_t>(source);
  const Words words = words_of(quota);
  if (number == quota_buckets(view)) return finish(quota.limits() ? SetQuota::full : SetQuota::ok);
  layout::QuotaBucket& bucket = quota_bucket(view, number);
  if (words_of(bucket, at) == words) return finish(SetQuota::ok);

  begin_change(bucket);
  if (is_user_bucket(number)) {
    if (!has_limits(bucket)) clear_bucket(bucket);                   // its last user's: what was counted of him
    bucket.whose.store(whose_of(scope), std::memory_order_release);  // R:quota
    IPCQ_CRASH_POINT("quota.whose");
  }
  // R:quota, with A:quota: behind the odd `change`.
  bucket.message_burst[at].store(words.message_burst, std::memory_order_release);  // R:quota
  bucket.byte_burst[at].store(words.byte_burst, std::memory_order_release);        // R:quota
  IPCQ_CRASH_POINT("quota.bursts");
  bucket.message_interval[at].store(words.message_interval, std::memory_order_release);  // R:quota
  IPCQ_CRASH_POINT("quota.message_rate");
  bucket.byte_interval[at].store(words.byte_interval, std::memory_order_release);  // R:quota
  IPCQ_CRASH_POINT("quota.byte_rate");
  forgive_all(view, number);
  end_change(bucket);
  derive_rows(view);
  unlock_table(view);
  publish_fenced(quota_event(view));
  return SetQuota::ok;
}

void finish_quota_change(const View& view) noexcept {
  for (std::uint32_t i = 0; i < quota_buckets(view); ++i) {
    layout::QuotaBucket& bucket = quota_bucket(view, i);
    if ((bucket.change.load(std::memory_order_relaxed) & 1U) == 0) continue;
    for (std::size_t source = 0; source < 3; ++source) {
      const Words words = words_of(bucket, source);
      if (words.message_interval == 0 && words.message_burst != 0)
        bucket.message_burst[source].store(0, std::memory_order_release);  // R:quota
      if (words.byte_interval == 0 && words.byte_burst != 0)
        bucket.byte_burst[source].store(0, std::memory_order_release);  // R:quota
    }
    forgive_all(view, i);
    end_change(bucket);
  }
  derive_rows(view);
}

bool rows_are_bound_rightly(const View& view) noexcept {
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    if (!row_attached(view, i)) continue;
    const RowQuota quota = derive_row_quota(view, i);
    const bool limited = (view.row(i).flags.load(std::memory_order_relaxed) & layout::kLimited) != 0;
    if (limited != quota.limited ||
        quota_bucket(view, row_bucket(i)).whose.load(std::memory_order_relaxed) != links_word(quota.links))
      return false;
  }
  return true;
}

bool begin_row_quota(const View& view, std::uint32_t row) noexcept {
  layout::QuotaBucket& bucket = quota_bucket(view, row_bucket(row));
  // Its last endpoint's claims know it by `change`   (die among these → a free row's bucket; whoever attaches begins again)
  clear_bucket(bucket);
  end_change(bucket);
  const RowQuota quota = derive_row_quota(view, row);
  bucket.whose.store(links_word(quota.links), std::memory_order_release);  // R:quota, with A:quota
  return quota.limited;
}

QuotaInfo quota_info(const View& view, std::uint32_t number, const QuotaScope& scope) {
  const layout::QuotaBucket& bucket = quota_bucket(view, number);
  QuotaInfo info;
  info.scope = scope;
  const Limit messages = message_limit(bucket);
  const Limit bytes = byte_limit(bucket);
  for (std::size_t source = 0; source < 3; ++source) {
    info.limits[source] = quota_in(bucket, source);
    const Words words = words_of(bucket, source);
    const Limit of_messages = make_limit(words.message_interval, words.message_burst);
    const Limit of_bytes = make_limit(words.byte_interval, words.byte_burst);
    if (!info.messages_by && messages && of_messages.interval == messages.interval &&
        of_messages.burst == messages.burst) {
      info.messages_by = static_cast<QuotaSource>(source);
      info.holds.messages_per_second = info.limits[source].messages_per_second;
      info.holds.burst_messages = burst_of<std::uint32_t>(messages);
    }
    if (!info.bytes_by && bytes && of_bytes.interval == bytes.interval && of_bytes.burst == bytes.burst) {
      info.bytes_by = static_cast<QuotaSource>(source);
      info.holds.bytes_per_second = info.limits[source].bytes_per_second;
      info.holds.burst_bytes = burst_of<std::uint64_t>(bytes);
    }
  }
  if (scope.kind == QuotaScope::Kind::each_producer) return info;
  const QuotaTime now = quota_time(os::monotonic_ns());
  for (const layout::AtomicU64* word : {&bucket.message_time, &bucket.byte_time}) {
    const QuotaTime time = word->load(std::memory_order_relaxed);
    if (time > now) info.owed_ns = std::max(info.owed_ns, static_cast<std::uint64_t>(quota_ns(time - now)));
  }
  info.refusals = bucket.refusals.load(std::memory_order_relaxed);
  info.wait_ns = bucket.wait_ns.load(std::memory_order_relaxed);
  return info;
}

Quota quota_of_row(const View& view, std::uint32_t row) noexcept {
  const layout::QuotaBucket& own = quota_bucket(view, row_bucket(row));
  const BucketLinks links = links_of(own);
  Limit messages;
  Limit bytes;
  const auto bind = [&](std::uint32_t number) {
    const layout::QuotaBucket& bucket = quota_bucket(view, number);
    if (const Limit limit = message_limit(bucket); limit) messages = messages ? lower(messages, limit) : limit;
    if (const Limit limit = byte_limit(bucket); limit) bytes = bytes ? lower(bytes, limit) : limit;
  };
  bind(kQueueBucket);
  if (links.user != 0) bind(links.user);
  if (links.each != 0) bind(links.each);
  bind(row_bucket(row));
  return quota_of(messages, bytes);
}

}  // namespace ipcq::core
