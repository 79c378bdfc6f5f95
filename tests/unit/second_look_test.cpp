// What is looked at again under a mutex, because it may have changed while one waited for it: somebody keeps the mutex,
// the operation comes to wait for it, and then the state changes.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>

#include "core/closing.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/producer_side.hpp"
#include "core/room.hpp"
#include "fixture.hpp"
#include "kept_mutex.hpp"

namespace ipcq::unit {
namespace {

using core::GroupId;
using core::RemoveGroup;

/// `work` in a thread, as far as the mutex that another thread keeps; then `change`; then the rest of it. Work that ends
/// without the mutex does so before the change.
template <class Work, class Change>
void change_while_it_waits(os::RobustMutex& mutex, Work work, Change change) {
  std::optional<Keeper> keeper(std::in_place, mutex);
  std::atomic<bool> done{false};
  std::thread worker([&] {
    work();
    done.store(true);
  });
  while (!done.load() && !somebody_waits_for(mutex)) std::this_thread::yield();
  change();
  keeper.reset();
  worker.join();
}

class SecondLook : public ::testing::Test {
 protected:
  explicit SecondLook(ProducerMode producers = ProducerMode::shared) : segment_({.producers = producers}) {}
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::Side& side() const noexcept { return view().side(); }
  [[nodiscard]] layout::GroupRow& row(GroupId id) const noexcept { return view().group(id.row); }
  void set_closed() const { view().frozen().flags.fetch_or(layout::flag::kClosed); }

  /// Removing `id` while `change` happens to it.
  template <class Change>
  RemoveGroup remove_meanwhile(GroupId id, Change change) const {
    RemoveGroup removed = RemoveGroup::timed_out;
    std::uint32_t holder = 0;
    change_while_it_waits(
        row(id).mutex, [&] { removed = core::remove_group(view(), id, false, holder); }, change);
    return removed;
  }

  CoreSegment segment_;
  GroupId default_ = segment_.add_group();
};

TEST_F(SecondLook, AClaimMeetsACloseThatCameWhileItWaitedForTheMutex) {
  core::ProducerState producer = segment_.producer(0);
  Outcome outcome = Outcome::ok;
  core::ClaimTaken taken;
  change_while_it_waits(
      side().producer_lock.mutex,
      [&] { outcome = core::claim(view(), producer, 64, os::monotonic_ns() + 60'000'000'000, taken); },
      [&] { set_closed(); });
  EXPECT_EQ(outcome, Outcome::closed);
}

TEST_F(SecondLook, AReopenChangesTheEndUnderTheMutexOnly) {
  core::close(view());
  const std::uint64_t end = core::closed_at(view());
  change_while_it_waits(
      side().producer_lock.mutex, [&] { EXPECT_TRUE(core::reopen(view())); },
      [&] { EXPECT_EQ(core::closed_at(view()), end); });
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
}

TEST_F(SecondLook, ARemovalFindsNoSuchGroupWhereAnotherRemovedItMeanwhile) {
  const GroupId other = segment_.add_group({.name = "other"});
  const RemoveGroup removed = remove_meanwhile(other, [&] { row(other).incarnation.fetch_add(1); });
  EXPECT_EQ(removed, RemoveGroup::no_such_group);
  EXPECT_EQ(core::state_of(row(other)), layout::GroupState::active);
}

TEST_F(SecondLook, ARemovalLeavesAGroupThatAMemberJoinedMeanwhile) {
  const GroupId other = segment_.add_group({.name = "other"});
  const RemoveGroup removed = remove_meanwhile(other, [&] {
    const Owner member = segment_.attach(3, layout::RowKind::consumer);
    view().row(core::owner_row(member)).group.store(other.row);
    view().row(core::owner_row(member)).group_incarnation.store(other.incarnation);
  });
  EXPECT_EQ(removed, RemoveGroup::has_member);
  EXPECT_EQ(core::state_of(row(other)), layout::GroupState::active);
}

TEST_F(SecondLook, ARemovalLeavesAGroupWhoseExclusiveConsumerCameMeanwhile) {
  const GroupId other = segment_.add_group({.name = "other", .consumers = ConsumerMode::exclusive});
  const RemoveGroup removed = remove_meanwhile(
      other, [&] { row(other).owner.store(segment_.attach(3)); });  // his row is not counted as a member's
  EXPECT_EQ(removed, RemoveGroup::has_lease);
  EXPECT_EQ(core::state_of(row(other)), layout::GroupState::active);
}

TEST_F(SecondLook, ARemovalWhoseMarkWasTakenBackMeanwhileFreesNothing) {
  const GroupId other = segment_.add_group({.name = "other"});
  RemoveGroup removed = RemoveGroup::timed_out;
  std::uint32_t holder = 0;
  change_while_it_waits(
      side().producer_lock.mutex, [&] { removed = core::remove_group(view(), other, false, holder); },
      [&] { row(other).state.store(static_cast<std::uint32_t>(layout::GroupState::active)); });
  EXPECT_EQ(removed, RemoveGroup::last);
  EXPECT_EQ(core::state_of(row(other)), layout::GroupState::active);
}

TEST_F(SecondLook, AProducerShortOfRoomRetiresNothingInARowThatBecameAnotherGroupsMeanwhile) {
  core::ProducerState producer = segment_.producer(0);
  const Owner consumer = segment_.attach(1, layout::RowKind::consumer);
  segment_.send(producer, 16);
  const core::LeaseTaken taken = core::lease(view(), default_.row, default_.incarnation, consumer, {}, 0);
  ASSERT_EQ(core::ack(view(), default_.row, default_.incarnation, taken.entry, taken.word), Outcome::ok);
  change_while_it_waits(
      row(default_).mutex, [&] { core::free_room(view(), segment_.claim_position() + kCapacity); },
      [&] { row(default_).incarnation.fetch_add(1); });
  EXPECT_EQ(row(default_).retired.load(), 0U);
}

// The members of the row's last group that were waited for are not those of a group that came and went meanwhile.
TEST_F(SecondLook, AGroupIsAddedOnceTheMembersOfTheRowsNewestFormerGroupHaveLeft) {
  layout::GroupRow& free = view().group(default_.row + 1);
  std::optional<Keeper> side_keeper(std::in_place, side().producer_lock.mutex);
  std::atomic<bool> done{false};
  GroupId id;
  std::thread adder([&] {
    EXPECT_EQ(core::add_group(view(), {.name = "next"}, id), core::AddGroup::ok);
    done.store(true);
  });
  wait_for_waiter(side().producer_lock.mutex);
  std::optional<Keeper> member(std::in_place, free.mutex);
  free.incarnation.fetch_add(1);
  side_keeper.reset();
  while (!done.load() && !somebody_waits_for(free.mutex)) std::this_thread::yield();
  EXPECT_FALSE(done.load());
  member.reset();
  adder.join();
  EXPECT_EQ(id.row, default_.row + 1);
}

class SecondLookAtAnExclusiveProducer : public SecondLook {
 protected:
  SecondLookAtAnExclusiveProducer() : SecondLook(ProducerMode::exclusive) {}
};

TEST_F(SecondLookAtAnExclusiveProducer, ACloseIsLeftToASuccessorWhoCameMeanwhile) {
  set_closed();
  change_while_it_waits(
      side().producer_lock.mutex, [&] { core::finish_close(view()); },
      [&] { side().close.exclusive_owner.store(segment_.attach(0)); });
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
}

}  // namespace
}  // namespace ipcq::unit
