// The walk over records: where it ends and why, what it counts, and which skipped records belong to the range.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "core/ring.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::Walk;
using core::WalkEnd;

constexpr std::uint64_t kNoLimit = UINT64_MAX;

class WalkOverRecords : public ::testing::Test {
 protected:
  [[nodiscard]] Walk walk(std::uint64_t begin, std::uint32_t max_messages = UINT32_MAX,
                          std::uint64_t max_bytes = kNoLimit) const {
    return core::walk(segment_.view(), begin, begin + kCapacity, max_messages, max_bytes);
  }

  CoreSegment segment_;
};

TEST_F(WalkOverRecords, EndsAtTheFrontierOfAnEmptyRing) {
  const Walk result = walk(0);
  EXPECT_EQ(result.why, WalkEnd::frontier);
  EXPECT_EQ(result.messages, 0U);
  EXPECT_EQ(result.end, 0U);
  EXPECT_EQ(result.stop, 0U);
  EXPECT_EQ(result.head, 0U);
}

TEST_F(WalkOverRecords, TakesAllCommittedRecordsAndCountsTheirPayload) {
  const std::uint64_t end = segment_.put_messages(0, {0, 1, 16, 100});
  const Walk result = walk(0);
  EXPECT_EQ(result.why, WalkEnd::frontier);
  EXPECT_EQ(result.messages, 4U);
  EXPECT_EQ(result.records, 4U);
  EXPECT_EQ(result.bytes, 117U);
  EXPECT_EQ(result.end, end);
  EXPECT_EQ(result.stop, end);
}

TEST_F(WalkOverRecords, TellsTheTimeOfTheFirstMessageAndNotOfASkippedRecord) {
  segment_.put_head(0, RecordState::skipped, 32);
  segment_.put_messages(32, {8, 8});
  core::writable_record_at(segment_.view(), 0).time.store(5);
  core::writable_record_at(segment_.view(), 32).time.store(7);
  core::writable_record_at(segment_.view(), 64).time.store(9);
  EXPECT_EQ(walk(0).first_time, 7U);
}

TEST_F(WalkOverRecords, StopsAtAnOpenClaimAndNamesItsOwner) {
  const std::uint64_t end = segment_.put_messages(0, {8});
  const Owner owner = core::make_owner(3, 77);
  segment_.put_head(end, RecordState::claimed, 64, owner);
  segment_.put_messages(end + 64, {8});
  const Walk result = walk(0);
  EXPECT_EQ(result.why, WalkEnd::claimed);
  EXPECT_EQ(result.messages, 1U);
  EXPECT_EQ(result.stop, end);
  EXPECT_EQ(detail::head_high(result.head), owner);
}

TEST_F(WalkOverRecords, StopsAtTheLimitsOfMessagesAndBytes) {
  segment_.put_messages(0, {10, 10, 10, 10});
  EXPECT_EQ(walk(0, 2).messages, 2U);
  EXPECT_EQ(walk(0, 2).why, WalkEnd::limit);
  EXPECT_EQ(walk(0, 2).end, 64U);
  EXPECT_EQ(walk(0, UINT32_MAX, 30).messages, 3U);
  EXPECT_EQ(walk(0, UINT32_MAX, 39).messages, 3U);
  EXPECT_EQ(walk(0, UINT32_MAX, 40).messages, 4U);
  EXPECT_EQ(walk(0, UINT32_MAX, 39).why, WalkEnd::limit);
}

TEST_F(WalkOverRecords, TakesTheFirstMessageWhateverItsSizeAndTellsItsSize) {
  segment_.put_messages(0, {1000, 1});
  const Walk result = walk(0, UINT32_MAX, 10);
  EXPECT_EQ(result.messages, 1U);
  EXPECT_EQ(result.bytes, 1000U) << "what was taken, not what was asked for";
}

TEST_F(WalkOverRecords, EndsAfterAsManyRecordsAsOneTurnMayHave) {
  const CoreSegment large({.capacity = 4 * kCapacity});
  constexpr std::uint64_t kRecords = core::kWalkRecordsMax + 10;
  for (std::uint64_t i = 0; i < kRecords; ++i) large.put_head(16 * i, RecordState::skipped, 16);
  const Walk result = core::walk(large.view(), 0, 4 * kCapacity, UINT32_MAX, kNoLimit);
  EXPECT_EQ(result.why, WalkEnd::limit);
  EXPECT_EQ(result.records, core::kWalkRecordsMax);
  EXPECT_EQ(result.stop, std::uint64_t{16} * core::kWalkRecordsMax);
}

