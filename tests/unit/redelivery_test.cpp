// What a lease hands out of a range that comes again, and how it gets past skipped records, with few ledger entries.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "core/event_count.hpp"
#include "core/lease.hpp"
#include "core/ring.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;

class ARangeThatComesAgain : public LedgerBench {
 protected:
  ARangeThatComesAgain() : producer_(segment_.producer(0)), consumer_(segment_.attach(1, layout::RowKind::consumer)) {}

  void send(int messages) {
    for (int i = 0; i < messages; ++i) segment_.send(producer_, 16);
  }
  [[nodiscard]] LeaseTaken lease(std::uint32_t messages) const {
    return core::lease(view(), group_.row, group_.incarnation, consumer_, {.max_messages = messages}, 0);
  }
  void ack(const LeaseTaken& lease) const {
    ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, lease.entry, lease.word), Outcome::ok);
  }
  void requeue(const LeaseTaken& lease) const {
    ASSERT_EQ(core::requeue(view(), group_.row, lease.entry, lease.word), Outcome::ok);
  }

  core::ProducerState producer_;
  Owner consumer_;
};

TEST_F(ARangeThatComesAgain, WakesWhoWaitsForMessagesWhenItIsGivenBack) {
  send(1);
  const LeaseTaken taken = lease(1);
  core::arm(view().side().data);
  requeue(taken);
  EXPECT_FALSE(core::somebody_waits(view().side().data));
}

TEST_F(ARangeThatComesAgain, IsHandedOutByItsFirstMessageAndTheRestKeepsItsDeliveries) {
  send(3);
  requeue(lease(3));
  for (int times = 1; times <= 3; ++times) {
    const LeaseTaken first = lease(64);
    ASSERT_EQ(first.step, LeaseStep::leased);
    EXPECT_EQ(first.begin, 0U);
    EXPECT_EQ(first.messages, 1U);
    EXPECT_EQ(first.deliveries, static_cast<std::uint32_t>(times));
    if (times == 1) {
      EXPECT_EQ(ranges(), (std::vector<Range>{{0, 32, EntryState::leased, 1, consumer_},
                                              {32, 96, EntryState::redeliverable, 1, 0}}));
    }
    EXPECT_TRUE(is_whole());
    requeue(first);
  }
  EXPECT_EQ(row().redelivered_messages.load(), 3U);
  EXPECT_EQ(row().leased_messages.load(), 3U);
}

TEST_F(ARangeThatComesAgain, FindsItsPlaceAgainWhenAnEntryForTheRestIsMadeByMerging) {
  send(10);
  std::vector<LeaseTaken> open;
  for (std::uint32_t i = 0; i + 1 < kEntries; ++i) open.push_back(lease(1));
  const LeaseTaken last = lease(2);
  ASSERT_EQ(lease(1).step, LeaseStep::too_many_leases);
  // In front of it, but behind a lease that is open, two neighbours are finished.
  ack(open[1]);
  ack(open[2]);
  requeue(last);
  const LeaseTaken again = lease(64);
  ASSERT_EQ(again.step, LeaseStep::leased);
  EXPECT_EQ(again.begin, last.begin);
  EXPECT_EQ(again.messages, 1U);
  EXPECT_TRUE(is_whole());
  ASSERT_EQ(ranges().size(), kEntries);
  EXPECT_EQ(ranges()[1], (Range{32, 96, EntryState::done, 0, 0}));
  EXPECT_EQ(ranges().back(), (Range{last.begin + 32, last.end, EntryState::redeliverable, 1, 0}));
}

// More skipped records than one look takes, then a message.
class BehindSkippedRecords : public ::testing::Test {
 protected:
  BehindSkippedRecords() : segment_({.capacity = 4 * kCapacity}), group_(segment_.add_group()) {
    consumer_ = segment_.attach(1, layout::RowKind::consumer);
  }
  /// From `position` on; returns where the message is.
  std::uint64_t skip(std::uint64_t position) {
    const std::uint64_t end = position + (std::uint64_t{core::kWalkRecordsMax} + 100) * 16;
    for (; position < end; position += 16) segment_.put_head(position, RecordState::skipped, 16);
    segment_.put_messages(position, {16});
    segment_.view().side().claim.claim_position.store(position + 32);
    return position;
  }
  [[nodiscard]] LeaseTaken lease() const {
    return core::lease(segment_.view(), group_.row, group_.incarnation, consumer_, {}, 0);
  }

  CoreSegment segment_;
  core::GroupId group_;
  Owner consumer_ = 0;
};

TEST_F(BehindSkippedRecords, AMessageIsFoundByOneLeaseThatPassesThemATurnAtATime) {
  const std::uint64_t message = skip(0);
  const LeaseTaken taken = lease();
  ASSERT_EQ(taken.step, LeaseStep::leased);
  EXPECT_EQ(taken.end, message + 32);
  EXPECT_GT(segment_.view().group(group_.row).retired.load(), 0U);
}

TEST_F(BehindSkippedRecords, AMessageIsFoundBehindALeaseThatIsOpenToo) {
  const std::uint64_t open_to = segment_.put_messages(0, {16});
  ASSERT_EQ(lease().end, open_to);
  const std::uint64_t message = skip(open_to);
  const LeaseTaken taken = lease();
  ASSERT_EQ(taken.step, LeaseStep::leased);
  EXPECT_EQ(taken.end, message + 32);
  EXPECT_EQ(segment_.view().group(group_.row).retired.load(), 0U);
}

TEST_F(BehindSkippedRecords, NobodyIsToldThatThereIsNothingWhenTheLedgerHasNoEntryToPassThem) {
  std::uint64_t open_to = 0;
  std::vector<LeaseTaken> open;
  for (std::uint32_t i = 0; i < segment_.view().ledger_entries; ++i) {
    open_to = segment_.put_messages(open_to, {16});
    open.push_back(lease());
    ASSERT_EQ(open.back().end, open_to);
  }
  const std::uint64_t message = skip(open_to);
  const LeaseTaken refused = lease();
  EXPECT_EQ(refused.step, LeaseStep::too_many_leases);
  EXPECT_EQ(refused.front_owner, consumer_);
  // Two in front make room for what is passed and for the message; two others, which are no neighbours, make none.
  for (const std::size_t number : {3U, 5U, 0U, 1U}) {
    EXPECT_EQ(lease().step, LeaseStep::too_many_leases) << "before " << number << " is done";
    const LeaseTaken& one = open[number];
    ASSERT_EQ(core::ack(segment_.view(), group_.row, group_.incarnation, one.entry, one.word), Outcome::ok);
  }
  const LeaseTaken taken = lease();
  ASSERT_EQ(taken.step, LeaseStep::leased);
  EXPECT_EQ(taken.end, message + 32);
}

}  // namespace
}  // namespace ipcq::unit
