// A watchdog recovers what the dead left; a stopped process that holds a lock delays it, and never blocks it.
#include <gtest/gtest.h>
#include <signal.h>

#include <ipcq/ipcq.hpp>

#include "crash_test.hpp"
#include "messages.hpp"
#include "survivors.hpp"

namespace ipcq::crash {
namespace {

const ChildRole kClaimsAndHolds("claims and holds", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  const Claim claim = producer.claim({.messages = 1, .bytes = 8}, now);
  require(claim.outcome() == Outcome::ok, to_string(claim.outcome()));
  self.report("claimed");
  return self.hold();
});

const ChildRole kSendsOne("sends one", [](Child&) {
  Producer producer = Queue::open(kQueue).producer();
  send_each(producer, ids("1"));
  return 0;
});

const ChildRole kRecovers("recovers", [](Child&) {
  static_cast<void>(Watch(kQueue).recover());
  return 0;
});

class Watching : public CrashTest {
 protected:
  static void dies_with_a_claim() {
    ChildProcess process(kClaimsAndHolds, {});
    ASSERT_EQ(process.next_report(), "claimed");
    process.kill();
  }
};

TEST_F(Watching, a_stopped_holder_of_the_producer_side_delays_recovery_and_does_not_block_it) {
  static_cast<void>(create());
  dies_with_a_claim();
  ChildProcess stopped(kSendsOne, {}, {{"IPCQ_STOP_AT", "claim.1"}});
  ASSERT_TRUE(stopped.wait_until_stopped());
  const Watch watch(kQueue);
  const Recovery held_up = watch.recover();
  EXPECT_FALSE(held_up.complete);
  EXPECT_EQ(held_up.claims, 0U);
  EXPECT_EQ(held_up.rows, 0U) << "the row says where the claim is: it stays as long as that";
  stopped.resume();
  EXPECT_TRUE(stopped.succeeds());
  const Recovery recovery = watch.recover();
  EXPECT_TRUE(recovery.complete);
  EXPECT_EQ(recovery.claims, 1U);
  EXPECT_EQ(recovery.rows, 1U);
}

TEST_F(Watching, a_stopped_holder_of_the_endpoint_table_delays_the_freeing_of_rows) {
  static_cast<void>(create());
  dies_with_a_claim();
  ChildProcess stopped(kSendsOne, {}, {{"IPCQ_STOP_AT", "attach.identified"}});
  ASSERT_TRUE(stopped.wait_until_stopped());
  const Watch watch(kQueue);
  const Recovery held_up = watch.recover();
  EXPECT_FALSE(held_up.complete);
  EXPECT_EQ(held_up.claims, 1U) << "nobody holds the producer side";
  EXPECT_EQ(held_up.rows, 0U);
  stopped.resume();
  EXPECT_TRUE(stopped.succeeds());
  const Recovery recovery = watch.recover();
  EXPECT_TRUE(recovery.complete);
  EXPECT_EQ(recovery.rows, 1U);
}

TEST_F(Watching, a_recoverer_that_dies_leaves_the_rest_to_the_next) {
  static_cast<void>(create());
  for (const char* point :
       {"recover.judged", "abandon.judged", "abandon.skipped", "recover.claim_skipped", "recover.row_freed"}) {
    SCOPED_TRACE(point);
    dies_with_a_claim();
    ChildProcess dies(kRecovers, {}, {{"IPCQ_CRASH_AT", point}});
    ASSERT_TRUE(dies.wait().killed_by(SIGKILL));
    const Watch watch(kQueue);
    EXPECT_TRUE(watch.recover().complete);
    EXPECT_TRUE(watch.attached().empty());
  }
  EXPECT_TRUE(ChildProcess(kWholeRing, {}).succeeds());
}

}  // namespace
}  // namespace ipcq::crash
