// Recovery and take-over that cannot be done, now or ever: they say so, and change nothing.
#include <gtest/gtest.h>

#include <functional>
#include <string_view>
#include <thread>
#include <utility>

#include "world_test.hpp"

namespace ipcq::crash {
namespace {

/// Runs `call` while another thread holds the mutex.
template <class Call>
void while_held(os::RobustMutex& mutex, Call&& call) {
  ASSERT_EQ(mutex.lock(os::kNoDeadline), os::LockResult::clean);
  std::thread(std::forward<Call>(call)).join();
  mutex.unlock();
}

/// Somebody gave up its repair.
void give_up(os::RobustMutex& mutex) {
  unit::die_holding(mutex);
  ASSERT_EQ(mutex.lock(0), os::LockResult::owner_died);
  mutex.unlock();
}

/// Does something to the segment whenever this thread comes to a point of its way.
class Meanwhile : public core::CrashPointVisitor {
 public:
  Meanwhile(std::string_view point, std::function<void()> rival) : point_(point), rival_(std::move(rival)) {
    core::visit_crash_points_of_this_thread(this);
  }
  ~Meanwhile() override { core::visit_crash_points_of_this_thread(nullptr); }
  void visit(const char* name) noexcept override {
    if (name == point_) rival_();
  }

 private:
  std::string_view point_;
  std::function<void()> rival_;
};

class RefusedRecovery : public WorldTest {
 protected:
  explicit RefusedRecovery(const World::Options& options = {}) : WorldTest(options) {}
  [[nodiscard]] os::RobustMutex& producer_mutex() const { return view().side().producer_lock.mutex; }
};

TEST_F(RefusedRecovery, without_a_page_to_write_to_no_claim_is_skipped_and_the_mutex_is_left_to_others) {
  Peer dead;
  world_.attach_producer(dead);
  ASSERT_EQ(world_.claim(dead, 2, 2), Outcome::ok);
  const std::uint64_t place = dead.claims.front().position;
  world_.bury(dead);
  unit::die_holding(producer_mutex());
  core::View observer = view();
  observer.data_writable = nullptr;
  EXPECT_FALSE(core::abandon(observer, place, dead.producer.owner));
  EXPECT_EQ(core::lock_producer_side(observer, 0), core::Locked::timed_out);
  core::recover(observer);
  EXPECT_TRUE(producer_mutex().holder_died());
  EXPECT_EQ(detail::head_state(core::load_head(view(), place)), detail::RecordState::claimed);
  expect_that_all_is_well();
}

TEST_F(RefusedRecovery, rows_of_an_earlier_image_wait_for_whoever_holds_the_producers_side) {
  Peer earlier;
  world_.attach_producer(earlier);
  ASSERT_EQ(world_.claim(earlier, 2, 2), Outcome::ok);
  auto& row = view().row(core::owner_row(earlier.producer.owner));
  os::unlock_bytes(earlier.producer_endpoint.life.get(), view().life_begin, view().endpoints_max);
  row.image.store(core::own_image() + 2);
  while_held(producer_mutex(), [&] { core::free_rows_of_earlier_images(view()); });
  EXPECT_TRUE(core::row_attached(view(), core::owner_row(earlier.producer.owner)));
  // Nor is another process's row freed that has the same number but began at another time.
  row.start_time.fetch_add(1);
  core::free_rows_of_earlier_images(view());
  EXPECT_TRUE(core::row_attached(view(), core::owner_row(earlier.producer.owner)));
  row.start_time.fetch_sub(1);
  core::free_rows_of_earlier_images(view());
  EXPECT_FALSE(core::row_attached(view(), core::owner_row(earlier.producer.owner)));
  expect_that_all_is_well();
}

TEST_F(RefusedRecovery, a_removal_that_was_finished_by_another_frees_no_group_that_came_after) {
  HaltingThread late(
      [&] {
        std::uint32_t holder = 0;
        static_cast<void>(core::remove_group(view(), world_.witness(), false, holder));
      },
      "group.to_free");
  ASSERT_TRUE(late.halted());
  ASSERT_TRUE(core::finish_group_removal(view(), world_.witness().row));
  core::GroupId next;
  ASSERT_EQ(core::add_group(view(), {"next", Start::oldest}, next), core::AddGroup::ok);
  ASSERT_EQ(next.row, world_.witness().row);
  view().group(next.row).state.store(static_cast<std::uint32_t>(layout::GroupState::marked));  // it is being removed too
  late.finish();
  EXPECT_EQ(core::state_of(view().group(next.row)), layout::GroupState::marked);
  EXPECT_TRUE(core::finish_group_removal(view(), next.row));
  expect_that_all_is_well();
}

TEST_F(RefusedRecovery, a_lease_of_the_dead_is_given_back_by_whoever_repairs_the_ledger_on_the_way) {
  Peer dead;
  world_.attach_consumer(dead);
  ASSERT_EQ(world_.lease(dead, 2), core::LeaseStep::leased);
  world_.bury(dead);
  unit::die_holding(world_.group_row().mutex);
  EXPECT_TRUE(core::redeliver_dead(view(), world_.group().row));
  expect_that_all_is_well();
}

class RefusedTakeOverOfTheProducer : public RefusedRecovery {
 protected:
  RefusedTakeOverOfTheProducer() : RefusedRecovery({.producers = ProducerMode::exclusive}) {}
  core::TakeOver take_over() {
    EXPECT_EQ(world_.attach(peer_.producer_endpoint, layout::RowKind::producer), core::AttachResult::ok);
    peer_.producer.owner = peer_.producer_endpoint.owner;
    core::Owner holder = 0;
    return core::take_over_producer(view(), peer_.producer, holder);
  }
  Peer peer_;
};

TEST_F(RefusedTakeOverOfTheProducer, while_somebody_stopped_holds_its_side) {
  while_held(producer_mutex(), [&] { EXPECT_EQ(take_over(), core::TakeOver::timed_out); });
  world_.detach(peer_.producer_endpoint);
  expect_that_all_is_well();
}

TEST_F(RefusedTakeOverOfTheProducer, for_good_when_a_repair_was_given_up) {
  give_up(producer_mutex());
  EXPECT_EQ(take_over(), core::TakeOver::poisoned);
}

TEST_F(RefusedTakeOverOfTheProducer, and_who_is_not_the_producer_ends_no_stream) {
  ASSERT_EQ(take_over(), core::TakeOver::ok);
  core::finish_close_as_owner(view(), peer_.producer.owner);
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition) << "nobody has closed it";
  core::close(view());
  core::finish_close_as_owner(view(), peer_.producer.owner + 256);
  EXPECT_EQ(core::closed_at(view()), core::kNoPosition);
  core::finish_close_as_owner(view(), peer_.producer.owner);
  EXPECT_EQ(core::closed_at(view()), claim_position());
  world_.leave(peer_);
  expect_that_all_is_well();
}

TEST_F(RefusedTakeOverOfTheProducer, while_others_take_over_again_and_again_and_die) {
  auto& owner = view().side().close.exclusive_owner;
  std::uint32_t rivals = 0;
  const Meanwhile rival("takeover.judged", [&] { owner.store(core::make_owner(9, ++rivals)); });
  EXPECT_EQ(take_over(), core::TakeOver::timed_out);
  EXPECT_EQ(rivals, 20U);
  EXPECT_EQ(owner.load(), core::make_owner(9, 20)) << "what is another's is left to him";
}

TEST_F(RefusedTakeOverOfTheProducer, and_an_end_of_the_stream_that_another_has_stored_meanwhile_stays) {
  ASSERT_EQ(take_over(), core::TakeOver::ok);
  core::close(view());
  unit::die_holding(producer_mutex());
  auto& closed_at = view().side().close.closed_at;
  const Meanwhile other("repair.producer", [&] { closed_at.store(claim_position() + 16); });
  core::finish_close_as_owner(view(), peer_.producer.owner);
  EXPECT_EQ(core::closed_at(view()), claim_position() + 16);
}

class RefusedTakeOverOfTheConsumer : public RefusedRecovery {
 protected:
  RefusedTakeOverOfTheConsumer() : RefusedRecovery({.consumers = ConsumerMode::exclusive}) {}
  core::Join join(std::uint32_t incarnation) {
    EXPECT_EQ(world_.attach(peer_.consumer_endpoint, layout::RowKind::consumer), core::AttachResult::ok);
    core::ExclusiveState state;
    state.owner = peer_.consumer_endpoint.owner;
    core::Owner holder = 0;
    const core::Join joined = core::join_exclusive(view(), world_.group().row, incarnation, state, holder);
    world_.detach(peer_.consumer_endpoint);
    return joined;
  }
  Peer peer_;
};

TEST_F(RefusedTakeOverOfTheConsumer, while_somebody_stopped_holds_its_group) {
  while_held(world_.group_row().mutex, [&] { EXPECT_EQ(join(world_.group().incarnation), core::Join::timed_out); });
  expect_that_all_is_well();
}

TEST_F(RefusedTakeOverOfTheConsumer, while_others_take_over_again_and_again_and_die) {
  auto& owner = world_.group_row().owner;
  std::uint32_t rivals = 0;
  const Meanwhile rival("xjoin.judged", [&] { owner.store(core::make_owner(9, ++rivals)); });
  EXPECT_EQ(join(world_.group().incarnation), core::Join::timed_out);
  EXPECT_EQ(rivals, 20U);
  EXPECT_EQ(owner.load(), core::make_owner(9, 20)) << "what is another's is left to him";
}

TEST_F(RefusedTakeOverOfTheConsumer, of_a_group_that_was_removed) {
  EXPECT_EQ(join(world_.group().incarnation + 1), core::Join::group_removed);
  expect_that_all_is_well();
}

TEST_F(RefusedTakeOverOfTheConsumer, for_good_when_a_repair_was_given_up) {
  give_up(world_.group_row().mutex);
  EXPECT_EQ(join(world_.group().incarnation), core::Join::poisoned);
}

}  // namespace
}  // namespace ipcq::crash
