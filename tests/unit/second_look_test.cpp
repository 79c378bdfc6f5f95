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
#include "core/producer_side.hpp"
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
