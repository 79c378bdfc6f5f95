// Dead letters sent back to the queues that they come from.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

class Requeue : public QueueContract {
 protected:
  [[nodiscard]] Queue create_dead(CreateOptions options = {}) const {
    options.capacity_bytes = kSmallestCapacity;
    options.directory = directory();
    return Queue::create("dead", options);
  }
  [[nodiscard]] Queue create_origin(const std::string& name = "contract") const {
    CreateOptions options = QueueContract::options();
    options.max_deliveries = 1;
    options.dead_letter = "dead";
    return Queue::create(name, options);
  }
  /// Each is handed out once, and moved to the dead-letter queue.
  static void let_die(const Queue& queue, const Texts& texts) {
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    std::uint16_t tag = 0;
    for (const std::string& text : texts) {
      ASSERT_EQ(producer.send(text, ++tag), Outcome::ok);
      ASSERT_EQ(take(consumer, 1).requeue(), Outcome::ok);
      ASSERT_FALSE(take(consumer));
    }
  }
  [[nodiscard]] RequeueReport requeue(RequeueOptions options = {}) const {
    options.directory = directory();
    return requeue_dead_letters("dead", options);
  }
  static Texts all(const Queue& queue) {
    Consumer consumer = queue.consumer();
    return drain(consumer);
  }
  static std::uint64_t depth(const Queue& queue) { return queue.inspect().groups.at(0).depth_messages; }
};
INSTANTIATE_TEST_SUITE_P(Modes, Requeue, every_mode(), name_of);

TEST_P(Requeue, SendsThemBackInOrderAsTheyWereSent) {
  const Queue dead = create_dead();
  const Queue queue = create_origin();
  let_die(queue, {"one", "", "three"});
  const RequeueReport report = requeue();
  EXPECT_EQ(report.returned, 3U);
  EXPECT_TRUE(report.left.empty());
  EXPECT_FALSE(report.stopped);
  EXPECT_EQ(depth(dead), 0U);
  Consumer consumer = queue.consumer();
  std::uint16_t tag = 0;
  for (const char* text : {"one", "", "three"}) {
    ipcq::Lease lease = take(consumer, 1);
    ASSERT_EQ(lease.size(), 1U);
    EXPECT_EQ(lease.begin()->text(), text);
    EXPECT_EQ(lease.begin()->tag, ++tag);
    EXPECT_EQ(lease.begin()->flags, 0U) << "no dead letter any more";
    EXPECT_EQ(lease.deliveries(), 0U);
    EXPECT_EQ(lease.ack(), Outcome::ok);
  }
  EXPECT_EQ(queue.inspect().endpoints.size(), 1U) << "its rows are free again";
}

TEST_P(Requeue, OfSeveralQueuesGoesToEach) {
  const Queue dead = create_dead();
  const Queue one = create_origin("one");
  const Queue two = create_origin("two");
  let_die(one, {"a"});
  let_die(two, {"b"});
  let_die(one, {"c"});
  EXPECT_EQ(requeue().returned, 3U);
  EXPECT_EQ(all(one), (Texts{"a", "c"}));
  EXPECT_EQ(all(two), Texts{"b"});
}

TEST_P(Requeue, LeavesWhatCannotGoBackAndSaysWhy) {
  const Queue dead = create_dead();
  const Queue one = create_origin("one");
  const Queue two = create_origin("two");
  let_die(one, {"a", "b"});
  ASSERT_EQ(dead.producer().send("by hand", 0), Outcome::ok);
  let_die(two, {"c"});
  ipcq::remove("one", {.directory = directory()});
  const RequeueReport report = requeue();
  EXPECT_EQ(report.returned, 1U);
  EXPECT_EQ(all(two), Texts{"c"});
  ASSERT_EQ(report.left.size(), 2U);
  EXPECT_EQ(report.left[0].queue, "one");
  EXPECT_EQ(report.left[0].messages, 2U);
  EXPECT_NE(report.left[0].why.find("no such queue"), std::string::npos) << report.left[0].why;
  EXPECT_FALSE(report.left[0].full);
  EXPECT_EQ(report.left[1].queue, "");
  EXPECT_EQ(report.left[1].messages, 1U);
  EXPECT_EQ(depth(dead), 3U);
  const Queue again = create_origin("one");
  EXPECT_EQ(requeue().returned, 2U);
  EXPECT_EQ(all(again), (Texts{"a", "b"}));
}

