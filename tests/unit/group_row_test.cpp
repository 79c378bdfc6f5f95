// Rows of groups: added, found, removed, used again; what comes late touches nothing of the row's next group.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "core/event_count.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/recovery.hpp"
#include "fixture.hpp"
#include "kept_mutex.hpp"

namespace ipcq::unit {
namespace {

using core::AddGroup;
using core::GroupId;
using core::RemoveGroup;

class GroupRows : public ::testing::Test {
 protected:
  /// The consumer leases, and is no member unless a test says so.
  GroupRows() { view().row(core::owner_row(consumer_)).group_incarnation.store(0); }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row(GroupId id) const noexcept { return view().group(id.row); }
  RemoveGroup remove(GroupId id, bool force = false) {
    std::uint32_t holder = 0;
    return core::remove_group(view(), id, force, holder);
  }
  core::LeaseTaken lease(GroupId id) const {
    return core::lease(view(), id.row, id.incarnation, consumer_, {.max_messages = 1}, 0);
  }
  Outcome ack(GroupId id, const core::LeaseTaken& taken) const {
    return core::ack(view(), id.row, id.incarnation, taken.entry, taken.word);
  }

  /// The lease of the row's former group finishes nothing of `next`, which has leased the same entry.
  void expect_miss(GroupId next, const core::LeaseTaken& stale) const {
    ASSERT_EQ(next.row, default_.row);
    const core::LeaseTaken fresh = lease(next);
    ASSERT_EQ(fresh.entry, stale.entry);
    EXPECT_EQ(ack(next, stale), Outcome::disowned);
    EXPECT_EQ(ack(next, fresh), Outcome::ok);
  }

  /// A thread that is in the row's mutex when this returns, stays until another has come to wait for it, does `then`, and
  /// leaves.
  template <class Then>
  std::thread inside_for_a_while(std::uint32_t number, Then then) {
    std::thread thread([this, number, then] {
      auto& row = view().group(number);
      EXPECT_EQ(row.mutex.lock(os::kNoDeadline), os::LockResult::clean);
      inside_.store(true);
      inside_.notify_one();
      wait_for_waiter(row.mutex);
      then(row);
      row.mutex.unlock();
    });
    inside_.wait(false);
    return thread;
  }

