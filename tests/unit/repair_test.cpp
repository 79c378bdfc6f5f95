// Repair, with nobody attached: after any damage the segment is sound again, and what was not damaged is still there.
#include "core/repair.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "core/closing.hpp"
#include "core/groups.hpp"
#include "core/recovery.hpp"
#include "damaged_queue.hpp"

namespace ipcq::unit {
namespace {

using core::Finding;
using core::RepairStep;
using core::verify;

class Repair : public DamagedQueue {
 protected:
  /// As fill(), and then everybody leaves: leases were given back, or not.
  void leave() {
    segment_.end(producer_.owner);
    segment_.end(consumer_);
  }

  std::vector<RepairStep> repair() {
    const std::vector<Finding> found = verify(view());
    std::vector<RepairStep> steps = core::repair_alone(view());
    for (const RepairStep& step : core::recovered(found, verify(view()), steps)) steps.push_back(step);
    return steps;
  }

  [[nodiscard]] bool is_sound() const {
    const std::vector<Finding> findings = verify(view());
    return std::all_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.recoverable; });
  }
  static bool gave_up(const std::vector<RepairStep>& steps) {
    return std::any_of(steps.begin(), steps.end(), [](const RepairStep& step) { return step.given_up; });
  }
};

TEST_F(Repair, OfASoundQueueDoesNothing) {
  fill();
  leave();
  core::recover(view());
  const std::vector<char> before = bytes();
  EXPECT_EQ(repair().size(), 0U);
  EXPECT_EQ(bytes(), before);
}

TEST_F(Repair, OfEveryDamageLeavesASoundQueueThatWorks) {
  fill();
  leave();
  core::recover(view());
  const std::vector<char> sound = bytes();
  const std::set<std::uint64_t> mine = drain(group_);
  const std::set<std::uint64_t> others = drain(other_);
  ASSERT_EQ(others.size(), 12U);
  restore(sound);
  const std::uint64_t parked = parked_.begin;
  // Of a version that this one does not know, or told by the header alone: left as they are.
  const std::set<std::string> left{"header.valid", "header.copy", "flags.known", "quota.zero"};
  std::uint32_t damaged = 0;
  for (const Damage& damage : damages()) {
    if (left.contains(damage.invariant)) continue;
    SCOPED_TRACE(damage.what);
    restore(sound);
    damage.damage();
    const std::vector<Finding> found = verify(view());
    // With everybody gone, what a row says means nothing, and what names a living owner is a dead one's.
    if (is_sound()) continue;
    ++damaged;
    const std::vector<RepairStep> steps = repair();
    ASSERT_TRUE(is_sound()) << ::testing::PrintToString(verify(view())) << "\nfound " << ::testing::PrintToString(found)
                            << "\nsteps " << ::testing::PrintToString(steps);
    EXPECT_FALSE(segment_.poisoned());
    if (std::string(damage.invariant) != "flags.poisoned") {
      EXPECT_FALSE(steps.empty());
    }
    // It can be used: a message goes in, and comes out again in each group, after all that were there.
    core::ProducerState producer = segment_.producer(7);
    const bool closed = core::is_closed(view());
    if (closed) {
      ASSERT_TRUE(core::reopen(view()));
    }
    const std::uint64_t sent = segment_.send(producer, 8);
    segment_.end(producer.owner);
    for (const core::GroupId& group : {group_, other_}) {
      const auto id = core::GroupId{group.row, view().group(group.row).incarnation.load()};
      std::set<std::uint64_t> got = drain(id);
      if (group.row == group_.row && core::word_state(entry(parked_.entry).word.load()) == EntryState::parked) {
        got.insert(parked);
      }
      EXPECT_TRUE(got.contains(sent));
      if (!gave_up(steps)) {
        std::set<std::uint64_t> before = group.row == group_.row ? mine : others;
        before.insert(parked);
        EXPECT_TRUE(std::includes(got.begin(), got.end(), before.begin(), before.end()))
            << "what was not finished is lost, and nothing says so: " << ::testing::PrintToString(before) << " became "
            << ::testing::PrintToString(got) << " by " << ::testing::PrintToString(steps);
      }
    }
    EXPECT_TRUE(is_sound()) << ::testing::PrintToString(verify(view()));
  }
  EXPECT_GT(damaged, 25U);
}

TEST_F(Repair, DoneAgainHasNothingToDo) {
  fill();
  leave();
  core::recover(view());
  const std::vector<char> sound = bytes();
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.what);
    restore(sound);
    damage.damage();
    repair();
    const std::vector<char> once = bytes();
    if (!is_sound()) continue;
    EXPECT_EQ(repair().size(), 0U);
    EXPECT_EQ(bytes(), once);
  }
}

}  // namespace
}  // namespace ipcq::unit
