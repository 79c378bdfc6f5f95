// A claim or a lease that a living process has leaked: for as long as that process lives it is reported, with its pid and
// a growing age, and taken by nobody, whoever comes, goes, waits and recovers meanwhile.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <string>
#include <vector>

#include "crash_test.hpp"
#include "support/waiting.hpp"

namespace ipcq::crash {
namespace {

/// Leaks what it holds, and lives on, doing other things to the queue. Told "remember", it finishes what it had leaked.
/// Arguments: "claim" or "lease".
const ChildRole kLeaks("leaks", [](Child& self) -> int {
  const Queue queue = Queue::open(kQueue);
  const bool is_claim = self.argument(0) == "claim";
  Claim* claim = nullptr;
  Lease* lease = nullptr;
  {
    // The handles go, what they had open stays: it keeps the endpoint.
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    if (is_claim) claim = new Claim(crash::claim(producer, ids("101-103")));
    if (!is_claim) lease = new Lease(consumer.lease({.max_messages = 4, .deadline = kBound}));
  }
  require(is_claim ? static_cast<bool>(*claim) : lease->size() == 4, "nothing to leak");
  self.report("leaked");
  self.await("remember");
  const Outcome outcome = is_claim ? claim->commit() : lease->ack();
  self.report(to_string(outcome));
  return outcome == Outcome::ok ? 0 : 1;
});

/// Waits, again and again, for what the leak holds up: it recovers at every backstop.
const ChildRole kWaitsInVain("waits in vain", [](Child& self) -> int {
  const Queue queue = Queue::open(kQueue);
  self.report("waiting");
  while (true) {
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    for (int i = 0; i < 2; ++i) {
      const Lease lease = consumer.lease({.deadline = 2 * kProbePause});
      require(!lease, "got something");
      const Claim all = producer.claim(Room::equal(62, kPayload), 2 * kProbePause);
      require(!all, "there is room for everything");
    }
  }
});

class Leaked : public CrashTest, public testing::WithParamInterface<const char*> {
 protected:
  [[nodiscard]] static bool is_claim() { return std::string(GetParam()) == "claim"; }
};

TEST_P(Leaked, is_reported_and_never_robbed_by_whoever_looks) {
  const Queue queue = create();
  Producer producer = queue.producer();
  if (!is_claim()) send(producer, ids("1-4"));
  ChildProcess leaker(kLeaks, {GetParam()});
  ASSERT_EQ(leaker.next_report(), "leaked");
  if (is_claim()) send(producer, ids("1-4"));
  std::vector<ChildProcess> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back(kWaitsInVain, std::vector<std::string>{});
    ASSERT_EQ(waiting.back().next_report(), "waiting");
  }

  const auto pid = static_cast<std::uint32_t>(leaker.pid());
  const auto last = std::chrono::steady_clock::now() + std::chrono::milliseconds(support::scaled(1000));
  std::uint64_t age_ns = 0;
  for (int look = 0; std::chrono::steady_clock::now() < last; ++look) {
    // Killed waiters are nobody's licence either.
    ChildProcess& one = waiting[static_cast<std::size_t>(look) % waiting.size()];
    ASSERT_TRUE(one.kill().killed_by(SIGKILL)) << one.next_report();
    one = ChildProcess(kWaitsInVain, {});
    ASSERT_EQ(one.next_report(), "waiting");

    const QueueInfo info = queue.inspect();
    std::uint64_t age_now_ns = 0;
    if (is_claim()) {
      for (const EndpointInfo& endpoint : info.endpoints) {
        if (endpoint.pid == pid && endpoint.open_claim) age_now_ns = endpoint.open_claim->age_ns;
      }
    } else {
      for (const LeaseInfo& lease : info.groups.front().leases) {
        if (lease.pid == pid && lease.state == "leased") age_now_ns = lease.age_ns;
      }
    }
    ASSERT_GT(age_now_ns, age_ns) << "it is reported, and grows older";
    age_ns = age_now_ns;
    ASSERT_EQ(info.abandoned_claims, 0U);
    ASSERT_EQ(info.groups.front().recovered_leases, 0U);

    Consumer consumer = queue.consumer();
    const Lease lease = consumer.lease({.deadline = kProbePause});
    ASSERT_EQ(lease.outcome(), is_claim() ? Outcome::blocked : Outcome::empty);
    // What keeps a producer from the room, or a consumer from the messages behind, is named.
    const std::optional<BlockedBy> by =
        is_claim() ? lease.blocked_by() : producer.claim(Room::equal(62, kPayload), kProbePause).blocked_by();
    ASSERT_TRUE(by.has_value());
    EXPECT_EQ(by->pid, pid);
    EXPECT_EQ(by->what, GetParam());
    EXPECT_GT(by->age.count(), 0);
  }
  for (ChildProcess& one : waiting) one.kill();
  leaker.tell("remember");
  EXPECT_EQ(leaker.next_report(), "ok");
  Consumer consumer = queue.consumer();
  const std::string wanted = is_claim() ? "101-103 1-4" : "";
  EXPECT_EQ(receive(consumer, ids(wanted).size()).ids(), ids(wanted));
  EXPECT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::empty);
}

INSTANTIATE_TEST_SUITE_P(By, Leaked, testing::Values("claim", "lease"),
                         [](const auto& what) { return std::string(what.param); });

}  // namespace
}  // namespace ipcq::crash