TEST_P(Requeue, OfAnExclusiveGroupStopsAtTheFirstThatCannotGo) {
  const Queue dead = create_dead({.consumers = ConsumerMode::exclusive});
  const Queue one = create_origin("one");
  let_die(one, {"a"});
  ASSERT_EQ(dead.producer().send("by hand", 0), Outcome::ok);
  let_die(one, {"b"});
  const RequeueReport report = requeue();
  EXPECT_EQ(report.returned, 1U);
  ASSERT_EQ(report.left.size(), 1U);
  EXPECT_EQ(depth(dead), 2U);
}

TEST_P(Requeue, WaitsForRoomAsLongAsItMay) {
  const Queue dead = create_dead();
  const Queue queue = create_origin();
  let_die(queue, {"back", "and forth"});
  {
    Producer producer = queue.producer();
    const std::string large(1000, 'x');
    while (producer.send(large, 0, now) == Outcome::ok) {
    }
    while (producer.send("", 0, now) == Outcome::ok) {
    }
  }
  for (const Deadline deadline : {Deadline(now), Deadline(std::chrono::milliseconds(1))}) {
    const RequeueReport full = requeue({.deadline = deadline});
    EXPECT_EQ(full.returned, 0U);
    ASSERT_EQ(full.left.size(), 1U) << "a queue that refused one is not asked again";
    EXPECT_TRUE(full.left[0].full);
    EXPECT_EQ(full.left[0].messages, 2U);
  }
  int asked = 0;
  const RequeueReport stopped = requeue({.deadline = forever, .stop = [&] { return ++asked > 3; }});
  EXPECT_TRUE(stopped.stopped);
  EXPECT_EQ(stopped.returned, 0U);
  EXPECT_EQ(depth(dead), 2U);
  std::thread reader([&] {
    Consumer consumer = queue.consumer();
    Texts got;
    support::wait_until("all come", [&] {
      for (std::string& one : drain(consumer)) got.push_back(std::move(one));
      return !got.empty() && got.back() == "and forth";
    });
    EXPECT_EQ(got[got.size() - 2], "back");
  });
  EXPECT_EQ(requeue({.deadline = forever}).returned, 2U);
  reader.join();
}

TEST_P(Requeue, TakesNoMoreThanItIsToldAndNoneThatCameMeanwhile) {
  const Queue dead = create_dead();
  const Queue queue = create_origin();
  let_die(queue, {"a", "b", "c"});
  EXPECT_EQ(requeue({.messages_max = 1}).returned, 1U);
  EXPECT_EQ(all(queue), Texts{"a"});
  bool more = true;
  const RequeueReport report = requeue({.stop = [&] {
    if (std::exchange(more, false)) {
      EXPECT_EQ(dead.producer().send("new", 0), Outcome::ok);
    }
    return false;
  }});
  EXPECT_EQ(report.returned, 2U);
  EXPECT_TRUE(report.left.empty());
  EXPECT_EQ(depth(dead), 1U);
}

TEST_P(Requeue, OfADeadLettersDeadLetterRestoresTheDeadLetter) {
  CreateOptions options;
  options.max_deliveries = 1;
  options.dead_letter = "deader";
  const Queue dead = create_dead(options);
  const Queue queue = create_origin();
  const Queue deader = Queue::create("deader", {.capacity_bytes = kSmallestCapacity, .directory = directory()});
  let_die(queue, {"twice"});
  {
    Consumer consumer = dead.consumer();
    ASSERT_EQ(take(consumer, 1).requeue(), Outcome::ok);
    ASSERT_FALSE(take(consumer));
  }
  ASSERT_EQ(depth(deader), 1U);
  EXPECT_EQ(requeue_dead_letters("deader", {.directory = directory()}).returned, 1U);
  EXPECT_EQ(depth(deader), 0U);
  EXPECT_EQ(requeue().returned, 1U);
  EXPECT_EQ(all(queue), Texts{"twice"});
}

}  // namespace
}  // namespace ipcq::contract
