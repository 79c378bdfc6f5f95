// Histogram: round-trip times in clock ticks, 128 buckets an octave (within 0.8 %), cheap enough to feed on every trip.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ipcq::bench {

/// Lies in memory shared by the processes of a run; written by one of them, read by the parent after that one has ended.
class Histogram {
 public:
  void clear() noexcept { *this = Histogram{}; }

  void record(std::uint64_t ticks) noexcept {
    ++counts_[bucket(ticks)];
    ++samples_;
    sum_ += ticks;
  }

  [[nodiscard]] std::uint64_t samples() const noexcept { return samples_; }
  [[nodiscard]] double mean() const noexcept {
    return samples_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(samples_);
  }
  /// The middle of the bucket that holds the sample of rank `fraction` (0 to 1); 0 without samples.
  [[nodiscard]] double quantile(double fraction) const noexcept {
    if (samples_ == 0) return 0;
    const auto rank = static_cast<std::uint64_t>(fraction * static_cast<double>(samples_ - 1));
    std::uint64_t passed = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      passed += counts_[i];
      if (passed > rank) return middle(i);
    }
    return middle(kBuckets - 1);
  }

 private:
  static constexpr unsigned kSubBits = 7;
  static constexpr unsigned kOctaves = 40;  // up to 2^47 ticks: half a day
  static constexpr std::size_t kBuckets = (std::size_t{kOctaves} + 1) << kSubBits;

  static std::size_t bucket(std::uint64_t ticks) noexcept {
    if (ticks < (1U << kSubBits)) return static_cast<std::size_t>(ticks);
    // Octave 0 is 0-127, every value a bucket of its own; from octave 1 on 128 buckets of 2^(octave - 1) each.
    const auto octave = static_cast<unsigned>(std::bit_width(ticks)) - kSubBits;
    const std::size_t within = static_cast<std::size_t>(ticks >> (octave - 1)) - (std::size_t{1} << kSubBits);
    return std::min((std::size_t{octave} << kSubBits) + within, kBuckets - 1);
  }
  static double middle(std::size_t index) noexcept {
    const std::size_t octave = index >> kSubBits;
    const std::size_t within = index & ((std::size_t{1} << kSubBits) - 1);
    if (octave == 0) return static_cast<double>(within);
    const double width = static_cast<double>(std::uint64_t{1} << (octave - 1));
    return (static_cast<double>((std::size_t{1} << kSubBits) + within)) * width + (width - 1) / 2;
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t samples_ = 0;
  std::uint64_t sum_ = 0;
};

}  // namespace ipcq::bench
