// A process dies while it pays for a claim, gets back what it did not use, or changes a limit.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <string>
#include <vector>

#include "actor.hpp"
#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

// Slow: what is owed hardly goes while a test runs.
constexpr double kSlow = 1.0 / 3600;
constexpr std::uint32_t kBurst = 50;

/// Pays into five words: messages and bytes of the queue and of its user, messages of its own. Uses two messages of five.
const ChildRole kPayer("quota payer", [](Child&) {
  Producer producer = Queue::open(kQueue).producer();
  Claim claim = producer.claim(Room::equal(5, kPayload), now);
  require(claim.outcome() == Outcome::ok, to_string(claim.outcome()));
  for (std::uint64_t id = 1; id <= 2; ++id) fill(claim.append(kPayload), id);
  require(claim.commit() == Outcome::ok, "commit");
  return kDone;
});

/// Is refused by its own bucket, behind the queue's and the user's.
const ChildRole kRefused("quota refused", [](Child&) {
  Producer producer = Queue::open(kQueue).producer();
  require(producer.claim(Room::equal(20, kPayload), now).outcome() == Outcome::ok, "the first");
  require(producer.claim(Room::equal(20, kPayload), now).outcome() == Outcome::over_quota, "the second");
  return kDone;
});

/// Arguments: "queue", "user" or "each".
const ChildRole kSetter("quota setter", [](Child& self) {
  const std::string& scope = self.argument(0);
  set_quota(kQueue,
            scope == "queue"  ? QuotaScope::queue()
            : scope == "user" ? QuotaScope::user(::getuid())
                              : QuotaScope::each_producer(),
            QuotaSource::operator_,
            {.messages_per_second = 1000, .bytes_per_second = 1e9, .burst_messages = 7, .burst_bytes = 8192});
  return kDone;
});

/// Waits for a quota that would keep it for an hour.
const ChildRole kSleeper("quota sleeper", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer({.wait = WaitStrategy::sleep});
  self.report("waiting");
  const Claim claim = producer.claim(Room::equal(1, kPayload), kBound);
  require(claim.outcome() == Outcome::ok, to_string(claim.outcome()));
  return kDone;
});

struct QuotaDeathPoint {
  const char* name;
  const char* point;
  const char* scope = "queue";
};
std::ostream& operator<<(std::ostream& out, const QuotaDeathPoint& death) { return out << death.name; }

/// In messages.
double owed(const QuotaScope& scope) { return static_cast<double>(get_quota(kQueue, scope).owed_ns) / 1e9 * kSlow; }

class DebitDeath : public CrashTest, public testing::WithParamInterface<QuotaDeathPoint> {
 protected:
  DebitDeath() {
    const Queue queue = create();
    const Quota quota{.messages_per_second = kSlow, .burst_messages = kBurst};
    Quota both = quota;
    both.bytes_per_second = kSlow * kPayload;
    both.burst_bytes = kBurst * kPayload;
    set_quota(kQueue, QuotaScope::queue(), QuotaSource::creator, both);
    set_quota(kQueue, QuotaScope::user(::getuid()), QuotaSource::operator_, both);
    Quota each = quota;
    each.burst_messages = 30;
    set_quota(kQueue, QuotaScope::each_producer(), QuotaSource::policy, each);
  }
};

TEST_P(DebitDeath, costs_at_most_what_the_dead_asked_for_and_holds_nobody_up) {
  ASSERT_TRUE(dies(std::string(GetParam().scope) == "refused" ? kRefused : kPayer, GetParam().point));
  for (const QuotaScope& scope : {QuotaScope::queue(), QuotaScope::user(::getuid())}) {
    EXPECT_LE(owed(scope), 40.1) << "at most what its claims asked for";
  }
  // Nothing is to be mended in the quotas, and nobody waits for the dead.
  for (const Finding& finding : verify(kQueue).findings)
    EXPECT_FALSE(finding.invariant.starts_with("quota.")) << finding.text;
  Producer producer = Queue::open(kQueue).producer();
  const double before = owed(QuotaScope::queue());
  const auto room = static_cast<std::uint32_t>(kBurst - before - 0.5);
  EXPECT_EQ(producer.claim(Room::equal(std::min(room, 10U), kPayload), now).outcome(), Outcome::ok);
  // What was aborted is given back: the rate is what it was.
  EXPECT_NEAR(owed(QuotaScope::queue()), before, 0.1);
  EXPECT_EQ(get_quota(kQueue, QuotaScope::producer(producer.row())).owed_ns, 0U) << "its row's is as new";
  EXPECT_TRUE(verify(kQueue).sound());
}

constexpr QuotaDeathPoint kDebits[] = {
    {"the_queues_messages_paid", "debit.paid"},
    {"the_queues_bytes_paid", "debit.paid:2"},
    {"the_users_messages_paid", "debit.paid:3"},
    {"the_users_bytes_paid", "debit.paid:4"},
    {"its_own_paid", "debit.paid:5"},
    {"its_own_given_back", "debit.given_back"},
    {"its_own_and_the_users_bytes_given_back", "debit.given_back:2"},
    {"all_but_the_queues_messages_given_back", "debit.given_back:4"},
    {"all_given_back", "debit.given_back:5"},
    {"refused_and_some_given_back", "debit.given_back:7", "refused"},
    {"refused_and_all_given_back", "debit.given_back:9", "refused"},
};
INSTANTIATE_TEST_SUITE_P(Deaths, DebitDeath, testing::ValuesIn(kDebits),
                         [](const auto& death) { return std::string(death.param.name); });

