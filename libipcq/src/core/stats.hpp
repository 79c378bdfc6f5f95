// Stats: histograms of latencies, 8 buckets an octave. Writers are many and rare: one lease in 16.
#pragma once

#include <bit>
#include <cstdint>

#include "core/without.hpp"
#include "layout/layout.hpp"

namespace ipcq::core {

// One lease in so many is timed; its message count is the weight.
inline constexpr std::uint32_t kSampling = has(Idea::sampling) ? 16 : 1;

/// 0-7 ns each have a bucket; from there each octave has eight. The last takes everything above.
constexpr std::uint32_t bucket_of(std::uint64_t ns) noexcept {
  if (ns < 8) return static_cast<std::uint32_t>(ns);
  const auto octave = static_cast<std::uint32_t>(std::bit_width(ns)) - 4;  // 8-15 ns: 0
  const std::uint32_t bucket = 8 + octave * 8 + static_cast<std::uint32_t>((ns >> octave) & 7U);
  return bucket < layout::kHistogramBuckets ? bucket : layout::kHistogramBuckets - 1;
}
/// Least value of a bucket.
constexpr std::uint64_t bucket_floor_ns(std::uint32_t bucket) noexcept {
  if (bucket < 8) return bucket;
  const std::uint32_t octave = (bucket - 8) / 8;
  return std::uint64_t{8 + (bucket - 8) % 8} << octave;
}

inline void record(layout::Histogram& histogram, std::uint64_t ns, std::uint64_t weight) noexcept {
  // relaxed: statistics, each right by itself.
  histogram.buckets[bucket_of(ns)].fetch_add(weight, std::memory_order_relaxed);
  histogram.sum_ns.fetch_add(ns * weight, std::memory_order_relaxed);
  histogram.messages.fetch_add(weight, std::memory_order_relaxed);
  std::uint64_t most = histogram.max_ns.load(std::memory_order_relaxed);
  while (ns > most && !histogram.max_ns.compare_exchange_weak(most, ns, std::memory_order_relaxed)) {
  }
}

/// Adds to a counter that this process alone writes.
inline void add(layout::AtomicU64& counter, std::uint64_t by) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);  // relaxed: one writer
}

}  // namespace ipcq::core
