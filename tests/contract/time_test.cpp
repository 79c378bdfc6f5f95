// Enqueue times: they never decrease along the ring, and a message's age is the time since then.
#include <chrono>
#include <cstdint>
#include <list>
#include <string>

#include "queue_contract.hpp"
#include "random.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

class Time : public QueueContract {
 protected:
  [[nodiscard]] CreateOptions without_time() const {
    CreateOptions wanted = options();
    wanted.timestamps = false;
    return wanted;
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Time, every_mode(), name_of);

/// Lets at least `least` go by on the clock that ages are compared with.
void let_pass(Consumer& idle, milliseconds least) {
  const auto until = steady_clock::now() + least;
  EXPECT_EQ(idle.lease({.deadline = until}).outcome(), Outcome::empty);
}

TEST_P(Time, NeverDecreasesAlongTheRing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  Random random;
  std::uint64_t last = 0;
  std::uint64_t first = 0;
  for (int batch = 0; batch < 2000; ++batch) {
    put(producer, Texts(random.between(1, 5), "x"));
    ipcq::Lease lease = take(consumer);
    for (const Message& message : lease) {
      ASSERT_GE(message.time, last);
      if (first == 0) first = message.time;
      last = message.time;
    }
    ASSERT_EQ(lease.ack(), Outcome::ok);
  }
  EXPECT_GT(first, 0U);
  EXPECT_GT(last, first) << "it goes on";
}

TEST_P(Time, NeverDecreasesFromOneProducerToItsSuccessor) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  std::uint64_t last = 0;
  for (int i = 0; i < 100; ++i) {
    {
      Producer producer = queue.producer();
      put(producer, {"a", "b"});
    }
    ipcq::Lease lease = take(consumer);
    ASSERT_EQ(lease.size(), 2U);
    for (const Message& message : lease) {
      ASSERT_GE(message.time, last);
      last = message.time;
    }
    ASSERT_EQ(lease.ack(), Outcome::ok);
  }
}

TEST_P(Time, IsThatOfTheClaimAndTheSameForItsWholeBatch) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c"});
  ipcq::Lease lease = take(consumer);
  for (const Message& message : lease) EXPECT_EQ(message.time, lease.begin()->time);
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

// The age lies between the two spans that the test's own clock can vouch for. 2 % and a millisecond are what two clocks
// may differ by; they are not a limit on how long anything may take.
TEST_P(Time, AnAgeIsTheTimeSinceTheMessageWasEnqueued) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "read"}, {.name = "idle", .start = Start::newest}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer("read");
  Consumer idle = queue.consumer("idle");

  const auto before_claim = steady_clock::now();
  put(producer, {"a"});
  const auto after_commit = steady_clock::now();
  drain(idle);
  let_pass(idle, milliseconds(50));

  ipcq::Lease lease = take(consumer);
  ASSERT_TRUE(lease);
  const auto before_reading = steady_clock::now();
  const nanoseconds age = lease.age(*lease.begin());
  const auto after_reading = steady_clock::now();
  const nanoseconds least = before_reading - after_commit;
  const nanoseconds most = after_reading - before_claim;
  EXPECT_GE(age, least - least / 50 - milliseconds(1));
  EXPECT_LE(age, most + most / 50 + milliseconds(1));
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Time, AnAgeGrowsAndAnOlderMessageIsOlder) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "read"}, {.name = "idle"}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer("read");
  Consumer idle = queue.consumer("idle");
  put(producer, {"old"});
  drain(idle);
  let_pass(idle, milliseconds(5));
  put(producer, {"new"});
  drain(idle);

  ipcq::Lease lease = take(consumer);
  ASSERT_EQ(lease.size(), 2U);
  ipcq::Lease::Iterator at = lease.begin();
  const Message older = *at;
  const Message newer = *++at;
  EXPECT_LT(older.time, newer.time);
  const nanoseconds age_of_newer = lease.age(newer);
  const nanoseconds age_of_older = lease.age(older);
  EXPECT_GT(age_of_older, age_of_newer + milliseconds(4)) << "5 ms lie between them";
  let_pass(idle, milliseconds(5));
  EXPECT_GT(lease.age(newer), age_of_newer + milliseconds(4));
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Time, AnAgeDoesNotStartAgainWithARequeue) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "read"}, {.name = "idle"}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer("read");
  Consumer idle = queue.consumer("idle");
  put(producer, {"a"});
  drain(idle);
  let_pass(idle, milliseconds(20));
  EXPECT_EQ(take(consumer).requeue(), Outcome::ok);
  ipcq::Lease lease = take(consumer);
  ASSERT_TRUE(lease);
  EXPECT_GT(lease.age(*lease.begin()), milliseconds(15));
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Time, SwitchedOffItIsZeroAndSoIsEveryAge) {
  const Queue queue = create(without_time());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (int lap = 0; lap < 200; ++lap) {  // also where the ring holds bytes of earlier laps
    put(producer, Texts(5, std::string(200, '\xff')));
    ipcq::Lease lease = take(consumer);
    ASSERT_EQ(lease.size(), 5U);
    for (const Message& message : lease) {
      ASSERT_EQ(message.time, 0U);
      ASSERT_EQ(lease.age(message).count(), 0);
    }
    ASSERT_EQ(lease.ack(), Outcome::ok);
  }
}

