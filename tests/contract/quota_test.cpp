// Quotas as users meet them: refusals that tell the time, waiting that sleeps and is woken.
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using support::Background;

constexpr double kSlow = 1.0 / 3600;

class Quotas : public QueueContract {
 protected:
  [[nodiscard]] Queue create_limited(const Quota& quota) const {
    CreateOptions limited = options();
    limited.quota = quota;
    return create(limited);
  }
  void set(const Quota& quota, QuotaScope scope = QuotaScope::queue()) const {
    set_quota("contract", scope, QuotaSource::operator_, quota, where());
  }
  [[nodiscard]] QuotaInfo get(QuotaScope scope = QuotaScope::queue()) const {
    return get_quota("contract", scope, where());
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Quotas, every_mode(), name_of);

TEST_P(Quotas, TheBurstPassesAndThenARefusalTellsWhenTheNextWould) {
  const Queue queue = create_limited({.messages_per_second = 10, .burst_messages = 3});
  Producer producer = queue.producer();
  // Whoever is kept from running for 100 ms meanwhile has earned one more.
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t sent = 0;
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1}, now);
  for (; claim; claim = producer.claim({.messages = 1, .bytes = 1}, now)) {
    claim.append(1);
    ASSERT_EQ(claim.commit(), Outcome::ok);
    ++sent;
  }
  EXPECT_GE(sent, 3U);
  EXPECT_LE(sent, 3U + static_cast<std::uint64_t>((std::chrono::steady_clock::now() - begin) / milliseconds(100)));
  ASSERT_EQ(claim.outcome(), Outcome::over_quota);
  EXPECT_TRUE(is_transient(claim.outcome()));
  EXPECT_GT(claim.retry_after(), nanoseconds(0));
  EXPECT_LE(claim.retry_after(), milliseconds(100));
  std::this_thread::sleep_for(claim.retry_after());
  EXPECT_EQ(producer.send("x", 0, now), Outcome::ok);
  const QueueInfo info = queue.inspect();
  EXPECT_EQ(info.quota_refusals, 1U);
  EXPECT_EQ(endpoint_info(queue, producer.row())->quota_refusals, 1U);
  EXPECT_EQ(endpoint_info(queue, producer.row())->refusals, 0U) << "it was not full";
  EXPECT_EQ(info.messages, sent + 1);
}

TEST_P(Quotas, AClaimThatIsNotRefusedNamesNoTime) {
  const Queue queue = create();
  Producer producer = queue.producer();
  EXPECT_EQ(producer.claim({.messages = 1, .bytes = 1}, now).retry_after(), nanoseconds(0));
}

TEST_P(Quotas, OfBytesCountsPayload) {
  const Queue queue = create_limited({.bytes_per_second = kSlow, .burst_bytes = 1000});
  Producer producer = queue.producer();
  ASSERT_EQ(producer.send(std::string(600, 'x'), 0, now), Outcome::ok);
  EXPECT_EQ(producer.send(std::string(401, 'x'), 0, now), Outcome::over_quota);
  EXPECT_EQ(producer.send(std::string(400, 'x'), 0, now), Outcome::ok);
  EXPECT_EQ(producer.send("", 0, now), Outcome::ok) << "no payload, no bytes";
}

TEST_P(Quotas, RoomThatACommitLeavesAndAnAbortAreGivenBack) {
  const Queue queue =
      create_limited({.messages_per_second = kSlow, .bytes_per_second = kSlow, .burst_messages = 10, .burst_bytes = 100});
  Producer producer = queue.producer();
  for (int i = 0; i < 20; ++i) {
    ipcq::Claim claim = producer.claim({.messages = 9, .bytes = 90}, now);
    ASSERT_EQ(claim.outcome(), Outcome::ok) << i;
    if (i % 2 == 0) {
      ASSERT_EQ(claim.abort(), Outcome::ok);
    }  // else destroyed open
  }
  ipcq::Claim claim = producer.claim({.messages = 10, .bytes = 100}, now);
  ASSERT_TRUE(claim);
  claim.append_copy(bytes_of("0123456789"));
  ASSERT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(producer.claim({.messages = 10, .bytes = 80}, now).outcome(), Outcome::over_quota);
  EXPECT_EQ(producer.claim({.messages = 9, .bytes = 91}, now).outcome(), Outcome::over_quota);
  EXPECT_EQ(producer.claim({.messages = 9, .bytes = 90}, now).outcome(), Outcome::ok);
}

