// The rows that need no queue: what the machine itself can do. Other rows name them as their limits.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "row.hpp"

namespace ipcq::bench {

inline constexpr const char* kRawRoundTrip64 = "raw/rtt-64B";
inline constexpr const char* kRawFutex = "raw/rtt-futex";
inline constexpr const char* kRawTimedFutex = "raw/rtt-futex-timed";

/// Rings of these sizes are compared.
inline constexpr std::array<std::size_t, 6> kRingSweep{std::size_t{64} << 10, std::size_t{256} << 10,
                                                       std::size_t{1} << 20,  std::size_t{8} << 20,
                                                       std::size_t{16} << 20, std::size_t{64} << 20};

/// "raw/stream-64B-b64-8M": the bare ring that moves as many bytes as ipcq's ring would.
[[nodiscard]] std::string raw_stream_name(std::size_t payload_bytes, std::size_t batch, std::size_t ring_bytes);
/// So too, but a cursor store a message.
[[nodiscard]] std::string raw_one_by_one_name(std::size_t payload_bytes, std::size_t ring_bytes);
/// And with what ipcq's promises cost a message at least: a stamp, an exchange, and a receiver that gets ahead.
[[nodiscard]] std::string raw_promise_name(std::size_t payload_bytes, std::size_t ring_bytes);
/// "64B", "64K", "8M": a size in the names of rows.
[[nodiscard]] std::string size_name(std::size_t bytes);
/// "64 bytes", "64 KiB", "8 MiB": the same in sentences.
[[nodiscard]] std::string size_text(std::size_t bytes);

[[nodiscard]] std::vector<Row> raw_round_trip_rows();
[[nodiscard]] std::vector<Row> raw_stream_rows();
[[nodiscard]] std::vector<Row> raw_rewrite_rows();

}  // namespace ipcq::bench
