// A look says what a lease, or a claim, would come to, and takes nothing: who waits for several queues believes it.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <tuple>
#include <vector>

#include "core/closing.hpp"
#include "core/groups.hpp"
#include "core/parking.hpp"
#include "core/quota.hpp"
#include "core/quota_table.hpp"
#include "core/ready.hpp"
#include "fixture.hpp"
#include "kept_mutex.hpp"

namespace ipcq::unit {
namespace {

using core::LeaseStep;
using core::LeaseTaken;
using core::Parked;

constexpr std::uint32_t kMostDeliveries = 2;
constexpr std::int64_t kNotDue_ns = 1'000'000'000'000;

// ---- a member of a shared group

class ReadyLook : public ::testing::Test {
 protected:
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }
  [[nodiscard]] layout::LedgerEntry& entry(std::uint32_t number) const { return view().entries(group_.row)[number]; }

  [[nodiscard]] LeaseStep look() const { return core::look_for_messages(view(), group_.row, group_.incarnation).step; }
  LeaseTaken lease(std::uint32_t messages = 1) const {
    return core::lease(view(), group_.row, group_.incarnation, consumer_, {.max_messages = messages}, 0);
  }
  /// The look says so, twice, and the lease that follows comes to the same.
  void expect(LeaseStep step) {
    EXPECT_EQ(look(), step);
    EXPECT_EQ(look(), step) << "it has taken something";
    EXPECT_EQ(lease().step, step);
  }
  void send(std::uint32_t messages = 1) {
    for (std::uint32_t i = 0; i < messages; ++i) segment_.send(producer_, 16);
  }
  void skip(std::uint32_t records, std::uint64_t bytes = 16) {
    for (std::uint32_t i = 0; i < records; ++i) {
      const core::ClaimTaken taken = segment_.claim(producer_, bytes);
      ASSERT_EQ(core::abort(view(), producer_, taken.position, bytes), Outcome::ok);
    }
  }
  void requeue(const LeaseTaken& taken) const {
    ASSERT_EQ(core::requeue(view(), group_.row, taken.entry, taken.word), Outcome::ok);
  }
  void ack(const LeaseTaken& taken) const {
    ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, taken.entry, taken.word), Outcome::ok);
  }
  /// The next message, delivered as often as may be, and parked; it is not due for long.
  void park_next() {
    for (std::uint32_t i = 0; i < kMostDeliveries; ++i) requeue(lease());
    const LeaseTaken taken = lease();
    ASSERT_EQ(taken.step, LeaseStep::to_dead_letter);
    ASSERT_EQ(core::park(view(), group_.row, taken, Parked::full), Outcome::ok);
    row().parked_tried_ns.store(static_cast<std::uint64_t>(os::monotonic_ns() + kNotDue_ns));
  }

  CoreSegment segment_{{.ledger_entries = 4, .max_deliveries = kMostDeliveries}};
  core::GroupId group_ = segment_.add_group();
  core::ProducerState producer_ = segment_.producer(0);
  const Owner consumer_ = segment_.attach(1, layout::RowKind::consumer);
};

TEST_F(ReadyLook, finds_nothing_then_a_message_then_one_that_came_back) {
  expect(LeaseStep::nothing);
  send();
  EXPECT_EQ(look(), LeaseStep::leased);
  const LeaseTaken taken = lease();
  expect(LeaseStep::nothing);
  requeue(taken);
  expect(LeaseStep::leased);
}

TEST_F(ReadyLook, finds_an_open_claim) {
  std::ignore = segment_.claim(producer_, 32);
  expect(LeaseStep::claimed);
}

TEST_F(ReadyLook, finds_what_is_parked_once_it_is_due) {
  send();
  park_next();
  expect(LeaseStep::nothing);
  row().parked_tried_ns.store(1);
  EXPECT_EQ(look(), LeaseStep::leased);
  EXPECT_EQ(lease().step, LeaseStep::to_dead_letter);
}

TEST_F(ReadyLook, passes_skipped_records_and_finds_the_message_behind_however_many_they_are) {
  skip(3);
  expect(LeaseStep::nothing);
  EXPECT_EQ(row().retired.load(), 48U);
  skip(1030);
  EXPECT_EQ(look(), LeaseStep::leased) << "more than one look goes over: the lease passes them";
  send();
  EXPECT_EQ(lease().step, LeaseStep::leased);
}

TEST_F(ReadyLook, finds_a_full_ledger_and_room_in_one_that_can_be_merged) {
  send(5);
  std::vector<LeaseTaken> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(lease());
  expect(LeaseStep::too_many_leases);
  ack(leases[1]);
  EXPECT_EQ(look(), LeaseStep::too_many_leases) << "one that is done is no neighbour of another";
  ack(leases[2]);
  expect(LeaseStep::leased);
}

