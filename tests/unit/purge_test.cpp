// A purge gives up what nobody living holds, up to the frontier, and nothing that comes after it began.
#include "core/purge.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "core/closing.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/lease.hpp"
#include "core/parking.hpp"
#include "core/ring.hpp"
#include "core/verify.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;
using core::Purged;

class Purge : public LedgerBench {
 protected:
  explicit Purge() : producer_(segment_.producer(0)), consumer_(segment_.attach(1, layout::RowKind::consumer)) {}

  std::uint64_t send(int messages = 1) {
    std::uint64_t at = 0;
    for (int i = 0; i < messages; ++i) at = segment_.send(producer_, 16);
    return at;
  }
  [[nodiscard]] LeaseTaken lease(std::uint32_t messages = 1) const {
    return core::lease(view(), group_.row, group_.incarnation, consumer_, {.max_messages = messages}, 0);
  }
  void ack(const LeaseTaken& lease) const {
    ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, lease.entry, lease.word), Outcome::ok);
  }
  /// As if all members had left, or by force.
  Purged purge(bool force = true) {
    messages_ = 0;
    return core::purge(view(), group_, force, messages_, holder_);
  }

  core::ProducerState producer_;
  Owner consumer_;
  std::uint64_t messages_ = 0;
  Owner holder_ = 0;
};

TEST_F(Purge, GivesUpWhatIsNewAndFreesItsRoom) {
  send(5);
  EXPECT_EQ(purge(), Purged::ok);
  EXPECT_EQ(messages_, 5U);
  EXPECT_EQ(retired(), segment_.claim_position());
  EXPECT_EQ(row().purged_messages.load(), 5U);
  EXPECT_TRUE(is_whole());
  EXPECT_EQ(purge(), Purged::ok);
  EXPECT_EQ(messages_, 0U);
  const std::uint64_t next = send();
  EXPECT_EQ(lease().begin, next);
}

TEST_F(Purge, IsRefusedWhileAMemberLivesUnlessForced) {
  send(2);
  EXPECT_EQ(purge(false), Purged::has_member);
  EXPECT_EQ(holder_, consumer_);
  EXPECT_EQ(retired(), 0U);
  segment_.end(consumer_);
  EXPECT_EQ(purge(false), Purged::ok);
  EXPECT_EQ(messages_, 2U);
}

TEST_F(Purge, KeepsWhatTheLivingHoldAndGivesUpWhatCameBack) {
  send(6);
  const LeaseTaken back = lease();
  const LeaseTaken kept = lease();
  const LeaseTaken done = lease();
  const LeaseTaken back_too = lease();
  ASSERT_EQ(core::requeue(view(), group_.row, back.entry, back.word), Outcome::ok);
  ASSERT_EQ(core::requeue(view(), group_.row, back_too.entry, back_too.word), Outcome::ok);
  ack(done);
  EXPECT_EQ(purge(), Purged::ok);
  EXPECT_EQ(messages_, 4U) << "two that came back, two that nobody has had";
  EXPECT_EQ(retired(), kept.begin);
  EXPECT_TRUE(is_whole());
  EXPECT_EQ(lease().step, LeaseStep::nothing);
  ack(kept);
  EXPECT_EQ(lease().step, LeaseStep::nothing);
  EXPECT_EQ(retired(), segment_.claim_position());
}

TEST_F(Purge, GivesUpWhatTheDeadHeld) {
  send(3);
  (void)lease(3);
  segment_.end(consumer_);
  EXPECT_EQ(purge(false), Purged::ok);
  EXPECT_EQ(messages_, 3U);
  EXPECT_EQ(retired(), segment_.claim_position());
}

TEST_F(Purge, NeedsOneEntryForTheRestAndSaysWhenLeasesLeaveNone) {
  send(static_cast<int>(kEntries) + 3);
  std::vector<LeaseTaken> open;
  for (std::uint32_t i = 0; i < kEntries; ++i) open.push_back(lease());
  EXPECT_EQ(purge(), Purged::too_many_leases);
  EXPECT_EQ(messages_, 0U);
  ack(open.back());
  EXPECT_EQ(purge(), Purged::ok) << "the last one grows over the rest";
  EXPECT_EQ(messages_, 3U);
  EXPECT_TRUE(is_whole());
  open.pop_back();
  for (const LeaseTaken& one : open) ack(one);
  EXPECT_EQ(lease().step, LeaseStep::nothing);
  EXPECT_EQ(retired(), segment_.claim_position());
}

TEST_F(Purge, StopsAtAnOpenClaimOfTheLivingAndPassesThatOfTheDead) {
  send(2);
  core::ProducerState other = segment_.producer(2);
  const core::ClaimTaken open = segment_.claim(other, 64);
  send(2);
  EXPECT_EQ(purge(), Purged::ok);
  EXPECT_EQ(messages_, 2U);
  EXPECT_EQ(retired(), open.position);
  segment_.end(other.owner);
  EXPECT_EQ(purge(), Purged::ok);
  EXPECT_EQ(messages_, 2U);
  EXPECT_EQ(retired(), segment_.claim_position());
}

