// Watching a queue for its dead, and taking a producer's right to claim.
#include <gtest/gtest.h>
#include <unistd.h>

#include <ipcq/ipcq.hpp>
#include <string>
#include <vector>

#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"
#include "support/waiting.hpp"

namespace ipcq {
namespace {

using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::ScratchDirectory;

constexpr std::size_t kCapacity = 64 * 1024;

/// Leases what is there and holds it, or claims and holds that. Arguments: the directory, "lease" or "claim".
const ChildRole kHolder("holds something", [](Child& self) {
  const Queue queue = Queue::open("q", {.directory = self.argument(0)});
  if (self.argument(1) == "claim") {
    Producer producer = queue.producer();
    const Claim claim = producer.claim({.messages = 1, .bytes = 8}, now);
    self.report("holds");
    return self.hold();
  }
  Consumer consumer = queue.consumer();
  const Lease lease = consumer.lease({.deadline = now});
  self.report("holds");
  return self.hold();
});

class WatchContract : public testing::Test {
 protected:
  [[nodiscard]] OpenOptions at() const { return {.directory = scratch_.path()}; }
  Queue create() const { return Queue::create("q", {.capacity_bytes = kCapacity, .directory = scratch_.path()}); }
  [[nodiscard]] ChildProcess holder(const char* what) const { return {kHolder, {scratch_.path(), what}}; }
  [[nodiscard]] const std::string& directory() const { return scratch_.path(); }

 private:
  ScratchDirectory scratch_;
};

TEST_F(WatchContract, TellsWhoIsAttachedAndWhetherHeLives) {
  const Queue queue = create();
  const Watch watch("q", at());
  EXPECT_TRUE(watch.attached().empty());
  EXPECT_TRUE(queue.inspect().endpoints.empty()) << "a watch takes no row";
  ChildProcess child = holder("claim");
  ASSERT_EQ(child.next_report(), "holds");
  const std::vector<Attached> attached = watch.attached();
  ASSERT_EQ(attached.size(), 1U);
  EXPECT_EQ(attached[0].pid, static_cast<std::uint32_t>(child.pid()));
  EXPECT_TRUE(attached[0].producer);
  EXPECT_EQ(watch.life(attached[0]), Life::alive);
  watch.rest();
  EXPECT_EQ(watch.attached(), attached);
  EXPECT_TRUE(watch.recover().nothing());
  child.kill_without_reaping();
  EXPECT_EQ(watch.life(attached[0]), Life::dead);
}

TEST_F(WatchContract, RecoversAClaimAndALeaseOfTheDeadAndCountsThem) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ASSERT_EQ(producer.send("one", 0, now), Outcome::ok);
  const Watch watch("q", at());
  ChildProcess leases = holder("lease");
  ASSERT_EQ(leases.next_report(), "holds");
  ChildProcess claims = holder("claim");
  ASSERT_EQ(claims.next_report(), "holds");
  leases.kill();
  claims.kill();
  const Recovery recovery = watch.recover();
  EXPECT_EQ(recovery.rows, 2U);
  EXPECT_EQ(recovery.claims, 1U);
  EXPECT_EQ(recovery.leases, 1U);
  EXPECT_TRUE(recovery.complete);
  EXPECT_EQ(watch.attached().size(), 1U);
  EXPECT_TRUE(watch.recover().nothing());
  Consumer consumer = queue.consumer();
  EXPECT_EQ(consumer.lease({.deadline = now}).size(), 1U);
}

TEST_F(WatchContract, OpensNoQueueOfAnotherUid) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file to another user";
  static_cast<void>(create());
  ASSERT_EQ(::chown((directory() + "/ipcq.q").c_str(), 1234, 1234), 0);
  try {
    const Watch watch("q", {.directory = directory(), .trusted_owners = {1234}});
    FAIL() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::untrusted_owner) << error.what();
  }
}

TEST_F(WatchContract, KeepsNobodyFromRemovingTheQueueAndSeesIt) {
  static_cast<void>(create());
  const Watch watch("q", at());
  EXPECT_FALSE(watch.removed());
  remove(std::string_view("q"), {.directory = directory()});
  EXPECT_TRUE(watch.removed());
  EXPECT_EQ(create().inspect().messages, 0U);
}

TEST_F(WatchContract, TellsQueuesAndLeftoversByTheirFileNamesAlone) {
  EXPECT_EQ(parse_file_name("ipcq.orders")->name, "orders");
  EXPECT_TRUE(parse_file_name(".ipcq-new.12.34")->leftover);
  for (const char* other : {"ipcq.", "ipcq..x", "orders", "ipcq.a b", ".ipcqd-0.lock", ""})
    EXPECT_FALSE(parse_file_name(other)) << other;
}

TEST_F(WatchContract, ARevokedProducersNextClaimSaysSoAndItsOpenOneMayBeCommitted) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Producer other = queue.producer();
  const Attached attached = Watch("q", at()).attached().at(0);
  Claim claim = producer.claim({.messages = 1, .bytes = 8}, now);
  ASSERT_EQ(claim.outcome(), Outcome::ok);
  EXPECT_FALSE(revoke("q", attached.row, attached.incarnation + 1, at())) << "somebody else's name";
  EXPECT_TRUE(revoke("q", attached.row, attached.incarnation, at()));
  EXPECT_TRUE(queue.inspect().endpoints.at(0).revoked);
  claim.append(8);
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(producer.claim({.messages = 1, .bytes = 8}, now).outcome(), Outcome::revoked);
  EXPECT_EQ(producer.send("more", 0, now), Outcome::revoked);
  EXPECT_EQ(other.send("more", 0, now), Outcome::ok) << "only the one that was named";
  producer = queue.producer();
  EXPECT_EQ(producer.send("more", 0, now), Outcome::ok) << "attached again";
}

TEST_F(WatchContract, ARevokedProducerThatWaitsForRoomIsWoken) {
  const Queue queue = create();
  Producer producer = queue.producer({.wait = WaitStrategy::sleep});
  while (producer.send(std::string(4000, 'x'), 0, now) == Outcome::ok) {
  }
  Outcome outcome = Outcome::ok;
  support::Background waiting([&] { outcome = producer.send(std::string(4000, 'x'), 0, forever); });
  waiting.wait_until_asleep();
  const Attached attached = Watch("q", at()).attached().at(0);
  EXPECT_TRUE(revoke("q", attached.row, attached.incarnation, at()));
  waiting.join();
  EXPECT_EQ(outcome, Outcome::revoked);
}

TEST_F(WatchContract, AConsumerHasNoRightToClaimThatCouldBeTaken) {
  const Queue queue = create();
  const Consumer consumer = queue.consumer();
  const Attached attached = Watch("q", at()).attached().at(0);
  EXPECT_FALSE(attached.producer);
  EXPECT_FALSE(revoke("q", attached.row, attached.incarnation, at()));
  EXPECT_FALSE(revoke("q", 5000, 1, at()));
}

}  // namespace
}  // namespace ipcq
