// The endpoint table: who takes a row, who counts as dead, and whose rows are left alone.
#include "core/endpoints.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/lease.hpp"
#include "core/producer_side.hpp"
#include "core/recovery.hpp"
#include "fixture.hpp"
#include "kept_mutex.hpp"
#include "os/life_lock.hpp"

namespace ipcq::unit {
namespace {

using core::AttachResult;
using core::Verdict;

class EndpointTable : public ::testing::Test {
 protected:
  EndpointTable() : view_(segment_.view()) {
    view_.fd = segment_.fd();
    struct stat info {};
    ::fstat(view_.fd, &info);
    view_.file = {info.st_dev, info.st_ino};
  }
  struct Attached {
    os::UniqueFd life;
    Owner owner = 0;
    AttachResult result = AttachResult::full;
  };
  /// An endpoint of this process with a life lock of its own.
  Attached attach(layout::RowKind kind = layout::RowKind::producer) {
    Attached made{os::reopen(view_.fd, O_RDWR)};
    made.result = core::attach(view_, made.life.get(), {kind, 2, 7}, made.owner);
    return made;
  }
  [[nodiscard]] layout::EndpointRow& row(Owner owner) const noexcept { return view_.row(core::owner_row(owner)); }
  [[nodiscard]] bool attached(Owner owner) const { return core::row_attached(view_, core::owner_row(owner)); }