TEST_P(Quotas, ABatchLargerThanTheBurstPassesWhenNothingIsOwedAndOwesTheRest) {
  const Queue queue = create_limited({.messages_per_second = kSlow, .burst_messages = 2});
  Producer producer = queue.producer();
  ipcq::Claim claim = producer.claim({.messages = 50, .bytes = 50}, now);
  ASSERT_TRUE(claim);
  for (int i = 0; i < 50; ++i) claim.append(1);
  ASSERT_EQ(claim.commit(), Outcome::ok);
  claim = producer.claim({.messages = 1, .bytes = 1}, now);
  ASSERT_EQ(claim.outcome(), Outcome::over_quota);
  EXPECT_GT(claim.retry_after(), std::chrono::hours(48)) << "fifty less the burst";
}

TEST_P(Quotas, RoomComesBeforeTheQuota) {
  const Queue queue = create_limited({.messages_per_second = kSlow, .burst_messages = 2000});
  Producer producer = queue.producer();
  const std::uint32_t sent = fill(producer, 1000);
  const std::uint64_t owed = get().owed_ns;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(producer.send(std::string(1000, 'x'), 0, now), Outcome::full);
  EXPECT_LE(get().owed_ns, owed) << "a claim that finds no room pays nothing";
  EXPECT_NEAR(static_cast<double>(owed) / 3600e9, sent, 0.1);
}

TEST_P(Quotas, GoWhenTheyAreClearedAndNothingIsOwedAfterwards) {
  const Queue queue = create();
  Producer producer = queue.producer();
  set({.messages_per_second = kSlow});
  ASSERT_EQ(producer.send("x", 0, now), Outcome::ok);
  ASSERT_EQ(producer.send("x", 0, now), Outcome::over_quota);
  EXPECT_EQ(producer.quota().burst_messages, 1U);
  clear_quota("contract", QuotaScope::queue(), QuotaSource::operator_, where());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(producer.send("x", 0, now), Outcome::ok);
  EXPECT_FALSE(producer.quota().limits());
  EXPECT_TRUE(queue.inspect().quotas.empty());
  EXPECT_FALSE(get().holds.limits());
}

TEST_P(Quotas, BindWhoAttachesLaterToo) {
  const Queue queue = create();
  set({.messages_per_second = kSlow, .burst_messages = 2}, QuotaScope::user(::getuid()));
  set({.messages_per_second = kSlow, .burst_messages = 1}, QuotaScope::each_producer());
  {
    Producer first = queue.producer();
    ASSERT_EQ(first.send("x", 0, now), Outcome::ok);
    ASSERT_EQ(first.send("x", 0, now), Outcome::over_quota) << "its own";
  }
  Producer second = queue.producer();
  ASSERT_EQ(second.send("x", 0, now), Outcome::ok) << "its row owes nothing";
  ASSERT_EQ(second.send("x", 0, now), Outcome::over_quota) << "the user's";
  const QueueInfo info = queue.inspect();
  ASSERT_EQ(info.quotas.size(), 2U);
  EXPECT_EQ(info.quotas[0].scope, QuotaScope::user(::getuid()));
  EXPECT_EQ(info.quotas[0].refusals, 2U);
  EXPECT_EQ(info.quotas[1].scope, QuotaScope::each_producer());
}

