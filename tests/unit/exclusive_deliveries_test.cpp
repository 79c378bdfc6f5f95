// How often an exclusive group's messages were handed out: counted for the one in front, across deaths, and given up past
// the queue's max_deliveries.
#include <gtest/gtest.h>

#include <cstdint>
#include <tuple>

#include "core/closing.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/parking.hpp"
#include "core/purge.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;
using core::Parked;

class ExclusiveDeliveries : public ::testing::Test {
 protected:
  explicit ExclusiveDeliveries(const Shape& shape = {.max_deliveries = 3}) : segment_(shape) {}

  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }

  /// The next consumer; whoever was before it and has not left is dead.
  core::ExclusiveState successor() {
    segment_.end(last_);
    core::ExclusiveState state;
    state.owner = last_ = segment_.attach(1, layout::RowKind::consumer);
    Owner holder = 0;
    EXPECT_EQ(core::join_exclusive(view(), group_.row, group_.incarnation, state, holder), core::Join::ok);
    return state;
  }
  LeaseTaken lease(core::ExclusiveState& state, bool nothing_open = true, std::uint32_t messages = 64) {
    return core::lease_exclusive(view(), group_.row, group_.incarnation, state, {.max_messages = messages}, nothing_open);
  }
  void ack(const core::ExclusiveState& state, const LeaseTaken& taken) {
    ASSERT_EQ(core::ack_exclusive(view(), group_.row, state, taken.end), Outcome::ok);
  }
  void requeue(core::ExclusiveState& state, const LeaseTaken& taken) {
    core::requeue_exclusive(view(), group_.row, state, taken.begin, taken.deliveries, true);
  }
  void send(int messages) {
    for (int i = 0; i < messages; ++i) segment_.send(producer_, 8);
  }
  /// A consumer whose next message is past max_deliveries.
  core::ExclusiveState at_the_end_of_deliveries() {
    core::ExclusiveState state = successor();
    for (std::uint32_t before = 0; before < view().max_deliveries; ++before) {
      const LeaseTaken taken = lease(state, true, 1);
      EXPECT_EQ(taken.step, LeaseStep::leased);
      EXPECT_EQ(taken.deliveries, before);
      requeue(state, taken);
    }
    return state;
  }

  CoreSegment segment_;
  core::GroupId group_ = segment_.add_group({.name = "default", .consumers = ConsumerMode::exclusive});
  core::ProducerState producer_ = segment_.producer(0);
  Owner last_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(ExclusiveDeliveries, TheBatchThatOneDiedWithCountsOnceAndTheMessageThatTheNextDiedWithTwice) {
  send(4);
  core::ExclusiveState first = successor();
  EXPECT_EQ(lease(first).messages, 4U);
  core::ExclusiveState second = successor();
  const LeaseTaken innocent = lease(second);
  EXPECT_EQ(innocent.deliveries, 1U);
  ack(second, innocent);
  EXPECT_EQ(lease(second).deliveries, 1U);
  core::ExclusiveState third = successor();
  const LeaseTaken killer = lease(third);
  EXPECT_EQ(killer.begin, innocent.end);
  EXPECT_EQ(killer.deliveries, 2U) << "with the batch, and alone";
  EXPECT_EQ(lease(third, false).deliveries, 1U) << "it was behind the killer";
}

TEST_F(ExclusiveDeliveries, DeathsWithNothingTakenCountNothing) {
  send(3);
  core::ExclusiveState first = successor();
  std::ignore = lease(first);
  for (int died = 0; died < 10; ++died) std::ignore = successor();  // a crash loop before the first lease
  core::ExclusiveState next = successor();
  EXPECT_EQ(lease(next).deliveries, 1U);
}

TEST_F(ExclusiveDeliveries, ADeathBetweenTwoMessagesCountsNeither) {
  send(3);
  core::ExclusiveState first = successor();
  std::ignore = lease(first);
  core::ExclusiveState second = successor();
  ack(second, lease(second));
  core::ExclusiveState third = successor();
  EXPECT_EQ(lease(third).deliveries, 1U);
}

TEST_F(ExclusiveDeliveries, AMessageGivenBackCountsAlsoWhenTheConsumerDiesAfterIt) {
  send(2);
  core::ExclusiveState first = successor();
  requeue(first, lease(first, true, 1));
  const LeaseTaken again = lease(first);
  EXPECT_EQ(again.deliveries, 1U);
  requeue(first, again);
  core::ExclusiveState next = successor();
  EXPECT_EQ(lease(next).deliveries, 2U) << "handed out twice, and not open at the death";
}

TEST_F(ExclusiveDeliveries, AMessageGivenBackCountsAlsoAfterItsConsumerHasLeft) {
  send(3);
  core::ExclusiveState first = successor();
  requeue(first, lease(first));
  core::leave_exclusive(view(), group_.row, first);
  core::ExclusiveState next = successor();
  for (int i = 0; i < 3; ++i) {
    const LeaseTaken taken = lease(next);
    EXPECT_EQ(taken.messages, 1U);
    EXPECT_EQ(taken.deliveries, 1U);
    ack(next, taken);
  }
}

TEST_F(ExclusiveDeliveries, AMessageGivenBackTwiceLeavesTheCountOfThoseBehindItAlone) {
  send(3);
  core::ExclusiveState state = successor();
  requeue(state, lease(state));
  requeue(state, lease(state));
  const LeaseTaken front = lease(state);
  EXPECT_EQ(front.deliveries, 2U);
  ack(state, front);
  EXPECT_EQ(lease(state).deliveries, 1U);
}

