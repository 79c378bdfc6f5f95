// A cleaner decides that nobody needs a queue; then somebody does. Cleaners die, and meet.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <ipcq/ipcq.hpp>
#include <string>
#include <vector>

#include "crash_test.hpp"
#include "messages.hpp"
#include "survivors.hpp"

namespace ipcq::crash {
namespace {

using namespace std::chrono_literals;

/// Cleans without a grace time, and reports what became of the queue: "removed", "kept: REASON", "nothing".
const ChildRole kCleaner("cleaner", [](Child& self) {
  std::string said = "nothing";
  for (const CleanAction& action : clean({.grace = 0ns}))
    said = action.what == Cleaned::kept ? "kept: " + action.reason : "removed";
  self.report(said);
  return 0;
});

/// Dies attached, with a lease of a few messages open if there are any.
const ChildRole kDiesAttached("dies attached", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  const Lease lease = consumer.lease({.max_messages = 3, .deadline = now});
  self.report("attached");
  return self.hold();
});

class Cleaning : public CrashTest {
 protected:
  static Queue create_ephemeral() { return create({.lifetime = Lifetime::ephemeral}); }
  [[nodiscard]] bool there() const { return std::filesystem::exists(directory() + "/ipcq." + kQueue); }
  static ChildProcess stopped_at(const char* point) { return {kCleaner, {}, {{"IPCQ_STOP_AT", point}}}; }
  static std::string go_on(ChildProcess& cleaner) {
    cleaner.resume();
    const std::string said = cleaner.next_report();
    EXPECT_TRUE(cleaner.succeeds());
    return said;
  }
};

TEST_F(Cleaning, a_message_put_after_the_cleaner_decided_keeps_the_queue) {
  static_cast<void>(create_ephemeral());
  ChildProcess cleaner = stopped_at("clean.decided");
  ASSERT_TRUE(cleaner.wait_until_stopped());
  {
    Producer producer = Queue::open(kQueue).producer();
    send_each(producer, ids("1-3"));
  }
  EXPECT_EQ(go_on(cleaner), "kept: it holds 3 unacked messages");
  Consumer consumer = Queue::open(kQueue).consumer();
  EXPECT_EQ(receive(consumer, 3).ids(), ids("1-3"));
}

TEST_F(Cleaning, somebody_who_attached_after_the_cleaner_decided_keeps_the_queue) {
  static_cast<void>(create_ephemeral());
  ChildProcess cleaner = stopped_at("clean.decided");
  ASSERT_TRUE(cleaner.wait_until_stopped());
  Consumer consumer = Queue::open(kQueue).consumer();
  EXPECT_EQ(go_on(cleaner).substr(0, 5), "kept:");
  Producer producer = Queue::open(kQueue).producer();
  send_each(producer, ids("1-3"));
  EXPECT_EQ(receive(consumer, 3).ids(), ids("1-3"));
}

TEST_F(Cleaning, nobody_attaches_once_the_cleaner_is_sure) {
  const Queue queue = create_ephemeral();
  ChildProcess cleaner = stopped_at("clean.sure");
  ASSERT_TRUE(cleaner.wait_until_stopped());
  try {
    Producer producer = queue.producer();
    ADD_FAILURE() << "attached: what it puts is lost, " << to_string(producer.send("lost", 0, now));
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::timed_out) << error.what();
  }
  EXPECT_EQ(go_on(cleaner), "removed");
  EXPECT_FALSE(there());
}

TEST_F(Cleaning, of_two_cleaners_one_removes_and_a_new_queue_of_the_name_stays) {
  static_cast<void>(create_ephemeral());
  ChildProcess late = stopped_at("clean.decided");
  ASSERT_TRUE(late.wait_until_stopped());
  ChildProcess first(kCleaner, {});
  EXPECT_EQ(first.next_report(), "removed");
  EXPECT_TRUE(first.succeeds());
  {
    Producer producer = create_ephemeral().producer();
    send_each(producer, ids("1-3"));
  }
  static_cast<void>(go_on(late));  // whatever it says: its queue is gone
  Consumer consumer = Queue::open(kQueue).consumer();
  EXPECT_EQ(receive(consumer, 3).ids(), ids("1-3"));
}

TEST_F(Cleaning, a_remover_at_work_is_left_to_it) {
  static_cast<void>(create_ephemeral());
  ChildProcess remover = stopped_at("remove.unlinked");
  ASSERT_TRUE(remover.wait_until_stopped());
  EXPECT_FALSE(there());
  EXPECT_EQ(go_on(remover), "removed");

  static_cast<void>(create_ephemeral());
  ChildProcess cleaner = stopped_at("clean.decided");
  ASSERT_TRUE(cleaner.wait_until_stopped());
  ChildProcess marker = stopped_at("remove.marked");  // holds the remover's byte
  ASSERT_TRUE(marker.wait_until_stopped());
  EXPECT_EQ(go_on(cleaner), "kept: another process is removing it");
  EXPECT_TRUE(there());
  EXPECT_EQ(go_on(marker), "removed");
  EXPECT_FALSE(there());
}

TEST_F(Cleaning, one_that_dies_anywhere_leaves_the_rest_to_the_next) {
  for (const char* point : {"recover.judged", "recover.claim_skipped", "recover.row_freed", "clean.decided",
                            "clean.sure", "remove.marked", "remove.unlinked"}) {
    SCOPED_TRACE(point);
    static_cast<void>(create_ephemeral());
    ChildProcess user(kDiesAttached, {});
    ASSERT_EQ(user.next_report(), "attached");
    user.kill();
    ChildProcess dies(kCleaner, {}, {{"IPCQ_CRASH_AT", point}});
    ASSERT_TRUE(dies.wait().killed_by(SIGKILL));
    static_cast<void>(clean({.grace = 0ns}));
    EXPECT_FALSE(there());
  }
}

TEST_F(Cleaning, what_the_dead_had_leased_keeps_the_queue) {
  {
    Producer producer = create_ephemeral().producer();
    send_each(producer, ids("1-3"));
  }
  ChildProcess user(kDiesAttached, {});
  ASSERT_EQ(user.next_report(), "attached");
  user.kill();
  const std::vector<CleanAction> actions = clean({.grace = 0ns});
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(actions[0].reason, "it holds 3 unacked messages");
  Consumer consumer = Queue::open(kQueue).consumer();
  EXPECT_EQ(receive(consumer, 3).ids(), ids("1-3"));
}

TEST_F(Cleaning, the_grace_time_counts_from_when_the_last_one_left) {
  const Queue queue = create_ephemeral();
  const auto again_in = [] {
    const std::vector<CleanAction> actions = clean({.grace = 1h});
    return actions.size() == 1 && actions[0].again_in ? *actions[0].again_in : 0ns;
  };
  Consumer consumer = queue.consumer();
  const std::chrono::nanoseconds age(queue.inspect().endpoints.at(0).attached_ns);
  while (std::chrono::nanoseconds(queue.inspect().endpoints.at(0).attached_ns) < age + 20ms) {
  }
  EXPECT_EQ(again_in(), 0ns) << "in use: there is no time to wait for";
  const auto before = std::chrono::steady_clock::now();
  consumer.detach();
  const auto left = again_in();
  // It left after `before`: so at least the hour is left that began then. Counted from its attach, 20 ms less.
  EXPECT_GE(left + (std::chrono::steady_clock::now() - before), 1h);
}

}  // namespace
}  // namespace ipcq::crash
