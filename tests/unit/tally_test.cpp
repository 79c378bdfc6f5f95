// Counting what was committed from the records alone: open claims, claims given up, a ring that goes round, damage.
#include "core/tally.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::Amount;
using core::RecordTally;

void commit(const CoreSegment& segment, core::ProducerState& producer, std::uint64_t position, std::uint64_t size) {
  const std::uint64_t need = detail::record_bytes(size, 16);
  ASSERT_EQ(core::commit(segment.view(), producer, position, need, need, make_head(RecordState::committed, size, 0)),
            Outcome::ok);
}

TEST(Tally, CountsWhatIsCommittedFromItsBeginningOnAndNothingElse) {
  const CoreSegment segment;
  segment.add_group();
  core::ProducerState producer = segment.producer(0);
  segment.send(producer, 100);
  RecordTally tally(segment.view());
  for (int i = 0; i < 3; ++i) segment.send(producer, 10);
  const std::uint64_t given_up = segment.claim(producer, 160).position;
  ASSERT_EQ(core::abort(segment.view(), producer, given_up, 160), Outcome::ok);
  tally.count();
  EXPECT_EQ(tally.counted(), (Amount{3, 30}));
  tally.count();
  EXPECT_EQ(tally.counted(), (Amount{3, 30})) << "nothing twice";
  EXPECT_EQ(tally.uncounted_bytes(), 0U);
  EXPECT_EQ(tally.pending_bytes(), 0U);
}

TEST(Tally, StepsOverAnOpenClaimAndCountsItForWhomItWasSeenToBeOf) {
  const CoreSegment segment;
  segment.add_group();
  core::ProducerState slow = segment.producer(0);
  core::ProducerState quick = segment.producer(1);
  const std::uint64_t before = segment.claim(slow, 32).position;
  RecordTally tally(segment.view());
  segment.send(quick, 8);
  tally.count();
  EXPECT_EQ(tally.counted(), (Amount{1, 8}));
  EXPECT_EQ(tally.pending_bytes(), 32U);
  commit(segment, slow, before, 16);
  tally.count();
  EXPECT_EQ(tally.counted(), (Amount{2, 24})) << "it was open when the tally began";
  EXPECT_EQ(tally.seen(slow.owner), (Amount{1, 16}));
  EXPECT_EQ(tally.seen(quick.owner), (Amount{0, 0}));
  const std::uint64_t later = segment.claim(slow, 32).position;
  tally.count();
  commit(segment, slow, later, 16);
  tally.count();
  EXPECT_EQ(tally.seen(slow.owner), (Amount{2, 32}));
  segment.end(slow.owner);
  tally.count();
  EXPECT_EQ(tally.seen(slow.owner), (Amount{0, 0})) << "forgotten with its row";
}

TEST(Tally, OfAnExclusiveProducerEverythingIsItsOwn) {
  const CoreSegment segment({.producers = ProducerMode::exclusive});
  segment.add_group();
  core::ProducerState producer = segment.producer(0);
  Owner holder = 0;
  ASSERT_EQ(core::take_over_producer(segment.view(), producer, holder), core::TakeOver::ok);
  RecordTally tally(segment.view());
  segment.send(producer, 8);
  segment.send(producer, 8);
  tally.count();
  EXPECT_EQ(tally.counted(), (Amount{2, 16}));
  EXPECT_EQ(tally.seen(producer.owner), (Amount{2, 16}));
}

TEST(Tally, KnowsTheLargestBatchByItsStamp) {
  const CoreSegment segment;
  segment.add_group();
  core::ProducerState producer = segment.producer(0);
  RecordTally tally(segment.view());
  const core::ClaimTaken batch = segment.claim(producer, 96);
  for (const std::uint64_t inner : {32U, 64U}) {
    segment.put_head(batch.position + inner, RecordState::committed, inner == 32 ? 16 : 8);
    core::store_time(segment.view(), batch.position + inner, batch.time);
  }
  ASSERT_EQ(core::commit(segment.view(), producer, batch.position, 96, 96, make_head(RecordState::committed, 16, 0)),
            Outcome::ok);
  segment.send(producer, 30);
  segment.send(producer, 1);
  tally.count();
  EXPECT_EQ(tally.counted(), (Amount{5, 71}));
  EXPECT_EQ(tally.largest_batch(), (Amount{3, 40}));
}