class QuotaDeath : public CrashTest, public testing::WithParamInterface<QuotaDeathPoint> {};

TEST_P(QuotaDeath, a_change_that_was_broken_off_is_ended_by_whoever_comes_next) {
  const Queue queue = create();
  set_quota(kQueue, QuotaScope::queue(), QuotaSource::creator, {.messages_per_second = kSlow, .burst_messages = 1});
  Producer one = queue.producer();
  ASSERT_EQ(one.claim(Room::equal(1, kPayload), now).commit(), Outcome::ok);  // nothing appended: given back
  send(one, {1});
  ASSERT_TRUE(dies(kSetter, GetParam().point, {GetParam().scope}));
  EXPECT_TRUE(verify(kQueue).sound()) << "what a death leaves is noted, not counted";
  // Whoever takes the table's mutex next: here by attaching.
  Producer other = queue.producer();
  for (const Finding& finding : verify(kQueue).findings) {
    EXPECT_FALSE(finding.invariant.starts_with("quota.")) << finding.invariant << ": " << finding.text;
  }
  // Set again, it is as asked.
  ASSERT_TRUE(ChildProcess(kSetter, {GetParam().scope}).wait().exited_with(kDone));
  const std::string scope = GetParam().scope;
  const QuotaInfo info = get_quota(kQueue, scope == "queue"  ? QuotaScope::queue()
                                           : scope == "user" ? QuotaScope::user(::getuid())
                                                             : QuotaScope::each_producer());
  EXPECT_EQ(info.limit(QuotaSource::operator_).messages_per_second, 1000);
  EXPECT_EQ(info.limit(QuotaSource::operator_).burst_messages, 7U);
  EXPECT_EQ(info.limit(QuotaSource::operator_).bytes_per_second, 1e9);
  EXPECT_EQ(info.limit(QuotaSource::operator_).burst_bytes, 8192U);
  clear_quota(kQueue, QuotaScope::queue(), QuotaSource::creator);
  for (Producer* producer : {&one, &other}) {
    const Quota holds = producer->quota();
    EXPECT_NEAR(holds.messages_per_second, 1000, 0.1) << "every row is bound by it";
    EXPECT_EQ(holds.burst_messages, 7U);
    EXPECT_EQ(producer->claim(Room::equal(1, kPayload), kBound).outcome(), Outcome::ok) << "nothing of an hour is owed";
  }
  EXPECT_EQ(verify(kQueue).findings.size(), 0U);
}

TEST_P(QuotaDeath, who_waits_looks_at_its_next_backstop) {
  const Queue queue = create();
  set_quota(kQueue, QuotaScope::queue(), QuotaSource::operator_, {.messages_per_second = kSlow, .burst_messages = 1});
  Producer one = queue.producer();
  send(one, {1});
  ChildProcess sleeper(kSleeper, {});
  ASSERT_EQ(sleeper.next_report(), "waiting");
  ASSERT_TRUE(sleeper.wait_until_asleep());
  ASSERT_TRUE(dies(kSetter, GetParam().point, {"queue"}));
  // The change forgave what was owed, or its repair does, which the sleeper makes itself.
  EXPECT_TRUE(sleeper.wait().exited_with(kDone));
}

constexpr QuotaDeathPoint kChanges[] = {
    {"of_the_queue_begun", "quota.begun"},
    {"of_the_queue_with_its_bursts", "quota.bursts"},
    {"of_the_queue_with_its_rate_of_messages", "quota.message_rate"},
    {"of_the_queue_with_all_limits", "quota.byte_rate"},
    {"of_the_queue_forgiven", "quota.forgiven"},
    {"of_the_queue_changed", "quota.changed"},
    {"of_the_queue_one_row_bound", "quota.row"},
};
INSTANTIATE_TEST_SUITE_P(Changes, QuotaDeath, testing::ValuesIn(kChanges),
                         [](const auto& death) { return std::string(death.param.name); });

class QuotaDeathOfOthers : public QuotaDeath {};
TEST_P(QuotaDeathOfOthers, leaves_no_row_bound_by_what_there_is_not) {
  const Queue queue = create();
  Producer one = queue.producer();
  ASSERT_TRUE(dies(kSetter, GetParam().point, {GetParam().scope}));
  EXPECT_TRUE(verify(kQueue).sound());
  Producer other = queue.producer();
  EXPECT_EQ(verify(kQueue).findings.size(), 0U);
  ASSERT_TRUE(ChildProcess(kSetter, {GetParam().scope}).wait().exited_with(kDone));
  for (Producer* producer : {&one, &other}) EXPECT_EQ(producer->quota().burst_messages, 7U);
  EXPECT_EQ(verify(kQueue).findings.size(), 0U);
}

constexpr QuotaDeathPoint kOthers[] = {
    {"of_a_user_whose_it_is", "quota.whose", "user"},       {"of_a_user_with_its_rate", "quota.message_rate", "user"},
    {"of_a_user_changed", "quota.changed", "user"},         {"of_each_begun", "quota.begun", "each"},
    {"of_each_and_a_row_begun", "quota.begun:2", "each"},   {"of_each_and_a_row_forgiven", "quota.forgiven:2", "each"},
    {"of_each_and_a_row_changed", "quota.changed", "each"}, {"of_each_changed", "quota.changed:2", "each"},
    {"of_each_one_row_bound", "quota.row", "each"},
};
INSTANTIATE_TEST_SUITE_P(Changes, QuotaDeathOfOthers, testing::ValuesIn(kOthers),
                         [](const auto& death) { return std::string(death.param.name); });

}  // namespace
}  // namespace ipcq::crash
