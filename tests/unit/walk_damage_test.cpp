// A ring whose lengths are wrong: the walk stays inside its bounds, whatever the bytes say.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "core/ring.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::Walk;
using core::WalkEnd;

constexpr std::uint64_t kAllBytes = UINT64_MAX;

Walk walk(const CoreSegment& segment, std::uint64_t begin, std::uint64_t limit) {
  return core::walk(segment.view(), begin, limit, UINT32_MAX, kAllBytes);
}

TEST(DamagedRing, ALengthThatCannotBeHasNoSpan) {
  const CoreSegment segment({.alignment = 64});
  const auto span = [&](RecordState state, std::uint64_t length) {
    return core::span_of(segment.view(), make_head(state, length, 0));
  };
  EXPECT_EQ(span(RecordState::none, 64), 0U);
  EXPECT_EQ(span(RecordState::committed, kCapacity / 2), kCapacity / 2 + 64);
  EXPECT_EQ(span(RecordState::committed, kCapacity / 2 + 1), 0U);
  EXPECT_EQ(span(RecordState::committed, detail::kLengthMask), 0U);
  for (const RecordState state : {RecordState::claimed, RecordState::skipped}) {
    EXPECT_EQ(span(state, 64), 64U);
    EXPECT_EQ(span(state, kCapacity), kCapacity);
    EXPECT_EQ(span(state, 0), 0U) << "a walk would never end";
    EXPECT_EQ(span(state, 48), 0U) << "less than a record";
    EXPECT_EQ(span(state, 65), 0U) << "no multiple of the alignment";
    EXPECT_EQ(span(state, kCapacity + 64), 0U) << "more than the ring";
    EXPECT_EQ(span(state, detail::kLengthMask), 0U);
  }
}

TEST(DamagedRing, AWalkStopsBeforeTheLengthThatCannotBe) {
  for (const std::uint64_t wrong :
       {make_head(RecordState::committed, kCapacity / 2 + 1, 0), make_head(RecordState::skipped, 0, 0),
        make_head(RecordState::skipped, 17, 0), make_head(RecordState::skipped, kCapacity + 16, 0)}) {
    const CoreSegment segment;
    const std::uint64_t at = segment.put_messages(0, {8, 8});
    core::writable_record_at(segment.view(), at).head.store(wrong);
    const Walk result = walk(segment, 0, kCapacity);
    EXPECT_EQ(result.why, WalkEnd::damaged);
    EXPECT_EQ(result.messages, 2U);
    EXPECT_EQ(result.stop, at);
  }
}

TEST(DamagedRing, LengthsThatAddUpToMoreThanTheRingAreDamage) {
  const CoreSegment segment;
  segment.put_head(0, RecordState::skipped, kCapacity / 2);
  segment.put_head(kCapacity / 2, RecordState::skipped, kCapacity / 2 + 16);
  const Walk result = walk(segment, 0, kAllBytes);
  EXPECT_EQ(result.why, WalkEnd::damaged);
  EXPECT_LE(result.stop, kCapacity);
}

TEST(DamagedRing, ARecordThatReachesBeyondTheLimitIsNotTaken) {
  // The limit of a redelivered range is its ledger entry's end: what lies behind belongs to somebody else.
  const CoreSegment segment;
  segment.put_messages(0, {8});
  segment.put_head(32, RecordState::committed, 1000);
  const Walk result = walk(segment, 0, 64);
  EXPECT_LE(result.end, 64U);
  EXPECT_LE(result.stop, 64U);
  EXPECT_EQ(result.messages, 1U);
}

TEST(DamagedRing, RandomHeadsKeepTheWalkInsideItsBounds) {
  std::mt19937_64 random = random_numbers();
  const CoreSegment segment;
  for (std::uint32_t trial = 0; trial < scaled(300); ++trial) {
    for (std::uint64_t at = 0; at < kCapacity; at += 16) {
      // Half of the heads are plausible, so that walks get far.
      const auto state = static_cast<RecordState>(pick(random, 0, 15) == 0 ? pick(random, 0, 3) : 2 + pick(random, 0, 1));
      segment.put_head(at, state, pick(random, 0, 3) == 0 ? random() & detail::kLengthMask : pick(random, 0, 20) * 16);
    }
    for (int walks = 0; walks < 20; ++walks) {
      const std::uint64_t begin = pick(random, 0, kCapacity / 16) * 16 + (random() << 40);
      const auto max_messages = static_cast<std::uint32_t>(pick(random, 1, 5000));
      const Walk result = core::walk(segment.view(), begin, begin + kCapacity, max_messages, pick(random, 1, 1 << 20));
      ASSERT_LE(begin, result.end);
      ASSERT_LE(result.end, result.stop);
      ASSERT_LE(result.stop - begin, kCapacity);
      ASSERT_EQ(result.stop % 16, begin % 16);
      ASSERT_LE(result.messages, max_messages);
      ASSERT_LE(result.messages, result.records);
      ASSERT_LE(result.records, core::kWalkRecordsMax);
    }
  }
}

}  // namespace
}  // namespace ipcq::unit
