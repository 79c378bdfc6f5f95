// What a claim takes of the buckets that bind its producer, and gives back.
#include "core/quota.hpp"

#include <gtest/gtest.h>
#include <time.h>

#include <cstdint>
#include <set>
#include <vector>

#include "core/quota_table.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::ProducerState;
using core::QuotaTime;
using core::SetQuota;

constexpr std::int64_t kFarOff = INT64_MAX;

class Quotas : public ::testing::Test {
 protected:
  Quotas() {
    segment_.add_group();
    one_ = segment_.producer(0);
    other_ = segment_.producer(1);
    third_ = segment_.producer(2);
  }

  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::QuotaBucket& bucket(std::uint32_t number) const noexcept {
    return core::quota_bucket(view(), number);
  }
  void set(const QuotaScope& scope, const Quota& quota, QuotaSource source = QuotaSource::operator_) const {
    ASSERT_EQ(core::set_quota(view(), scope, source, quota), SetQuota::ok);
  }
  /// One attempt to claim room for this many messages of 8 bytes.
  Outcome claim(ProducerState& producer, std::uint64_t messages = 1, std::int64_t latest_ns = 0) {
    producer.debit.ask(messages, 8 * messages, latest_ns);
    return core::claim(view(), producer, need(messages), 0, taken_);
  }
  static std::uint64_t need(std::uint64_t messages) { return messages * detail::record_bytes(8, 16); }
  void abort(ProducerState& producer, std::uint64_t messages = 1) {
    ASSERT_EQ(core::abort(view(), producer, taken_.position, need(messages)), Outcome::ok);
    producer.debit.settle(0, 0);
  }
  /// Until nothing is owed any more, in messages of `rate`.
  [[nodiscard]] double owed(const layout::AtomicU64& time, double rate) const {
    const QuotaTime now = core::quota_time(os::monotonic_ns());
    const QuotaTime then = time.load();
    return then > now ? static_cast<double>(core::quota_ns(then - now)) * rate / 1e9 : 0;
  }
  static void sleep_ns(std::int64_t ns) {
    const timespec nap{ns / 1'000'000'000, ns % 1'000'000'000};
    ::nanosleep(&nap, nullptr);
  }

  CoreSegment segment_;
  ProducerState one_;
  ProducerState other_;
  ProducerState third_;
  core::ClaimTaken taken_;
};

// Slow rates: what is owed hardly goes while a test runs.
constexpr double kSlow = 0.1;

TEST_F(Quotas, WithoutLimitsNoClaimKnowsOfThem) {
  core::ClaimTaken taken;
  EXPECT_EQ(core::claim(view(), one_, 32, 0, taken), Outcome::ok);
  EXPECT_FALSE(one_.debit.expected());
  EXPECT_EQ(view().row(0).flags.load(), 0U);
}

TEST_F(Quotas, AClaimIsDebitedFromTheQueueItsUserAndItself) {
  set(QuotaScope::queue(), {.messages_per_second = kSlow, .burst_messages = 100});
  set(QuotaScope::user(0), {.messages_per_second = kSlow, .burst_messages = 100});
  set(QuotaScope::producer(0), {.bytes_per_second = kSlow, .burst_bytes = 100});
  set(QuotaScope::producer(1), {.messages_per_second = kSlow, .burst_messages = 100});
  set(QuotaScope::user(77), {.messages_per_second = kSlow, .burst_messages = 100});
  ASSERT_EQ(claim(one_, 5), Outcome::ok);
  EXPECT_NEAR(owed(bucket(core::kQueueBucket).message_time, kSlow), 5, 0.1);
  EXPECT_NEAR(owed(bucket(core::find_bucket(view(), QuotaScope::user(0))).message_time, kSlow), 5, 0.1);
  EXPECT_NEAR(owed(bucket(core::row_bucket(0)).byte_time, kSlow), 40, 0.1);
  EXPECT_EQ(owed(bucket(core::row_bucket(1)).message_time, kSlow), 0) << "another producer's";
  EXPECT_EQ(owed(bucket(core::find_bucket(view(), QuotaScope::user(77))).message_time, kSlow), 0) << "another user's";
}

