// States that no death and no other order of steps can leave: each is named, at every call, without a hang, without a
// guess, and without a step outside the ring.
#include <gtest/gtest.h>

#include <cstdint>

#include "core/closing.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/lease.hpp"
#include "core/recovery.hpp"
#include "core/room.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::WalkEnd;

constexpr std::uint64_t kFar = std::uint64_t{1} << 63;

// ---- the ring

class ImpossibleRing : public ::testing::Test {
 protected:
  [[nodiscard]] core::Walk walk(std::uint64_t begin) const {
    return core::walk(segment_.view(), begin, begin + kCapacity, 64, UINT64_MAX);
  }
  CoreSegment segment_;
};

TEST_F(ImpossibleRing, NothingBeginsBetweenTwoRecordsPlaces) {
  for (const std::uint64_t begin : {1U, 8U, 15U}) EXPECT_EQ(walk(begin).why, WalkEnd::damaged) << begin;
  EXPECT_EQ(walk(UINT64_MAX - 15).why, WalkEnd::damaged) << "where sums would wrap";
}

TEST_F(ImpossibleRing, AFrontierIsZero) {
  segment_.put_head(0, RecordState::none, 32);
  EXPECT_EQ(walk(0).why, WalkEnd::damaged);
}

TEST_F(ImpossibleRing, AClaimHasALengthAndAnOwnerWhoCanBe) {
  segment_.put_head(0, RecordState::claimed, 64, core::make_owner(1, 1));
  EXPECT_EQ(walk(0).why, WalkEnd::claimed);
  segment_.put_head(0, RecordState::claimed, 17, core::make_owner(1, 1));
  EXPECT_EQ(walk(0).why, WalkEnd::damaged);
  segment_.put_head(0, RecordState::claimed, 64, core::make_owner(200, 1));
  EXPECT_EQ(walk(0).why, WalkEnd::damaged) << "nobody would ever commit it, and nobody be found dead";
}

// ---- a shared group

class ImpossibleLease : public LedgerBench {
 protected:
  [[nodiscard]] LeaseStep lease(std::uint32_t max_messages = 64) {
    return core::lease(view(), group_.row, group_.incarnation, owner_, {.max_messages = max_messages}, 0).step;
  }
  void expect_damaged() {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(lease(), LeaseStep::damaged) << "call " << i;
  }
  /// The index lists the first `count` entries.
  void use_entries(std::uint32_t count) const { row().index_count.store(count); }

  const Owner owner_ = segment_.attach(0, layout::RowKind::consumer);
  core::ProducerState producer_ = segment_.producer(1);
};

TEST_F(ImpossibleLease, RetiredBetweenTwoRecords) {
  segment_.send(producer_, 8);
  row().retired.store(8);
  expect_damaged();
}

TEST_F(ImpossibleLease, RetiredWhereSumsWrap) {
  row().retired.store(UINT64_MAX - 15);
  expect_damaged();
}

TEST_F(ImpossibleLease, ADoneRangeThatEndsBeyondTheRingIsNotRetired) {
  for (const std::uint64_t end : {kFar, kCapacity + 16, std::uint64_t{24}, std::uint64_t{0}}) {
    write(0, {0, end, EntryState::done, 0, 0});
    use_entries(1);
    expect_damaged();
    EXPECT_EQ(retired(), 0U) << end;
  }
}

TEST_F(ImpossibleLease, AFirstRangeThatDoesNotBeginAtRetired) {
  segment_.send(producer_, 8);
  segment_.send(producer_, 8);
  write(0, {32, 64, EntryState::done, 0, 0});
  use_entries(1);
  expect_damaged();
  EXPECT_EQ(retired(), 0U) << "the message before it was never handed out";
}

TEST_F(ImpossibleLease, ARangeToBeDeliveredAgainThatEndsBeyondTheRing) {
  segment_.send(producer_, 8);
  segment_.send(producer_, 8);
  write(0, {0, kFar, EntryState::redeliverable, 1, 0});
  use_entries(1);
  expect_damaged();
  // With the ledger full it would be handed out whole.
  for (std::uint32_t i = 1; i < kEntries; ++i) write(i, {kFar, kFar + 16, EntryState::redeliverable, 1, 0});
  use_entries(kEntries);
  expect_damaged();
}

TEST_F(ImpossibleLease, AnOwnerWhoCannotBe) {
  segment_.send(producer_, 8);
  write(0, {0, 32, EntryState::leased, 0, core::make_owner(200, 3)});
  use_entries(1);
  expect_damaged();
}

TEST_F(ImpossibleLease, AnEntryInUseInAStateThatThereIsNot) {
  segment_.send(producer_, 8);
  write(0, {0, 32, static_cast<EntryState>(6), 0, 0});
  use_entries(1);
  expect_damaged();
  write(0, {0, 32, EntryState::free, 0, 0});
  expect_damaged();
}

