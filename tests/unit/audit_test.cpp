// Who is past his limit by the records, and what nobody accounts for. Who does not keep to a quota is made here by taking the
// mark from his row while he sends; whose counters tell wrong, by setting them back.
#include "ipcq/audit.hpp"

#include <gtest/gtest.h>

#include <ipcq/ipcq.hpp>
#include <string>
#include <vector>

#include "api/segment.hpp"
#include "core/tally.hpp"
#include "fixture.hpp"
#include "support/scratch_directory.hpp"

namespace ipcq::unit {
namespace {

constexpr double kOneAnHour = 1.0 / 3600;
const std::string kPayload(8, 'x');

class AuditOfProducers : public testing::Test {
 protected:
  static constexpr std::uint32_t kBurst = 5;

  void create(const Quota& quota = {.messages_per_second = kOneAnHour, .burst_messages = kBurst},
              std::size_t capacity_bytes = 4 << 20) {
    queue_.emplace(Queue::create("q", {.capacity_bytes = capacity_bytes,
                                       .overflow = Overflow::drop_oldest,
                                       .quota = quota,
                                       .directory = scratch_.path()}));
    const detail::Place place = detail::place_of("q", scratch_.path());
    segment_ = detail::Segment::map(place, detail::open_file(place, detail::Access::read_write, detail::Depth::whole, {}),
                                    detail::Access::read_write);
    watch_.emplace("q", at());
  }
  [[nodiscard]] OpenOptions at() const { return {.directory = scratch_.path()}; }
  [[nodiscard]] Producer producer() { return queue_->producer(); }
  [[nodiscard]] const Watch& watch() const { return *watch_; }
  [[nodiscard]] layout::EndpointRow& row(const Producer& producer) const {
    return segment_->view().row(producer.row());
  }

  static std::uint32_t send(Producer& producer, std::uint32_t count) {
    std::uint32_t sent = 0;
    while (sent < count && producer.send(kPayload, 0, now) == Outcome::ok) ++sent;
    return sent;
  }
  void send_unchecked(Producer& producer, std::uint32_t count) const {
    row(producer).flags.fetch_and(~layout::kLimited);
    ASSERT_EQ(send(producer, count), count);
    row(producer).flags.fetch_or(layout::kLimited);
  }
  void set_back(const Producer& producer, std::uint32_t count) const {
    row(producer).produced.messages.fetch_sub(count);
    row(producer).produced.bytes.fetch_sub(count * kPayload.size());
  }
  void send_hidden(Producer& producer, std::uint32_t count) const {
    send_unchecked(producer, count);
    set_back(producer, count);
  }
  /// Two claims of a message each that an audit sees open, and that no counter tells of. Judges nothing.
  void be_seen(Producer& producer, Audit& audit) const {
    row(producer).flags.fetch_and(~layout::kLimited);
    for (int i = 0; i < 2; ++i) {
      Claim claim = producer.claim({.messages = 1, .bytes = 8}, now);
      ASSERT_EQ(claim.outcome(), Outcome::ok);
      static_cast<void>(audit.look());
      claim.append(8);
      ASSERT_EQ(claim.commit(), Outcome::ok);
    }
    set_back(producer, 2);
    row(producer).flags.fetch_or(layout::kLimited);
    static_cast<void>(audit.look());
  }

