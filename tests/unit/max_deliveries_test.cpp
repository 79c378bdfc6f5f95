// A message is handed out so often at most. After that a shared group leases it only to have it moved, parks what cannot
// be moved, and counts no delivery for that.
#include <gtest/gtest.h>

#include <cstdint>
#include <tuple>

#include "core/closing.hpp"
#include "core/lease.hpp"
#include "core/parking.hpp"
#include "core/purge.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;
using core::Parked;

constexpr std::uint32_t kMost = 2;

class MaxDeliveries : public ::testing::Test {
 protected:
  explicit MaxDeliveries(bool drop_after = false)
      : segment_({.ledger_entries = 4, .max_deliveries = kMost, .drop_after = drop_after}) {}

  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }
  [[nodiscard]] std::uint64_t retired() const { return row().retired.load(); }
  [[nodiscard]] Range entry(const LeaseTaken& taken) const {
    const layout::LedgerEntry& entry = view().entries(group_.row)[taken.entry];
    const std::uint64_t word = entry.word.load();
    return {entry.begin.load(), entry.end.load(), core::word_state(word), core::word_deliveries(word),
            core::word_owner(word)};
  }

  LeaseTaken lease_by(Owner owner, std::uint32_t messages = 64) {
    return core::lease(view(), group_.row, group_.incarnation, owner, {.max_messages = messages}, 0);
  }
  LeaseTaken lease(std::uint32_t messages = 64) { return lease_by(consumer_, messages); }
  void requeue(const LeaseTaken& taken) {
    ASSERT_EQ(core::requeue(view(), group_.row, taken.entry, taken.word), Outcome::ok);
  }
  void ack(const LeaseTaken& taken) {
    ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, taken.entry, taken.word), Outcome::ok);
  }
  /// Hands the next message out as often as may be.
  void use_up_next() {
    for (std::uint32_t before = 0; before < kMost; ++before) {
      const LeaseTaken taken = lease(1);
      ASSERT_EQ(taken.step, LeaseStep::leased) << before;
      ASSERT_EQ(taken.deliveries, before);
      requeue(taken);
    }
  }
  void park(const LeaseTaken& taken, Parked why = Parked::full) {
    ASSERT_EQ(taken.step, LeaseStep::to_dead_letter);
    ASSERT_EQ(core::park(view(), group_.row, taken, why), Outcome::ok);
  }
  /// As if the last try had been long ago.
  void let_time_pass() { row().parked_tried_ns.store(1); }
  void send(int messages) {
    for (int i = 0; i < messages; ++i) segment_.send(producer_, 8);
  }

  CoreSegment segment_;
  core::GroupId group_ = segment_.add_group();
  core::ProducerState producer_ = segment_.producer(0);
  Owner consumer_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(MaxDeliveries, PastThemAMessageIsLeasedToBeMovedAndNotHandedOut) {
  send(2);
  use_up_next();
  const std::uint64_t handed_out = row().redelivered_messages.load();
  const LeaseTaken taken = lease();
  EXPECT_EQ(taken.step, LeaseStep::to_dead_letter);
  EXPECT_EQ(taken.deliveries, kMost);
  EXPECT_EQ(taken.messages, 1U);
  EXPECT_EQ(taken.begin, 0U);
  EXPECT_EQ(row().redelivered_messages.load(), handed_out) << "nobody was handed it";
  EXPECT_EQ(core::finish_dead_letter(view(), group_.row, group_.incarnation, taken), Outcome::ok);
  EXPECT_EQ(row().dead_lettered_messages.load(), 1U);
  const LeaseTaken next = lease();
  EXPECT_EQ(next.step, LeaseStep::leased);
  EXPECT_EQ(next.deliveries, 0U);
  EXPECT_EQ(retired(), taken.end);
}

TEST_F(MaxDeliveries, OfABatchOnlyTheMessageThatIsHandedOutAloneAgainIsCountedOut) {
  send(3);
  requeue(lease(3));
  const LeaseTaken first = lease();
  ASSERT_EQ(first.messages, 1U);
  ack(first);
  const LeaseTaken second = lease();
  ASSERT_EQ(second.deliveries, 1U);
  requeue(second);
  const LeaseTaken moved = lease();
  EXPECT_EQ(moved.step, LeaseStep::to_dead_letter);
  EXPECT_EQ(moved.begin, second.begin);
  const LeaseTaken third = lease();
  EXPECT_EQ(third.step, LeaseStep::leased);
  EXPECT_EQ(third.deliveries, 1U);
}

