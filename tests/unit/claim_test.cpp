// The shared claim of a living producer: what it leaves in the ring, how much room there is, that time never decreases.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <utility>

#include "core/producer_side.hpp"
#include "core/ring.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

TEST(SharedClaim, NobodyWhoWalksMeetsTheBytesOfAnEarlierLap) {
  // Z, over several laps of garbage: every walk ends at what was committed or at a claim.
  std::mt19937_64 random = random_numbers();
  const CoreSegment segment;
  std::memset(segment.view().data_writable + 16, 0xbf, kCapacity - 16);
  const core::GroupId group = segment.add_group();
  core::ProducerState producer = segment.producer(0);
  auto& retired = segment.view().group(group.row).retired;
  std::uint64_t committed_to = 0;
  for (std::uint32_t step = 0; step < scaled(5'000); ++step) {
    const std::uint64_t need = 16 * pick(random, 2, 60);
    core::ClaimTaken taken;
    if (core::claim(segment.view(), producer, need, 0, taken) == Outcome::full) {
      retired.store(committed_to);
      continue;
    }
    std::memset(segment.view().data_writable + ((taken.position + 16) & (kCapacity - 1)), 0xbf, need - 16);
    const core::Walk before =
        core::walk(segment.view(), retired.load(), taken.position + kCapacity, UINT32_MAX, UINT64_MAX);
    if (before.why != core::WalkEnd::limit) {
      ASSERT_EQ(before.why, core::WalkEnd::claimed);
      ASSERT_EQ(before.stop, taken.position);
    }
    const std::uint64_t used = 16 * pick(random, 2, need / 16);
    if (pick(random, 0, 3) == 0) {
      ASSERT_EQ(core::abort(segment.view(), producer, taken.position, need), Outcome::ok);
    } else {
      ASSERT_EQ(core::commit(segment.view(), producer, taken.position, need, used,
                             make_head(RecordState::committed, used - 16, 0)),
                Outcome::ok);
    }
    committed_to = taken.position + need;
    const core::Walk after =
        core::walk(segment.view(), taken.position, taken.position + kCapacity, UINT32_MAX, UINT64_MAX);
    ASSERT_EQ(after.why, core::WalkEnd::frontier);
    ASSERT_EQ(after.stop, committed_to);
  }
}

TEST(SharedClaim, RoomLeftOverIsASkippedRecord) {
  const CoreSegment segment;
  core::ProducerState producer = segment.producer(0);
  const core::ClaimTaken taken = segment.claim(producer, 160);
  ASSERT_EQ(core::commit(segment.view(), producer, taken.position, 160, 32, make_head(RecordState::committed, 9, 0)),
            Outcome::ok);
  EXPECT_EQ(segment.head(taken.position), make_head(RecordState::committed, 9, 0));
  EXPECT_EQ(segment.head(taken.position + 32), make_head(RecordState::skipped, 128, 0));
  EXPECT_EQ(segment.head(taken.position + 160), 0U);
}

TEST(SharedClaim, TheLargestClaimFillsTheRingButForTheEndMark) {
  const CoreSegment segment;
  const core::GroupId group = segment.add_group();
  core::ProducerState producer = segment.producer(0);
  const std::uint64_t most = segment.view().need_max;
  EXPECT_EQ(most, kCapacity - 16);
  for (int lap = 0; lap < 3; ++lap) {
    const core::ClaimTaken taken = segment.claim(producer, most);
    core::ClaimTaken none;
    EXPECT_EQ(core::claim(segment.view(), producer, 16, 0, none), Outcome::full);
    ASSERT_EQ(core::abort(segment.view(), producer, taken.position, most), Outcome::ok);
    EXPECT_EQ(core::claim(segment.view(), producer, 16, 0, none), Outcome::full) << "nobody has passed it";
    segment.view().group(group.row).retired.store(taken.position + most);
  }
}

TEST(SharedClaim, TheRoomIsThatOfTheGroupFurthestBehind) {
  const CoreSegment segment;
  const core::GroupId fast = segment.add_group({.name = "fast"});
  const core::GroupId slow = segment.add_group({.name = "slow"});
  core::ProducerState producer = segment.producer(0);
  for (int i = 0; i < 2; ++i) segment.send(producer, kCapacity / 2 - 32);
  core::ClaimTaken taken;
  segment.view().group(fast.row).retired.store(segment.claim_position());
  EXPECT_EQ(core::claim(segment.view(), producer, 1024, 0, taken), Outcome::full);
  segment.view().group(slow.row).retired.store(segment.claim_position());
  EXPECT_EQ(core::claim(segment.view(), producer, 1024, 0, taken), Outcome::ok);
}

TEST(SharedClaim, TimeNeverDecreasesAlongTheRingThoughAClockDoes) {
  const CoreSegment segment;
  core::ProducerState one = segment.producer(0);
  core::ProducerState other = segment.producer(1);
  constexpr std::uint64_t kAhead = UINT64_MAX / 2;  // of the clock: another core's, or one that was set back
  segment.view().side().claim.last_time.store(kAhead);
  EXPECT_EQ(segment.claim(one, 32).time, kAhead);
  EXPECT_EQ(segment.claim(other, 32).time, kAhead);
}

TEST(SharedClaim, IsRefusedByNameWhenTheEndpointOrTheQueueIsNoMore) {
  const CoreSegment segment;
  core::ProducerState producer = segment.producer(0);
  core::ClaimTaken taken;
  auto& row = segment.view().row(0);
  row.flags.store(layout::kRevoked);
  EXPECT_EQ(core::claim(segment.view(), producer, 32, 0, taken), Outcome::revoked);
  row.flags.store(0);
  for (const auto& [flag, outcome] : {std::pair{layout::flag::kClosed, Outcome::closed},
                                      {layout::flag::kRemoved, Outcome::removed},
                                      {layout::flag::kPoisoned, Outcome::poisoned}}) {
    segment.view().frozen().flags.store(flag);
    EXPECT_EQ(core::claim(segment.view(), producer, 32, 0, taken), outcome);
  }
  segment.view().frozen().flags.store(0);
  row.incarnation.fetch_add(1);
  EXPECT_EQ(core::claim(segment.view(), producer, 32, 0, taken), Outcome::disowned) << "the row is another's";
  EXPECT_EQ(segment.claim_position(), 0U);
}

}  // namespace
}  // namespace ipcq::unit
