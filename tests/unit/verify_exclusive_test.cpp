// Verify, of queues with one producer and groups with one consumer: neither has a mutex on its way, so positions tell all.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "exclusive_queue.hpp"

namespace ipcq::unit {
namespace {

using core::Finding;
using core::verify;

class VerifyExclusive : public ExclusiveQueue {};

TEST_F(VerifyExclusive, CountsNothingOfWhatDeathsLeave) {
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  EXPECT_TRUE(names("group.owner", true));
}

TEST_F(VerifyExclusive, NamesEachInvariantThatAWordBreaksAtThatWord) {
  const std::vector<char> sound = bytes();
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.what);
    damage.damage();
    const std::vector<Finding> findings = broken();
    bool found = false;
    for (const Finding& finding : findings) {
      found |= std::string(finding.invariant) == damage.invariant && finding.offset == damage.offset;
    }
    EXPECT_TRUE(found) << damage.invariant << " at " << damage.offset << ", not in "
                       << ::testing::PrintToString(findings);
    if (damage.alone) {
      EXPECT_EQ(findings.size(), 1U) << ::testing::PrintToString(findings);
    }
    restore(sound);
    ASSERT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  }
}

TEST_F(VerifyExclusive, NotesABatchThatItsDeadProducerDidNotCount) {
  view().side().claim.claim_position.store(kEnd - kRecord);
  EXPECT_TRUE(names("side.claim_position", true));
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
}

// A consumer reads the frontier, not claim_position.
TEST_F(VerifyExclusive, CountsNothingIfThatBatchIsFinishedAlready) {
  view().side().claim.claim_position.store(kEnd - 2 * kRecord);
  row().retired.store(kEnd);
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  // But it must be there.
  segment_.put_head(kEnd - kRecord, RecordState::skipped, kRecord);
  EXPECT_TRUE(names("side.claim_position", false)) << ::testing::PrintToString(broken());
}

TEST_F(VerifyExclusive, FindsTheEndOfARingThatIsFullToTheLastByteThereIsRoomFor) {
  core::ProducerState producer = segment_.producer(0);
  Owner holder = 0;
  ASSERT_EQ(core::take_over_producer(view(), producer, holder), core::TakeOver::ok);
  const auto publish = [&](std::uint64_t need) {
    core::ClaimTaken taken;
    if (core::claim(view(), producer, need, 0, taken) != Outcome::ok) return false;
    core::store_time(view(), taken.position, taken.time);
    return core::commit(view(), producer, taken.position, need, need, make_head(RecordState::committed, need - 16, 0)) ==
           Outcome::ok;
  };
  while (publish(kRecord)) {
  }
  while (publish(16)) {
  }
  ASSERT_EQ(segment_.claim_position() - row().retired.load(), kCapacity - 16);
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  segment_.put_head(segment_.claim_position(), RecordState::none, 1);
  EXPECT_TRUE(names("side.end_mark", false)) << ::testing::PrintToString(broken());
}

TEST_F(VerifyExclusive, CountsWhatIsParkedWhereNothingIsEverParked) {
  CoreSegment other({.producers = ProducerMode::exclusive});
  const core::GroupId group = other.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
  ASSERT_EQ(verify(other.view()).size(), 0U);
  auto& row = other.view().group(group.row);
  row.parked_at.store(0);
  row.parked_why.store(3);
  row.parked_tried_ns.store(1);
  const std::vector<Finding> findings = verify(other.view());
  ASSERT_EQ(findings.size(), 1U) << ::testing::PrintToString(findings);
  EXPECT_STREQ(findings[0].invariant, "group.parked_at");
}

}  // namespace
}  // namespace ipcq::unit