TEST(Tally, TellsWhatWasOverwrittenBeforeItCame) {
  const CoreSegment segment;
  const core::GroupId group = segment.add_group();
  core::ProducerState producer = segment.producer(0);
  RecordTally tally(segment.view());
  for (std::uint64_t sent = 0; sent < 3 * kCapacity; sent += 32) {
    segment.view().group(group.row).retired.store(segment.claim_position());
    segment.send(producer, 16);
  }
  tally.count();
  EXPECT_GT(tally.uncounted_bytes(), kCapacity) << "it went round twice at least";
  EXPECT_GT(tally.counted().messages, 0U) << "the last of it is still there";
  EXPECT_EQ(tally.counted().messages * 32 + tally.uncounted_bytes(), 3 * kCapacity);
}

TEST(Tally, WhatCannotBeReadIsPassedOver) {
  const CoreSegment segment;
  segment.add_group();
  core::ProducerState producer = segment.producer(0);
  RecordTally tally(segment.view());
  const std::uint64_t broken = segment.send(producer, 16);
  segment.send(producer, 16);
  segment.put_head(broken, RecordState::skipped, 8 * kCapacity);
  tally.count();
  EXPECT_EQ(tally.counted().messages, 0U);
  EXPECT_EQ(tally.uncounted_bytes(), 64U);
  segment.send(producer, 16);
  tally.count();
  EXPECT_EQ(tally.counted().messages, 1U);
  segment.view().side().claim.claim_position.store(16);  // as if it were another queue
  tally.count();
  EXPECT_EQ(tally.counted().messages, 1U);
}

TEST(Tally, AnOpenClaimBehindWhatCannotBeReadIsStillCounted) {
  const CoreSegment segment;
  segment.add_group();
  core::ProducerState producer = segment.producer(0);
  RecordTally tally(segment.view());
  segment.put_head(segment.send(producer, 16), RecordState::skipped, 8 * kCapacity);
  const std::uint64_t open = segment.claim(producer, 32).position;
  tally.count();
  EXPECT_EQ(tally.uncounted_bytes(), 32U);
  EXPECT_EQ(tally.pending_bytes(), 32U);
  commit(segment, producer, open, 16);
  tally.count();
  EXPECT_EQ(tally.counted(), (Amount{1, 16}));
  EXPECT_EQ(tally.uncounted_bytes(), 32U);
}

TEST(Tally, BesideAFastProducerCountsNoMoreThanThereIsAndLosesNoByte) {
  const CoreSegment segment;
  const core::GroupId group = segment.add_group();
  core::ProducerState producer = segment.producer(0);
  RecordTally tally(segment.view());
  std::atomic<bool> stop{false};
  std::uint64_t sent = 0;
  std::thread sender([&] {
    while (!stop.load()) {
      segment.view().group(group.row).retired.store(segment.claim_position());
      const std::uint64_t position = segment.claim(producer, 32).position;
      if (sent % 3 == 0) std::this_thread::yield();
      commit(segment, producer, position, 16);
      ++sent;
    }
  });
  // Claims that were seen open, and committed before the walk came to them, are what could be counted twice: where two
  // processors are free, most are.
  const std::uint32_t seen = scaled(2000);
  std::uint64_t too_many = 0;
  for (std::uint32_t i = 0; i < 300'000 && tally.seen(producer.owner).messages < seen; ++i) {
    tally.count();
    if (tally.counted().messages > segment.claim_position() / 32) ++too_many;
  }
  stop = true;
  sender.join();
  tally.count();
  tally.count();
  EXPECT_EQ(tally.counted().messages * 32 + tally.uncounted_bytes(), sent * 32);
  EXPECT_EQ(tally.counted().bytes, tally.counted().messages * 16);
  EXPECT_EQ(too_many, 0U);
}

}  // namespace
}  // namespace ipcq::unit