TEST_P(Quotas, AProducersOwnEndsWithIt) {
  const Queue queue = create();
  Producer producer = queue.producer();
  const std::uint32_t row = producer.row();
  set({.messages_per_second = kSlow}, QuotaScope::producer(row));
  EXPECT_EQ(producer.quota().burst_messages, 1U);
  producer.detach();
  producer = queue.producer();
  ASSERT_EQ(producer.row(), row);
  EXPECT_FALSE(producer.quota().limits());
}

TEST_P(Quotas, ThatCannotBeAreRefusedByName) {
  const Queue queue = create();
  for (const Quota& bad :
       {Quota{.messages_per_second = -1}, Quota{.messages_per_second = 1e13}, Quota{.bytes_per_second = 1e-9},
        Quota{.burst_messages = 5}, Quota{.messages_per_second = 1, .burst_bytes = 5}}) {
    EXPECT_EQ(errc_of([&] { set(bad); }), Errc::invalid_option);
    CreateOptions limited = options();
    limited.quota = bad;
    EXPECT_EQ(errc_of([&] { (void)Queue::create("other", limited); }), Errc::invalid_option);
  }
  EXPECT_EQ(errc_of([&] { set({.messages_per_second = 1}, QuotaScope::producer(3)); }), Errc::invalid_option);
  EXPECT_EQ(errc_of([&] { (void)get(QuotaScope::producer(4000)); }), Errc::invalid_option);
  EXPECT_EQ(errc_of([&] { set({.messages_per_second = 1}, QuotaScope::user(static_cast<uid_t>(-1))); }),
            Errc::invalid_option);
  for (std::uint32_t uid = 1; uid <= 32; ++uid) set({.messages_per_second = 1}, QuotaScope::user(uid));
  EXPECT_EQ(errc_of([&] { set({.messages_per_second = 1}, QuotaScope::each_producer()); }), Errc::too_many_quotas);
}

TEST_P(Quotas, OfTheCreatorAreThereFromTheFirstClaimOn) {
  CreateOptions limited = options();
  limited.producer_quota = {.messages_per_second = kSlow, .burst_messages = 2};
  const Queue queue = create(limited);
  Producer producer = queue.producer();
  EXPECT_EQ(get(QuotaScope::each_producer()).limit(QuotaSource::creator).burst_messages, 2U);
  ASSERT_EQ(producer.send("x", 0, now), Outcome::ok);
  ASSERT_EQ(producer.send("x", 0, now), Outcome::ok);
  ASSERT_EQ(producer.send("x", 0, now), Outcome::over_quota);
}

class QuotaWaiting : public Quotas {
 protected:
  /// Waits for a quota that lets nothing pass for an hour.
  class Waiter {
   public:
    explicit Waiter(Producer& producer, Deadline deadline = kPatience)
        : thread_([this, &producer, deadline] {
            const ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1}, deadline);
            outcome_ = claim.outcome();
            retry_after_ = claim.retry_after();
          }) {
      thread_.wait_until_asleep();
    }
    Outcome outcome() {
      thread_.join();
      return outcome_;
    }
    [[nodiscard]] nanoseconds retry_after() const { return retry_after_; }

   private:
    Outcome outcome_ = Outcome::empty;
    nanoseconds retry_after_{};
    Background thread_;  // last: it uses the others
  };
};
INSTANTIATE_TEST_SUITE_P(Modes, QuotaWaiting, every_mode(), name_of);

