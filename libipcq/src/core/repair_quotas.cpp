// Quotas: what cannot be is no limit.
#include <string>

#include "core/crash_point.hpp"
#include "core/number_text.hpp"
#include "core/quota_table.hpp"
#include "core/repair_parts.hpp"
#include "ipcq/quota.hpp"

// relaxed: under the table's mutex, which all writers of limits hold; what is owed is a word by itself.

namespace ipcq::core {
namespace {

// A limit that is given up says so. The rate before its burst   (die between → a burst without a rate, which goes too)
template <class Burst>
void mend_limit(RepairWork& work, layout::AtomicU64& interval, Burst& burst, const std::string& name) {
  const std::uint64_t value = interval.load(std::memory_order_relaxed);
  if (!can_be_interval(value)) {
    work.gave_up("quota.interval", work.offset_of(&interval),
                 name + " had an interval of " + number(value) + ", which none has: set it again (ipcq quota set)");
    interval.store(0, std::memory_order_release);  // R:quota, with A:quota
    IPCQ_CRASH_POINT("mend.quota");
  }
  if (interval.load(std::memory_order_relaxed) == 0 && burst.load(std::memory_order_relaxed) != 0) {
    work.set(burst, typename Burst::value_type{0}, "quota.burst", name + " had a burst without a rate: it is gone");
    IPCQ_CRASH_POINT("mend.quota");
  }
}

}  // namespace

void mend_quotas(RepairWork& work) {
  const View& view = work.view();
  bool any = false;
  const std::size_t steps_before = work.steps().size();
  const QuotaTime now = quota_time(os::monotonic_ns());
  for (std::uint32_t i = 0; i < quota_buckets(view); ++i) {
    layout::QuotaBucket& bucket = quota_bucket(view, i);
    any |= (bucket.change.load(std::memory_order_relaxed) & 1U) != 0;
    for (std::size_t source = 0; source < 3; ++source) {
      const std::string name =
          "the quota of bucket " + number(i) + ", as of the " + to_string(static_cast<QuotaSource>(source)) + ",";
      mend_limit(work, bucket.message_interval[source], bucket.message_burst[source], name);
      mend_limit(work, bucket.byte_interval[source], bucket.byte_burst[source], name);
    }
    for (layout::AtomicU64* time : {&bucket.message_time, &bucket.byte_time}) {
      if (time->load(std::memory_order_relaxed) <= now + kOwedMax) continue;
      work.set(*time, now, "quota.time", "the quota of bucket " + number(i) + " was owed for more than nine years");
      IPCQ_CRASH_POINT("mend.quota");
    }
    if (i == kQueueBucket && bucket.whose.load(std::memory_order_relaxed) != 0)
      work.set(bucket.whose, 0U, "quota.whose", "the queue's quota was of a user: it is of all");
    if (i == kQueueBucket || i > kUserBuckets || !has_limits(bucket)) continue;
    for (std::uint32_t before = 1; before < i; ++before) {
      const layout::QuotaBucket& other = quota_bucket(view, before);
      const std::uint32_t whose = bucket.whose.load(std::memory_order_relaxed);
      if (!has_limits(other) || other.whose.load(std::memory_order_relaxed) != whose) continue;
      work.gave_up("quota.whose", work.offset_of(&bucket.whose),
                   "user " + number(whose) + " had two quotas: the second is gone (ipcq quota get, quota set)");
      for (std::size_t source = 0; source < 3; ++source) {
        bucket.message_interval[source].store(0, std::memory_order_release);  // R:quota
        bucket.byte_interval[source].store(0, std::memory_order_release);     // R:quota
        bucket.message_burst[source].store(0, std::memory_order_release);     // R:quota
        bucket.byte_burst[source].store(0, std::memory_order_release);        // R:quota
      }
      IPCQ_CRASH_POINT("mend.quota");
      break;
    }
  }
  if (any)
    work.mended("quota.change", work.offset_of(&quota_bucket(view, 0).change),
                "a change of quotas was not finished: nothing is owed there");
  if (any || work.steps().size() != steps_before || !rows_are_bound_rightly(view)) finish_quota_change(view);
}

}  // namespace ipcq::core