TEST_F(ReadyLook, finds_the_end_of_the_stream_once_nobody_holds_anything) {
  send(2);
  core::close(view());
  const LeaseTaken first = lease();
  const LeaseTaken second = lease();
  expect(LeaseStep::nothing);
  ack(second);
  expect(LeaseStep::nothing);
  ack(first);
  expect(LeaseStep::drained);
}

TEST_F(ReadyLook, finds_the_end_of_the_stream_behind_what_is_parked) {
  send();
  core::close(view());
  park_next();
  expect(LeaseStep::drained);
}

TEST_F(ReadyLook, is_refused_by_a_group_that_is_gone_and_by_a_mutex_whose_repair_was_given_up) {
  row().state.store(static_cast<std::uint32_t>(layout::GroupState::marked));
  expect(LeaseStep::group_removed);
  give_up_repair_of(row().mutex);
  expect(LeaseStep::poisoned);
}

TEST_F(ReadyLook, names_what_cannot_be) {
  send(2);
  const LeaseTaken taken = lease();
  struct Case {
    const char* what;
    std::function<void()> damage;
  };
  const std::uint64_t word = entry(taken.entry).word.load();
  const Case cases[]{
      {"an owner of no row",
       [&] { entry(taken.entry).word.store(core::make_word(EntryState::leased, 0, 1, core::make_owner(200, 1))); }},
      {"a state that there is not", [&] { entry(taken.entry).word.store(6); }},
      {"a ledger that does not begin at what is retired", [&] { row().retired.store(16); }},
      {"a record whose length cannot be", [&] { segment_.put_head(32, RecordState::committed, 60000); }},
      {"a frontier that is not zero", [&] { segment_.put_head(32, RecordState::none, 16); }},
      {"an end of the stream that nobody can reach", [&] {
         segment_.put_head(32, RecordState::none, 0);
         core::close(view());
         view().side().close.closed_at.store(std::uint64_t{1} << 40);
       }}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    one.damage();
    expect(LeaseStep::damaged);
    entry(taken.entry).word.store(word);
    row().retired.store(0);
  }
}

TEST_F(ReadyLook, names_skipped_room_that_was_never_claimed) {
  segment_.put_head(0, RecordState::skipped, 16);
  expect(LeaseStep::damaged);
  EXPECT_EQ(row().retired.load(), 0U);
}

// ---- one consumer

class ReadyLookOfOne : public ::testing::Test {
 protected:
  explicit ReadyLookOfOne(const Shape& shape = {.capacity = 4 * kCapacity, .max_deliveries = kMostDeliveries})
      : segment_(shape) {
    Owner holder = 0;
    state_.owner = segment_.attach(1, layout::RowKind::consumer);
    EXPECT_EQ(core::join_exclusive(view(), group_.row, group_.incarnation, state_, holder), core::Join::ok);
  }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }
  [[nodiscard]] LeaseStep look(bool nothing_open = true) {
    return core::look_for_messages_exclusive(view(), group_.row, group_.incarnation, state_, nothing_open).step;
  }
  LeaseTaken lease(bool nothing_open = true) {
    return core::lease_exclusive(view(), group_.row, group_.incarnation, state_, {.max_messages = 1}, nothing_open);
  }
  void expect(LeaseStep step, bool nothing_open = true) {
    EXPECT_EQ(look(nothing_open), step);
    EXPECT_EQ(look(nothing_open), step) << "it has taken something";
    EXPECT_EQ(lease(nothing_open).step, step);
  }
  void send() { segment_.send(producer_, 16); }
  void skip(std::uint32_t records) {
    for (std::uint32_t i = 0; i < records; ++i) {
      const core::ClaimTaken taken = segment_.claim(producer_, 16);
      ASSERT_EQ(core::abort(view(), producer_, taken.position, 16), Outcome::ok);
    }
  }
  void use_up_next() {
    for (std::uint32_t i = 0; i < kMostDeliveries; ++i) {
      const LeaseTaken taken = lease();
      ASSERT_EQ(taken.step, LeaseStep::leased);
      core::requeue_exclusive(view(), group_.row, state_, taken.begin, taken.deliveries, true);
    }
  }
  void park_next() {
    use_up_next();
    ASSERT_EQ(core::park_exclusive(view(), group_.row, state_, Parked::full), Outcome::ok);
    row().parked_tried_ns.store(static_cast<std::uint64_t>(os::monotonic_ns() + kNotDue_ns));
  }

  CoreSegment segment_;
  core::GroupId group_ = segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
  core::ProducerState producer_ = segment_.producer(0);
  core::ExclusiveState state_;
};

