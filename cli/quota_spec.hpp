// Quotas from the command line, and to the screen.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "ipcq/quota.hpp"
#include "queue_json.hpp"
#include "verb.hpp"

namespace ipcq::cli {

inline constexpr Option kRateOption{"rate", "N/UNIT", "messages: 1000/s, 90/min, 1/h (no limit)"};
inline constexpr Option kByteRateOption{"byte-rate", "SIZE/UNIT", "bytes of payload: 10M/s (no limit)"};
inline constexpr Option kBurstOption{"burst", "N",
                                     "messages that may come at once after a pause (10 ms of --rate, at least 1)"};
inline constexpr Option kByteBurstOption{"byte-burst", "SIZE",
                                         "bytes that may come at once after a pause (10 ms of --byte-rate)"};

/// The limits that these options say. Throws UsageError for a burst without its rate.
[[nodiscard]] Quota quota_of(const Arguments& arguments);

/// "queue", "user 1000", "each producer", "producer in row 3".
[[nodiscard]] std::string scope_text(const QuotaScope& scope);
/// "1000/s, burst 10": messages, bytes; empty: no limit.
[[nodiscard]] std::string quota_text(const Quota& quota);
/// One line each, as in `stat` and `create`: whom, what holds, by whom, what came of it.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> quotas_text(const std::vector<QuotaInfo>& quotas);
/// One scope, as in `stat` and `quota get`.
[[nodiscard]] Json quota_json(const QuotaInfo& info);

}  // namespace ipcq::cli
