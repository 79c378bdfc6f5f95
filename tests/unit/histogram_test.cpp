// The buckets of a histogram: each value has one, none is wider than an eighth of what it holds, and sums are kept.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "core/stats.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::bucket_floor_ns;
using core::bucket_of;

constexpr std::uint32_t kLast = layout::kHistogramBuckets - 1;

TEST(HistogramBuckets, AFloorIsTheLeastValueOfItsBucket) {
  for (std::uint32_t bucket = 0; bucket <= kLast; ++bucket) {
    EXPECT_EQ(bucket_of(bucket_floor_ns(bucket)), bucket);
    if (bucket > 0) {
      EXPECT_EQ(bucket_of(bucket_floor_ns(bucket) - 1), bucket - 1);
    }
  }
}

TEST(HistogramBuckets, LargerValuesHaveLaterBuckets) {
  std::uint32_t before = 0;
  for (std::uint64_t ns = 0; ns < 1'000'000; ++ns) {
    const std::uint32_t bucket = bucket_of(ns);
    ASSERT_GE(bucket, before);
    ASSERT_LE(bucket, before + 1) << "no bucket is left out";
    before = bucket;
  }
}

TEST(HistogramBuckets, NoBucketIsWiderThanAnEighthOfItsFloor) {
  for (std::uint32_t bucket = 8; bucket < kLast; ++bucket) {
    const std::uint64_t floor = bucket_floor_ns(bucket);
    EXPECT_LE((bucket_floor_ns(bucket + 1) - floor) * 8, floor) << "bucket " << bucket;
  }
}

TEST(HistogramBuckets, AnyValueLiesBetweenItsFloorAndTheNext) {
  std::mt19937_64 random = random_numbers();
  for (std::uint32_t trial = 0; trial < scaled(100'000); ++trial) {
    const std::uint64_t ns = random() >> pick(random, 0, 63);
    const std::uint32_t bucket = bucket_of(ns);
    ASSERT_LE(bucket, kLast);
    ASSERT_LE(bucket_floor_ns(bucket), ns);
    if (bucket < kLast) {
      ASSERT_LT(ns, bucket_floor_ns(bucket + 1));
    }
  }
}

TEST(HistogramBuckets, TheLastTakesEverythingAbove) {
  EXPECT_EQ(bucket_of(UINT64_MAX), kLast);
  EXPECT_EQ(bucket_of(bucket_floor_ns(kLast)), kLast);
  EXPECT_GT(bucket_floor_ns(kLast), std::uint64_t{3600} * 1'000'000'000) << "an hour is told apart from more";
}

TEST(Histogram, KeepsWeightsSumsAndTheMaximum) {
  layout::Histogram histogram{};
  core::record(histogram, 100, 3);
  core::record(histogram, 5'000, 1);
  core::record(histogram, 100, 2);
  EXPECT_EQ(histogram.messages.load(), 6U);
  EXPECT_EQ(histogram.sum_ns.load(), 5'500U);
  EXPECT_EQ(histogram.max_ns.load(), 5'000U);
  EXPECT_EQ(histogram.buckets[bucket_of(100)].load(), 5U);
  EXPECT_EQ(histogram.buckets[bucket_of(5'000)].load(), 1U);
}

}  // namespace
}  // namespace ipcq::unit
