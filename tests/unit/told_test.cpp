// Who sleeps is told of what others than the publisher of a message change: what he waits for may have come by it.
#include <gtest/gtest.h>

#include <cstdint>

#include "core/event_count.hpp"
#include "core/lease.hpp"
#include "core/producer_side.hpp"
#include "core/quota_table.hpp"
#include "core/recovery.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

class Told : public LedgerBench {
 protected:
  Told() : producer_(segment_.producer(0)), consumer_(segment_.attach(1, layout::RowKind::consumer)) {
    segment_.send(producer_, 16);
    segment_.send(producer_, 16);
  }
  [[nodiscard]] layout::Side& side() const noexcept { return view().side(); }
  void somebody_sleeps() const {
    core::arm(side().data);
    core::arm(side().space);
    core::arm(core::quota_event(view()));
  }
  [[nodiscard]] bool consumers_told() const { return !core::somebody_waits(side().data); }
  [[nodiscard]] bool producers_told() const { return !core::somebody_waits(side().space); }

  [[nodiscard]] core::LeaseTaken lease(Owner consumer) const {
    return core::lease(view(), group_.row, group_.incarnation, consumer, {.max_messages = 1}, 0);
  }
  /// A message is done, and not retired, when a member dies in the group's mutex.
  void die_before_retiring() const {
    const core::LeaseTaken taken = lease(consumer_);
    ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, taken.entry, taken.word), Outcome::ok);
    die_holding(row().mutex);
  }

  core::ProducerState producer_;
  Owner consumer_;
};

TEST_F(Told, AreBothSidesWhenAClaimIsAborted) {
  const core::ClaimTaken taken = segment_.claim(producer_, 64);
  somebody_sleeps();
  ASSERT_EQ(core::abort(view(), producer_, taken.position, 64), Outcome::ok);
  EXPECT_TRUE(consumers_told());
  EXPECT_TRUE(producers_told());
}

TEST_F(Told, AreBothSidesWhenRecoveryRepairsAGroup) {
  die_before_retiring();
  somebody_sleeps();
  core::recover(view());
  EXPECT_TRUE(consumers_told());
  EXPECT_TRUE(producers_told());
  EXPECT_EQ(retired(), 32U);
}

TEST_F(Told, AreProducersWhenALeaseOfTheDeadIsGivenBackThroughAMutexThatHadToBeRepaired) {
  die_before_retiring();
  const Owner dead = segment_.attach(2, layout::RowKind::consumer);
  write(1, {32, 64, EntryState::leased, 0, dead});
  segment_.end(dead);
  somebody_sleeps();
  EXPECT_TRUE(core::redeliver_dead(view(), group_.row));
  EXPECT_TRUE(producers_told());
  EXPECT_EQ(retired(), 32U);
}

TEST_F(Told, AreProducersThatWaitForTheirQuotaWhenItChanges) {
  somebody_sleeps();
  ASSERT_EQ(core::set_quota(view(), QuotaScope::queue(), QuotaSource::policy, {.messages_per_second = 5}),
            core::SetQuota::ok);
  EXPECT_FALSE(core::somebody_waits(core::quota_event(view())));
}

}  // namespace
}  // namespace ipcq::unit
