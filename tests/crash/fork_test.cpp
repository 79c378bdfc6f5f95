// fork(2) in the middle: the child's handles are dead weight with a clear error, the parent does not notice, and a child
// that lives on does not keep its dead parent alive.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <functional>
#include <ipcq/ipcq.hpp>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

/// Everything that a process can hold of a queue.
struct Handles {
  Queue queue = Queue::open(kQueue);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  Claim claim = crash::claim(producer, ids("101-103"));
  Lease lease = consumer.lease({.max_messages = 4, .deadline = kBound});

  Handles() { require(claim && lease.size() == 4, "no claim or no lease"); }
};

void expect_forked(const char* what, const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    require(error.errc() == Errc::forked, std::string(what) + " threw " + to_string(error.errc()));
    return;
  }
  require(false, std::string(what) + " did not throw");
}

void expect_every_call_to_throw(Handles& handles) {
  std::string payload;
  expect_forked("Queue::producer", [&] { static_cast<void>(handles.queue.producer()); });
  expect_forked("Queue::consumer", [&] { static_cast<void>(handles.queue.consumer()); });
  expect_forked("Queue::inspect", [&] { static_cast<void>(handles.queue.inspect()); });
  expect_forked("Queue::add_group", [&] { handles.queue.add_group({.name = "forked"}); });
  expect_forked("Queue::remove_group", [&] { handles.queue.remove_group("default"); });
  expect_forked("Queue::close", [&] { handles.queue.close(); });
  expect_forked("Queue::reopen", [&] { handles.queue.reopen(); });
  expect_forked("Producer::claim", [&] { static_cast<void>(handles.producer.claim({.bytes = 8}, now)); });
  expect_forked("Producer::send", [&] { static_cast<void>(handles.producer.send("forked", 0, now)); });
  expect_forked("Producer::detach", [&] { handles.producer.detach(); });
  expect_forked("Consumer::lease", [&] { static_cast<void>(handles.consumer.lease({.deadline = now})); });
  expect_forked("Consumer::receive", [&] { static_cast<void>(handles.consumer.receive(payload, now)); });
  expect_forked("Consumer::detach", [&] { handles.consumer.detach(); });
  expect_forked("Claim::commit", [&] { static_cast<void>(handles.claim.commit()); });
  expect_forked("Claim::abort", [&] { static_cast<void>(handles.claim.abort()); });
  expect_forked("Lease::ack", [&] { static_cast<void>(handles.lease.ack()); });
  expect_forked("Lease::ack of the first", [&] { static_cast<void>(handles.lease.ack(1, now)); });
  expect_forked("Lease::requeue", [&] { static_cast<void>(handles.lease.requeue()); });
}

/// Runs `in_child` in a forked child and waits for it.
void fork_and_wait(const Child& self, const std::function<void()>& in_child) {
  const pid_t pid = fork();
  require(pid >= 0, "fork");
  if (pid == 0) {
    try {
      in_child();
    } catch (const std::exception& error) {
      self.report(std::string("failed in the forked child: ") + error.what());
      self.leave(1);
    }
    self.leave(0);
  }
  int status = 0;
  require(waitpid(pid, &status, 0) == pid && status == 0, "the forked child ended with status " + std::to_string(status));
}

void finish(Handles& handles) {
  require(handles.claim.commit() == Outcome::ok, "commit in the parent");
  require(read(handles.lease) == ids("1-4"), "the parent's lease");
  require(handles.lease.ack() == Outcome::ok, "ack in the parent");
}

const ChildRole kEveryCall("forks, and the child calls everything", [](Child& self) {
  Handles handles;
  fork_and_wait(self, [&] { expect_every_call_to_throw(handles); });
  finish(handles);
  return 0;
});

const ChildRole kDestroys("forks, and the child destroys everything", [](Child& self) {
  auto handles = std::make_unique<Handles>();
  fork_and_wait(self, [&] { handles.reset(); });
  finish(*handles);
  return 0;
});

const ChildRole kAttachesAnew("forks, and the child attaches anew", [](Child& self) {
  Handles handles;
  fork_and_wait(self, [&] {
    Producer producer = Queue::open(kQueue).producer();
    send(producer, ids("201-202"));
  });
  finish(handles);
  return 0;
});

const ChildRole kOrphan("orphan", [](Child& self) {
  self.report("executed");
  return self.hold();
});

/// Forks a child that outlives it. Arguments: "fork" or "fork and exec".
const ChildRole kLeavesAChild("leaves a child", [](Child& self) -> int {
  const Handles handles;
  const pid_t pid = fork();
  require(pid >= 0, "fork");
  if (pid == 0) {
    if (self.argument(0) == "fork and exec") self.become(kOrphan, {});
    self.report("forked");
    return self.hold();
  }
  self.report(std::to_string(pid));
  return self.hold();
});

class Fork : public CrashTest {
 protected:
  Fork() : queue_(create()) {
    Producer producer = queue_.producer();
    send(producer, ids("1-4"));
  }
  [[nodiscard]] const Queue& queue() const noexcept { return queue_; }

 private:
  Queue queue_;
};

TEST_F(Fork, every_call_through_an_inherited_handle_says_forked_and_the_parent_goes_on) {
  ASSERT_TRUE(ChildProcess(kEveryCall, {}).succeeds());
  Consumer consumer = queue().consumer();
  EXPECT_EQ(receive(consumer, 3).ids(), ids("101-103"));
  EXPECT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::empty);
}

TEST_F(Fork, destroying_inherited_handles_does_nothing) {
  ASSERT_TRUE(ChildProcess(kDestroys, {}).succeeds());
  Consumer consumer = queue().consumer();
  EXPECT_EQ(receive(consumer, 3).ids(), ids("101-103"));
  EXPECT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::empty);
}

TEST_F(Fork, the_child_can_attach_anew) {
  ASSERT_TRUE(ChildProcess(kAttachesAnew, {}).succeeds());
  Consumer consumer = queue().consumer();
  EXPECT_EQ(receive(consumer, 5).ids(), ids("101-103 201-202"));
}

class ForkedChildLives : public Fork, public testing::WithParamInterface<const char*> {};

TEST_P(ForkedChildLives, the_parents_death_is_noticed_all_the_same) {
  // The orphan comes to this process, which reaps it.
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
  ChildProcess parent(kLeavesAChild, {GetParam()});
  // Two processes report through one pipe, in either order.
  std::string first = parent.next_report();
  std::string second = parent.next_report();
  if (first == "forked" || first == "executed") std::swap(first, second);
  ASSERT_TRUE(second == "forked" || second == "executed") << first << ", " << second;
  const pid_t orphan = std::stoi(first);

  Producer producer = queue().producer();
  send(producer, ids("5-6"));
  parent.kill();
  ASSERT_EQ(::kill(orphan, 0), 0) << "the child was to outlive its parent";
  Consumer consumer = queue().consumer();
  std::this_thread::sleep_for(kProbePause);
  EXPECT_EQ(receive(consumer, 6).ids(), ids("1-6"));
  EXPECT_EQ(queue().inspect().abandoned_claims, 1U);

  EXPECT_EQ(::kill(orphan, SIGKILL), 0);
  int status = 0;
  EXPECT_EQ(waitpid(orphan, &status, 0), orphan);
}

INSTANTIATE_TEST_SUITE_P(AnOrphan, ForkedChildLives, testing::Values("fork", "fork and exec"), [](const auto& how) {
  return std::string(how.index == 0 ? "made_by_fork" : "made_by_fork_and_exec");
});

}  // namespace
}  // namespace ipcq::crash