TEST_F(ImpossibleLease, SkippedRecordsAllRoundTheRing) {
  for (std::uint64_t at = 0; at < kCapacity; at += 16) segment_.put_head(at, RecordState::skipped, 16);
  expect_damaged();
  EXPECT_LE(retired(), kCapacity) << "passed more than once";
}

TEST_F(ImpossibleLease, SkippedRecordsAllRoundTheRingBehindALease) {
  segment_.send(producer_, 0);
  ASSERT_EQ(lease(), LeaseStep::leased);
  for (std::uint64_t at = 16; at < kCapacity; at += 16) segment_.put_head(at, RecordState::skipped, 16);
  expect_damaged();
}

TEST_F(ImpossibleLease, AnEndOfTheStreamThatNobodyCanReach) {
  segment_.send(producer_, 8);
  core::close(view());
  ASSERT_EQ(lease(), LeaseStep::leased);
  for (const std::uint64_t end : {std::uint64_t{16}, std::uint64_t{48}, kFar}) {
    view().side().close.closed_at.store(end);
    expect_damaged();
  }
}

// ---- room

TEST_F(ImpossibleLease, NobodyFreesRoomForAPositionThatCannotBe) {
  for (std::uint64_t at = 0; at < kCapacity; at += 16) segment_.put_head(at, RecordState::skipped, 16);
  core::free_room(view(), kFar);
  EXPECT_LE(retired(), kCapacity);
  row().overflow.store(static_cast<std::uint8_t>(Overflow::drop_oldest));
  for (std::uint64_t at = 0; at < kCapacity; at += 16) segment_.put_head(at, RecordState::committed, 0);
  core::free_room(view(), kFar);
  EXPECT_LE(retired(), 2 * kCapacity);
  row().retired.store(8);
  core::free_room(view(), kCapacity + 64);
  EXPECT_EQ(retired(), 8U) << "no record begins there";
}

// ---- the producer side

class ImpossibleClaim : public ::testing::Test {
 protected:
  void expect_damaged(ProducerMode mode, std::uint64_t claim_position, std::uint64_t retired) {
    const CoreSegment segment({.producers = mode});
    const core::GroupId group = segment.add_group();
    core::ProducerState producer = segment.producer(0);
    segment.view().side().claim.claim_position.store(claim_position);
    segment.view().side().close.exclusive_owner.store(producer.owner);
    producer.position = claim_position;
    segment.view().group(group.row).retired.store(retired);
    core::ClaimTaken taken;
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(core::claim(segment.view(), producer, 64, 0, taken), Outcome::damaged)
          << claim_position << " with " << retired << " retired";
    }
    EXPECT_EQ(segment.view().side().claim.claim_position.load(), claim_position);
  }
};

TEST_F(ImpossibleClaim, MoreThanTheRingIsClaimed) {
  for (const ProducerMode mode : {ProducerMode::shared, ProducerMode::exclusive}) {
    expect_damaged(mode, kCapacity + 16, 0);
    expect_damaged(mode, kFar, 0);
    expect_damaged(mode, 16, kFar);
    expect_damaged(mode, UINT64_MAX - 15, kCapacity);
  }
}

TEST_F(ImpossibleClaim, MoreIsRetiredThanWasClaimed) {
  for (const ProducerMode mode : {ProducerMode::shared, ProducerMode::exclusive}) {
    expect_damaged(mode, 64, 80);
    expect_damaged(mode, 64, kFar + 64);
  }
}

TEST_F(ImpossibleClaim, APlaceBetweenTwoRecords) { expect_damaged(ProducerMode::shared, 8, 0); }

TEST_F(ImpossibleClaim, AnExclusiveProducersSuccessorMeetsAPlaceThatCannotBe) {
  for (const std::uint64_t position : {std::uint64_t{8}, kCapacity + 16, kFar}) {
    const CoreSegment segment({.producers = ProducerMode::exclusive});
    segment.add_group();
    core::ProducerState producer = segment.producer(0);
    Owner holder = 0;
    segment.view().side().claim.claim_position.store(position);
    EXPECT_EQ(core::take_over_producer(segment.view(), producer, holder), core::TakeOver::damaged) << position;
    EXPECT_EQ(segment.view().side().close.exclusive_owner.load(), 0U);
  }
}

TEST_F(ImpossibleClaim, WhatAnExclusiveProducerPublishedLastMayBeRetiredBeforeItIsCounted) {
  const CoreSegment segment({.producers = ProducerMode::exclusive});
  const core::GroupId group = segment.add_group();
  const std::uint64_t end = segment.put_messages(0, {8, 8, 8});
  segment.view().group(group.row).retired.store(end);
  core::ProducerState producer = segment.producer(0);
  Owner holder = 0;
  EXPECT_EQ(core::take_over_producer(segment.view(), producer, holder), core::TakeOver::ok);
  EXPECT_EQ(segment.claim_position(), end);
}