TEST_F(Quotas, ALaterRefusalGivesTheEarlierBack) {
  set(QuotaScope::queue(), {.messages_per_second = kSlow, .burst_messages = 100});
  set(QuotaScope::user(0), {.messages_per_second = kSlow, .burst_messages = 3});
  set(QuotaScope::producer(0), {.messages_per_second = kSlow, .burst_messages = 50});
  ASSERT_EQ(claim(one_, 3), Outcome::ok);
  abort(one_, 3);
  ASSERT_EQ(claim(one_, 2), Outcome::ok);
  EXPECT_EQ(claim(other_, 2), Outcome::over_quota);
  EXPECT_NEAR(owed(bucket(core::kQueueBucket).message_time, kSlow), 2, 0.1);
  EXPECT_NEAR(static_cast<double>(other_.debit.retry_after_ns()), 1 / kSlow * 1e9, 0.3e9) << "one too many";
  EXPECT_FALSE(other_.debit.paid());
}

TEST_F(Quotas, ARefusalTellsWhenAllBucketsWouldLetItPass) {
  set(QuotaScope::queue(), {.messages_per_second = 10, .burst_messages = 1});
  set(QuotaScope::producer(0), {.messages_per_second = 1, .burst_messages = 1});
  ASSERT_EQ(claim(one_), Outcome::ok);
  EXPECT_EQ(claim(one_), Outcome::over_quota);
  EXPECT_NEAR(static_cast<double>(one_.debit.retry_after_ns()), 1e9, 0.1e9) << "of the row, which comes last";
  set(QuotaScope::queue(), {.messages_per_second = 1, .burst_messages = 1});
  set(QuotaScope::producer(0), {.messages_per_second = 10, .burst_messages = 1});
  ASSERT_EQ(claim(one_), Outcome::ok);
  EXPECT_EQ(claim(one_), Outcome::over_quota);
  EXPECT_NEAR(static_cast<double>(one_.debit.retry_after_ns()), 1e9, 0.1e9) << "of the queue, which comes first";
}

TEST_F(Quotas, TheTimeThatARefusalNamesIsTrue) {
  set(QuotaScope::queue(), {.messages_per_second = 50, .burst_messages = 2});
  ASSERT_EQ(claim(one_, 2), Outcome::ok);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(claim(other_), Outcome::over_quota);
    const std::int64_t wait = other_.debit.retry_after_ns();
    ASSERT_GT(wait, 0);
    ASSERT_LE(wait, 20'000'000);
    const std::int64_t then = os::monotonic_ns() + wait;
    Outcome early = Outcome::over_quota;
    std::int64_t asked = 0;
    while (early == Outcome::over_quota && os::monotonic_ns() < then - 100'000) {
      sleep_ns(1'000'000);
      asked = os::monotonic_ns();
      early = claim(other_);
    }
    // Who asks at the time that was told gets it; who gets it before would be told too much.
    if (early == Outcome::over_quota) {
      sleep_ns(std::max<std::int64_t>(then - os::monotonic_ns(), 0));
      EXPECT_EQ(claim(other_), Outcome::ok);
    } else {
      EXPECT_GE(asked + 2'000'000, then - 1'000'000) << "it passed earlier than it was told";
    }
  }
}

TEST_F(Quotas, RoomThatIsNotUsedIsGivenBackAndAllOfItAtAbort) {
  set(QuotaScope::queue(),
      {.messages_per_second = kSlow, .bytes_per_second = kSlow, .burst_messages = 50, .burst_bytes = 900});
  ASSERT_EQ(claim(one_, 20), Outcome::ok);
  EXPECT_NEAR(owed(bucket(0).message_time, kSlow), 20, 0.1);
  one_.debit.settle(3, 24);
  EXPECT_NEAR(owed(bucket(0).message_time, kSlow), 3, 0.1);
  EXPECT_NEAR(owed(bucket(0).byte_time, kSlow), 24, 0.1);
  ASSERT_EQ(claim(other_, 20), Outcome::ok);
  abort(other_, 20);
  EXPECT_NEAR(owed(bucket(0).message_time, kSlow), 3, 0.1);
  EXPECT_NEAR(owed(bucket(0).byte_time, kSlow), 24, 0.1);
}

