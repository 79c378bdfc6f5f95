// Repair while others live, and while they keep mutexes: what may be done is done under the mutex that protects it, and a
// finding that is no longer true changes nothing.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/event_count.hpp"
#include "core/quota_table.hpp"
#include "exclusive_queue.hpp"
#include "idle_queue.hpp"
#include "kept_mutex.hpp"

namespace ipcq::unit {
namespace {

using core::Finding;
using core::RepairStep;

// ---- which findings it takes on

TEST(RepairInUse, takes_on_what_is_mended_under_a_mutex_or_by_a_recovery_and_nothing_else) {
  const auto takes = [](const char* invariant, bool recoverable) {
    return core::mends_in_use(Finding{invariant, 0, "", recoverable});
  };
  for (const char* invariant :
       {"side.least_retired", "side.end_mark", "ledger.index", "mutex.holder", "quota.interval", "quota.row"})
    EXPECT_TRUE(takes(invariant, false)) << invariant;
  for (const char* invariant : {"quota.zero", "ring.tiles", "group.owner", "side.claim_position", "mutex.kind"})
    EXPECT_FALSE(takes(invariant, false)) << invariant;
  for (const char* invariant : {"row.dead", "ring.claim", "mutex.holder_died", "group.marked"})
    EXPECT_TRUE(takes(invariant, true)) << invariant;
  for (const char* invariant : {"mutex.held", "side.exclusive_owner", "group.owner", "side.claim_position"})
    EXPECT_FALSE(takes(invariant, true)) << invariant << " is a living process's, or its successor's";
}

// ---- with a mutex that another thread keeps, or whose repair was given up

class RepairAmongOthers : public IdleQueue {
 protected:
  // Who holds a mutex is looked for among those that map this file.
  RepairAmongOthers() : live_(view()) {
    struct stat info {};
    EXPECT_EQ(::fstat(segment_.fd(), &info), 0);
    live_.file = {info.st_dev, info.st_ino};
  }

  [[nodiscard]] os::RobustMutex& producer_mutex() const { return view().side().producer_lock.mutex; }
  [[nodiscard]] os::RobustMutex& table_mutex() const { return view().side().table_lock.mutex; }
  /// A thread that there is not holds it, and the kernel never said so.
  static void hold_by_nobody(os::RobustMutex& mutex) {
    reinterpret_cast<std::atomic<std::uint32_t>*>(&mutex)->store(0x3ffffff0);
  }
  [[nodiscard]] std::vector<Finding> index_finding() const {
    return {{"ledger.index", offset_of(&row().index_count), "", false}};
  }
  /// The index counts one entry, and there is none: as long as nobody mends it.
  [[nodiscard]] bool index_is_broken() const { return row().index_count.load() == 1; }