// The heads inside a batch are left 0 here: a walk that reads one of them ends there.
TEST_F(WalkOverRecords, TakesABatchByItsFirstHeadAlone) {
  segment_.put_head(0, RecordState::committed, 8, 3U << 20);
  segment_.put_messages(128, {8});
  const Walk all = walk(0);
  EXPECT_EQ(all.why, WalkEnd::frontier);
  EXPECT_EQ(all.messages, 5U);
  EXPECT_EQ(all.records, 5U);
  EXPECT_EQ(all.bytes, 40U);
  EXPECT_EQ(all.end, 160U);
  EXPECT_EQ(walk(0, 2).messages, 2U);
  EXPECT_EQ(walk(0, 2).end, 64U);
  EXPECT_EQ(walk(0, UINT32_MAX, 24).messages, 3U);
  EXPECT_EQ(core::walk(segment_.view(), 0, 96, UINT32_MAX, kNoLimit).messages, 3U) << "a range cut within the batch";
  EXPECT_EQ(core::walk(segment_.view(), 0, 96, UINT32_MAX, kNoLimit).why, WalkEnd::limit);
}

TEST_F(WalkOverRecords, TakesBatchesAlikeOneBehindTheOther) {
  for (std::uint64_t batch = 0; batch < 3; ++batch) {
    segment_.put_head(batch * 128, RecordState::committed, 8, static_cast<std::uint32_t>(3U << 20 | batch));  // other tags
  }
  segment_.put_head(384, RecordState::committed, 8, 1U << 20);
  EXPECT_EQ(walk(0).messages, 14U);
  EXPECT_EQ(walk(0).end, 448U);
  EXPECT_EQ(walk(0, 9).messages, 9U);
  EXPECT_EQ(walk(0, 9).end, 288U);
  EXPECT_EQ(core::walk(segment_.view(), 0, 320, UINT32_MAX, kNoLimit).messages, 10U) << "the third is cut";
}

TEST_F(WalkOverRecords, ABatchSaidToBeLargerThanTheRingEndsWithIt) {
  segment_.put_head(0, RecordState::committed, 48, 0xfffU << 20);
  EXPECT_EQ(walk(0).messages, kCapacity / 64);
  EXPECT_EQ(walk(0).end, kCapacity);
  segment_.put_head(0, RecordState::committed, kCapacity / 2, 1U << 20);
  EXPECT_EQ(walk(0).messages, 1U) << "the second does not fit";
}

TEST_F(WalkOverRecords, ASkippedHeadHasNoRun) {
  segment_.put_head(0, RecordState::skipped, 32, 3U << 20);
  segment_.put_messages(32, {8});
  EXPECT_EQ(walk(0).messages, 1U);
  EXPECT_EQ(walk(0).records, 2U);
}

TEST_F(WalkOverRecords, HasSkippedRecordsBeforeAMessageInItsRangeAndThoseBehindTheLastNot) {
  segment_.put_head(0, RecordState::skipped, 48);
  std::uint64_t at = segment_.put_messages(48, {8});
  segment_.put_head(at, RecordState::skipped, 16);
  at = segment_.put_messages(at + 16, {8});
  segment_.put_head(at, RecordState::skipped, 160);
  segment_.put_head(at + 160, RecordState::none, 0);
  const Walk result = walk(0);
  EXPECT_EQ(result.messages, 2U);
  EXPECT_EQ(result.records, 5U);
  EXPECT_EQ(result.end, at);
  EXPECT_EQ(result.stop, at + 160);
}

TEST_F(WalkOverRecords, OfSkippedRecordsAloneHasAnEmptyRange) {
  segment_.put_head(0, RecordState::skipped, 48);
  segment_.put_head(48, RecordState::skipped, 16);
  const Walk result = walk(0);
  EXPECT_EQ(result.messages, 0U);
  EXPECT_EQ(result.end, 0U);
  EXPECT_EQ(result.stop, 64U);
}