TEST_F(Quotas, AClaimThatWaitsTakesItsPlaceAtOnceAndNobodyPassesIt) {
  set(QuotaScope::queue(), {.messages_per_second = kSlow, .burst_messages = 1});
  ASSERT_EQ(claim(one_), Outcome::ok);
  abort(one_);
  ASSERT_EQ(claim(one_), Outcome::ok);
  // A large batch, then a small one behind it.
  ProducerState& large = third_;
  EXPECT_EQ(claim(large, 10, kFarOff), Outcome::over_quota);
  EXPECT_EQ(claim(other_, 1, kFarOff), Outcome::over_quota);
  const std::int64_t now = os::monotonic_ns();
  EXPECT_NEAR(static_cast<double>(large.debit.ready_ns() - now), 1 / kSlow * 1e9, 0.3e9);
  EXPECT_NEAR(static_cast<double>(other_.debit.ready_ns() - now), 11 / kSlow * 1e9, 0.3e9);
  // Asked again, it has the same place.
  const std::int64_t ready = large.debit.ready_ns();
  EXPECT_EQ(core::claim(view(), large, need(10), 0, taken_), Outcome::over_quota);
  EXPECT_EQ(large.debit.ready_ns(), ready);
  EXPECT_NEAR(owed(bucket(0).message_time, kSlow), 12, 0.1);
}

TEST_F(Quotas, GivingUpReturnsThePlaceIfItIsStillTheLast) {
  set(QuotaScope::queue(), {.messages_per_second = kSlow, .burst_messages = 1});
  ASSERT_EQ(claim(one_), Outcome::ok);
  EXPECT_EQ(claim(other_, 5, kFarOff), Outcome::over_quota);
  other_.debit.give_up();
  EXPECT_NEAR(owed(bucket(0).message_time, kSlow), 1, 0.1);
  EXPECT_EQ(other_.debit.ready_ns(), INT64_MAX);

  EXPECT_EQ(claim(other_, 5, kFarOff), Outcome::over_quota);
  ProducerState& behind = third_;
  EXPECT_EQ(claim(behind, 1, kFarOff), Outcome::over_quota);
  other_.debit.give_up();
  EXPECT_NEAR(owed(bucket(0).message_time, kSlow), 7, 0.1) << "who stands behind it has its time already";
}

