// A message that kills its consumers: it is handed out max_deliveries times and goes to the dead-letter queue, the others
// of its batch are acked. Whoever moves it may be killed too, at every step: it may be moved twice, and is never lost.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "crash_test.hpp"
#include "support/waiting.hpp"

namespace ipcq::crash {
namespace {

constexpr const char* kDead = "dead";
constexpr std::uint32_t kMost = 3;

/// Leases and acks until the queue is closed and drained; reports what it acked. Dies of one message, by SIGKILL, as soon
/// as it reads it. Arguments: which, how many messages a lease.
const ChildRole kWorker("worker that a message kills", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  for (;;) {
    Lease lease = consumer.lease({.max_messages = static_cast<std::uint32_t>(self.number(1)), .deadline = kBound});
    if (!lease) {
      require(lease.outcome() == Outcome::closed, std::string("lease: ") + to_string(lease.outcome()));
      return 0;
    }
    Ids done;
    for (const Message& message : lease) {
      done.push_back(read(message));
      if (done.back() == self.number(0)) ::kill(::getpid(), SIGKILL);
    }
    require(lease.ack() == Outcome::ok, "ack");
    for (const std::uint64_t id : done) self.report(std::to_string(id));
  }
});

/// One look: moves what is past max_deliveries, or parks it.
const ChildRole kMover("mover", [](Child&) {
  Consumer consumer = Queue::open(kQueue).consumer();
  const Lease lease = consumer.lease({.max_messages = 1, .deadline = now});
  return 0;
});

/// Leases one message and gives it back.
const ChildRole kRequeuer("requeuer", [](Child&) {
  Consumer consumer = Queue::open(kQueue).consumer();
  Lease lease = consumer.lease({.max_messages = 1, .deadline = kBound});
  require(lease.requeue() == Outcome::ok, "requeue");
  return 0;
});

const ChildRole kPurger("purger", [](Child&) {
  std::ignore = Queue::open(kQueue).purge_parked("default");
  return 0;
});

/// Leases one message and waits.
const ChildRole kHolder("holder of one message", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  const Lease lease = consumer.lease({.max_messages = 1, .deadline = kBound});
  self.report(text(read(lease)));
  return self.hold();
});

class MaxDeliveriesCrash : public CrashTest {
 protected:
  struct Letter {
    std::uint64_t id = 0;
    std::uint32_t deliveries = 0;
    std::string group;
  };

  static Queue create_queue(ConsumerMode consumers, std::uint32_t most = kMost) {
    CreateOptions options;
    options.capacity_bytes = std::size_t{1} << 20;
    options.consumers = consumers;
    options.max_deliveries = most;
    options.dead_letter = kDead;
    return Queue::create(kQueue, options);
  }
  static Queue create_dead() { return Queue::create(kDead, {.capacity_bytes = kCapacity}); }

  /// What the dead-letter queue has; it is empty afterwards.
  static std::vector<Letter> letters() {
    std::vector<Letter> all;
    Consumer consumer = Queue::open(kDead).consumer();
    while (Lease lease = consumer.lease({.deadline = now})) {
      for (const Message& message : lease) {
        const std::optional<DeadLetter> letter = dead_letter(message);
        require(letter.has_value(), "an ordinary message in the dead-letter queue");
        require(letter->queue == kQueue, "its origin is " + std::string(letter->queue));
        all.push_back({read(letter->inner), letter->deliveries, std::string(letter->group)});
      }
      require(lease.ack() == Outcome::ok, "ack of a dead letter");
    }
    return all;
  }
  static GroupInfo group() { return Queue::open(kQueue).inspect().groups.at(0); }