  CoreSegment segment_{{.endpoints_max = 4}};
  core::View view_;
};

TEST_F(EndpointTable, AnAttachedRowSaysWhoItIsAndHoldsItsByte) {
  const Attached made = attach(layout::RowKind::consumer);
  ASSERT_EQ(made.result, AttachResult::ok);
  EXPECT_EQ(row(made.owner).pid.load(), static_cast<std::uint32_t>(::getpid()));
  EXPECT_EQ(row(made.owner).start_time.load(), os::start_time(static_cast<std::uint32_t>(::getpid())));
  EXPECT_EQ(row(made.owner).kind.load(), static_cast<std::uint32_t>(layout::RowKind::consumer));
  EXPECT_EQ(row(made.owner).group.load(), 2U);
  EXPECT_EQ(row(made.owner).group_incarnation.load(), 7U);
  EXPECT_EQ(os::probe_byte(view_.fd, view_.life_begin + core::owner_row(made.owner)), os::ByteState::held);
  EXPECT_EQ(core::judge(view_, made.owner), Verdict::alive);
}

TEST_F(EndpointTable, EveryUseOfARowIsAnotherIncarnationAndNeverNobody) {
  Attached before = attach();
  core::detach(view_, before.owner);
  before.life.reset();
  EXPECT_FALSE(attached(before.owner));
  EXPECT_EQ(core::judge(view_, before.owner), Verdict::dead);
  const Attached after = attach();
  EXPECT_EQ(core::owner_row(after.owner), core::owner_row(before.owner));
  EXPECT_NE(after.owner, before.owner);
  EXPECT_EQ(core::judge(view_, before.owner), Verdict::dead);
  EXPECT_EQ(core::judge(view_, after.owner), Verdict::alive);
}

TEST_F(EndpointTable, AnIncarnationThatWrapsIsNotZero) {
  view_.row(0).incarnation.store(0xffffffU);
  const Attached made = attach();
  EXPECT_EQ(core::owner_row(made.owner), 0U);
  EXPECT_EQ(core::owner_incarnation(made.owner), 1U);
}

TEST_F(EndpointTable, IsFullWhenEveryRowIsOfTheLiving) {
  std::vector<Attached> all;
  for (std::uint32_t i = 0; i < view_.endpoints_max; ++i) {
    all.push_back(attach());
    ASSERT_EQ(all.back().result, AttachResult::ok);
  }
  EXPECT_EQ(attach().result, AttachResult::full);
  core::detach(view_, all[2].owner);
  EXPECT_EQ(attach().result, AttachResult::again) << "its byte is held still: a moment later it is not";
  all[2].life.reset();
  EXPECT_EQ(attach().result, AttachResult::ok);
}

TEST_F(EndpointTable, AFreeRowWhoseByteIsHeldStillKeepsNobodyOutOfTheOthers) {
  // A child that inherited the life lock of an endpoint that detached since, made without fork(3): it may live for long.
  const os::UniqueFd leaked = os::reopen(view_.fd, O_RDWR);
  ASSERT_TRUE(os::lock_bytes(leaked.get(), view_.life_begin, 1));
  const Attached made = attach();
  EXPECT_EQ(made.result, AttachResult::ok);
  EXPECT_NE(core::owner_row(made.owner), 0U);
}

TEST_F(EndpointTable, ALifeLockThatIsLostIsReportedAndNeverTakenForDeath) {
  Attached made = attach();
  made.life.reset();
  EXPECT_EQ(core::judge(view_, made.owner), Verdict::lost_life_lock) << "this process is here and maps the segment";
  std::vector<Attached> others;
  for (std::uint32_t i = 1; i < view_.endpoints_max; ++i) others.push_back(attach());
  EXPECT_EQ(attach().result, AttachResult::full) << "nobody takes its row";
}

TEST_F(EndpointTable, AProcessThatIsGoneOrAnotherIsDead) {
  Attached made = attach();
  made.life.reset();
  row(made.owner).start_time.fetch_add(1);  // the number was used again
  EXPECT_EQ(core::judge(view_, made.owner), Verdict::dead);
}

TEST_F(EndpointTable, ALivingProcessThatWasGivenADeadOnesNumberDoesNotKeepHimAlive) {
  Attached made = attach();
  made.life.reset();
  const auto other = static_cast<std::uint32_t>(::getppid());
  row(made.owner).pid.store(other);
  row(made.owner).start_time.store(os::start_time(other) + 1);
  EXPECT_EQ(core::judge(view_, made.owner), Verdict::dead) << "it started at another time";
  row(made.owner).start_time.store(os::start_time(other));
  EXPECT_EQ(core::judge(view_, made.owner), Verdict::dead) << "it started at the same time, but has no such queue";
}

TEST_F(EndpointTable, ARowThatThereIsNotIsNobodysDeath) {
  EXPECT_EQ(core::judge(view_, core::make_owner(200, 1)), Verdict::alive) << "damage is no licence to rob";
}

TEST_F(EndpointTable, ARowOfTheDeadIsTakenAndItsClaimAbandonedFirst) {
  segment_.add_group();
  std::vector<Attached> all;
  for (std::uint32_t i = 0; i < view_.endpoints_max; ++i) all.push_back(attach());
  core::ProducerState mortal;
  mortal.owner = all[1].owner;
  const core::ClaimTaken claim = segment_.claim(mortal, 64);
  all[1].life.reset();
  row(all[1].owner).start_time.fetch_add(1);
  const Attached successor = attach();
  ASSERT_EQ(successor.result, AttachResult::ok);
  EXPECT_EQ(core::owner_row(successor.owner), core::owner_row(all[1].owner));
  EXPECT_EQ(segment_.head(claim.position), make_head(RecordState::skipped, 64, 0));
}

TEST_F(EndpointTable, DiedInTheTablesMutexTheNextOneGoesOn) {
  die_holding(view_.side().table_lock.mutex);
  EXPECT_EQ(attach().result, AttachResult::ok);
  EXPECT_FALSE(segment_.poisoned());
}

TEST_F(EndpointTable, DiedInTheTablesMutexRecoveryLeavesNoMarkOfIt) {
  segment_.add_group();
  auto& mutex = view_.side().table_lock.mutex;
  die_holding(mutex);
  ASSERT_TRUE(mutex.holder_died());
  core::recover(view_);
  EXPECT_FALSE(mutex.holder_died());
  EXPECT_EQ(mutex.holder(), 0U);
}

TEST_F(EndpointTable, ASlowRecovererDoesNotFreeTheRowsNextOwner) {
  Attached dead = attach();
  dead.life.reset();
  core::detach(view_, dead.owner);
  const Attached next = attach();
  ASSERT_EQ(core::owner_row(next.owner), core::owner_row(dead.owner));
  EXPECT_TRUE(core::free_row_of_dead(view_, dead.owner)) << "nothing is left to do";
  EXPECT_TRUE(attached(next.owner));
  EXPECT_EQ(core::attached_owner(view_, core::owner_row(next.owner)), next.owner);
}

TEST_F(EndpointTable, ADetachOfARowThatIsAnothersChangesNothing) {
  const Attached made = attach();
  core::detach(view_, core::make_owner(core::owner_row(made.owner), core::owner_incarnation(made.owner) + 1));
  EXPECT_TRUE(attached(made.owner));
}

TEST_F(EndpointTable, RowsOfAnEarlierImageOfThisProcessAreFreedAndItsClaimsAbandoned) {
  // exec: the life locks are gone, pid and start time stay.
  segment_.add_group();
  Attached before = attach();
  core::ProducerState producer;
  producer.owner = before.owner;
  const core::ClaimTaken claim = segment_.claim(producer, 64);
  before.life.reset();
  row(before.owner).image.store(core::own_image() + 2);
  core::free_rows_of_earlier_images(view_);
  EXPECT_FALSE(attached(before.owner));
  EXPECT_EQ(segment_.head(claim.position), make_head(RecordState::skipped, 64, 0));
}

TEST_F(EndpointTable, RowsOfThisImageAndOfOtherProcessesAreNotFreedAsOfAnEarlierOne) {
  for (const bool lost_their_locks : {false, true}) {
    Attached own = attach();
    Attached other = attach();
    row(other.owner).image.store(core::own_image() + 2);
    row(other.owner).pid.fetch_add(1);
    if (lost_their_locks) {
      own.life.reset();
      other.life.reset();
    }
    core::free_rows_of_earlier_images(view_);
    EXPECT_TRUE(attached(own.owner)) << lost_their_locks;
    EXPECT_TRUE(attached(other.owner)) << lost_their_locks;
  }
}

TEST_F(EndpointTable, TheRowOfADeadOneThatAnotherTookWhileHisClaimWasAbandonedIsLeftToHim) {
  segment_.add_group();
  std::vector<Attached> all;
  for (int i = 0; i < 4; ++i) all.push_back(attach());
  Attached& dead = all.back();
  core::ProducerState producer;
  producer.owner = dead.owner;
  const core::ClaimTaken claim = segment_.claim(producer, 64);
  ASSERT_EQ(claim.position, 0U);
  dead.life.reset();
  row(dead.owner).start_time.fetch_add(1);
  ASSERT_EQ(core::judge(view_, dead.owner), Verdict::dead);
  AttachResult result = AttachResult::full;
  Owner other = 0;
  {
    std::optional<Keeper> keeper(std::in_place, view_.side().producer_lock.mutex);
    std::thread late([&] { result = attach().result; });
    wait_for_waiter(view_.side().producer_lock.mutex);
    other = segment_.attach(core::owner_row(dead.owner));
    keeper.reset();
    late.join();
  }
  EXPECT_EQ(result, AttachResult::again);
  EXPECT_EQ(core::owner_of_row(view_, core::owner_row(other)), other);
}

TEST_F(EndpointTable, ARowThatAnotherTookWhileOneWaitedForTheTableIsLeftToHim) {
  AttachResult result = AttachResult::full;
  {
    std::optional<Keeper> keeper(std::in_place, view_.side().table_lock.mutex);
    std::thread late([&] { result = attach().result; });
    wait_for_waiter(view_.side().table_lock.mutex);
    segment_.attach(0);
    keeper.reset();
    late.join();
  }
  EXPECT_EQ(result, AttachResult::again);
}

TEST_F(EndpointTable, TheLeaseOfALivingProcessThatLostItsLifeLockIsNotGivenBack) {
  const core::GroupId group = segment_.add_group();
  Attached own = attach(layout::RowKind::consumer);
  auto& entry = view_.entries(group.row)[0];
  entry.word.store(core::make_word(core::EntryState::leased, 0, 1, own.owner));
  own.life.reset();
  ASSERT_EQ(core::judge(view_, own.owner), Verdict::lost_life_lock);
  EXPECT_FALSE(core::redeliver_dead(view_, group.row));
  EXPECT_EQ(core::word_state(entry.word.load()), core::EntryState::leased);
}

TEST_F(EndpointTable, ASecondCopyOfTheLibraryInThisProcessIsNoEarlierImage) {
  // A plugin that is linked with a library of its own has another image number, and holds its life lock.
  const Attached plugin = attach();
  row(plugin.owner).image.store(core::own_image() + 2);
  core::free_rows_of_earlier_images(view_);
  EXPECT_TRUE(attached(plugin.owner)) << "it lives";
}

}  // namespace
}  // namespace ipcq::unit