TEST_F(Quotas, APlaceThatWouldComeTooLateIsNotTaken) {
  set(QuotaScope::queue(), {.messages_per_second = kSlow, .burst_messages = 1});
  ASSERT_EQ(claim(one_), Outcome::ok);
  EXPECT_EQ(claim(other_, 1, os::monotonic_ns() + 1'000'000'000), Outcome::over_quota);
  EXPECT_FALSE(other_.debit.paid());
  EXPECT_NEAR(owed(bucket(0).message_time, kSlow), 1, 0.1);
}

TEST_F(Quotas, AChangeMakesPlacesVoidAndForgivesWhatIsOwed) {
  set(QuotaScope::queue(), {.messages_per_second = kSlow, .burst_messages = 1});
  ASSERT_EQ(claim(one_), Outcome::ok);
  EXPECT_EQ(claim(other_, 1, kFarOff), Outcome::over_quota);
  set(QuotaScope::queue(), {.messages_per_second = 2 * kSlow, .burst_messages = 1});
  EXPECT_EQ(owed(bucket(0).message_time, kSlow), 0);
  EXPECT_EQ(core::claim(view(), other_, need(1), 0, taken_), Outcome::ok) << "nothing is owed any more";
  one_.debit.settle(0, 0);
  EXPECT_NEAR(owed(bucket(0).message_time, 2 * kSlow), 1, 0.1) << "what was paid before the change is not given back";
}

TEST_F(Quotas, TheSameAgainIsNoChange) {
  const Quota quota{.messages_per_second = kSlow, .burst_messages = 4};
  set(QuotaScope::queue(), quota);
  ASSERT_EQ(claim(one_, 4), Outcome::ok);
  const std::uint32_t change = bucket(0).change.load();
  set(QuotaScope::queue(), quota);
  EXPECT_EQ(bucket(0).change.load(), change);
  EXPECT_NEAR(owed(bucket(0).message_time, kSlow), 4, 0.1) << "a policy that is applied again forgives nothing";
}

TEST_F(Quotas, EachSourceIsKeptApartAndTheLowestHolds) {
  set(QuotaScope::queue(), {.messages_per_second = 100, .burst_messages = 7}, QuotaSource::creator);
  set(QuotaScope::queue(), {.messages_per_second = 10, .bytes_per_second = 500}, QuotaSource::operator_);
  set(QuotaScope::queue(), {.bytes_per_second = 50, .burst_bytes = 9}, QuotaSource::policy);
  QuotaInfo info = core::quota_info(view(), core::kQueueBucket, QuotaScope::queue());
  EXPECT_EQ(info.limit(QuotaSource::creator).messages_per_second, 100);
  EXPECT_EQ(info.limit(QuotaSource::creator).burst_messages, 7U);
  EXPECT_EQ(info.limit(QuotaSource::operator_).bytes_per_second, 500);
  EXPECT_EQ(info.limit(QuotaSource::policy).burst_bytes, 9U);
  EXPECT_EQ(info.holds.messages_per_second, 10);
  EXPECT_EQ(info.messages_by, QuotaSource::operator_);
  EXPECT_EQ(info.holds.burst_messages, 1U) << "its own burst: 10 ms, at least one";
  EXPECT_EQ(info.holds.bytes_per_second, 50);
  EXPECT_EQ(info.bytes_by, QuotaSource::policy);
  set(QuotaScope::queue(), {}, QuotaSource::operator_);
  info = core::quota_info(view(), core::kQueueBucket, QuotaScope::queue());
  EXPECT_EQ(info.holds.messages_per_second, 100);
  EXPECT_EQ(info.messages_by, QuotaSource::creator);
  EXPECT_EQ(info.holds.burst_messages, 7U);
}

TEST_F(Quotas, BurstsAreToldAsTheyAreHoweverLarge) {
  set(QuotaScope::queue(),
      {.messages_per_second = 1e12, .bytes_per_second = 1e12, .burst_bytes = std::uint64_t{1} << 36});
  const Quota holds = core::quota_info(view(), core::kQueueBucket, QuotaScope::queue()).holds;
  EXPECT_EQ(holds.burst_messages, UINT32_MAX) << "ten thousand million: the most that there is";
  EXPECT_NEAR(static_cast<double>(holds.burst_bytes), static_cast<double>(std::uint64_t{1} << 36), 1);
  set(QuotaScope::queue(), {.messages_per_second = 3, .burst_messages = 5});
  EXPECT_EQ(core::quota_of_row(view(), 0).burst_messages, 5U);
}

TEST_F(Quotas, EachProducersLimitIsPaidByEveryOneForHimself) {
  set(QuotaScope::each_producer(), {.messages_per_second = kSlow, .burst_messages = 2});
  ASSERT_EQ(claim(one_, 2), Outcome::ok);
  EXPECT_EQ(claim(one_), Outcome::over_quota);
  EXPECT_EQ(claim(other_, 2), Outcome::ok);
  EXPECT_EQ(claim(other_), Outcome::over_quota);
  // A tighter one of his own holds; a wider one does not.
  set(QuotaScope::producer(0), {.messages_per_second = 10 * kSlow, .burst_messages = 9});
  ASSERT_EQ(claim(one_, 2), Outcome::ok) << "the change forgave";
  EXPECT_EQ(claim(one_), Outcome::over_quota) << "but the burst is still 2";
  set(QuotaScope::each_producer(), {});
  ASSERT_EQ(claim(one_, 9), Outcome::ok);
  EXPECT_EQ(claim(one_), Outcome::over_quota);
  EXPECT_EQ(view().row(1).flags.load(), 0U) << "nothing binds the other any more";
}

TEST_F(Quotas, WhoAttachesInARowHasNothingOfItsLastOwner) {
  set(QuotaScope::producer(0), {.messages_per_second = kSlow, .burst_messages = 2});
  ASSERT_EQ(claim(one_, 2), Outcome::ok);
  core::Debit::count_refusal(view(), one_.owner);
  EXPECT_FALSE(core::begin_row_quota(view(), 0));
  EXPECT_FALSE(core::has_limits(bucket(core::row_bucket(0))));
  EXPECT_EQ(owed(bucket(core::row_bucket(0)).message_time, kSlow), 0);
  EXPECT_EQ(bucket(core::row_bucket(0)).refusals.load(), 0U);
  one_.debit.settle(0, 0);  // of a thread that does not know that it was judged dead
  EXPECT_EQ(bucket(core::row_bucket(0)).message_time.load(), 0U);
  set(QuotaScope::each_producer(), {.messages_per_second = kSlow});
  EXPECT_TRUE(core::begin_row_quota(view(), 0));
}

TEST_F(Quotas, ThereAreThirtyTwoBucketsOfUsersAndOneThatIsClearedIsFreeAgain) {
  for (std::uint32_t uid = 1; uid <= core::kUserBuckets; ++uid) set(QuotaScope::user(uid), {.messages_per_second = 1});
  EXPECT_EQ(core::set_quota(view(), QuotaScope::user(99), QuotaSource::policy, {.messages_per_second = 1}),
            SetQuota::full);
  EXPECT_EQ(core::set_quota(view(), QuotaScope::user(99), QuotaSource::policy, {}), SetQuota::ok) << "nothing to clear";
  set(QuotaScope::user(7), {});
  set(QuotaScope::user(99), {.messages_per_second = 3}, QuotaSource::policy);
  EXPECT_EQ(core::find_bucket(view(), QuotaScope::user(7)), core::quota_buckets(view()));
  const std::uint32_t bucket_of_99 = core::find_bucket(view(), QuotaScope::user(99));
  EXPECT_EQ(core::quota_info(view(), bucket_of_99, QuotaScope::user(99)).holds.messages_per_second, 3);
}

TEST_F(Quotas, OnlyAProducersRowHasOne) {
  segment_.attach(3, layout::RowKind::consumer);
  for (const std::uint32_t row : {3U, 4U, 1000U}) {
    EXPECT_EQ(core::set_quota(view(), QuotaScope::producer(row), QuotaSource::operator_, {.messages_per_second = 1}),
              SetQuota::no_such_row)
        << row;
  }
}

TEST_F(Quotas, WhatCannotBeALimitBindsNobodyAndHoldsNobodyUp) {
  std::mt19937_64 random = random_numbers();
  view().row(0).flags.store(layout::kLimited);
  for (std::uint32_t round = 0; round < scaled(20'000); ++round) {
    auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(
        &bucket(static_cast<std::uint32_t>(random() % core::quota_buckets(view()))));
    words[random() % 16].store(random() >> (random() % 64));
    one_.debit.ask(1 + random() % 1000, random() >> (random() % 64), random() % 2 == 0 ? 0 : kFarOff);
    if (core::claim(view(), one_, 32, 0, taken_) == Outcome::ok) {
      ASSERT_EQ(core::abort(view(), one_, taken_.position, 32), Outcome::ok);
      one_.debit.settle(random() % 5, random() % 50);
      view().group(0).retired.store(taken_.position + 32);
    } else if (random() % 2 == 0) {
      one_.debit.give_up();
    }
    core::Debit::count_refusal(view(), one_.owner);
    std::ignore = core::quota_of_row(view(), 0);
    std::ignore = core::quota_info(view(), 1 + static_cast<std::uint32_t>(random() % 3), QuotaScope::user(5));
  }
}

TEST_F(Quotas, WhatIsPaidAndGivenBackAtOnceByManyAddsUp) {
  // Each change is one exchange: what all paid less what all got back is what the bucket owes.
  set(QuotaScope::queue(), {.messages_per_second = kSlow, .burst_messages = 1'000'000});
  const QuotaTime start = bucket(0).message_time.load();
  std::atomic<std::uint64_t> kept{0};
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      ProducerState producer = segment_.producer(2 + i);
      std::mt19937_64 random(support::seed() + i);
      for (std::uint32_t round = 0; round < scaled(5'000); ++round) {
        producer.debit.ask(10, 80, 0);
        if (!producer.debit.pass(view(), producer.owner)) break;
        const std::uint64_t used = random() % 11;
        producer.debit.settle(used, 8 * used);
        kept += used;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double owed_messages = static_cast<double>(core::quota_ns(bucket(0).message_time.load() - start)) * kSlow / 1e9;
  // The clock went on under them; a message is ten seconds.
  EXPECT_NEAR(owed_messages, static_cast<double>(kept.load()), 5);
}

}  // namespace
}  // namespace ipcq::unit