TEST_F(ExclusiveDeliveries, PastTheMostAMessageIsToBeMovedAndTheNextOneFollows) {
  send(2);
  core::ExclusiveState state = at_the_end_of_deliveries();
  const LeaseTaken taken = lease(state);
  ASSERT_EQ(taken.step, LeaseStep::to_dead_letter);
  EXPECT_EQ(taken.deliveries, 3U);
  EXPECT_EQ(taken.messages, 1U);
  ASSERT_EQ(core::finish_dead_letter_exclusive(view(), group_.row, state, taken), Outcome::ok);
  EXPECT_EQ(row().retired.load(), taken.end);
  EXPECT_EQ(row().dead_lettered_messages.load(), 1U);
  EXPECT_EQ(lease(state).deliveries, 0U);
}

TEST_F(ExclusiveDeliveries, WhoDiesMovingAMessageCountsNoDelivery) {
  send(1);
  core::ExclusiveState state = at_the_end_of_deliveries();
  for (int died = 0; died < 3; ++died) {
    ASSERT_EQ(lease(state).step, LeaseStep::to_dead_letter);
    state = successor();
    EXPECT_EQ(lease(state).deliveries, 3U);
  }
}

TEST_F(ExclusiveDeliveries, LeasesThatAreOpenAreFinishedBeforeAMessageIsMoved) {
  send(2);
  core::ExclusiveState state = successor();
  const LeaseTaken open = lease(state, true, 1);
  for (std::uint32_t before = 0; before < 3; ++before) {
    const LeaseTaken later = lease(state, false, 1);
    ASSERT_EQ(later.step, LeaseStep::leased);
    core::requeue_exclusive(view(), group_.row, state, later.begin, later.deliveries, false);
  }
  const LeaseTaken refused = lease(state, false);
  EXPECT_EQ(refused.step, LeaseStep::too_many_leases);
  EXPECT_EQ(refused.front_owner, state.owner);
  ack(state, open);
  EXPECT_EQ(lease(state).step, LeaseStep::to_dead_letter);
}

TEST_F(ExclusiveDeliveries, WhatIsParkedHoldsUpTheRestAndIsTriedAgainAfterASecond) {
  send(2);
  core::ExclusiveState state = at_the_end_of_deliveries();
  ASSERT_EQ(lease(state).step, LeaseStep::to_dead_letter);
  ASSERT_EQ(core::park_exclusive(view(), group_.row, state, Parked::full), Outcome::ok);
  EXPECT_EQ(core::parked_front(row(), row().retired.load()), Parked::full);
  EXPECT_EQ(lease(state).step, LeaseStep::parked);
  state = successor();
  EXPECT_EQ(lease(state).step, LeaseStep::parked) << "the successor finds it as it is";
  row().parked_tried_ns.store(1);
  const LeaseTaken again = lease(state);
  ASSERT_EQ(again.step, LeaseStep::to_dead_letter);
  ASSERT_EQ(core::finish_dead_letter_exclusive(view(), group_.row, state, again), Outcome::ok);
  EXPECT_EQ(core::parked_front(row(), row().retired.load()), Parked::no);
  EXPECT_EQ(lease(state).step, LeaseStep::leased);
}

TEST_F(ExclusiveDeliveries, WhatIsParkedAtTheEndDoesNotKeepTheStreamFromEnding) {
  send(1);
  core::ExclusiveState state = at_the_end_of_deliveries();
  ASSERT_EQ(lease(state).step, LeaseStep::to_dead_letter);
  ASSERT_EQ(core::park_exclusive(view(), group_.row, state, Parked::full), Outcome::ok);
  core::close(view());
  EXPECT_EQ(lease(state).step, LeaseStep::drained);
}

TEST_F(ExclusiveDeliveries, WhatIsParkedIsPurgedOnceTheConsumerIsGone) {
  send(2);
  core::ExclusiveState state = at_the_end_of_deliveries();
  const LeaseTaken taken = lease(state);
  ASSERT_EQ(core::park_exclusive(view(), group_.row, state, Parked::full), Outcome::ok);
  std::uint64_t messages = 0;
  Owner holder = 0;
  EXPECT_EQ(core::purge_parked(view(), group_, messages, holder), core::Purged::in_use);
  EXPECT_EQ(holder, state.owner);
  segment_.end(last_);
  EXPECT_EQ(core::purge_parked(view(), group_, messages, holder), core::Purged::ok);
  EXPECT_EQ(messages, 1U);
  EXPECT_EQ(row().retired.load(), taken.end);
}

class ExclusiveDropAfter : public ExclusiveDeliveries {
 protected:
  ExclusiveDropAfter() : ExclusiveDeliveries({.max_deliveries = 2, .drop_after = true}) {}
};

TEST_F(ExclusiveDropAfter, PastTheMostAMessageIsDroppedAndCounted) {
  send(2);
  core::ExclusiveState state = at_the_end_of_deliveries();
  const LeaseTaken next = lease(state);
  EXPECT_EQ(next.step, LeaseStep::leased);
  EXPECT_EQ(next.deliveries, 0U);
  EXPECT_EQ(next.begin, row().retired.load());
  EXPECT_EQ(row().dropped_messages.load(), 1U);
}

}  // namespace
}  // namespace ipcq::unit