 private:
  support::ScratchDirectory scratch_;
  std::optional<Queue> queue_;
  std::shared_ptr<detail::Segment> segment_;
  std::optional<Watch> watch_;
};

TEST_F(AuditOfProducers, OfTheHonestTheRecordsAreAccountedForAndNobodyIsPastHisLimit) {
  create();
  Producer early = producer();
  Audit audit(watch());
  Producer late = producer();
  EXPECT_EQ(send(early, 20) + send(late, 20), kBurst);
  const AuditReport report = audit.look();
  EXPECT_EQ(report.messages, kBurst);
  EXPECT_EQ(report.bytes, kBurst * kPayload.size());
  EXPECT_EQ(report.accounted_messages, kBurst);
  EXPECT_EQ(report.accounted_bytes, kBurst * kPayload.size());
  EXPECT_EQ(report.unaccounted_messages, 0U);
  EXPECT_TRUE(report.past_limit.empty());
  EXPECT_EQ(audit.look().messages, 0U);
}

TEST_F(AuditOfProducers, ABatchLargerThanTheBurstIsNobodysOffence) {
  create({.messages_per_second = 1000, .burst_messages = 1});
  Producer honest = producer();
  Audit audit(watch());
  for (int batch = 0; batch < 3; ++batch) {
    Claim claim = honest.claim({.messages = 100, .bytes = 800}, forever);
    ASSERT_EQ(claim.outcome(), Outcome::ok);
    for (int i = 0; i < 100; ++i) claim.append(i % 2 == 0 ? 8 : 1);
    static_cast<void>(audit.look());
    ASSERT_EQ(claim.commit(), Outcome::ok);
    EXPECT_TRUE(audit.look().past_limit.empty());
  }
}

TEST_F(AuditOfProducers, WhoSendsMoreIsNamedAndHisHonestNeighbourIsNot) {
  create();
  Producer honest = producer();
  Producer other = producer();
  Audit audit(watch());
  Producer third = producer();
  EXPECT_EQ(send(honest, 3), 3U);
  send_unchecked(other, kBurst + 1);
  EXPECT_TRUE(audit.look().past_limit.empty()) << "the burst and one batch";
  send_unchecked(other, 10);
  send_unchecked(third, 20);
  const AuditReport report = audit.look();
  ASSERT_EQ(report.past_limit.size(), 2U);
  ASSERT_TRUE(report.past_limit[0].producer);
  EXPECT_EQ(report.past_limit[0].producer->row, other.row());
  EXPECT_NEAR(static_cast<double>(report.past_limit[0].beyond), 10, 1);
  EXPECT_EQ(report.past_limit[0].limit.burst_messages, kBurst);
  EXPECT_FALSE(report.past_limit[0].of_bytes);
  EXPECT_FALSE(report.past_limit[0].hides);
  EXPECT_EQ(report.past_limit[1].producer->row, third.row()) << "from its attach on";
  EXPECT_EQ(report.unaccounted_messages, 0U) << "its counters tell of it";
  const Attached who = *report.past_limit[0].producer;
  ASSERT_TRUE(revoke("q", who.row, who.incarnation, at()));
  EXPECT_EQ(send(other, 1), 0U);
  static_cast<void>(audit.look());
  for (const PastLimit& past : audit.look().past_limit)
    EXPECT_NE(past.producer->row, other.row()) << "it is dealt with";
}

TEST_F(AuditOfProducers, ALimitOfBytesHoldsToo) {
  create({.bytes_per_second = 1, .burst_bytes = 100});
  Producer other = producer();
  Audit audit(watch());
  send_unchecked(other, 12);
  EXPECT_TRUE(audit.look().past_limit.empty());
  send_unchecked(other, 12);
  const AuditReport report = audit.look();
  ASSERT_EQ(report.past_limit.size(), 1U);
  EXPECT_TRUE(report.past_limit[0].of_bytes);
}

TEST_F(AuditOfProducers, WhatNoCounterTellsIsUnaccountedAndNobodysWithoutAClaimThatWasSeen) {
  create();
  Producer honest = producer();
  Producer liar = producer();
  Audit audit(watch());
  EXPECT_EQ(send(honest, 2), 2U);
  send_hidden(liar, 50);
  const AuditReport report = audit.look();
  EXPECT_EQ(report.unaccounted_messages, 50U);
  EXPECT_EQ(report.unaccounted_bytes, 50 * kPayload.size());
  EXPECT_EQ(report.accounted_messages, 2U);
  ASSERT_EQ(report.past_limit.size(), 1U);
  EXPECT_FALSE(report.past_limit[0].producer) << "all together";
  EXPECT_EQ(audit.look().unaccounted_messages, 0U) << "told once";
}

TEST_F(AuditOfProducers, WhoseClaimWasSeenAndWhoseCountersDoNotTellOfItIsNamed) {
  create();
  Producer honest = producer();
  Producer liar = producer();
  Audit audit(watch());
  EXPECT_EQ(send(honest, 2), 2U);
  be_seen(liar, audit);
  send_hidden(liar, 50);
  const AuditReport report = audit.look();
  EXPECT_EQ(report.unaccounted_messages, 52U);
  ASSERT_EQ(report.past_limit.size(), 1U);
  ASSERT_TRUE(report.past_limit[0].producer);
  EXPECT_EQ(report.past_limit[0].producer->row, liar.row());
  EXPECT_TRUE(report.past_limit[0].hides);
}

TEST_F(AuditOfProducers, WhatNobodyAccountsForIsPutDownToNoneOfTwoWhoseCountersAreWrong) {
  create();
  Producer one = producer();
  Producer two = producer();
  Audit audit(watch());
  be_seen(one, audit);
  be_seen(two, audit);
  static_cast<void>(audit.look());
  send_hidden(one, 50);
  const AuditReport report = audit.look();
  EXPECT_GE(report.unaccounted_messages, 50U);
  for (const PastLimit& past : report.past_limit) EXPECT_FALSE(past.producer);
}

TEST_F(AuditOfProducers, WhatCountersTellBeyondTheRecordsIsPutDownToNobody) {
  create();
  Producer honest = producer();
  Audit audit(watch());
  EXPECT_EQ(send(honest, 2), 2U);
  row(honest).produced.messages.fetch_add(1000);  // by somebody who wants it revoked
  row(honest).produced.bytes.fetch_add(8000);
  EXPECT_TRUE(audit.look().past_limit.empty());
}

TEST_F(AuditOfProducers, WhatComesUntilAnOffenderIsStoppedIsNotHeldAgainstAllTogether) {
  create();
  Producer other = producer();
  Producer honest = producer();
  Audit audit(watch());
  send_unchecked(other, 50);
  ASSERT_EQ(audit.look().past_limit.size(), 1U);
  send_unchecked(other, 50);
  const std::vector<Attached> attached = watch().attached();
  ASSERT_TRUE(revoke("q", attached.at(0).row, attached.at(0).incarnation, at()));
  EXPECT_TRUE(audit.look().past_limit.empty());
}

TEST_F(AuditOfProducers, WhatWasSentBeforeTheFirstLimitIsNotHeldAgainstWhoAttachedInBetween) {
  create({});
  Audit audit(watch());
  Producer other = producer();
  EXPECT_EQ(send(other, 100), 100U);
  set_quota("q", QuotaScope::queue(), QuotaSource::operator_, {.messages_per_second = kOneAnHour}, at());
  EXPECT_TRUE(audit.look().past_limit.empty());
  send_unchecked(other, 50);
  EXPECT_EQ(audit.look().past_limit.size(), 1U);
}

TEST_F(AuditOfProducers, TheLimitOfAUserIsPassedByHisProducersTogetherToo) {
  create({});
  const uid_t me = ::geteuid();
  set_quota("q", QuotaScope::user(me), QuotaSource::operator_,
            {.messages_per_second = kOneAnHour, .burst_messages = kBurst}, at());
  std::vector<Producer> all;
  for (int i = 0; i < 4; ++i) all.push_back(producer());
  Audit audit(watch());
  static_cast<void>(audit.look());
  for (Producer& one : all) send_unchecked(one, kBurst);
  const AuditReport report = audit.look();
  ASSERT_EQ(report.past_limit.size(), 1U);
  EXPECT_FALSE(report.past_limit[0].producer);
  EXPECT_EQ(report.past_limit[0].user, me);
  EXPECT_EQ(report.past_limit[0].beyond, 4 * kBurst - kBurst - 5);
}

TEST_F(AuditOfProducers, WhereNotEverythingCouldBeCountedABatchMayHaveBeenAsLargeAsFits) {
  create();
  Producer other = producer();
  Audit audit(watch());
  const std::uint32_t many = core::kTallyHeadsMax + 1000;
  send_unchecked(other, many);
  AuditReport report = audit.look();
  EXPECT_EQ(report.messages, core::kTallyHeadsMax);
  EXPECT_EQ(report.uncounted_bytes, 1000 * 32U);
  EXPECT_TRUE(report.past_limit.empty());
  EXPECT_TRUE(audit.look().past_limit.empty()) << "it may owe that batch still";
  // A batch of that size is 16 bytes of ring and 8 of payload a message.
  send_unchecked(other, 50'000);
  EXPECT_TRUE(audit.look().past_limit.empty());
}

TEST_F(AuditOfProducers, WhatWasNotCountedHidesNothingThatComesLater) {
  create({.messages_per_second = kOneAnHour}, 64 * 1024);
  Producer other = producer();
  Audit audit(watch());
  send_unchecked(other, 10'000);  // several times round
  EXPECT_GT(audit.look().uncounted_bytes, 64U * 1024);
  send_hidden(other, 50);
  EXPECT_EQ(audit.look().unaccounted_messages, 50U);
}

TEST_F(AuditOfProducers, ABatchThatWasPaidForLongAgoAndTheNextTogetherAreNobodysOffence) {
  create({.messages_per_second = 1000, .burst_messages = 1});
  Producer honest = producer();
  Audit audit(watch());
  Claim claim;
  for (int batch = 0; batch < 2; ++batch) {
    claim = honest.claim({.messages = 100, .bytes = 800}, forever);
    ASSERT_EQ(claim.outcome(), Outcome::ok);
    for (int i = 0; i < 100; ++i) claim.append(8);
    // The first is open until nothing is owed any more.
    while (batch == 0 && get_quota("q", QuotaScope::queue(), at()).owed_ns > 0) static_cast<void>(audit.look());
    ASSERT_EQ(claim.commit(), Outcome::ok);
  }
  EXPECT_TRUE(audit.look().past_limit.empty());
}

TEST_F(AuditOfProducers, AllTogetherPastTheirLimitAreToldWhereNoneIsByHimself) {
  create();
  std::vector<Producer> all;
  for (int i = 0; i < 4; ++i) all.push_back(producer());
  Audit audit(watch());
  for (Producer& one : all) send_unchecked(one, kBurst);
  const AuditReport report = audit.look();
  ASSERT_EQ(report.past_limit.size(), 1U);
  EXPECT_FALSE(report.past_limit[0].producer);
  EXPECT_EQ(report.past_limit[0].beyond, 4 * kBurst - kBurst - 5) << "less the burst and a batch of each, and one";
}

TEST_F(AuditOfProducers, AChangeOfLimitsForgivesWhatWasBefore) {
  create();
  Producer other = producer();
  Audit audit(watch());
  send_unchecked(other, 50);
  set_quota("q", QuotaScope::queue(), QuotaSource::operator_, {.messages_per_second = kOneAnHour, .burst_messages = 2},
            at());
  EXPECT_TRUE(audit.look().past_limit.empty());
  EXPECT_TRUE(audit.look().past_limit.empty());
  EXPECT_EQ(send(other, 50), 2U);
  EXPECT_TRUE(audit.look().past_limit.empty());
  send_unchecked(other, 50);
  EXPECT_EQ(audit.look().past_limit.size(), 1U);
}

TEST_F(AuditOfProducers, WithoutALimitNobodyIsPastItAndWhatIsMissingIsToldAllTheSame) {
  create({});
  EXPECT_FALSE(watch().limited());
  Producer other = producer();
  Audit audit(watch());
  EXPECT_EQ(send(other, 500), 500U);
  AuditReport report = audit.look();
  EXPECT_TRUE(report.past_limit.empty());
  EXPECT_EQ(report.messages, 500U);
  row(other).produced.messages.fetch_sub(100);
  EXPECT_EQ(audit.look().unaccounted_messages, 100U);
  set_quota("q", QuotaScope::producer(other.row()), QuotaSource::operator_, {.messages_per_second = 1}, at());
  EXPECT_TRUE(watch().limited());
}

}  // namespace
}  // namespace ipcq::unit
