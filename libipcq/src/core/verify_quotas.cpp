// The limits of quotas, what is owed, and which of them bind whom.
#include <cstring>
#include <string>

#include "core/look.hpp"
#include "core/number_text.hpp"
#include "core/quota_table.hpp"

// relaxed loads here are of the look's own copy.

namespace ipcq::core {
namespace {

std::string bucket_text(const layout::QuotaBucket& bucket, std::uint32_t i) {
  if (i == kQueueBucket) return "the queue's quota";
  if (i > kUserBuckets) return "the quota of row " + number(i - row_bucket(0));
  const std::uint32_t whose = bucket.whose.load(std::memory_order_relaxed);
  return whose == layout::kEachProducer ? "the quota of each producer" : "the quota of user " + number(whose);
}

void look_at_limits(Look& look, const layout::QuotaBucket& bucket, const std::string& name, bool settled) {
  for (std::size_t source = 0; source < 3; ++source) {
    const std::string whose = name + ", as of the " + to_string(static_cast<QuotaSource>(source)) + ": ";
    const auto interval = [&](const layout::AtomicU64& word) {
      const std::uint64_t value = word.load(std::memory_order_relaxed);
      if (!can_be_interval(value)) {
        look.broken("quota.interval", look.offset_of(&word),
                    whose + "an interval of " + number(value) + ", neither 0 nor one of " + number(kIntervalMin) +
                        " to " + number(kIntervalMax));
      }
      return value;
    };
    const std::uint64_t messages = interval(bucket.message_interval[source]);
    const std::uint64_t bytes = interval(bucket.byte_interval[source]);
    if (!settled) continue;
    if (messages == 0 && bucket.message_burst[source].load(std::memory_order_relaxed) != 0) {
      look.broken("quota.burst", look.offset_of(&bucket.message_burst[source]), whose + "a burst without a rate");
    }
    if (bytes == 0 && bucket.byte_burst[source].load(std::memory_order_relaxed) != 0) {
      look.broken("quota.burst", look.offset_of(&bucket.byte_burst[source]), whose + "a burst without a rate");
    }
  }
}

}  // namespace

void look_at_quotas(Look& look) {
  const View& copy = look.copy();
  const Holding table = look.holding(copy.side().table_lock.mutex);
  std::uint64_t changes = 0;  // never the same again, so that what two looks find was not two states of a change
  const QuotaTime most = quota_time(os::monotonic_ns()) + kOwedMax;
  for (std::uint32_t i = 0; i < quota_buckets(copy); ++i) {
    const layout::QuotaBucket& bucket = quota_bucket(copy, i);
    const std::string name = bucket_text(bucket, i);
    const std::uint32_t change = bucket.change.load(std::memory_order_relaxed);
    changes += change;
    const bool settled = (change & 1U) == 0 && table == Holding::nobody;
    if ((change & 1U) != 0 && table == Holding::nobody) {
      look.broken("quota.change", look.offset_of(&bucket.change),
                  name + " is being changed (" + number(change) + "), but nobody holds the endpoint table");
    } else if ((change & 1U) != 0 && table == Holding::torn) {
      look.noted("quota.change", look.offset_of(&bucket.change),
                 name + " was being changed by one who died; whoever takes the endpoint table's mutex ends that");
    }
    look_at_limits(look, bucket, name, settled);
    for (const layout::AtomicU64* word : {&bucket.message_time, &bucket.byte_time}) {
      const QuotaTime time = word->load(std::memory_order_relaxed);
      if (time <= most) continue;
      look.broken("quota.time", look.offset_of(word), name + " is owed for more than nine years");
    }
    if (i == kQueueBucket && bucket.whose.load(std::memory_order_relaxed) != 0) {
      look.broken("quota.whose", look.offset_of(&bucket.whose),
                  name + " is of user " + number(bucket.whose.load(std::memory_order_relaxed)) + ", not of all");
    }
    if (i == kQueueBucket || i > kUserBuckets || !has_limits(bucket)) continue;
    for (std::uint32_t before = 1; before < i; ++before) {
      const layout::QuotaBucket& other = quota_bucket(copy, before);
      if (!has_limits(other) ||
          other.whose.load(std::memory_order_relaxed) != bucket.whose.load(std::memory_order_relaxed))
        continue;
      look.broken("quota.whose", look.offset_of(&bucket.whose), name + " stands in two buckets");
    }
  }
  for (std::uint32_t row = 0; table != Holding::living && row < copy.endpoints_max; ++row) {
    if (!row_attached(copy, row)) continue;
    const RowQuota should = derive_row_quota(copy, row);
    const layout::AtomicU32& links = quota_bucket(copy, row_bucket(row)).whose;
    const layout::AtomicU32& flags = copy.row(row).flags;
    const bool limited = (flags.load(std::memory_order_relaxed) & layout::kLimited) != 0;
    const bool linked = links.load(std::memory_order_relaxed) == links_word(should.links);
    if (limited == should.limited && linked) continue;
    const std::uint64_t offset = linked ? look.offset_of(&flags) : look.offset_of(&links);
    const std::string text = "row " + number(row) + " is bound by other quotas than those that there are after " +
                             number(changes) + " changes";
    if (table == Holding::torn) {
      look.noted("quota.row", offset,
                 text + ": a change was broken off; whoever takes the endpoint table's mutex ends it");
    } else {
      look.broken("quota.row", offset, text);
    }
  }
  const std::uint64_t end = look.offset_of(&quota_bucket(copy, quota_buckets(copy)));
  for (std::uint64_t at = end; at < copy.control_bytes; at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, copy.control + at, sizeof word);
    if (word == 0) continue;
    look.broken("quota.zero", at, "a word behind the quotas is " + number(word) + ", not 0");
    break;
  }
}

}  // namespace ipcq::core