  std::atomic<bool> inside_{false};
  CoreSegment segment_;
  GroupId default_ = segment_.add_group();
  core::ProducerState producer_ = segment_.producer(0);
  Owner consumer_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(GroupRows, AGroupIsFoundByItsNameOnly) {
  const GroupId other = segment_.add_group({.name = std::string(64, 'n')});
  GroupId id;
  ASSERT_TRUE(core::find_group(view(), std::string(64, 'n'), id));
  EXPECT_EQ(id.row, other.row);
  EXPECT_EQ(id.incarnation, other.incarnation);
  EXPECT_FALSE(core::find_group(view(), "defaul", id));
  EXPECT_FALSE(core::find_group(view(), "default2", id));
  EXPECT_FALSE(core::find_group(view(), "", id));
}

TEST_F(GroupRows, ANameIsAddedOnceAndTheTableHasAnEnd) {
  GroupId id;
  EXPECT_EQ(core::add_group(view(), {.name = "default"}, id), AddGroup::exists);
  EXPECT_EQ(id.row, default_.row);
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(core::add_group(view(), {.name = name}, id), AddGroup::ok);
  EXPECT_EQ(core::add_group(view(), {.name = "d"}, id), AddGroup::full);
}

TEST_F(GroupRows, OldestStartsAtTheLeastRetiredAndNewestAtTheEndOfWhatIsClaimed) {
  for (int i = 0; i < 4; ++i) segment_.send(producer_, 8);
  row(default_).retired.store(32);
  EXPECT_EQ(row(segment_.add_group({.name = "oldest"})).retired.load(), 32U);
  EXPECT_EQ(row(segment_.add_group({.name = "newest", .start = Start::newest})).retired.load(), 128U);
}

TEST_F(GroupRows, AddingDiedBeforeTheStateLeavesAFreeRowThatIsUsedNext) {
  const GroupId half = segment_.add_group({.name = "half"});
  row(half).state.store(static_cast<std::uint32_t>(layout::GroupState::free));  // its last store never happened
  EXPECT_EQ(core::refresh_least_retired(view()), row(default_).retired.load());
  const GroupId whole = segment_.add_group({.name = "whole"});
  EXPECT_EQ(whole.row, half.row);
  EXPECT_NE(whole.incarnation, half.incarnation);
}

TEST_F(GroupRows, IsNotAddedWhileAMemberOfTheRowsLastGroupIsInItsMutex) {
  // He came when the row was marked, found its holder dead, and repairs the ledger.
  GroupId id;
  std::thread member = inside_for_a_while(default_.row + 1, [](layout::GroupRow& free) {
    EXPECT_NE(free.state.load(), static_cast<std::uint32_t>(layout::GroupState::active)) << "formatted under his hands";
  });
  EXPECT_EQ(core::add_group(view(), {.name = "next"}, id), AddGroup::ok);
  EXPECT_EQ(id.row, default_.row + 1);
  member.join();
}

TEST_F(GroupRows, OfTheRowsLastGroupNothingIsLeftInTheNextOne) {
  const std::uint32_t next = default_.row + 1;
  auto& free = view().group(next);
  for (std::uint32_t i = 0; i < view().ledger_entries; ++i)
    view().entries(next)[i].word.store(core::make_word(EntryState::done, 2, 7, 0));
  free.leased_to.store(4'096);
  free.again_to.store(4'096);
  const GroupId id = segment_.add_group({.name = "next"});
  ASSERT_EQ(id.row, next);
  for (std::uint32_t i = 0; i < view().ledger_entries; ++i) {
    EXPECT_EQ(core::word_state(view().entries(next)[i].word.load()), EntryState::free) << "entry " << i;
    EXPECT_EQ(core::word_sequence(view().entries(next)[i].word.load()), 7U) << "an old handle's word would be this one";
  }
  EXPECT_EQ(free.leased_to.load(), free.retired.load());
  EXPECT_EQ(free.again_to.load(), free.retired.load());
}

TEST_F(GroupRows, ARemovalThatWasBrokenOffLeavesRoomForTheNext) {
  for (const char* name : {"a", "b", "c"}) segment_.add_group({.name = name});        // all there are
  row(default_).state.store(static_cast<std::uint32_t>(layout::GroupState::marked));  // and its remover died
  GroupId id;
  EXPECT_EQ(core::add_group(view(), {.name = "default"}, id), AddGroup::ok);
  EXPECT_EQ(id.row, default_.row);
  EXPECT_NE(id.incarnation, default_.incarnation);
}

TEST_F(GroupRows, IsAddedInAnotherRowIfThisOneIsTakenMeanwhile) {
  GroupId id;
  std::thread other = inside_for_a_while(default_.row + 1, [](layout::GroupRow& free) {
    free.incarnation.fetch_add(1);
    free.state.store(static_cast<std::uint32_t>(layout::GroupState::active));
  });
  EXPECT_EQ(core::add_group(view(), {.name = "next"}, id), AddGroup::ok);
  EXPECT_EQ(id.row, default_.row + 2);
  other.join();
}

TEST_F(GroupRows, RemovingOneWakesWhoWaitsForItsRoomAndWhoWaitsForItsMessages) {
  const GroupId other = segment_.add_group({.name = "other"});
  core::arm(view().side().space);
  core::arm(view().side().data);
  EXPECT_EQ(remove(other), RemoveGroup::ok);
  EXPECT_FALSE(core::somebody_waits(view().side().space));
  EXPECT_FALSE(core::somebody_waits(view().side().data));
}

TEST_F(GroupRows, TheLastGroupStays) {
  EXPECT_EQ(remove(default_, true), RemoveGroup::last);
  EXPECT_TRUE(core::group_is(view(), default_.row, default_.incarnation));
}

TEST_F(GroupRows, AMemberOrALivingLeaseKeepsAGroup) {
  segment_.add_group({.name = "other"});
  segment_.send(producer_, 8);
  auto& member = view().row(core::owner_row(consumer_));
  member.group.store(default_.row);
  member.group_incarnation.store(default_.incarnation);
  EXPECT_EQ(remove(default_), RemoveGroup::has_member);
  const core::LeaseTaken open = lease(default_);
  EXPECT_EQ(remove(default_, true), RemoveGroup::has_lease) << "force overrides idle members only";
  EXPECT_EQ(ack(default_, open), Outcome::ok);
  EXPECT_EQ(remove(default_, true), RemoveGroup::ok);
  EXPECT_EQ(lease(default_).step, core::LeaseStep::group_removed);
}

TEST_F(GroupRows, TheLeaseOfTheDeadDoesNotKeepAGroup) {
  segment_.add_group({.name = "other"});
  segment_.send(producer_, 8);
  std::ignore = lease(default_);
  segment_.end(consumer_);
  EXPECT_EQ(remove(default_), RemoveGroup::ok);
}

TEST_F(GroupRows, ARemovalThatDiedBehindTheMarkIsFinishedByWhoeverLooks) {
  segment_.add_group({.name = "other"});
  row(default_).state.store(static_cast<std::uint32_t>(layout::GroupState::marked));
  EXPECT_EQ(lease(default_).step, core::LeaseStep::group_removed);
  core::recover(view());
  EXPECT_EQ(row(default_).state.load(), static_cast<std::uint32_t>(layout::GroupState::free));
}

TEST_F(GroupRows, TwoRemovalsOfTheLastTwoGroupsLeaveOne) {
  const GroupId other = segment_.add_group({.name = "other"});
  // Both looked while both groups were there, and marked.
  row(default_).state.store(static_cast<std::uint32_t>(layout::GroupState::marked));
  row(other).state.store(static_cast<std::uint32_t>(layout::GroupState::marked));
  core::recover(view());
  const int active = static_cast<int>(core::group_is(view(), default_.row, default_.incarnation)) +
                     static_cast<int>(core::group_is(view(), other.row, other.incarnation));
  EXPECT_EQ(active, 1);
}

TEST_F(GroupRows, AnAckOfAnEarlierGroupMissesTheRowsNextOne) {
  segment_.add_group({.name = "other"});
  segment_.send(producer_, 8);
  const core::LeaseTaken stale = lease(default_);
  segment_.end(consumer_);
  ASSERT_EQ(remove(default_), RemoveGroup::ok);
  consumer_ = segment_.attach(1, layout::RowKind::consumer);
  const GroupId next = segment_.add_group({.name = "next"});
  expect_miss(next, stale);
}

TEST_F(GroupRows, ASecondAckOfAnEarlierGroupMissesTheRowsNextOneThoughTheConsumerIsTheSame) {
  segment_.add_group({.name = "other"});
  segment_.send(producer_, 8);
  const core::LeaseTaken stale = lease(default_);
  ASSERT_EQ(ack(default_, stale), Outcome::ok);
  ASSERT_EQ(remove(default_, true), RemoveGroup::ok);
  const GroupId next = segment_.add_group({.name = "next"});
  segment_.send(producer_, 8);
  expect_miss(next, stale);
}

TEST_F(GroupRows, OneWhoseRemovalIsNotDoneKeepsItsRoom) {
  segment_.add_group({.name = "other"});
  row(default_).retired.store(0);
  view().group(1).retired.store(4096);
  row(default_).state.store(static_cast<std::uint32_t>(layout::GroupState::marked));
  EXPECT_EQ(core::refresh_least_retired(view()), 0U);
}

// An acker finishes its range, is preempted, and goes on to retire when its group is removed: the row belongs to whoever
// adds a group next, without the group's mutex.
TEST_F(GroupRows, ALateAckerRetiresNothingInAFreeRow) {
  segment_.add_group({.name = "other"});
  segment_.send(producer_, 8);
  const core::LeaseTaken taken = lease(default_);
  ASSERT_EQ(ack(default_, taken), Outcome::ok);
  ASSERT_EQ(remove(default_, true), RemoveGroup::ok);
  constexpr std::uint64_t kOfTheNextGroup = 4096;
  row(default_).retired.store(kOfTheNextGroup);
  core::retire_and_publish(view(), default_.row, default_.incarnation);
  EXPECT_EQ(row(default_).retired.load(), kOfTheNextGroup);
}

TEST_F(GroupRows, ADeathInTheMutexOfAFreeRowPoisonsNothingWhateverStandsThere) {
  segment_.add_group({.name = "other"});
  ASSERT_EQ(remove(default_, true), RemoveGroup::ok);
  // Half of what adds a group next: entries of the old ledger, some of them cleared already.
  auto* entries = view().entries(default_.row);
  entries[1].begin.store(64);
  entries[1].end.store(96);
  entries[1].word.store(core::make_word(EntryState::done, 0, 1, 0));
  die_holding(row(default_).mutex);
  core::recover(view());
  EXPECT_FALSE(segment_.poisoned());
}

}  // namespace
}  // namespace ipcq::unit