  /// `crew` workers at a time, each that dies replaced, until the queue is drained. How many died.
  static std::uint32_t work(std::size_t crew, std::uint64_t killer, Ids& acked) {
    std::uint32_t died = 0;
    std::vector<ChildProcess> workers;
    const auto start = [&] { return ChildProcess(kWorker, {std::to_string(killer), "256"}); };
    for (std::size_t i = 0; i < crew; ++i) workers.push_back(start());
    while (!workers.empty()) {
      ChildProcess worker = std::move(workers.front());
      workers.erase(workers.begin());
      const Ending ending = worker.wait();
      for (const std::string& report : worker.rest_of_reports()) acked.push_back(std::stoull(report));
      if (ending.exited_with(0)) continue;
      EXPECT_TRUE(ending.killed_by(SIGKILL)) << ending.text();
      if (!ending.killed_by(SIGKILL) || ++died > 2 * kMost) break;
      workers.push_back(start());
    }
    std::sort(acked.begin(), acked.end());
    return died;
  }
};

class PoisonMessage : public MaxDeliveriesCrash, public testing::WithParamInterface<ConsumerMode> {};
INSTANTIATE_TEST_SUITE_P(Groups, PoisonMessage, testing::Values(ConsumerMode::shared, ConsumerMode::exclusive),
                         [](const auto& each) { return std::string(to_string(each.param)); });

TEST_P(PoisonMessage, of_a_batch_of_256_with_one_that_kills_255_are_acked_and_one_is_dead_lettered) {
  const Queue queue = create_queue(GetParam());
  const Queue dead = create_dead();
  Producer producer = queue.producer();
  send(producer, ids("1-256"));
  queue.close();
  Ids acked;
  EXPECT_EQ(work(1, 100, acked), kMost) << "handed out once with its batch, then alone";
  EXPECT_EQ(acked, ids("1-99 101-256"));
  const std::vector<Letter> found = letters();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, 100U);
  EXPECT_EQ(found[0].deliveries, kMost);
  EXPECT_EQ(found[0].group, "default");
  EXPECT_EQ(group().dead_lettered_messages, 1U);
  EXPECT_EQ(group().depth_messages, 0U);
}

TEST_F(MaxDeliveriesCrash, a_crew_of_workers_dies_of_it_no_more_often_than_one_worker) {
  const Queue queue = create_queue(ConsumerMode::shared);
  const Queue dead = create_dead();
  Producer producer = queue.producer();
  send(producer, ids("1-256"));
  queue.close();
  Ids acked;
  EXPECT_EQ(work(4, 100, acked), kMost);
  EXPECT_EQ(acked, ids("1-99 101-256"));
  const std::vector<Letter> found = letters();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, 100U);
}

TEST_F(MaxDeliveriesCrash, without_a_dead_letter_queue_the_workers_end_all_the_same_and_the_message_waits) {
  const Queue queue = create_queue(ConsumerMode::shared);
  Producer producer = queue.producer();
  send(producer, ids("1-16"));
  queue.close();
  Ids acked;
  EXPECT_EQ(work(2, 10, acked), kMost);
  EXPECT_EQ(acked, ids("1-9 11-16"));
  EXPECT_EQ(group().parked_messages, 1U);
  ASSERT_EQ(group().leases.size(), 1U);
  EXPECT_EQ(group().leases[0].reason, "missing");
}

struct MoverCase {
  ConsumerMode consumers;
  const char* point;
  bool parked_before;      ///< there was no dead-letter queue, the message was parked
  bool dead_letter_queue;  ///< there is one when the mover dies
  std::size_t letters;     ///< that come of it
};
std::ostream& operator<<(std::ostream& out, const MoverCase& value) { return out << value.point; }

