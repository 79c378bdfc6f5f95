// Inspection: a segment as values, for stat and the like.
#pragma once

#include "api/segment.hpp"
#include "ipcq/admin.hpp"

namespace ipcq::detail {

/// Takes no lock and no row. Counts at most kInspectRecordsMax records a group.
[[nodiscard]] QueueInfo inspect_segment(const Segment& segment);

/// Of every scope with limits.
[[nodiscard]] std::vector<QuotaInfo> quota_infos(const core::View& view);

inline constexpr std::uint64_t kInspectRecordsMax = 4'000'000;

}  // namespace ipcq::detail