TEST_F(WalkOverRecords, GoesOnAcrossTheEndOfTheRingAndOfThePositionsHalfWay) {
  for (const std::uint64_t begin : {kCapacity - 32, (std::uint64_t{1} << 63) - 32}) {
    const CoreSegment segment;
    const std::uint64_t end = segment.put_messages(begin, {100, 8, 8});
    const Walk result = core::walk(segment.view(), begin, begin + kCapacity, UINT32_MAX, kNoLimit);
    EXPECT_EQ(result.messages, 3U);
    EXPECT_EQ(result.end, end);
    EXPECT_EQ(result.why, WalkEnd::frontier);
  }
}

TEST_F(WalkOverRecords, OfAFullRingTakesItAllAndEndsAtItsLimit) {
  for (std::uint64_t at = 0; at < kCapacity; at += 64) segment_.put_head(at, RecordState::committed, 48);
  const Walk result = walk(0);
  EXPECT_EQ(result.why, WalkEnd::limit);
  EXPECT_EQ(result.messages, kCapacity / 64);
  EXPECT_EQ(result.end, kCapacity);
}

TEST_F(WalkOverRecords, WithALargerAlignmentStepsByIt) {
  const CoreSegment segment({.alignment = 256});
  const std::uint64_t end = segment.put_messages(0, {0, 1, 256, 257});
  EXPECT_EQ(end, (1U + 2U + 2U + 3U) * 256U);
  const Walk result = core::walk(segment.view(), 0, kCapacity, UINT32_MAX, kNoLimit);
  EXPECT_EQ(result.messages, 4U);
  EXPECT_EQ(result.end, end);
}

// What walk() says it does, one record at a time.
Walk one_by_one(const core::View& view, std::uint64_t begin, std::uint32_t max_messages, std::uint64_t max_bytes) {
  Walk result;
  result.end = begin;
  result.stop = begin;
  while (result.messages < max_messages && result.records < core::kWalkRecordsMax && result.stop < begin + view.capacity) {
    const std::uint64_t head = core::load_head(view, result.stop);
    if (head == 0) return result;
    const bool message = detail::head_state(head) == RecordState::committed;
    const std::uint64_t length = detail::head_length(head);
    if (message && result.messages > 0 && result.bytes + length > max_bytes) break;
    result.stop += message ? detail::record_bytes(length, view.alignment) : length;
    ++result.records;
    if (!message) continue;
    ++result.messages;
    result.bytes += length;
    result.end = result.stop;
  }
  result.why = WalkEnd::limit;
  return result;
}

// Records that are like the one before are taken in runs: every limit has to hold within a run as well.
TEST_F(WalkOverRecords, KeepsItsLimitsWhereverRunsOfAlikeRecordsBeginAndEnd) {
  std::mt19937_64 random = random_numbers();
  for (std::uint32_t trial = 0; trial < scaled(2000); ++trial) {
    CoreSegment segment;
    const std::uint64_t begin = pick(random, 0, kCapacity / 16) * 16;
    std::uint64_t at = begin;
    while (true) {
      const bool message = pick(random, 0, 3) != 0;
      const std::uint64_t length = message ? pick(random, 0, 2) * 24 : 16 + 16 * pick(random, 0, 2);
      const std::uint64_t span = message ? detail::record_bytes(length, 16) : length;
      const std::uint64_t run = pick(random, 1, 20);
      if (at + run * span > begin + kCapacity - 16) break;
      for (std::uint64_t i = 0; i < run; ++i, at += span) {
        segment.put_head(at, message ? RecordState::committed : RecordState::skipped,
                         static_cast<std::uint32_t>(length), static_cast<std::uint32_t>(pick(random, 0, 1)));
      }
      if (pick(random, 0, 30) == 0) break;
    }
    const auto max_messages = static_cast<std::uint32_t>(pick(random, 1, 80));
    const std::uint64_t max_bytes = pick(random, 0, 1) == 0 ? kNoLimit : pick(random, 0, 900);
    const Walk is = core::walk(segment.view(), begin, begin + kCapacity, max_messages, max_bytes);
    const Walk must = one_by_one(segment.view(), begin, max_messages, max_bytes);
    ASSERT_EQ(is.messages, must.messages) << "trial " << trial << ", at most " << max_messages << ", " << max_bytes;
    ASSERT_EQ(is.records, must.records) << trial;
    ASSERT_EQ(is.bytes, must.bytes) << trial;
    ASSERT_EQ(is.end, must.end) << trial;
    ASSERT_EQ(is.stop, must.stop) << trial;
    ASSERT_EQ(is.why, must.why) << trial;
  }
}

}  // namespace
}  // namespace ipcq::unit