TEST_F(MaxDeliveries, WhoDiesMovingAMessageCountsNoDelivery) {
  send(1);
  use_up_next();
  for (std::uint32_t died = 0; died < 3; ++died) {
    const Owner mover = segment_.attach(2, layout::RowKind::consumer);
    const LeaseTaken taken = lease_by(mover);
    ASSERT_EQ(taken.step, LeaseStep::to_dead_letter);
    EXPECT_EQ(taken.deliveries, kMost);
    segment_.end(mover);
    ASSERT_TRUE(core::redeliver_dead(view(), group_.row));
    EXPECT_EQ(entry(taken), (Range{taken.begin, taken.end, EntryState::redeliverable, kMost, 0}));
  }
}

TEST_F(MaxDeliveries, WhatIsParkedKeepsItsRoomAndOthersGoOn) {
  send(2);
  use_up_next();
  const LeaseTaken taken = lease();
  park(taken, Parked::missing);
  EXPECT_EQ(entry(taken),
            (Range{taken.begin, taken.end, EntryState::parked, kMost, static_cast<Owner>(Parked::missing)}));
  const LeaseTaken next = lease();
  ASSERT_EQ(next.step, LeaseStep::leased);
  EXPECT_EQ(next.begin, taken.end);
  EXPECT_EQ(next.front_owner, 0U) << "nobody holds what is parked";
  ack(next);
  EXPECT_EQ(lease().step, LeaseStep::nothing);
  EXPECT_EQ(retired(), 0U);
}

TEST_F(MaxDeliveries, WhatIsParkedIsTriedAgainAfterASecondAndNotBefore) {
  send(1);
  use_up_next();
  park(lease());
  EXPECT_EQ(lease().step, LeaseStep::nothing);
  const auto second_ago = static_cast<std::uint64_t>(os::monotonic_ns() - core::kParkedRetry_ns);
  row().parked_tried_ns.store(second_ago);
  const LeaseTaken again = lease();
  EXPECT_EQ(again.step, LeaseStep::to_dead_letter);
  EXPECT_EQ(again.deliveries, kMost);
  EXPECT_GT(row().parked_tried_ns.load(), second_ago);
}

TEST_F(MaxDeliveries, WhenOneGoesTheOthersThatAreParkedFollowAtOnce) {
  send(3);
  for (int i = 0; i < 3; ++i) {
    use_up_next();
    park(lease());
  }
  ASSERT_EQ(lease().step, LeaseStep::nothing);
  let_time_pass();
  for (std::uint64_t moved = 1; moved <= 3; ++moved) {
    const LeaseTaken taken = lease();
    ASSERT_EQ(taken.step, LeaseStep::to_dead_letter) << moved;
    ASSERT_EQ(core::finish_dead_letter(view(), group_.row, group_.incarnation, taken), Outcome::ok);
    EXPECT_EQ(row().dead_lettered_messages.load(), moved);
  }
  EXPECT_EQ(lease().step, LeaseStep::nothing);
  EXPECT_EQ(retired(), segment_.claim_position());
}

TEST_F(MaxDeliveries, AProducerShortOfRoomLeasesWhatIsParkedWhenItIsTime) {
  send(1);
  use_up_next();
  park(lease());
  const auto try_again = [&] { return core::lease_parked(view(), group_.row, group_.incarnation, producer_.owner); };
  EXPECT_EQ(try_again().step, LeaseStep::nothing);
  let_time_pass();
  const LeaseTaken taken = try_again();
  ASSERT_EQ(taken.step, LeaseStep::to_dead_letter);
  EXPECT_EQ(entry(taken).owner, producer_.owner);
  EXPECT_EQ(core::finish_dead_letter(view(), group_.row, group_.incarnation, taken), Outcome::ok);
  EXPECT_EQ(try_again().step, LeaseStep::nothing);
}

TEST_F(MaxDeliveries, WhatIsParkedDoesNotKeepTheStreamFromEnding) {
  send(2);
  use_up_next();
  park(lease());
  const LeaseTaken other = lease();
  core::close(view());
  EXPECT_EQ(lease().step, LeaseStep::nothing) << "a lease is open";
  ack(other);
  EXPECT_EQ(lease().step, LeaseStep::drained);
}