TEST_F(Purge, OfAGroupThatIsGoneIsRefused) {
  std::ignore = segment_.add_group({.name = "other"});
  std::uint32_t holder = 0;
  ASSERT_EQ(core::remove_group(view(), group_, true, holder), core::RemoveGroup::ok);
  EXPECT_EQ(purge(), Purged::no_such_group);
}

TEST_F(Purge, EndsAClosedStreamForTheGroup) {
  send(2);
  core::close(view());
  EXPECT_EQ(purge(), Purged::ok);
  EXPECT_EQ(lease().step, LeaseStep::drained);
}

TEST_F(Purge, OfARecordThatCannotBeSaysSo) {
  send(2);
  segment_.put_head(32, RecordState::committed, kCapacity);
  EXPECT_EQ(purge(), Purged::damaged);
  EXPECT_EQ(retired(), 0U);
}

TEST(PurgeOfManyMessages, TakesTurnsAndEndsWhereItBegan) {
  const CoreSegment segment({.capacity = 8 * kCapacity});
  const core::GroupId group = segment.add_group();
  const core::GroupId behind = segment.add_group({.name = "behind"});
  core::ProducerState producer = segment.producer(0);
  const std::uint32_t messages = 2 * core::kWalkRecordsMax + 10;
  for (std::uint32_t i = 0; i < messages; ++i) segment.send(producer, 8);
  std::uint64_t given_up = 0;
  Owner holder = 0;
  // A lease in front keeps the entries from being retired between turns: each turn makes the same entry longer.
  const Owner consumer = segment.attach(1, layout::RowKind::consumer);
  const LeaseTaken open = core::lease(segment.view(), group.row, group.incarnation, consumer, {.max_messages = 1}, 0);
  ASSERT_EQ(open.step, LeaseStep::leased);
  EXPECT_EQ(core::purge(segment.view(), group, true, given_up, holder), Purged::ok);
  EXPECT_EQ(given_up, messages - 1);
  EXPECT_EQ(core::Ledger(segment.view(), group.row).in_use(), 2U);
  EXPECT_EQ(core::Ledger(segment.view(), group.row).lease_position(), segment.claim_position());
  EXPECT_EQ(segment.view().group(behind.row).retired.load(), 0U) << "another group keeps its messages";
}

class PurgeOfAnExclusiveGroup : public ::testing::Test {
 protected:
  PurgeOfAnExclusiveGroup() {
    group_ = segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
    Owner holder = 0;
    if (core::take_over_producer(segment_.view(), producer_, holder) != core::TakeOver::ok)
      throw std::runtime_error("?");
    state_.owner = segment_.attach(1, layout::RowKind::consumer);
    if (core::join_exclusive(segment_.view(), group_.row, group_.incarnation, state_, holder) != core::Join::ok) {
      throw std::runtime_error("nobody joins");
    }
    for (int i = 0; i < 4; ++i) segment_.send(producer_, 16);
  }
  [[nodiscard]] layout::GroupRow& row() const { return segment_.view().group(group_.row); }
  Purged purge(bool force) { return core::purge(segment_.view(), group_, force, messages_, holder_); }

  CoreSegment segment_{{.producers = ProducerMode::exclusive}};
  core::GroupId group_;
  core::ProducerState producer_ = segment_.producer(0);
  core::ExclusiveState state_;
  std::uint64_t messages_ = 0;
  Owner holder_ = 0;
};

TEST_F(PurgeOfAnExclusiveGroup, IsRefusedWhileItsConsumerLivesAlsoByForce) {
  EXPECT_EQ(purge(true), Purged::in_use);
  EXPECT_EQ(holder_, state_.owner);
  EXPECT_EQ(row().retired.load(), 0U);
}

TEST_F(PurgeOfAnExclusiveGroup, GivesUpEverythingOfOneWhoseConsumerDied) {
  ASSERT_EQ(core::lease_exclusive(segment_.view(), group_.row, group_.incarnation, state_, {.max_messages = 2}, true).step,
            LeaseStep::leased);
  segment_.end(state_.owner);
  EXPECT_EQ(purge(false), Purged::ok);
  EXPECT_EQ(messages_, 4U);
  EXPECT_EQ(row().retired.load(), segment_.claim_position());
  EXPECT_EQ(row().purged_messages.load(), 4U);
  core::ExclusiveState next;
  next.owner = segment_.attach(2, layout::RowKind::consumer);
  ASSERT_EQ(core::join_exclusive(segment_.view(), group_.row, group_.incarnation, next, holder_), core::Join::ok);
  const std::uint64_t at = segment_.send(producer_, 16);
  const LeaseTaken taken =
      core::lease_exclusive(segment_.view(), group_.row, group_.incarnation, next, {.max_messages = 2}, true);
  EXPECT_EQ(taken.begin, at);
  EXPECT_EQ(taken.deliveries, 0U) << "what died with the last consumer is gone";
}

TEST_F(PurgeOfAnExclusiveGroup, GivesUpWhatADeadProducerPublishedAndDidNotCount) {
  segment_.end(state_.owner);
  const std::uint64_t end = segment_.put_messages(segment_.claim_position(), {16});
  EXPECT_EQ(purge(false), Purged::ok);
  EXPECT_EQ(messages_, 5U);
  EXPECT_EQ(row().retired.load(), end);
}

}  // namespace
}  // namespace ipcq::unit