class MoverDeath : public MaxDeliveriesCrash, public testing::WithParamInterface<MoverCase> {};
INSTANTIATE_TEST_SUITE_P(Points, MoverDeath,
                         testing::Values(MoverCase{ConsumerMode::shared, "dead.leased", false, true, 1},
                                         MoverCase{ConsumerMode::shared, "dead.copied", false, true, 2},
                                         MoverCase{ConsumerMode::shared, "commit.published", false, true, 2},
                                         MoverCase{ConsumerMode::shared, "claim.3", false, true, 1},
                                         MoverCase{ConsumerMode::shared, "attach.state:2", false, true, 1},
                                         MoverCase{ConsumerMode::shared, "ack.done", false, true, 1},
                                         MoverCase{ConsumerMode::shared, "dead.acked", false, true, 1},
                                         MoverCase{ConsumerMode::shared, "dead.copied", false, false, 1},
                                         MoverCase{ConsumerMode::shared, "park.parked", false, false, 1},
                                         MoverCase{ConsumerMode::shared, "park.again", true, true, 1},
                                         MoverCase{ConsumerMode::shared, "dead.leased", true, true, 1},
                                         MoverCase{ConsumerMode::shared, "dead.copied", true, true, 2},
                                         MoverCase{ConsumerMode::exclusive, "dead.copied", false, true, 2},
                                         MoverCase{ConsumerMode::exclusive, "xconsumer.retired", false, true, 1},
                                         MoverCase{ConsumerMode::exclusive, "dead.acked", false, true, 1},
                                         MoverCase{ConsumerMode::exclusive, "park.parked", false, false, 1},
                                         MoverCase{ConsumerMode::exclusive, "dead.copied", true, true, 2}),
                         [](const auto& each) {
                           std::string name = std::string(to_string(each.param.consumers)) + "_" + each.param.point +
                                              (each.param.parked_before       ? "_of_a_parked_one"
                                               : each.param.dead_letter_queue ? ""
                                                                              : "_without_a_dead_letter_queue");
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return c == '.' || c == ':'; }, '_');
                           return name;
                         });

TEST_P(MoverDeath, loses_nothing_counts_no_delivery_and_holds_nobody_up) {
  const MoverCase& crash = GetParam();
  const Queue queue = create_queue(crash.consumers);
  Producer producer = queue.producer();
  send_each(producer, ids("1-8"));
  for (std::uint32_t handed_out = 0; handed_out < kMost; ++handed_out) {
    ASSERT_TRUE(ChildProcess(kRequeuer, {}).succeeds());
  }
  if (crash.parked_before) {
    ASSERT_TRUE(ChildProcess(kMover, {}).succeeds());
    ASSERT_EQ(group().parked_messages, 1U);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  }
  if (crash.dead_letter_queue) std::ignore = create_dead();
  ChildProcess mover(kMover, {}, {{"IPCQ_CRASH_AT", crash.point}});
  const Ending ending = mover.wait();
  ASSERT_TRUE(ending.killed_by(SIGKILL)) << ending.text() << " instead of dying at " << crash.point;
  if (!crash.dead_letter_queue) std::ignore = create_dead();

  Consumer consumer = queue.consumer();
  std::this_thread::sleep_for(kProbePause);
  const Deliveries got = receive(consumer, 7);
  EXPECT_EQ(got.ids(), ids("2-8"));
  // Whoever parked message 1 was handed the one behind it, and gave that back.
  const bool second_came_back = crash.parked_before && crash.consumers == ConsumerMode::shared;
  for (const Delivery& one : got.all) EXPECT_EQ(one.deliveries, second_came_back && one.id == 2 ? 1U : 0U) << one.id;
  std::vector<Letter> found;
  const auto collect = [&] {
    std::ignore = consumer.lease({.deadline = now});
    for (const Letter& letter : letters()) found.push_back(letter);
    return group().depth_messages == 0;
  };
  support::wait_until("message 1 is moved", collect);
  ASSERT_EQ(found.size(), crash.letters);
  for (const Letter& letter : found) {
    EXPECT_EQ(letter.id, 1U);
    EXPECT_EQ(letter.deliveries, kMost);
  }
  // The whole ring is there again: the last 16 bytes are never claimed.
  EXPECT_EQ(queue.inspect().depth_bytes, 0U);
  EXPECT_EQ(claim(producer, ids("1-1023"), now).outcome(), Outcome::ok);
}

class CountOfTheExclusiveFront : public MaxDeliveriesCrash, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Points, CountOfTheExclusiveFront,
                         testing::Values("xjoin.judged", "xcount.none", "xcount.position", "xcount.count",
                                         "xjoin.again_to", "xjoin.leased_to", "xjoin.owner", "xconsumer.leased_to",
                                         "xcount.count:2", "xrequeue.again_to", "xrequeue.done"),
                         [](const auto& each) {
                           std::string name = each.param;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return c == '.' || c == ':'; }, '_');
                           return name;
                         });