TEST_P(QuotaWaiting, AChangeACloseARemovalAndACancelWakeWhoSleeps) {
  for (const char* what : {"change", "clear", "close", "remove", "cancel"}) {
    SCOPED_TRACE(what);
    const Queue queue = create_limited({.messages_per_second = kSlow});
    Producer producer = queue.producer({.wait = WaitStrategy::sleep});
    ASSERT_EQ(producer.send("x", 0, now), Outcome::ok);
    Waiter waiter(producer, forever);
    const std::string deed = what;
    if (deed == "change")
      set_quota("contract", QuotaScope::queue(), QuotaSource::creator, {.messages_per_second = 1000}, where());
    if (deed == "clear") clear_quota("contract", QuotaScope::queue(), QuotaSource::creator, where());
    if (deed == "close") queue.close();
    if (deed == "remove") ipcq::remove("contract", {.force = true, .directory = directory(), .trusted_owners = {}});
    if (deed == "cancel") producer.cancel();
    EXPECT_EQ(waiter.outcome(), deed == "close"    ? Outcome::closed
                                : deed == "remove" ? Outcome::removed
                                : deed == "cancel" ? Outcome::cancelled
                                                   : Outcome::ok);
    if (deed != "remove") ipcq::remove("contract", {.force = true, .directory = directory(), .trusted_owners = {}});
  }
}

TEST_P(QuotaWaiting, AChangeWakesWhoSleepsLongBeforeItsBackstop) {
  // A sleeper looks by itself after 50 ms. On a busy machine some wakes are late, but not all of them.
  auto fastest = nanoseconds(seconds(60));
  for (int round = 0; round < 10 && fastest > milliseconds(15); ++round) {
    const Queue queue = create_limited({.messages_per_second = kSlow});
    Producer producer = queue.producer({.wait = WaitStrategy::sleep});
    ASSERT_EQ(producer.send("x", 0, now), Outcome::ok);
    Waiter waiter(producer, forever);
    const auto changed = steady_clock::now();
    clear_quota("contract", QuotaScope::queue(), QuotaSource::creator, where());
    ASSERT_EQ(waiter.outcome(), Outcome::ok);
    fastest = std::min<nanoseconds>(fastest, steady_clock::now() - changed);
    ipcq::remove("contract", {.force = true, .directory = directory(), .trusted_owners = {}});
  }
  EXPECT_LE(fastest, milliseconds(15));
}

TEST_P(QuotaWaiting, ADeadlineEndsItWithTheTimeThatIsLeft) {
  const Queue queue = create_limited({.messages_per_second = kSlow});
  Producer producer = queue.producer();
  ASSERT_EQ(producer.send("x", 0, now), Outcome::ok);
  const std::uint64_t owed = get().owed_ns;
  Waiter waiter(producer, milliseconds(120));
  EXPECT_EQ(waiter.outcome(), Outcome::over_quota);
  EXPECT_GT(waiter.retry_after(), std::chrono::minutes(59));
  EXPECT_LE(get().owed_ns, owed) << "it has taken no place that it could not use";
  const QueueInfo info = queue.inspect();
  EXPECT_GE(info.quota_wait_ns, 100'000'000U);
  EXPECT_EQ(info.quota_refusals, 1U);
}

TEST_P(QuotaWaiting, GivingUpGivesThePlaceBack) {
  const Queue queue = create_limited({.messages_per_second = kSlow});
  Producer producer = queue.producer();
  ASSERT_EQ(producer.send("x", 0, now), Outcome::ok);
  const std::uint64_t owed = get().owed_ns;
  {
    Waiter waiter(producer, forever);
    support::wait_until("its place is taken", [&] { return get().owed_ns > owed; });
    producer.cancel();
    EXPECT_EQ(waiter.outcome(), Outcome::cancelled);
  }
  EXPECT_LE(get().owed_ns, owed);
}

TEST_P(QuotaWaiting, CostsNoProcessorTime) {
  const Queue queue = create_limited({.messages_per_second = 50, .burst_messages = 1});
  Producer producer = queue.producer();
  const auto used = [] {
    timespec at{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return seconds(at.tv_sec) + nanoseconds(at.tv_nsec);
  };
  const auto before = used();
  const auto began = steady_clock::now();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(producer.send("x", 0, kPatience), Outcome::ok);
  const auto took = steady_clock::now() - began;
  EXPECT_GE(took, milliseconds(375)) << "nineteen of 20 ms";
  EXPECT_LT(used() - before, took / 10);
}

}  // namespace
}  // namespace ipcq::contract
