// Ack of the first n of a lease: those are finished, and the rest stays the same one's lease.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "core/event_count.hpp"
#include "core/lease.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseTaken;

class AckOfTheFirst : public LedgerBench {
 protected:
  static constexpr std::uint64_t kRecord = 32;

  void send(int messages) {
    for (int i = 0; i < messages; ++i) segment_.send(producer_, kRecord - 16);
  }
  [[nodiscard]] LeaseTaken lease(std::uint32_t messages) const {
    return core::lease(view(), group_.row, group_.incarnation, owner_, {.max_messages = messages}, 0);
  }
  [[nodiscard]] Outcome ack_first(LeaseTaken& taken, std::uint32_t messages) const {
    return core::ack_first(view(), group_.row, group_.incarnation, taken.begin + messages * kRecord, 0, taken);
  }
  /// As if it had been handed out so often before.
  void hand_out_before(LeaseTaken& taken, std::uint32_t deliveries) const {
    taken.word = core::make_word(EntryState::leased, deliveries, core::word_sequence(taken.word), owner_);
    entry(taken.entry).word.store(taken.word);
  }

  core::ProducerState producer_ = segment_.producer(0);
  Owner owner_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(AckOfTheFirst, finishes_them_and_leaves_the_rest_to_the_same_one) {
  send(4);
  LeaseTaken taken = lease(4);
  ASSERT_EQ(ack_first(taken, 3), Outcome::ok);
  EXPECT_EQ(retired(), 3 * kRecord);
  EXPECT_EQ(read(taken.entry), (Range{3 * kRecord, 4 * kRecord, EntryState::leased, 0, owner_}));
  EXPECT_EQ(taken.word, entry(taken.entry).word.load());
  EXPECT_TRUE(is_whole());
  EXPECT_EQ(core::ack(view(), group_.row, group_.incarnation, taken.entry, taken.word), Outcome::ok);
}

TEST_F(AckOfTheFirst, keeps_how_often_the_rest_was_handed_out) {
  send(2);
  LeaseTaken taken = lease(2);
  hand_out_before(taken, 5);
  ASSERT_EQ(ack_first(taken, 1), Outcome::ok);
  EXPECT_EQ(read(taken.entry).deliveries, 5U);
}

TEST_F(AckOfTheFirst, of_a_lease_behind_another_waits_for_that_one) {
  send(4);
  const LeaseTaken front = lease(2);
  LeaseTaken taken = lease(2);
  ASSERT_EQ(ack_first(taken, 1), Outcome::ok);
  EXPECT_EQ(retired(), 0U);
  EXPECT_TRUE(is_whole());
  ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, front.entry, front.word), Outcome::ok);
  core::retire_and_publish(view(), group_.row, group_.incarnation);
  EXPECT_EQ(retired(), 3 * kRecord);
}

TEST_F(AckOfTheFirst, needs_an_entry_for_the_rest_and_changes_nothing_without) {
  send(2 * static_cast<int>(kEntries));
  LeaseTaken first = lease(2);
  for (std::uint32_t i = 1; i < kEntries; ++i) ASSERT_EQ(lease(2).step, core::LeaseStep::leased);
  const std::vector<Range> before = ranges();
  EXPECT_EQ(ack_first(first, 1), Outcome::too_many_leases);
  EXPECT_EQ(ranges(), before);
  EXPECT_EQ(retired(), 0U);
}

TEST_F(AckOfTheFirst, wakes_who_waits_for_their_room) {
  send(2);
  LeaseTaken taken = lease(2);
  core::arm(view().side().space);
  ASSERT_EQ(ack_first(taken, 1), Outcome::ok);
  EXPECT_FALSE(core::somebody_waits(view().side().space));
}

}  // namespace
}  // namespace ipcq::unit
