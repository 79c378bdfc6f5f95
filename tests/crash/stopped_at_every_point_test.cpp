// A process is stopped at a named point, another passes by and does what it can within its patience, and the first is
// continued, or killed where it stands. What interleaving_test.cpp shows of threads, of processes, through the public face.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ipcq/ipcq.hpp>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "actor.hpp"
#include "crash_case.hpp"
#include "support/waiting.hpp"

namespace ipcq::crash {
namespace {

constexpr std::uint64_t kPassing = 301;

/// Does one of everything. What it may be refused is what somebody stopped keeps, or what the only one of its kind has.
/// Reports what it acked, and whether it sent its message.
const ChildRole kPassesBy("passes by", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  const auto attempt = [](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      const Errc errc = error.errc();
      const bool fair = errc == Errc::timed_out || errc == Errc::in_use || errc == Errc::closed ||
                        errc == Errc::too_many_endpoints || errc == Errc::no_such_group;
      require(fair, error.what());
    }
  };
  std::string acked;
  bool sent = false;
  attempt([&] {
    Consumer consumer = queue.consumer();
    Lease lease = consumer.lease({.max_messages = 3, .deadline = std::chrono::milliseconds(10)});
    if (!lease) return;
    const Ids leased = read(lease);
    require(lease.ack() == Outcome::ok, "ack");
    acked = text(leased);
  });
  attempt([&] {
    Producer producer = queue.producer();
    Claim batch = claim(producer, {kPassing}, std::chrono::milliseconds(10));
    if (batch) sent = batch.commit() == Outcome::ok;
  });
  attempt([&] { queue.add_group({.name = "passing"}); });
  attempt([&] { queue.remove_group("passing"); });
  static_cast<void>(queue.inspect());
  self.report("acked " + acked);
  self.report(sent ? "sent" : "not sent");
  return 0;
});

/// What is to be read when the operation was not broken off.
const std::map<std::string, std::string>& done() {
  static const std::map<std::string, std::string> of = {
      {"send", "1-8 101-103"},
      {"abort", "1-8"},
      {"lease", "1-8"},
      {"ack", "5-8"},
      {"ack, lease", "5-8"},
      {"requeue", "1-8"},
      {"requeue, lease", "1-8"},
      {"ack 2 of 4", "3-8"},
      {"fill the ledger", "1 4-8"},
      {"attach", "1-8"},
      {"attach a consumer", "1-8"},
      {"attach, detach", "1-8"},
      {"add a group", "1-8"},
      {"remove a group", "1-8"},
      {"close", "1-8"},
  };
  return of;
}

struct Visit {
  const CrashCase* stopped;
  bool killed;
};

std::vector<Visit> visits() {
  std::vector<Visit> all;
  for (const CrashCase& crash : crash_cases()) {
    if (crash.first_operation != nullptr || crash.before != 8 || crash.only_with_waiter) continue;
    if (!done().contains(crash.operation)) continue;
    all.push_back({&crash, false});
    all.push_back({&crash, true});
  }
  return all;
}

class StoppedAtEveryPoint : public CrashTest {
 protected:
  static void expect_whole(const Visit& visit) {
    const CrashCase& crash = *visit.stopped;
    const Queue queue = create_queue_of(crash);
    ChildProcess stopped(kActor, {crash.operation}, {{"IPCQ_STOP_AT", crash.point}});
    ASSERT_TRUE(stopped.wait_until_stopped());

    ChildProcess passing(kPassesBy, {});
    const std::string acked = passing.next_report();
    ASSERT_TRUE(acked.starts_with("acked ")) << acked;
    const bool sent = passing.next_report() == "sent";
    ASSERT_TRUE(passing.succeeds());

    if (visit.killed) {
      stopped.kill();
    } else {
      stopped.resume();
      ASSERT_TRUE(stopped.wait().exited_with(kDone));
    }
    Ids wanted = ids(visit.killed ? crash.expected : done().at(crash.operation));
    if (sent) wanted.push_back(kPassing);
    for (const std::uint64_t id : ids(acked.substr(6))) {
      const auto found = std::find(wanted.begin(), wanted.end(), id);
      ASSERT_NE(found, wanted.end()) << id << " was delivered to whoever passed by";
      wanted.erase(found);
    }
    Consumer consumer = queue.consumer();
    Ids got = receive(consumer, wanted.size()).ids();
    std::sort(got.begin(), got.end());
    std::sort(wanted.begin(), wanted.end());
    EXPECT_EQ(text(got), text(wanted));
    const Outcome end = consumer.lease({.deadline = kProbePause}).outcome();
    EXPECT_TRUE(end == Outcome::empty || end == Outcome::closed) << to_string(end);
  }
};

TEST_F(StoppedAtEveryPoint, a_process_is_passed_by_and_goes_on_or_is_killed_there) {
  std::vector<Visit> all = visits();
  ASSERT_GT(all.size(), 40U);
  std::mt19937_64 random(support::seed());
  std::shuffle(all.begin(), all.end(), random);
  if (const std::size_t some = support::scaled(16); some < all.size()) all.resize(some);
  for (const Visit& visit : all) {
    SCOPED_TRACE(std::string(visit.stopped->name) + (visit.killed ? ", killed" : ", continued"));
    expect_whole(visit);
    remove(kQueue, {.force = true});
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace ipcq::crash
