#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "api/inspection.hpp"
#include "core/closing.hpp"
#include "core/endpoints.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/parking.hpp"
#include "core/quota.hpp"
#include "core/ring.hpp"
#include "core/stats.hpp"
#include "ipcq/admin.hpp"

// An observer: it reads words that change under it, each atomically, and checks afterwards what must still hold. All
// relaxed loads here are of figures that are right by themselves; nothing is concluded from two of them together.

namespace ipcq {

const char* to_string(Life life) noexcept {
  switch (life) {
    case Life::alive:
      return "alive";
    case Life::dead:
      return "dead";
    case Life::lost_life_lock:
      return "lost_life_lock";
  }
  return "unknown";
}
const char* to_string(ProducerMode mode) noexcept { return mode == ProducerMode::exclusive ? "exclusive" : "shared"; }
const char* to_string(ConsumerMode mode) noexcept { return mode == ConsumerMode::exclusive ? "exclusive" : "shared"; }
const char* to_string(Overflow overflow) noexcept {
  switch (overflow) {
    case Overflow::block:
      return "block";
    case Overflow::reject:
      return "reject";
    case Overflow::drop_oldest:
      return "drop-oldest";
  }
  return "unknown";
}
const char* to_string(Start start) noexcept { return start == Start::newest ? "newest" : "oldest"; }
const char* to_string(Lifetime lifetime) noexcept {
  return lifetime == Lifetime::ephemeral ? "ephemeral" : "persistent";
}

namespace detail {
namespace {

using core::View;

std::uint64_t get(const layout::AtomicU64& value) noexcept { return value.load(std::memory_order_relaxed); }
std::uint32_t get(const layout::AtomicU32& value) noexcept { return value.load(std::memory_order_relaxed); }

Life life_of(const View& view, core::Owner owner) noexcept {
  switch (core::judge(view, owner)) {
    case core::Verdict::alive:
      return Life::alive;
    case core::Verdict::dead:
      return Life::dead;
    case core::Verdict::lost_life_lock:
      return Life::lost_life_lock;
  }
  return Life::alive;
}

std::string name_of(const layout::GroupRow& row) { return std::string(core::GroupName(row).view()); }

EndpointInfo endpoint_info(const View& view, std::uint32_t number) {
  const auto& row = view.row(number);
  EndpointInfo info;
  const core::Owner owner = core::owner_of_row(view, number);
  info.row = number;
  info.incarnation = core::owner_incarnation(owner);
  info.producer = get(row.kind) == static_cast<std::uint32_t>(layout::RowKind::producer);
  info.pid = get(row.pid);
  info.uid = get(row.uid);
  info.command = os::command_of(info.pid);
  info.life = life_of(view, owner);
  info.revoked = (get(row.flags) & layout::kRevoked) != 0;
  const auto now = static_cast<std::uint64_t>(os::monotonic_ns());
  const std::uint64_t attached = get(row.attached_ns);
  info.attached_ns = now > attached ? now - attached : 0;
  const auto& counters = info.producer ? row.produced : row.consumed;
  info.messages = get(counters.messages) - get(row.base.messages);
  info.bytes = get(counters.bytes) - get(row.base.bytes);
  info.batches = get(counters.batches) - get(row.base.batches);
  info.waits = get(counters.waits) - get(row.base.waits);
  info.refusals = get(counters.refusals) - get(row.base.refusals);
  const layout::QuotaBucket& bucket = core::quota_bucket(view, core::row_bucket(number));
  info.quota_refusals = get(bucket.refusals);
  info.quota_wait_ns = get(bucket.wait_ns);
  if (!info.producer) {
    const std::uint32_t group = get(row.group);
    if (group < view.groups_max) info.group = name_of(view.group(group));
    return info;
  }
  const std::uint64_t position = get(row.open_claim);
  if (position == core::kNoPosition || (position & (view.alignment - 1)) != 0) return info;
  const std::uint64_t head = core::peek_head(view, position);
  const bool shared_claim = detail::head_state(head) == core::RecordState::claimed && detail::head_high(head) == owner;
  if (shared_claim) {
    const std::uint64_t time = core::peek_time(view, position);
    info.open_claim = ClaimInfo{position, detail::head_length(head), view.stamp_difference_ns(time, view.stamp())};
  } else if (view.exclusive()) {
    info.open_claim = ClaimInfo{position, 0, view.stamp_difference_ns(get(view.side().claim.last_time), view.stamp())};
  }
  return info;
}

LatencyInfo latency_info(const layout::Histogram& histogram) {
  LatencyInfo info;
  std::uint64_t total = 0;
  std::uint64_t counts[layout::kHistogramBuckets];
  for (std::uint32_t i = 0; i < layout::kHistogramBuckets; ++i) total += counts[i] = get(histogram.buckets[i]);
  info.messages = total;
  if (total == 0) return info;
  info.max_ns = get(histogram.max_ns);
  info.mean_ns = static_cast<double>(get(histogram.sum_ns)) / static_cast<double>(total);
  const auto quantile = [&](double q) {
    const auto rank = static_cast<std::uint64_t>(q * static_cast<double>(total - 1));
    std::uint64_t seen = 0;
    for (std::uint32_t i = 0; i < layout::kHistogramBuckets; ++i) {
      seen += counts[i];
      if (seen <= rank) continue;
      // The middle of the bucket: within half its width, and never more than what was seen at most.
      const std::uint64_t floor = core::bucket_floor_ns(i);
      return std::min(floor + (core::bucket_floor_ns(i + 1) - floor) / 2, info.max_ns);
    }
    return info.max_ns;
  };
  info.p50_ns = quantile(0.5);
  info.p90_ns = quantile(0.9);
  info.p99_ns = quantile(0.99);
  info.p999_ns = quantile(0.999);
  return info;
}

// What members have finished but nobody has retired yet: acks take no lock. In order of begin.
std::vector<std::pair<std::uint64_t, std::uint64_t>> done_ranges(const View& view, std::uint32_t number) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (std::uint32_t i = 0; i < view.ledger_entries; ++i) {
    const layout::LedgerEntry& entry = view.entries(number)[i];
    const std::uint64_t word = entry.word.load(std::memory_order_acquire);  // A:ack, with R:ack
    if (core::word_state(word) != core::EntryState::done) continue;
    ranges.emplace_back(get(entry.begin), get(entry.end));
  }
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

// Counts committed records from `begin`; false if the group retired past us meanwhile, that is, we may have read what a
// producer was writing anew.
bool count_messages(const View& view, std::uint32_t number, GroupInfo& info, std::uint64_t begin, std::uint64_t end) {
  const auto& row = view.group(number);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> done;
  if (info.consumers == ConsumerMode::shared) done = done_ranges(view, number);
  auto next_done = done.begin();
  info.depth_messages = 0;
  info.depth_exact = true;
  info.oldest_age_ns = 0;
  bool first = true;
  std::uint64_t records = 0;
  for (std::uint64_t at = begin; at < end || view.exclusive(); ++records) {
    if (!core::can_be_position(view, at)) break;
    while (next_done != done.end() && next_done->first < at) ++next_done;
    if (next_done != done.end() && next_done->first == at && next_done->second > at &&
        next_done->second - begin <= view.capacity) {
      at = next_done->second;
      if (first) info.depth_bytes = end > at ? std::min(end - at, view.capacity) : 0;
      continue;
    }
    if (records == kInspectRecordsMax) {
      info.depth_exact = false;
      break;
    }
    const std::uint64_t head = core::peek_head(view, at);
    const std::uint64_t span = core::span_of(view, head);
    if (span == 0 || at + span - begin > view.capacity) break;
    if (detail::head_state(head) == core::RecordState::committed) {
      if (first) info.oldest_age_ns = view.stamp_difference_ns(core::peek_time(view, at), view.stamp());
      first = false;
      ++info.depth_messages;
    }
    at += span;
  }
  // acquire: after the loads above, as far as they could be mixed up.
  return row.retired.load(std::memory_order_acquire) == begin;  // A:retired, with R:retired
}

const char* reason_text(core::Parked why) noexcept {
  switch (why) {
    case core::Parked::missing:
      return "missing";
    case core::Parked::not_writable:
      return "not writable";
    case core::Parked::full:
      return "full";
    case core::Parked::too_big:
      return "message too large";
    case core::Parked::closed:
      return "closed";
    case core::Parked::refused:
      return "no row free";
    default:
      return "unusable";
  }
}

// Messages of a parked range, looked at without a lock.
std::uint32_t count_parked(const View& view, std::uint64_t begin, std::uint64_t end) {
  std::uint32_t messages = 0;
  std::uint64_t records = 0;
  if (!core::can_be_position(view, begin)) return 0;  // damage: whoever leases says so
  for (std::uint64_t at = begin; at < end && records < kInspectRecordsMax; ++records) {
    const std::uint64_t head = core::peek_head(view, at);
    const std::uint64_t span = core::span_of(view, head);
    if (span == 0 || at + span - begin > view.capacity) break;
    if (detail::head_state(head) == core::RecordState::committed) ++messages;
    at += span;
  }
  return messages;
}

void add_leases(const View& view, std::uint32_t number, GroupInfo& info) {
  for (std::uint32_t i = 0; i < view.ledger_entries; ++i) {
    const layout::LedgerEntry& entry = view.entries(number)[i];
    const std::uint64_t word = entry.word.load(std::memory_order_acquire);  // A:ack, with R:ack
    const core::EntryState state = core::word_state(word);
    if (state != core::EntryState::leased && state != core::EntryState::redeliverable && state != core::EntryState::parked)
      continue;
    LeaseInfo lease;
    lease.state = state == core::EntryState::leased   ? "leased"
                  : state == core::EntryState::parked ? "parked"
                                                      : "redeliverable";
    lease.begin = get(entry.begin);
    lease.end = get(entry.end);
    lease.deliveries = core::word_deliveries(word);
    if (state == core::EntryState::leased) {
      const std::uint32_t row = core::owner_row(core::word_owner(word));
      lease.row = row;
      if (row < view.endpoints_max) {
        lease.pid = get(view.row(row).pid);
        lease.command = os::command_of(lease.pid);
      }
      lease.age_ns = view.stamp_difference_ns(get(entry.leased_at), view.stamp());
    }
    std::uint32_t parked = 0;
    if (state == core::EntryState::parked) {
      lease.reason = reason_text(static_cast<core::Parked>(core::word_owner(word)));
      parked = count_parked(view, lease.begin, lease.end);
    }
    if (entry.word.load(std::memory_order_acquire) != word) continue;  // A:ack: it changed while we read
    info.parked_messages += parked;
    info.leases.push_back(std::move(lease));
  }
  std::sort(info.leases.begin(), info.leases.end(),
            [](const LeaseInfo& a, const LeaseInfo& b) { return a.begin < b.begin; });
}

// What an exclusive group's consumer has, and what came back: both as derived from its few words.
void add_exclusive_leases(const View& view, std::uint32_t number, GroupInfo& info) {
  const auto& row = view.group(number);
  const core::Owner owner = get(row.owner);
  const std::uint64_t leased_to = get(row.leased_to);
  const std::uint64_t again_to = get(row.again_to);
  LeaseInfo lease;
  lease.begin = info.retired;
  lease.deliveries = again_to <= info.retired                    ? 0
                     : get(row.takeover_retired) == info.retired ? std::max(get(row.takeover_count), 1U)
                                                                 : 1;
  if (owner != 0 && leased_to > info.retired) {
    lease.state = "leased";
    lease.end = leased_to;
    lease.row = core::owner_row(owner);
    if (lease.row < view.endpoints_max) {
      lease.pid = get(view.row(lease.row).pid);
      lease.command = os::command_of(lease.pid);
    }
    info.leases.push_back(lease);
    lease.deliveries = 1;
  } else if (const core::Parked why = core::parked_front(row, info.retired); why != core::Parked::no) {
    lease.state = "parked";
    lease.reason = reason_text(why);
    // Of no record's place (damage) nothing is read.
    const bool can_be = core::can_be_position(view, info.retired);
    lease.end = info.retired + (can_be ? core::span_of(view, core::peek_head(view, info.retired)) : 0);
    info.parked_messages = 1;
    info.leases.push_back(lease);
    lease.reason.clear();
    lease.deliveries = 1;
  } else {
    lease.end = info.retired;
  }
  if (again_to <= lease.end) return;
  lease.begin = lease.end;
  lease.end = again_to;
  lease.state = "redeliverable";
  lease.row = lease.pid = 0;
  lease.command.clear();
  info.leases.push_back(std::move(lease));
}

GroupInfo group_info(const View& view, std::uint32_t number, std::uint64_t end,
                     const std::vector<EndpointInfo>& endpoints) {
  const auto& row = view.group(number);
  GroupInfo info;
  info.name = name_of(row);
  info.row = number;
  info.start = static_cast<Start>(row.start.load(std::memory_order_relaxed));
  info.overflow = static_cast<Overflow>(row.overflow.load(std::memory_order_relaxed));
  info.consumers = static_cast<ConsumerMode>(row.consumers.load(std::memory_order_relaxed));
  info.lifetime = static_cast<Lifetime>(row.lifetime.load(std::memory_order_relaxed));
  for (int attempt = 0; attempt < 8; ++attempt) {
    info.retired = row.retired.load(std::memory_order_acquire);  // A:retired, with R:retired
    // claim_position may be read before a retire that we see: depth is never less than nothing.
    info.depth_bytes = end > info.retired ? std::min(end - info.retired, view.capacity) : 0;
    if (count_messages(view, number, info, info.retired, end)) break;
    if (attempt == 7) info.depth_exact = false;
  }
  // Attached time of its consumers, the living ones: what they process in is the article's availability.
  double attached_ns = 0;
  double processing_ns = 0;
  for (const EndpointInfo& endpoint : endpoints) {
    if (endpoint.producer || endpoint.group != info.name || endpoint.life == Life::dead) continue;
    ++info.members;
    const auto& counters = view.row(endpoint.row).consumed;
    const std::uint64_t ticks = get(counters.processing_ticks) - get(view.row(endpoint.row).base.processing_ticks);
    processing_ns += static_cast<double>(view.stamp_difference_ns(1, ticks + 1));
    attached_ns += static_cast<double>(endpoint.attached_ns);
  }
  info.availability = attached_ns > 0 ? std::min(1.0, processing_ns / attached_ns) : 0;
  info.unattended = info.depth_messages > 0 && info.members == 0;
  info.leased_messages = get(row.leased_messages);
  info.redelivered_messages = get(row.redelivered_messages);
  info.dropped_messages = get(row.dropped_messages);
  info.recovered_leases = get(row.recovered_leases);
  info.dead_lettered_messages = get(row.dead_lettered_messages);
  info.purged_messages = get(row.purged_messages);
  if (info.consumers == ConsumerMode::shared) {
    add_leases(view, number, info);
  } else {
    add_exclusive_leases(view, number, info);
  }
  const auto& histograms = view.histograms(number);
  info.queue = latency_info(histograms.queue);
  info.transfer = latency_info(histograms.transfer);
  info.processing = latency_info(histograms.processing);
  info.latency = latency_info(histograms.latency);
  return info;
}

const char* clock_text(layout::ClockKind clock) noexcept {
  switch (clock) {
    case layout::ClockKind::tsc:
      return "tsc";
    case layout::ClockKind::monotonic:
      return "monotonic";
    default:
      return "off";
  }
}

}  // namespace

QueueInfo inspect_segment(const Segment& segment) {
  const View& view = segment.view();
  const layout::Header& header = segment.header().header;
  QueueInfo info;
  info.name = segment.place().name;
  info.path = segment.place().path;
  info.layout_version = segment.header().layout_version;
  info.segment_bytes = segment.header().segment_bytes;
  info.capacity_bytes = view.capacity;
  info.message_bytes_max = view.message_bytes_max;
  struct stat file {};
  if (::fstat(view.fd, &file) == 0) {
    info.owner = file.st_uid;
    info.file_group = file.st_gid;
    info.mode = file.st_mode & 07777;
  }
  info.created_unix_ns = segment.header().created_unix_ns;
  info.producers = view.producers;
  info.overflow = static_cast<Overflow>(header.overflow);
  info.consumers = static_cast<ConsumerMode>(header.consumers);
  info.type = header.type;
  info.alignment_bytes = header.alignment;
  info.timestamps = header.clock != layout::ClockKind::off;
  info.metrics = header.metrics != 0;
  info.clock = clock_text(header.clock);
  info.max_deliveries = header.max_deliveries;
  info.dead_letter = header.dead_letter;
  info.drop_after = header.drop_after != 0;
  info.lifetime =
      header.lifetime == static_cast<std::uint8_t>(Lifetime::ephemeral) ? Lifetime::ephemeral : Lifetime::persistent;
  info.grace_ns = std::uint64_t{header.grace_s} * 1'000'000'000;
  info.endpoints_max = view.endpoints_max;
  info.groups_max = view.groups_max;
  info.ledger_entries = view.ledger_entries;
  const std::uint32_t flags = get(view.frozen().flags);
  info.closed = (flags & layout::flag::kClosed) != 0;
  info.removed = (flags & layout::flag::kRemoved) != 0;
  info.poisoned = (flags & layout::flag::kPoisoned) != 0;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    if (core::row_attached(view, i)) info.endpoints.push_back(endpoint_info(view, i));
    info.messages += get(view.row(i).produced.messages);
    info.bytes += get(view.row(i).produced.bytes);
  }
  info.abandoned_claims = get(view.side().close.abandoned_claims);
  info.recoveries = get(view.side().close.recoveries);
  info.quota_refusals = get(core::quota_bucket(view, core::kQueueBucket).refusals);
  info.quota_wait_ns = get(core::quota_bucket(view, core::kQueueBucket).wait_ns);
  info.quotas = quota_infos(view);
  // A:claim_position, with R:claim_position. Clamped: an exclusive one may lag what a consumer has finished.
  info.claim_position = view.side().claim.claim_position.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const auto& row = view.group(i);
    if (core::state_of(row) != layout::GroupState::active) continue;
    info.claim_position = std::max(info.claim_position, get(row.retired));
  }
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const auto& row = view.group(i);
    if (core::state_of(row) != layout::GroupState::active) continue;
    info.groups.push_back(group_info(view, i, info.claim_position, info.endpoints));
    info.depth_bytes = std::max(info.depth_bytes, info.groups.back().depth_bytes);
  }
  for (const GroupInfo& group : info.groups) info.claim_position = std::max(info.claim_position, group.retired);
  for (EndpointInfo& endpoint : info.endpoints) {
    if (endpoint.producer) continue;
    for (const GroupInfo& group : info.groups) {
      if (group.name != endpoint.group) continue;
      for (const LeaseInfo& lease : group.leases) {
        if (lease.state == "leased" && lease.row == endpoint.row) ++endpoint.open_leases;
      }
    }
  }
  return info;
}

}  // namespace detail

QueueInfo inspect(std::string_view name, const OpenOptions& options) {
  const detail::Place place = detail::place_of(name, options.directory);
  detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_only, detail::Depth::whole, options.trusted_owners);
  const auto segment = detail::Segment::map(place, std::move(file), detail::Access::read_only);
  return detail::inspect_segment(*segment);
}

}  // namespace ipcq
