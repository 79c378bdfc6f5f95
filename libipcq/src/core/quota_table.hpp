// Quota table: the limits of all buckets, and which of them bind whom. Changed under the endpoint table's mutex.
#pragma once

#include <cstdint>

#include "core/quota.hpp"
#include "core/view.hpp"
#include "ipcq/quota.hpp"

namespace ipcq::core {

enum class SetQuota : std::uint8_t {
  ok,
  no_such_row,  // or no producer is attached in it
  full,         // every bucket of users has limits
  timed_out,    // a stopped process holds the table
  poisoned,
};

/// Sets what one source says. The caller has checked the rates.
[[nodiscard]] SetQuota set_quota(const View& view, const QuotaScope& scope, QuotaSource source,
                                 const Quota& quota) noexcept;

/// Under the table's mutex, when its holder died: ends a change of limits that was broken off.
void finish_quota_change(const View& view) noexcept;
/// Under the table's mutex: whether every row's links and flag are those that the limits make.
[[nodiscard]] bool rows_are_bound_rightly(const View& view) noexcept;
/// Under the table's mutex, for a row that is being attached, its uid stored: its bucket as new. Whether a quota binds it.
[[nodiscard]] bool begin_row_quota(const View& view, std::uint32_t row) noexcept;

/// Whether a bucket has limits.
[[nodiscard]] bool has_limits(const layout::QuotaBucket& bucket) noexcept;
/// Whom the buckets bind in a row, as they stand: its links, and whether there is any limit.
struct RowQuota {
  BucketLinks links;
  bool limited = false;
};
[[nodiscard]] RowQuota derive_row_quota(const View& view, std::uint32_t row) noexcept;

/// The number of a scope's bucket; quota_buckets(view): it has none.
[[nodiscard]] std::uint32_t find_bucket(const View& view, const QuotaScope& scope) noexcept;
/// Takes no lock: figures may be a moment apart.
[[nodiscard]] QuotaInfo quota_info(const View& view, std::uint32_t bucket, const QuotaScope& scope);
/// What binds a producer, all together: of each rate the lowest, with its burst.
[[nodiscard]] Quota quota_of_row(const View& view, std::uint32_t row) noexcept;

/// Whether `quota` can be set: rates in range, no burst without its rate.
[[nodiscard]] const char* why_not(const Quota& quota) noexcept;

}  // namespace ipcq::core
