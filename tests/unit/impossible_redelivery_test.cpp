// A range that came back and cannot be: whoever would hand it out says `damaged` and hands out nothing.
#include <gtest/gtest.h>

#include <cstdint>

#include "core/lease.hpp"
#include "core/parking.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;

class ImpossibleRedelivery : public LedgerBench {
 protected:
  LeaseTaken lease(std::uint32_t messages = 64) {
    return core::lease(view(), group_.row, group_.incarnation, consumer_, {.max_messages = messages}, 0);
  }
  void give_back(const LeaseTaken& taken) {
    ASSERT_EQ(taken.step, LeaseStep::leased);
    ASSERT_EQ(core::requeue(view(), group_.row, taken.entry, taken.word), Outcome::ok);
  }
  void send(int messages) {
    for (int i = 0; i < messages; ++i) segment_.send(producer_, 16);
  }

  core::ProducerState producer_ = segment_.producer(0);
  const Owner consumer_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(ImpossibleRedelivery, without_a_message) {
  send(1);
  give_back(lease());
  segment_.put_head(0, RecordState::skipped, 32);
  EXPECT_EQ(lease().step, LeaseStep::damaged);
}

TEST_F(ImpossibleRedelivery, that_begins_before_what_is_finished) {
  send(6);
  const LeaseTaken first = lease(2);
  ASSERT_EQ(lease(2).step, LeaseStep::leased);
  const LeaseTaken third = lease(2);
  give_back(third);
  ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, first.entry, first.word), Outcome::ok);
  entry(third.entry).begin.store(0);
  EXPECT_EQ(lease().step, LeaseStep::damaged) << "the first is retired now, and that one begins where the first did";
  EXPECT_EQ(retired(), 64U);
}

TEST_F(ImpossibleRedelivery, that_ends_behind_what_was_handed_out) {
  send(6);
  const LeaseTaken first = lease(2);
  ASSERT_EQ(lease(2).step, LeaseStep::leased);
  give_back(first);
  entry(first.entry).end.store(160);
  EXPECT_EQ(lease().step, LeaseStep::damaged);
  EXPECT_EQ(read(first.entry).state, EntryState::redeliverable);
}

TEST_F(ImpossibleRedelivery, that_cannot_be_split_and_whose_second_record_cannot_be) {
  send(2 * static_cast<int>(kEntries) + 2);
  const LeaseTaken first = lease(2);
  for (std::uint32_t i = 1; i < kEntries; ++i) ASSERT_EQ(lease(2).step, LeaseStep::leased);
  give_back(first);
  segment_.put_head(32, RecordState::committed, kCapacity);
  EXPECT_EQ(lease().step, LeaseStep::damaged) << "no entry is free, so it would be handed out whole";
  EXPECT_EQ(read(first.entry).state, EntryState::redeliverable);
}

TEST_F(ImpossibleRedelivery, a_range_that_is_another_owners_by_now_is_not_parked) {
  send(1);
  const LeaseTaken taken = lease();
  give_back(taken);
  EXPECT_EQ(core::park(view(), group_.row, taken, core::Parked::full), Outcome::disowned);
  EXPECT_EQ(read(taken.entry).state, EntryState::redeliverable);
}

}  // namespace
}  // namespace ipcq::unit