TEST_F(ReadyLookOfOne, finds_nothing_then_an_open_claim_then_a_message_then_the_end) {
  expect(LeaseStep::nothing);
  const core::ClaimTaken open = segment_.claim(producer_, 32);
  expect(LeaseStep::claimed);
  ASSERT_EQ(core::commit(view(), producer_, open.position, 32, 32, make_head(RecordState::committed, 16, 0)),
            Outcome::ok);
  EXPECT_EQ(look(), LeaseStep::leased);
  const LeaseTaken taken = lease();
  core::close(view());
  expect(LeaseStep::nothing, false);
  ASSERT_EQ(core::ack_exclusive(view(), group_.row, state_, taken.end), Outcome::ok);
  expect(LeaseStep::drained);
}

TEST_F(ReadyLookOfOne, passes_skipped_records_while_nothing_is_open) {
  skip(3);
  EXPECT_EQ(look(false), LeaseStep::nothing);
  EXPECT_EQ(row().retired.load(), 0U);
  expect(LeaseStep::nothing);
  EXPECT_EQ(row().retired.load(), 48U);
  skip(core::kWalkRecordsMax + 1);
  EXPECT_EQ(look(), LeaseStep::leased) << "more than one look goes over: the lease passes them";
}

TEST_F(ReadyLookOfOne, finds_what_is_past_its_deliveries_by_what_becomes_of_it) {
  send();
  use_up_next();
  expect(LeaseStep::too_many_leases, false);
  EXPECT_EQ(look(), LeaseStep::leased);
  EXPECT_EQ(lease().step, LeaseStep::to_dead_letter);
  ASSERT_EQ(core::park_exclusive(view(), group_.row, state_, Parked::full), Outcome::ok);
  row().parked_tried_ns.store(static_cast<std::uint64_t>(os::monotonic_ns() + kNotDue_ns));
  expect(LeaseStep::parked);
  row().parked_tried_ns.store(1);
  EXPECT_EQ(look(), LeaseStep::leased);
}

TEST_F(ReadyLookOfOne, finds_the_end_of_the_stream_behind_what_is_parked_and_not_before_a_message) {
  send();
  park_next();
  core::ProducerState open = segment_.producer(2);
  const core::ClaimTaken claim = segment_.claim(open, 32);
  core::close(view());
  expect(LeaseStep::parked);
  ASSERT_EQ(core::commit(view(), open, claim.position, 32, 32, make_head(RecordState::committed, 16, 0)), Outcome::ok);
  expect(LeaseStep::parked);
  segment_.put_head(claim.position, RecordState::skipped, 32);
  expect(LeaseStep::drained);
}

TEST_F(ReadyLookOfOne, is_refused_by_a_group_that_is_gone_and_by_one_of_a_successor) {
  row().owner.store(core::make_owner(3, 1));
  expect(LeaseStep::disowned);
  row().state.store(static_cast<std::uint32_t>(layout::GroupState::marked));
  expect(LeaseStep::group_removed);
}

TEST_F(ReadyLookOfOne, names_what_cannot_be) {
  segment_.put_head(0, RecordState::skipped, 16);
  expect(LeaseStep::damaged);
  segment_.put_head(0, RecordState::committed, 1 << 20);
  expect(LeaseStep::damaged);
  segment_.put_head(0, RecordState::none, 0);
  core::close(view());
  view().side().close.closed_at.store(std::uint64_t{1} << 40);
  expect(LeaseStep::damaged);
}

class ReadyLookOfOneThatDrops : public ReadyLookOfOne {
 protected:
  ReadyLookOfOneThatDrops() : ReadyLookOfOne({.max_deliveries = kMostDeliveries, .drop_after = true}) {}
};

TEST_F(ReadyLookOfOneThatDrops, finds_what_the_lease_will_drop) {
  send();
  use_up_next();
  EXPECT_EQ(look(), LeaseStep::leased);
  EXPECT_EQ(lease().step, LeaseStep::nothing) << "it was dropped";
  EXPECT_EQ(row().dropped_messages.load(), 1U);
}

// ---- a producer

class ReadyLookForRoom : public ::testing::Test {
 protected:
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] Outcome look(std::uint64_t need = 1024) { return core::look_for_room(view(), producer_, need); }
  /// The look says so, twice, and a claim comes to the same.
  void expect(Outcome outcome) {
    EXPECT_EQ(look(), outcome);
    EXPECT_EQ(look(), outcome) << "it has taken something";
    core::ClaimTaken taken;
    EXPECT_EQ(core::claim(view(), producer_, 1024, 0, taken), outcome);
  }

  CoreSegment segment_;
  core::GroupId group_ = segment_.add_group();
  core::ProducerState producer_ = segment_.producer(0);
};

