// Wait sets and death: what the dead held is found by a set that sleeps, and by the thread of its descriptor, as promptly as
// by a single waiter; and a forked child's copy of a set is dead weight.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <ipcq/ipcq.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crash_test.hpp"
#include "support/waiting.hpp"

namespace ipcq::crash {
namespace {

const ChildRole kHoldsAClaim("holds a claim in front", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  const Claim open = claim(producer, ids("101-103"));
  require(static_cast<bool>(open), "no claim");
  self.report("holding");
  return self.hold();
});

const ChildRole kHoldsALease("holds a lease of all", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  const Lease open = consumer.lease({.max_messages = 4096, .deadline = kBound});
  require(static_cast<bool>(open), "no lease");
  self.report("holding");
  return self.hold();
});

bool becomes_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 60'000) == 1;
}

/// A set sleeps, or its descriptor is armed, until the holder is killed.
class WaitSetDeath : public CrashTest, public testing::WithParamInterface<const char*> {
 protected:
  WaitSetDeath() : queue_(create()), idle_(Queue::create("idle", {.capacity_bytes = kCapacity})) {
    consumer_ = idle_.consumer();
    set_.add(consumer_);
  }
  void expect_woken_by_the_death_of(ChildProcess& holder, WaitSet::Token token) {
    const bool by_descriptor = std::string(GetParam()) == "descriptor";
    std::vector<WaitSet::Token> ready;
    if (by_descriptor) {
      ASSERT_TRUE(set_.arm());
    }
    support::Background waiter([&] {
      if (by_descriptor) require(becomes_readable(set_.descriptor()), "it never became readable");
      const WaitSet::Ready woken = set_.wait(by_descriptor ? now : Deadline(kBound));
      ready.assign(woken.begin(), woken.end());
    });
    waiter.wait_until_asleep();
    EXPECT_FALSE(waiter.finished());
    holder.kill();
    waiter.join();
    EXPECT_EQ(ready, std::vector<WaitSet::Token>{token});
  }
  [[nodiscard]] const Queue& queue() const noexcept { return queue_; }
  WaitSet& set() noexcept { return set_; }

 private:
  Queue queue_;
  Queue idle_;
  Consumer consumer_;
  WaitSet set_{WaitStrategy::sleep};
};

TEST_P(WaitSetDeath, a_claim_of_the_dead_is_skipped) {
  ChildProcess holder(kHoldsAClaim, {});
  ASSERT_EQ(holder.next_report(), "holding");
  Producer producer = queue().producer();
  send(producer, ids("1-2"));
  Consumer consumer = queue().consumer();
  const WaitSet::Token token = set().add(consumer);
  EXPECT_FALSE(set().wait(now));
  expect_woken_by_the_death_of(holder, token);
  EXPECT_EQ(receive(consumer, 2).ids(), ids("1-2"));
}

TEST_P(WaitSetDeath, a_lease_of_the_dead_is_delivered_again) {
  Producer producer = queue().producer();
  send(producer, ids("1-2"));
  ChildProcess holder(kHoldsALease, {});
  ASSERT_EQ(holder.next_report(), "holding");
  Consumer consumer = queue().consumer();
  const WaitSet::Token token = set().add(consumer);
  EXPECT_FALSE(set().wait(now));
  expect_woken_by_the_death_of(holder, token);
  EXPECT_EQ(receive(consumer, 2).ids(), ids("1-2"));
}

TEST_P(WaitSetDeath, room_that_the_dead_kept_is_room_again) {
  Producer producer = queue().producer();
  ChildProcess holder(kHoldsAClaim, {});
  ASSERT_EQ(holder.next_report(), "holding");
  while (producer.send(std::string(1000, 'x'), 0, now) == Outcome::ok) {
  }
  Consumer consumer = queue().consumer();
  const WaitSet::Token of_consumer = set().add(consumer);
  const WaitSet::Token token = set().add(producer, {.messages = 1, .bytes = 1000});
  EXPECT_FALSE(set().wait(now));
  const bool by_descriptor = std::string(GetParam()) == "descriptor";
  if (by_descriptor) {
    ASSERT_TRUE(set().arm());
  }
  holder.kill();
  if (by_descriptor) {
    ASSERT_TRUE(becomes_readable(set().descriptor()));
  }
  // The skipped range is at the front, so its room comes with it; the messages behind it are there too.
  const WaitSet::Ready ready = set().wait(kBound);
  const std::vector<WaitSet::Token> tokens(ready.begin(), ready.end());
  EXPECT_EQ(tokens, (std::vector<WaitSet::Token>{of_consumer, token}));
}