TEST_F(MaxDeliveries, ParkedNeighboursMakeRoomForNewLeases) {
  send(6);
  for (int i = 0; i < 5; ++i) {
    use_up_next();
    park(lease());
  }
  const LeaseTaken next = lease();
  EXPECT_EQ(next.step, LeaseStep::leased) << "of 4 entries 5 parked messages take up as few as they can";
  ack(next);
  let_time_pass();
  std::uint32_t moved = 0;
  for (LeaseTaken taken = lease(); taken.step == LeaseStep::to_dead_letter; taken = lease()) {
    moved += taken.messages;
    ASSERT_EQ(core::finish_dead_letter(view(), group_.row, group_.incarnation, taken), Outcome::ok);
  }
  EXPECT_EQ(moved, 5U);
  EXPECT_EQ(retired(), segment_.claim_position());
}

TEST_F(MaxDeliveries, ParkedNeighboursOfAnotherReasonAreNotMixed) {
  send(5);
  for (const Parked why : {Parked::full, Parked::too_big, Parked::full, Parked::too_big}) {
    use_up_next();
    park(lease(), why);
  }
  const LeaseTaken refused = lease();
  EXPECT_EQ(refused.step, LeaseStep::too_many_leases);
  EXPECT_EQ(refused.front_owner, 0U) << "the reason of a parked entry is nobody's name";
}

TEST_F(MaxDeliveries, APurgeGivesUpWhatIsParkedAndNothingElse) {
  send(3);
  use_up_next();
  park(lease());
  const LeaseTaken open = lease(1);
  std::uint64_t messages = 0;
  Owner holder = 0;
  EXPECT_EQ(core::purge_parked(view(), group_, messages, holder), core::Purged::ok);
  EXPECT_EQ(messages, 1U);
  EXPECT_EQ(row().purged_messages.load(), 1U);
  EXPECT_EQ(retired(), open.begin);
  EXPECT_EQ(core::purge_parked(view(), group_, messages, holder), core::Purged::ok);
  EXPECT_EQ(messages, 0U);
  ack(open);
  EXPECT_EQ(lease().step, LeaseStep::leased);
}

TEST_F(MaxDeliveries, AGroupWithParkedMessagesIsRemovedByForceOnly) {
  std::ignore = segment_.add_group({.name = "other"});
  send(1);
  use_up_next();
  park(lease());
  segment_.end(consumer_);
  std::uint32_t holder = 0;
  EXPECT_EQ(core::remove_group(view(), group_, false, holder), core::RemoveGroup::has_parked);
  EXPECT_EQ(core::remove_group(view(), group_, true, holder), core::RemoveGroup::ok);
}

TEST_F(MaxDeliveries, AnEphemeralGroupGoesWithItsParkedMessages) {
  group_ = segment_.add_group({.name = "ephemeral", .lifetime = Lifetime::ephemeral});
  send(1);
  use_up_next();
  park(lease());
  segment_.end(consumer_);
  EXPECT_TRUE(core::remove_if_abandoned(view(), group_));
}

TEST_F(MaxDeliveries, ARepairLeavesWhatIsParkedAlone) {
  send(2);
  use_up_next();
  const LeaseTaken taken = lease();
  park(taken);
  die_holding(row().mutex);
  const LeaseTaken next = lease();
  EXPECT_EQ(next.step, LeaseStep::leased);
  EXPECT_EQ(next.begin, taken.end);
  EXPECT_EQ(entry(taken).state, EntryState::parked);
  EXPECT_FALSE(segment_.poisoned());
}

class DropAfter : public MaxDeliveries {
 protected:
  DropAfter() : MaxDeliveries(true) {}
};

TEST_F(DropAfter, PastMaxDeliveriesAMessageIsDroppedAndCounted) {
  send(2);
  use_up_next();
  const LeaseTaken next = lease();
  EXPECT_EQ(next.step, LeaseStep::leased);
  EXPECT_EQ(next.deliveries, 0U);
  EXPECT_EQ(row().dropped_messages.load(), 1U);
  EXPECT_EQ(retired(), next.begin) << "its room is free";
}

TEST_F(DropAfter, WhatIsDroppedEndsTheStreamAsIfItWereAcked) {
  send(1);
  use_up_next();
  core::close(view());
  EXPECT_EQ(lease().step, LeaseStep::drained);
}

}  // namespace
}  // namespace ipcq::unit