TEST_F(ReadyLookForRoom, finds_room_until_there_is_none_and_again_once_messages_are_finished) {
  core::ClaimTaken taken;
  while (look() == Outcome::ok) ASSERT_EQ(core::claim(view(), producer_, 1024, 0, taken), Outcome::ok);
  expect(Outcome::full);
  view().group(group_.row).retired.store(4096);
  expect(Outcome::ok);
}

TEST_F(ReadyLookForRoom, names_positions_that_cannot_be) {
  view().side().claim.claim_position.store(2 * kCapacity);
  expect(Outcome::damaged);
}

TEST_F(ReadyLookForRoom, is_refused_by_whatever_refuses_a_claim) {
  for (const auto& [flag, outcome] :
       {std::pair{layout::flag::kClosed, Outcome::closed}, std::pair{layout::flag::kRemoved, Outcome::removed},
        std::pair{layout::flag::kPoisoned, Outcome::poisoned}}) {
    view().frozen().flags.store(flag);
    expect(outcome);
  }
  view().frozen().flags.store(0);
  view().row(0).flags.store(layout::kRevoked);
  expect(Outcome::revoked);
  view().row(0).flags.store(0);
  EXPECT_EQ(look(), Outcome::ok);
  std::ignore = segment_.attach(0);
  expect(Outcome::disowned);
}

TEST_F(ReadyLookForRoom, is_refused_where_the_mutexs_repair_was_given_up) {
  give_up_repair_of(view().side().producer_lock.mutex);
  EXPECT_EQ(look(), Outcome::poisoned);
}

TEST(ReadyLookForRoomOfOne, is_refused_once_a_successor_took_over) {
  const CoreSegment segment({.producers = ProducerMode::exclusive});
  std::ignore = segment.add_group();
  core::ProducerState producer = segment.producer(0);
  Owner holder = 0;
  ASSERT_EQ(core::take_over_producer(segment.view(), producer, holder), core::TakeOver::ok);
  EXPECT_EQ(core::look_for_room(segment.view(), producer, 1024), Outcome::ok);
  segment.view().side().close.exclusive_owner.store(core::make_owner(3, 1));
  producer.limit = producer.position;
  EXPECT_EQ(core::look_for_room(segment.view(), producer, 1024), Outcome::disowned);
}

// ---- a producer's turn

TEST_F(ReadyLookForRoom, finds_no_turn_where_no_quota_binds) {
  EXPECT_EQ(core::quota_turn_ns(view(), producer_.owner, 1, 100), 0);
}

TEST_F(ReadyLookForRoom, finds_the_latest_turn_of_all_quotas_that_bind) {
  const auto set = [&](const QuotaScope& scope, const Quota& quota) {
    ASSERT_EQ(core::set_quota(view(), scope, QuotaSource::operator_, quota), core::SetQuota::ok);
  };
  const auto owe_s = [&](layout::AtomicU64& time, std::int64_t seconds) {
    time.store(core::quota_time(os::monotonic_ns() + seconds * 1'000'000'000));
  };
  // So far apart that what a busy machine takes meanwhile changes nothing.
  const auto expect_turn_s = [&](std::int64_t seconds) {
    const std::int64_t turn_ns = core::quota_turn_ns(view(), producer_.owner, 1, 100) - os::monotonic_ns();
    EXPECT_GT(turn_ns / 1'000'000'000, seconds / 2);
    EXPECT_LT(turn_ns / 1'000'000'000, seconds * 2);
  };
  const QuotaScope user = QuotaScope::user(view().row(0).uid.load());
  set(QuotaScope::queue(), {.messages_per_second = 1, .burst_messages = 1});
  owe_s(core::quota_bucket(view(), core::kQueueBucket).message_time, 1'000);
  expect_turn_s(1'000);
  set(user, {.bytes_per_second = 100, .burst_bytes = 100});
  owe_s(core::quota_bucket(view(), core::find_bucket(view(), user)).byte_time, 10'000);
  expect_turn_s(10'000);
  // Of each producer the limit is in one bucket, and what he owes in his own; his own limit is the looser.
  set(QuotaScope::each_producer(), {.messages_per_second = 1, .burst_messages = 1});
  owe_s(core::quota_bucket(view(), core::row_bucket(0)).message_time, 100'000);
  expect_turn_s(100'000);
  set(QuotaScope::producer(0), {.messages_per_second = 1'000, .burst_messages = 1'000});
  owe_s(core::quota_bucket(view(), core::row_bucket(0)).message_time, 100'000);
  expect_turn_s(100'000);
  // The row's link is to a bucket that is another user's by now.
  owe_s(core::quota_bucket(view(), core::row_bucket(0)).message_time, 0);
  expect_turn_s(10'000);
  view().row(0).uid.fetch_add(1);
  expect_turn_s(1'000);
}

}  // namespace
}  // namespace ipcq::unit
