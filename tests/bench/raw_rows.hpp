// The rows that need no queue: what the machine itself can do. Other rows name them as their limits.
#pragma once

#include <string>
#include <vector>

#include "row.hpp"

namespace ipcq::bench {

inline constexpr const char* kRawRoundTrip64 = "raw/rtt-64B";
inline constexpr const char* kRawFutex = "raw/rtt-futex";

/// "raw/stream-64B-b64-8M": the bare ring that moves as many bytes as ipcq's ring would.
[[nodiscard]] std::string raw_stream_name(std::size_t payload_bytes, std::size_t batch, std::size_t ring_bytes);
/// "64B", "64K", "8M": a size in the names of rows.
[[nodiscard]] std::string size_name(std::size_t bytes);

[[nodiscard]] std::vector<Row> raw_round_trip_rows();
[[nodiscard]] std::vector<Row> raw_stream_rows();

}  // namespace ipcq::bench