TEST_P(CountOfTheExclusiveFront, is_never_too_small_and_at_most_one_too_large) {
  const Queue queue = create_queue(ConsumerMode::exclusive, 2 * kMost);
  Producer producer = queue.producer();
  send_each(producer, ids("1-2"));
  ChildProcess first(kHolder, {});
  ASSERT_EQ(first.next_report(), "1");
  first.kill();
  const std::string point = GetParam();
  ChildProcess dying(kRequeuer, {}, {{"IPCQ_CRASH_AT", point}});
  ASSERT_TRUE(dying.wait().killed_by(SIGKILL)) << point;
  const bool took_it = point.rfind("xjoin", 0) != 0 && (point.rfind("xcount", 0) != 0 || point.ends_with(":2"));
  const std::uint32_t handed_out = took_it ? 2 : 1;
  Consumer consumer = queue.consumer();
  const Lease lease = consumer.lease({.deadline = now});
  ASSERT_EQ(read(lease), ids("1"));
  EXPECT_GE(lease.deliveries(), handed_out);
  EXPECT_LE(lease.deliveries(), handed_out + 1);
}

class GivenUpDeath : public MaxDeliveriesCrash, public testing::WithParamInterface<ConsumerMode> {
 protected:
  /// Messages 1 to 8, the first of which was handed out as often as it may be.
  static void send_and_exhaust(const Queue& queue) {
    Producer producer = queue.producer();
    send_each(producer, ids("1-8"));
    for (std::uint32_t handed_out = 0; handed_out < kMost; ++handed_out) {
      ASSERT_TRUE(ChildProcess(kRequeuer, {}).succeeds());
    }
  }
  static void dies_at_point(const ChildRole& role, const char* point) {
    const Ending ending = ChildProcess(role, {}, {{"IPCQ_CRASH_AT", point}}).wait();
    ASSERT_TRUE(ending.killed_by(SIGKILL)) << ending.text() << " instead of dying at " << point;
  }
  /// The first message is gone, the others are there, and so is the whole ring.
  static void expect_the_others(const Queue& queue) {
    Consumer consumer = queue.consumer();
    EXPECT_EQ(receive(consumer, 7).ids(), ids("2-8"));
    EXPECT_FALSE(consumer.lease({.deadline = now}));
    EXPECT_EQ(queue.inspect().depth_bytes, 0U);
  }
};
INSTANTIATE_TEST_SUITE_P(Groups, GivenUpDeath, testing::Values(ConsumerMode::shared, ConsumerMode::exclusive),
                         [](const auto& each) { return std::string(to_string(each.param)); });

TEST_P(GivenUpDeath, a_message_is_dropped_once_though_the_process_that_drops_it_dies) {
  CreateOptions options;
  options.capacity_bytes = kCapacity;
  options.consumers = GetParam();
  options.max_deliveries = kMost;
  options.drop_after = true;
  const Queue queue = Queue::create(kQueue, options);
  ASSERT_NO_FATAL_FAILURE(send_and_exhaust(queue));
  ASSERT_NO_FATAL_FAILURE(dies_at_point(kMover, "exhausted.dropped"));
  expect_the_others(queue);
}

TEST_P(GivenUpDeath, what_is_parked_is_purged_though_the_process_that_purges_it_dies) {
  const Queue queue = create_queue(GetParam());
  ASSERT_NO_FATAL_FAILURE(send_and_exhaust(queue));
  ASSERT_TRUE(ChildProcess(kMover, {}).succeeds());
  ASSERT_EQ(group().parked_messages, 1U);
  ASSERT_NO_FATAL_FAILURE(dies_at_point(kPurger, "purge.done"));
  expect_the_others(queue);
  EXPECT_EQ(queue.purge_parked("default"), 0U);
}

}  // namespace
}  // namespace ipcq::crash