  core::View live_;
};

TEST_F(RepairAmongOthers, the_positions_wait_for_who_keeps_the_producer_side) {
  claim_line().last_time.store(UINT64_MAX / 2);
  {
    const Keeper keeper(producer_mutex());
    EXPECT_EQ(core::repair_alone(live_).size(), 0U);
    EXPECT_EQ(claim_line().last_time.load(), UINT64_MAX / 2);
    EXPECT_TRUE(segment_.poisoned()) << "nobody may go on with it";
  }
  EXPECT_TRUE(mended(repair(), "side.last_time", offset_of(&claim_line().last_time)));
}

TEST_F(RepairAmongOthers, a_ledger_and_the_endpoint_table_wait_for_who_keeps_them_and_the_rest_is_mended) {
  claim_line().last_time.store(UINT64_MAX / 2);
  index_first(1);
  view().row(5).state.store(9);
  {
    const Keeper keeper(row().mutex);
    const Keeper another(table_mutex());
    const std::vector<RepairStep> steps = core::repair_alone(live_);
    EXPECT_EQ(steps.size(), 1U) << ::testing::PrintToString(steps);
    EXPECT_TRUE(mended(steps, "side.last_time", offset_of(&claim_line().last_time)));
    EXPECT_TRUE(index_is_broken());
    EXPECT_EQ(view().row(5).state.load(), 9U);
    EXPECT_TRUE(segment_.poisoned());
  }
  EXPECT_TRUE(mended(repair(), "row.state", offset_of(&view().row(5).state)));
  EXPECT_FALSE(index_is_broken());
}

TEST_F(RepairAmongOthers, a_mutex_that_a_thread_holds_that_is_not_there_is_taken_from_it) {
  hold_by_nobody(producer_mutex());
  EXPECT_TRUE(names("mutex.holder", offset_of(&producer_mutex())));
  EXPECT_TRUE(mended(core::repair_alone(live_), "mutex.holder", offset_of(&producer_mutex()), "it is free"));
  EXPECT_EQ(broken().size(), 0U);
}

TEST_F(RepairAmongOthers, such_a_mutex_is_freed_while_others_live_and_one_that_is_kept_is_left) {
  hold_by_nobody(row().mutex);
  const Keeper keeper(other_row().mutex);
  core::repair_in_use(live_, {{"mutex.holder", offset_of(&row().mutex), "", false},
                              {"mutex.holder", offset_of(&other_row().mutex), "", false},
                              {"mutex.holder", offset_of(&table_mutex()), "", false}});
  EXPECT_EQ(row().mutex.look().holder, 0U);
  EXPECT_FALSE(row().mutex.look().holder_died) << "the recovery behind it took it, and mended the ledger";
  EXPECT_NE(other_row().mutex.look().holder, 0U) << "its holder lives";
  EXPECT_EQ(table_mutex().look().holder, 0U) << "it is free by now";
}

TEST_F(RepairAmongOthers, an_end_mark_stays_where_the_producer_sides_repair_was_given_up) {
  segment_.put_head(kEnd, RecordState::claimed, 64, producer_.owner);
  give_up_repair_of(producer_mutex());
  core::repair_in_use(view(), {{"side.end_mark", ring_offset(kEnd), "", false}});
  EXPECT_EQ(segment_.state_at(kEnd), RecordState::claimed);
}

TEST_F(RepairAmongOthers, an_index_stays_where_the_ledgers_repair_was_given_up) {
  index_first(1);
  give_up_repair_of(row().mutex);
  core::repair_in_use(view(), index_finding());
  EXPECT_TRUE(index_is_broken());
}

TEST_F(RepairAmongOthers, a_quota_stays_where_the_tables_repair_was_given_up) {
  quota(0).message_interval[1].store(1);
  give_up_repair_of(table_mutex());
  core::repair_in_use(view(), {{"quota.interval", offset_of(&quota(0).message_interval[1]), "", false}});
  EXPECT_EQ(quota(0).message_interval[1].load(), 1U);
}

// ---- findings of another moment

TEST_F(RepairAmongOthers, no_head_is_written_where_claim_position_is_between_two_places) {
  claim_line().claim_position.store(kEnd + 8);
  const std::vector<char> before = bytes();
  core::repair_in_use(view(), {{"side.end_mark", ring_offset(kEnd), "", false}});
  const std::vector<char> after = bytes();
  EXPECT_TRUE(std::equal(before.begin() + static_cast<std::ptrdiff_t>(view().control_bytes), before.end(),
                         after.begin() + static_cast<std::ptrdiff_t>(view().control_bytes)));
}

TEST_F(RepairAmongOthers, no_index_is_rebuilt_of_a_group_that_is_gone_since) {
  index_first(1);
  row().state.store(static_cast<std::uint32_t>(layout::GroupState::free));
  core::repair_in_use(view(), index_finding());
  EXPECT_TRUE(index_is_broken());
}

TEST_F(RepairAmongOthers, no_index_is_rebuilt_of_a_group_that_is_of_one_consumer_since) {
  index_first(1);
  row().consumers.store(static_cast<std::uint8_t>(ConsumerMode::exclusive));
  core::repair_in_use(view(), index_finding());
  EXPECT_TRUE(index_is_broken());
}

TEST_F(RepairAmongOthers, no_index_is_rebuilt_of_what_is_no_group) {
  index_first(1);
  core::repair_in_use(view(), {{"ledger.index", 12, "", false}});
  EXPECT_TRUE(index_is_broken());
}

TEST_F(RepairAmongOthers, an_index_is_rebuilt_whatever_is_noted_of_its_group_and_broken_in_another) {
  index_first(1);
  std::vector<Finding> findings = index_finding();
  findings.push_back({"ledger.owner", offset_of(&entry(0).word), "", true});
  findings.push_back({"group.name", offset_of(&other_row().name), "", false});
  core::repair_in_use(view(), findings);
  EXPECT_FALSE(index_is_broken());
}

TEST_F(RepairAmongOthers, a_row_is_bound_by_the_quotas_that_there_are) {
  const Owner living = segment_.attach(2);
  view().row(2).flags.store(layout::kLimited);
  core::repair_in_use(view(), core::verify(view()));
  EXPECT_EQ(view().row(2).flags.load() & layout::kLimited, 0U);
  auto& links = core::quota_bucket(view(), core::row_bucket(2)).whose;
  links.store(9);
  EXPECT_TRUE(names("quota.row", offset_of(&links)));
  core::repair_in_use(view(), core::verify(view()));
  EXPECT_EQ(links.load(), 0U);
  EXPECT_EQ(broken().size(), 0U);
  EXPECT_TRUE(core::row_attached(view(), core::owner_row(living)));
}

TEST_F(RepairAmongOthers, quotas_that_are_right_by_now_are_not_forgiven) {
  const Owner living = segment_.attach(2);
  ASSERT_EQ(core::set_quota(view(), {QuotaScope::Kind::queue, 0}, QuotaSource::operator_, {.messages_per_second = 1}),
            core::SetQuota::ok);
  quota(0).message_time.store(core::quota_time(os::monotonic_ns()) + core::quota_time(1'000'000'000));
  const std::uint64_t owed = quota(0).message_time.load();
  core::repair_in_use(view(), {{"quota.row", offset_of(&view().row(2).flags), "", false}});
  EXPECT_EQ(quota(0).message_time.load(), owed);
  EXPECT_NE(view().row(core::owner_row(living)).flags.load() & layout::kLimited, 0U);
}

TEST_F(RepairAmongOthers, two_users_have_a_quota_each) {
  for (const std::uint32_t uid : {1000U, 1001U}) {
    ASSERT_EQ(core::set_quota(view(), {QuotaScope::Kind::user, uid}, QuotaSource::operator_, {.messages_per_second = 5}),
              core::SetQuota::ok);
  }
  quota(0).byte_burst[0].store(7);  // what calls for a repair
  const std::vector<RepairStep> steps = repair();
  EXPECT_EQ(steps.size(), 1U) << ::testing::PrintToString(steps);
  EXPECT_NE(quota(1).message_interval[static_cast<std::size_t>(QuotaSource::operator_)].load(), 0U);
  EXPECT_NE(quota(2).message_interval[static_cast<std::size_t>(QuotaSource::operator_)].load(), 0U);
}

// ---- who has lost his life lock

TEST_F(RepairAmongOthers, who_lost_his_life_lock_is_woken_until_he_has_it_again_and_not_for_ever) {
  const Owner alive = segment_.attach(2, layout::RowKind::consumer);
  const std::uint32_t before = core::arm(view().side().data);
  core::repair_in_use(view(), {{"row.lost_life_lock", offset_of(&view().row(2).state), "", true}});
  EXPECT_EQ(core::word_of(view().side().data).load(), before) << "nobody has lost one";
  // Of this process, which holds no byte of the file.
  view().row(core::owner_row(alive)).pid.store(static_cast<std::uint32_t>(::getpid()));
  live_.fd = segment_.fd();
  ASSERT_EQ(core::judge(live_, alive), core::Verdict::lost_life_lock);
  core::repair_in_use(live_, {{"row.lost_life_lock", offset_of(&view().row(2).state), "", true}});
  EXPECT_NE(core::word_of(view().side().data).load(), before);
  EXPECT_TRUE(core::row_attached(view(), 2)) << "he lives";
}

class RepairOfOneInUse : public ExclusiveQueue {};

TEST_F(RepairOfOneInUse, nobody_zeroes_the_head_of_an_exclusive_producer) {
  segment_.put_head(kEnd, RecordState::claimed, kRecord, core::make_owner(1, 1));
  core::repair_in_use(view(), {{"side.end_mark", ring_offset(kEnd), "", false}});
  EXPECT_EQ(segment_.state_at(kEnd), RecordState::claimed);
}

}  // namespace
}  // namespace ipcq::unit