TEST_P(Time, IsReportedAsSwitchedOff) {
  const Queue with = create();
  EXPECT_TRUE(with.inspect().timestamps);
  EXPECT_TRUE(with.inspect().clock == "tsc" || with.inspect().clock == "monotonic") << with.inspect().clock;

  const Queue without = Queue::create("without", without_time());
  Producer producer = without.producer();
  put(producer, {"a"});
  const QueueInfo info = without.inspect();
  EXPECT_FALSE(info.timestamps);
  EXPECT_EQ(info.clock, "off");
  EXPECT_EQ(info.groups.at(0).oldest_age_ns, 0U);
}

TEST_P(Time, TheOldestUnfinishedMessagesAgeIsReported) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "read"}, {.name = "idle"}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer("read");
  Consumer idle = queue.consumer("idle");
  EXPECT_EQ(group_info(queue, "read")->oldest_age_ns, 0U);
  put(producer, {"old"});
  drain(idle);
  let_pass(idle, milliseconds(20));
  const auto before_new = steady_clock::now();
  put(producer, {"new"});
  drain(idle);
  EXPECT_GT(group_info(queue, "read")->oldest_age_ns, 15'000'000U);
  EXPECT_EQ(group_info(queue, "idle")->oldest_age_ns, 0U) << "it has finished both";
  EXPECT_EQ(take(consumer, 1).ack(), Outcome::ok);
  const nanoseconds age_of_new(group_info(queue, "read")->oldest_age_ns);
  EXPECT_GT(age_of_new, nanoseconds(0));
  const nanoseconds most = steady_clock::now() - before_new;
  EXPECT_LE(age_of_new, most + most / 50 + milliseconds(1)) << "the old one is finished";
  EXPECT_EQ(drain(consumer), Texts{"new"});
  EXPECT_EQ(group_info(queue, "read")->oldest_age_ns, 0U);
}

class TimeOfSharedProducers : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, TimeOfSharedProducers, modes_of_shared_producers(), name_of);

TEST_P(TimeOfSharedProducers, NeverDecreasesAlongTheRingWhoeverClaims) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  const std::uint32_t batches = scaled(2000);
  std::list<support::Background> producers;
  for (int i = 0; i < 4; ++i) {
    producers.emplace_back([&queue, batches] {
      Producer producer = queue.producer();
      for (std::uint32_t batch = 0; batch < batches; ++batch) {
        if (producer.send("x", 0, kPatience) != Outcome::ok) return;  // missed below
      }
    });
  }
  std::uint64_t last = 0;
  std::uint32_t seen = 0;
  std::uint32_t decreased = 0;
  while (seen < 4 * batches) {
    ipcq::Lease lease = consumer.lease({.deadline = kPatience});
    if (!lease) break;
    for (const Message& message : lease) {
      if (message.time < last) ++decreased;
      last = message.time;
      ++seen;
    }
    lease.ack();
  }
  for (support::Background& producer : producers) producer.join();
  EXPECT_EQ(seen, 4 * batches);
  EXPECT_EQ(decreased, 0U);
}

}  // namespace
}  // namespace ipcq::contract