TEST_F(ImpossibleClaim, AnExclusiveProducersSuccessorMeetsAClaimedHead) {
  const CoreSegment segment({.producers = ProducerMode::exclusive});
  segment.add_group();
  core::ProducerState producer = segment.producer(0);
  Owner holder = 0;
  segment.put_head(0, RecordState::claimed, 64, core::make_owner(1, 1));
  EXPECT_EQ(core::take_over_producer(segment.view(), producer, holder), core::TakeOver::damaged);
}

TEST_F(ImpossibleClaim, ARepairWhoseHeadWouldLieAcrossTwoPagesPoisonsTheQueue) {
  // The repairer's view of the ring is closed but for one page: the write would fault.
  const CoreSegment segment;
  segment.add_group();
  core::View view = segment.view();
  os::Mapping mapping(static_cast<std::size_t>(view.control_bytes), kCapacity);
  view.data = mapping.map_data_read_only(segment.fd());
  view.data_writable = nullptr;
  view.data_dormant = mapping.map_data_dormant(segment.fd());
  view.side().claim.claim_position.store(os::page_bytes() - 4);
  die_holding(view.side().producer_lock.mutex);
  EXPECT_EQ(core::lock_producer_side(view, 0), core::Locked::poisoned);
  EXPECT_EQ(core::lock_producer_side(view, 0), core::Locked::poisoned) << "for good";
  EXPECT_TRUE(segment.poisoned());
}

TEST_F(ImpossibleClaim, ARepairWhereNoQueueComesToPoisonsTheQueue) {
  const CoreSegment segment;
  segment.add_group();
  segment.view().side().claim.claim_position.store(UINT64_MAX - 15);
  die_holding(segment.view().side().producer_lock.mutex);
  EXPECT_EQ(core::lock_producer_side(segment.view(), 0), core::Locked::poisoned);
  EXPECT_TRUE(segment.poisoned());
}

// ---- an exclusive group

class ImpossibleExclusiveGroup : public ::testing::Test {
 protected:
  [[nodiscard]] core::Join join() {
    Owner holder = 0;
    return core::join_exclusive(segment_.view(), group_.row, group_.incarnation, state_, holder);
  }
  [[nodiscard]] LeaseStep lease() {
    return core::lease_exclusive(segment_.view(), group_.row, group_.incarnation, state_, {}, true).step;
  }
  [[nodiscard]] layout::GroupRow& row() const { return segment_.view().group(group_.row); }

  CoreSegment segment_;
  core::GroupId group_ = segment_.add_group({.name = "default", .consumers = ConsumerMode::exclusive});
  core::ExclusiveState state_{.owner = segment_.attach(0, layout::RowKind::consumer)};
};

TEST_F(ImpossibleExclusiveGroup, RetiredBetweenTwoRecords) {
  row().retired.store(8);
  EXPECT_EQ(join(), core::Join::damaged);
  EXPECT_EQ(row().owner.load(), 0U);
}

TEST_F(ImpossibleExclusiveGroup, ADeadOnesLeaseLongerThanTheRing) {
  row().owner.store(core::make_owner(3, 9));  // a free row: dead
  row().leased_to.store(kFar);
  EXPECT_EQ(join(), core::Join::damaged) << "one at a time for ever";
}

TEST_F(ImpossibleExclusiveGroup, SkippedRecordsAllRoundTheRing) {
  ASSERT_EQ(join(), core::Join::ok);
  for (std::uint64_t at = 0; at < kCapacity; at += 16) segment_.put_head(at, RecordState::skipped, 16);
  EXPECT_EQ(lease(), LeaseStep::damaged);
  EXPECT_EQ(lease(), LeaseStep::damaged);
  EXPECT_LE(row().retired.load(), kCapacity) << "passed more than once";
}

TEST_F(ImpossibleExclusiveGroup, SkippedRecordsAllRoundTheRingAndNoConsumer) {
  for (std::uint64_t at = 0; at < kCapacity; at += 16) segment_.put_head(at, RecordState::skipped, 16);
  core::free_room(segment_.view(), 2 * kCapacity);
  EXPECT_EQ(row().retired.load(), 0U) << "nothing was ever claimed";
}

// ---- repair

TEST_F(ImpossibleLease, ARepairLeavesNoRangeBetweenTwoRecords) {
  write(0, {0, 24, EntryState::leased, 0, owner_});
  EXPECT_FALSE(core::Ledger(view(), group_.row).repair());
  write(0, {0, 32, EntryState::leased, 0, owner_});
  EXPECT_TRUE(core::Ledger(view(), group_.row).repair());
}

}  // namespace
}  // namespace ipcq::unit