INSTANTIATE_TEST_SUITE_P(FoundBy, WaitSetDeath, testing::Values("wait", "descriptor"),
                         [](const auto& how) { return std::string(how.param); });

/// Waits for two queues, and is stopped behind its first arm, before it looks at the second queue again.
const ChildRole kArmsASet("arms a wait set", [](Child& /*self*/) {
  Consumer first = Queue::open(kQueue).consumer();
  const Queue queue = Queue::open("second");
  Consumer second = queue.consumer();
  WaitSet set(WaitStrategy::sleep);
  set.add(first);
  const WaitSet::Token token = set.add(second);
  const WaitSet::Ready ready = set.wait(kBound);
  require(ready.size() == 1 && *ready.begin() == token, "the second is ready");
  for (const EndpointInfo& endpoint : queue.inspect().endpoints) require(endpoint.waits == 0, "it went to sleep");
  return 0;
});

class ArmingAWaitSet : public CrashTest {};

TEST_F(ArmingAWaitSet, a_message_that_comes_before_the_arm_of_its_queue_is_seen_without_a_sleep) {
  const Queue queue = create();
  const Queue second = Queue::create("second", {.capacity_bytes = kCapacity});
  ChildProcess waiter(kArmsASet, {}, {{"IPCQ_STOP_AT", "wait.armed"}});
  ASSERT_TRUE(waiter.wait_until_stopped());
  Producer producer = second.producer();
  send(producer, ids("1-1"));
  producer.detach();
  waiter.resume();
  EXPECT_TRUE(waiter.succeeds());
}

void expect_set_forked(const char* what, const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    require(error.errc() == Errc::forked, std::string(what) + " threw " + to_string(error.errc()));
    return;
  }
  require(false, std::string(what) + " did not throw");
}

/// Forks with a set that is armed. Arguments: "calls", or what the child destroys first: "set", "endpoints".
const ChildRole kForksWithASet("forks with a wait set", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  auto consumer = std::make_unique<Consumer>(queue.consumer());
  auto producer = std::make_unique<Producer>(queue.producer());
  auto set = std::make_unique<WaitSet>();
  const WaitSet::Token token = set->add(*consumer);
  require(set->arm(), "arm");
  const pid_t pid = fork();
  require(pid >= 0, "fork");
  if (pid == 0) {
    try {
      if (self.argument(0) == "calls") {
        expect_set_forked("wait", [&] { static_cast<void>(set->wait(now)); });
        expect_set_forked("arm", [&] { static_cast<void>(set->arm()); });
        expect_set_forked("descriptor", [&] { static_cast<void>(set->descriptor()); });
        expect_set_forked("add", [&] { set->add(*producer, {}); });
        expect_set_forked("remove", [&] { set->remove(token); });
        expect_set_forked("size", [&] { static_cast<void>(set->size()); });
      }
      if (self.argument(0) == "set") set.reset();
      consumer.reset();
      producer.reset();
      set.reset();
      WaitSet own;  // the child's own works
      Consumer anew = Queue::open(kQueue).consumer();
      own.add(anew);
      require(own.arm(), "the child's own");
    } catch (const std::exception& error) {
      self.report(std::string("failed in the forked child: ") + error.what());
      self.leave(1);
    }
    self.leave(0);
  }
  int status = 0;
  require(waitpid(pid, &status, 0) == pid && status == 0, "the forked child ended with status " + std::to_string(status));
  pollfd one{set->descriptor(), POLLIN, 0};
  require(::poll(&one, 1, 2) == 0, "the parent's descriptor is armed still");
  send(*producer, ids("1-1"));
  require(becomes_readable(set->descriptor()), "the parent's descriptor");
  const WaitSet::Ready ready = set->wait(now);
  require(ready.size() == 1 && *ready.begin() == token, "the parent's set");
  return 0;
});

class ForkedWaitSet : public CrashTest, public testing::WithParamInterface<const char*> {};

TEST_P(ForkedWaitSet, is_dead_weight_in_the_child_and_the_parent_goes_on) {
  const Queue queue = create();
  EXPECT_TRUE(ChildProcess(kForksWithASet, {GetParam()}).succeeds());
}

INSTANTIATE_TEST_SUITE_P(WhoseChild, ForkedWaitSet, testing::Values("calls", "set", "endpoints"),
                         [](const auto& how) { return std::string("uses_the_") + how.param; });

}  // namespace
}  // namespace ipcq::crash
