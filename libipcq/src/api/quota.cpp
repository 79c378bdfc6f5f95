#include "ipcq/quota.hpp"

#include <string>

#include "api/inspection.hpp"
#include "api/segment.hpp"
#include "core/endpoints.hpp"
#include "core/quota_table.hpp"
#include "layout/format.hpp"

namespace ipcq {
namespace detail {

static_assert(core::kUserBuckets == layout::kUidBuckets);

void set_quota(const Segment& segment, const QuotaScope& scope, QuotaSource source, const Quota& quota) {
  if (scope.kind == QuotaScope::Kind::user && scope.number == layout::kEachProducer)
    segment.fail(Errc::invalid_option, "there is no user " + std::to_string(scope.number), "say another");
  if (const char* why = core::why_not(quota); why != nullptr) segment.fail(Errc::invalid_option, why, "say another");
  switch (core::set_quota(segment.view(), scope, source, quota)) {
    case core::SetQuota::ok:
      return;
    case core::SetQuota::no_such_row:
      segment.fail(Errc::invalid_option, "no producer is attached in row " + std::to_string(scope.number),
                   "ipcq stat " + segment.place().name + " tells the rows");
    case core::SetQuota::full:
      segment.fail(Errc::too_many_quotas, "all " + std::to_string(core::kUserBuckets) + " buckets of users have limits",
                   "clear one (ipcq quota clear)");
    case core::SetQuota::timed_out:
      segment.fail(Errc::timed_out, "a stopped process holds the endpoint table", "let it continue, or end it");
    case core::SetQuota::poisoned:
      segment.fail(Errc::poisoned, "the endpoint table's mutex cannot be repaired", kHowToMend);
  }
}

std::vector<QuotaInfo> quota_infos(const core::View& view) {
  std::vector<QuotaInfo> infos;
  for (std::uint32_t i = 0; i < core::quota_buckets(view); ++i) {
    const layout::QuotaBucket& bucket = core::quota_bucket(view, i);
    if (!core::has_limits(bucket)) continue;
    const std::uint32_t whose = bucket.whose.load(std::memory_order_relaxed);  // relaxed: a report
    QuotaScope scope;
    if (i > core::kUserBuckets) {
      const std::uint32_t row = i - core::row_bucket(0);
      if (!core::row_attached(view, row)) continue;  // of one that is gone
      scope = QuotaScope::producer(row);
    } else if (i != core::kQueueBucket) {
      scope = whose == layout::kEachProducer ? QuotaScope::each_producer() : QuotaScope::user(whose);
    }
    infos.push_back(core::quota_info(view, i, scope));
  }
  return infos;
}

}  // namespace detail

const char* to_string(QuotaSource source) noexcept {
  switch (source) {
    case QuotaSource::creator:
      return "creator";
    case QuotaSource::operator_:
      return "operator";
    case QuotaSource::policy:
      return "policy";
  }
  return "unknown";
}

void set_quota(std::string_view name, QuotaScope scope, QuotaSource source, const Quota& quota,
               const OpenOptions& options) {
  const detail::Place place = detail::place_of(name, options.directory);
  detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_write, detail::Depth::whole, options.trusted_owners);
  const auto segment = detail::Segment::map(place, std::move(file), detail::Access::read_write, options.trusted_owners);
  segment->check_alive();
  detail::set_quota(*segment, scope, source, quota);
}

void clear_quota(std::string_view name, QuotaScope scope, QuotaSource source, const OpenOptions& options) {
  set_quota(name, scope, source, {}, options);
}

QuotaInfo get_quota(std::string_view name, QuotaScope scope, const OpenOptions& options) {
  const detail::Place place = detail::place_of(name, options.directory);
  detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_only, detail::Depth::whole, options.trusted_owners);
  const auto segment = detail::Segment::map(place, std::move(file), detail::Access::read_only);
  const core::View& view = segment->view();
  if (scope.kind == QuotaScope::Kind::producer && scope.number >= view.endpoints_max) {
    segment->fail(Errc::invalid_option, "there is no row " + std::to_string(scope.number),
                  "it has " + std::to_string(view.endpoints_max));
  }
  const std::uint32_t bucket = core::find_bucket(view, scope);
  if (bucket == core::quota_buckets(view)) return QuotaInfo{.scope = scope};
  return core::quota_info(view, bucket, scope);
}

}  // namespace ipcq
