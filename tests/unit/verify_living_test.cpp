// Verify, of words that name a living endpoint: is it one that may be named there?
#include <gtest/gtest.h>

#include "damaged_queue.hpp"
#include "exclusive_queue.hpp"

namespace ipcq::unit {
namespace {

using layout::RowKind;

class VerifyLivingOfOne : public ExclusiveQueue {};

TEST_F(VerifyLivingOfOne, consumer_of_the_group_is_found_right) {
  const Owner consumer = segment_.attach(2, RowKind::consumer);
  view().row(2).group.store(group_.row);
  row().owner.store(consumer);
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  EXPECT_FALSE(names("group.owner", true)) << "he is not dead";
}

TEST_F(VerifyLivingOfOne, producer_is_no_consumer_of_a_group) {
  row().owner.store(segment_.attach(2, RowKind::producer));
  EXPECT_TRUE(names("group.owner", false)) << ::testing::PrintToString(broken());
}

TEST_F(VerifyLivingOfOne, consumer_of_another_group_is_none_of_this) {
  row().owner.store(segment_.attach(2, RowKind::consumer));
  view().row(2).group.store(group_.row + 1);
  EXPECT_TRUE(names("group.owner", false)) << ::testing::PrintToString(broken());
}

TEST_F(VerifyLivingOfOne, producer_is_found_right_and_a_consumer_is_none) {
  const Owner producer = segment_.attach(2, RowKind::producer);
  view().side().close.exclusive_owner.store(producer);
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  view().row(2).kind.store(static_cast<std::uint32_t>(RowKind::consumer));
  EXPECT_TRUE(names("side.exclusive_owner", false)) << ::testing::PrintToString(broken());
}

TEST_F(VerifyLivingOfOne, a_group_with_one_consumer_drops_nothing_by_itself) {
  row().overflow.store(static_cast<std::uint8_t>(Overflow::drop_oldest));
  EXPECT_TRUE(names("group.options", false)) << ::testing::PrintToString(broken());
}

class VerifyLivingOfMany : public DamagedQueue {
 protected:
  VerifyLivingOfMany() { fill(); }
  void lease_to(Owner owner, std::uint32_t deliveries) {
    const std::uint32_t sequence = core::word_sequence(entry(first_.entry).word.load());
    entry(first_.entry).word.store(core::make_word(EntryState::leased, deliveries, sequence, owner));
  }
};

TEST_F(VerifyLivingOfMany, a_producer_leases_only_what_was_delivered_too_often) {
  lease_to(producer_.owner, kMaxDeliveries);
  EXPECT_EQ(core::verify(view()).size(), 0U) << ::testing::PrintToString(core::verify(view()));
  lease_to(producer_.owner, kMaxDeliveries - 1);
  expect_broken("ledger.owner", offset_of(&entry(first_.entry).word));
}

TEST_F(VerifyLivingOfMany, a_member_of_a_group_that_was_in_the_row_before_leases_nothing) {
  view().row(1).group_incarnation.fetch_add(1);
  expect_broken("ledger.owner", offset_of(&entry(first_.entry).word), false);
}

TEST_F(VerifyLivingOfMany, a_claim_is_a_producers) {
  const core::ClaimTaken open = segment_.claim(producer_, 64);
  EXPECT_EQ(core::verify(view()).size(), 0U) << ::testing::PrintToString(core::verify(view()));
  const Owner other = segment_.attach(3, RowKind::consumer);
  view().row(3).open_claim.store(open.position);
  segment_.put_head(open.position, RecordState::claimed, 64, other);
  expect_broken("ring.claim", ring_offset(open.position), false);
}

}  // namespace
}  // namespace ipcq::unit
