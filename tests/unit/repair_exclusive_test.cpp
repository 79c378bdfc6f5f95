// Repair of queues with one producer and groups with one consumer, which have neither claims nor a ledger.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "core/closing.hpp"
#include "core/repair.hpp"
#include "exclusive_queue.hpp"

namespace ipcq::unit {
namespace {

using core::RepairStep;

class RepairExclusive : public ExclusiveQueue {
 protected:
  /// Positions of all that a successor is given, or moves to the dead-letter queue.
  std::set<std::uint64_t> take_all() {
    std::set<std::uint64_t> positions;
    core::ExclusiveState state;
    state.owner = segment_.attach(3, layout::RowKind::consumer);
    Owner holder = 0;
    EXPECT_EQ(core::join_exclusive(view(), group_.row, row().incarnation.load(), state, holder), core::Join::ok);
    for (;;) {
      const core::LeaseTaken taken = core::lease_exclusive(view(), group_.row, row().incarnation.load(), state, {}, true);
      if (taken.step != core::LeaseStep::leased && taken.step != core::LeaseStep::to_dead_letter) {
        EXPECT_TRUE(taken.step == core::LeaseStep::nothing || taken.step == core::LeaseStep::drained)
            << static_cast<int>(taken.step);
        break;
      }
      for (std::uint64_t at = taken.begin; at < taken.end; at += core::span_of(view(), segment_.head(at))) {
        if (segment_.state_at(at) == RecordState::committed) positions.insert(at);
      }
      EXPECT_EQ(core::ack_exclusive(view(), group_.row, state, taken.end), Outcome::ok);
      state.position = taken.end;
    }
    segment_.end(state.owner);
    return positions;
  }
  static std::string shown(const std::vector<RepairStep>& steps) {
    std::string all;
    for (const RepairStep& step : steps) all += std::string(step.given_up ? "\ngiven up: " : "\nmended: ") + step.text;
    return all;
  }
  static bool gave_up(const std::vector<RepairStep>& steps) {
    return std::any_of(steps.begin(), steps.end(), [](const RepairStep& step) { return step.given_up; });
  }
};

TEST_F(RepairExclusive, OfEveryDamageLeavesASoundQueueInWhichEverythingIsThere) {
  const std::vector<char> sound = bytes();
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.what);
    restore(sound);
    damage.damage();
    const std::uint64_t published = std::min(kEnd, row().retired.load());
    ASSERT_NE(broken().size(), 0U);
    EXPECT_FALSE(core::repair_alone(view()).empty());
    ASSERT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
    EXPECT_FALSE(segment_.poisoned());
    EXPECT_EQ(core::repair_alone(view()).size(), 0U);
    std::set<std::uint64_t> expected;
    for (std::uint64_t at = published; at < kEnd; at += kRecord) expected.insert(at);
    EXPECT_EQ(take_all(), expected);
    EXPECT_EQ(row().retired.load(), segment_.claim_position());
    EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  }
}

TEST_F(RepairExclusive, KeepsTheCountOfTheMessageThatMayHaveKilledSomebody) {
  row().owner.store(core::make_owner(99, 1));
  const std::vector<RepairStep> steps = core::repair_alone(view());
  EXPECT_FALSE(gave_up(steps)) << shown(steps);
  EXPECT_EQ(row().takeover_count.load(), 3U);
  EXPECT_EQ(row().takeover_retired.load(), kRecord);
  EXPECT_EQ(row().parked_at.load(), kRecord);
}

TEST_F(RepairExclusive, SaysThatItGaveUpHowOftenAMessageWasDelivered) {
  row().takeover_retired.store(3 * kRecord);
  EXPECT_TRUE(gave_up(core::repair_alone(view())));
  EXPECT_EQ(row().takeover_count.load(), 0U);
}

TEST_F(RepairExclusive, CountsTheBatchThatItsDeadProducerDidNot) {
  view().side().claim.claim_position.store(kEnd - kRecord);
  row().takeover_count.store(9999);
  core::repair_alone(view());
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  EXPECT_EQ(segment_.claim_position(), kEnd);
}

// Nothing tells whether the record or claim_position is right: what stands there is not guessed at.
TEST_F(RepairExclusive, GivesUpTheRecordInWhichClaimPositionIsWhereAHeadOfZeroStandsThereToo) {
  view().side().claim.claim_position.store(5 * kRecord + 16);
  ASSERT_EQ(segment_.head(5 * kRecord + 16), 0U);
  EXPECT_TRUE(gave_up(core::repair_alone(view())));
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  EXPECT_EQ(take_all().size(), kMessages - 2);
}

TEST_F(RepairExclusive, EndsTheStreamBehindWhatIsPublished) {
  core::close(view());
  ASSERT_EQ(view().side().close.closed_at.load(), kEnd);
  view().side().claim.claim_position.store(kEnd - kRecord);
  view().side().close.closed_at.store(kEnd - kRecord);
  core::repair_alone(view());
  EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken());
  EXPECT_EQ(view().side().close.closed_at.load(), kEnd);
  EXPECT_EQ(take_all().size(), kMessages - 1);
}

}  // namespace
}  // namespace ipcq::unit
