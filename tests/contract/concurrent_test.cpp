// Many threads at once on a ring so small that it is often full. Every payload proves itself: nothing is lost, torn,
// repeated or out of order. IPCQ_TEST_SCALE makes it longer, IPCQ_TEST_SEED repeats its choices.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "queue_contract.hpp"
#include "random.hpp"
#include "traffic.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;

class Concurrent : public QueueContract {
 protected:
  [[nodiscard]] static std::uint32_t producers() { return shared_producers() ? 3 : 1; }
  /// Members of one group.
  [[nodiscard]] static std::uint32_t members() { return shared_consumers() ? 3 : 1; }
  [[nodiscard]] static std::vector<Receiver> make_receivers(std::uint32_t count, std::uint32_t first_number = 0) {
    std::vector<Receiver> receivers;
    for (std::uint32_t i = 0; i < count; ++i) receivers.emplace_back(first_number + i);
    return receivers;
  }
  static void start_senders(Crew& senders, const Queue& queue, std::uint32_t count) {
    for (std::uint32_t i = 0; i < producers(); ++i) {
      senders.start([&queue, i, count] {
        Producer producer = queue.producer();
        Sender(i, count).send_all(producer);
      });
    }
  }
  static void start_readers(Crew& readers, const Queue& queue, const std::string& group,
                            std::vector<Receiver>& receivers) {
    for (Receiver& receiver : receivers) {
      readers.start([&queue, group, &receiver] {
        Consumer consumer = queue.consumer(group);
        receiver.read_all(consumer);
      });
    }
  }
  static void expect_each_once(const std::vector<Receiver>& receivers, std::uint32_t count) {
    Tally tally(producers(), count);
    for (const Receiver& receiver : receivers) tally.add(receiver.acked());
    tally.expect_each_once();
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Concurrent, every_mode(), name_of);

TEST_P(Concurrent, EveryMessageReachesEveryGroupExactlyOnce) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "a"}, {.name = "b"}};
  const Queue queue = create(wanted);
  const std::uint32_t count = scaled(20'000);
  std::vector<Receiver> of_a = make_receivers(members());
  std::vector<Receiver> of_b = make_receivers(members(), members());
  Crew senders;
  Crew readers;
  start_readers(readers, queue, "a", of_a);
  start_readers(readers, queue, "b", of_b);
  start_senders(senders, queue, count);
  finish_traffic(queue, senders, readers);
  expect_each_once(of_a, count);
  expect_each_once(of_b, count);
}

TEST_P(Concurrent, ASoleConsumerSeesTheOrderOfTheRingAndOfEachProducer) {
  const Queue queue = create();
  const std::uint32_t count = scaled(20'000);
  std::vector<Receiver> receivers = make_receivers(1);
  Crew senders;
  Crew readers;
  start_readers(readers, queue, "default", receivers);
  start_senders(senders, queue, count);
  finish_traffic(queue, senders, readers);
  expect_each_once(receivers, count);
  expect_in_order(receivers[0].acked(), producers());
}

TEST_P(Concurrent, EndpointsMayComeAndGoUnderTraffic) {
  CreateOptions wanted = options();
  wanted.endpoints_max = 6;  // as many as are attached at once, at the most: rows are used again all the time
  const Queue queue = create(wanted);
  const std::uint32_t count = scaled(3'000);
  std::vector<Receiver> receivers = make_receivers(members());
  Crew senders;
  Crew readers;
  for (Receiver& receiver : receivers) {
    readers.start([&queue, &receiver] {
      for (;;) {
        Consumer consumer = queue.consumer();
        const Outcome outcome = receiver.read_batch(consumer, milliseconds(5));
        if (outcome == Outcome::closed) return;
        if (outcome != Outcome::ok && !is_transient(outcome)) fail("lease", outcome);
      }
    });
  }
  for (std::uint32_t i = 0; i < producers(); ++i) {
    senders.start([&queue, i, count] {
      Sender sender(i, count);
      while (!sender.done()) {
        Producer producer = queue.producer();
        if (const Outcome outcome = sender.send_batch(producer, kPatience); outcome != Outcome::ok)
          fail("claim", outcome);
      }
    });
  }
  finish_traffic(queue, senders, readers);
  expect_each_once(receivers, count);
  EXPECT_TRUE(queue.inspect().endpoints.empty());
}

TEST_P(Concurrent, GroupsMayComeAndGoUnderTraffic) {
  const Queue queue = create();
  const std::uint32_t count = scaled(10'000);
  std::vector<Receiver> receivers = make_receivers(members());
  Crew senders;
  Crew readers;
  start_readers(readers, queue, "default", receivers);
  start_senders(senders, queue, count);
  std::atomic<std::uint32_t> visits = 0;
  readers.start([&] {
    Random random(3000);
    for (bool closed = false; !closed;) {
      queue.add_group({.name = "guest", .start = random.one_in(2) ? Start::newest : Start::oldest});
      std::vector<Receipt> seen;
      {
        Consumer guest = queue.consumer("guest");
        for (std::uint32_t leases = random.below(20); leases > 0 && !closed; --leases) {
          ipcq::Lease lease = guest.lease({.deadline = milliseconds(5)});
          closed = lease.outcome() == Outcome::closed;
          if (!lease) continue;
          const std::vector<Receipt> receipts = receipts_of(lease);
          seen.insert(seen.end(), receipts.begin(), receipts.end());
          lease.ack();
        }
      }
      closed = closed || queue.closed();
      queue.remove_group("guest");
      expect_in_order(seen, producers());
      ++visits;
    }
  });
  finish_traffic(queue, senders, readers);
  expect_each_once(receivers, count);
  EXPECT_GT(visits.load(), 0U);
}

TEST_P(Concurrent, ACancelLosesNothing) {
  const Queue queue = create();
  const std::uint32_t count = scaled(3'000);
  Receiver receiver(0);
  Sender sender(0, count);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  std::atomic<bool> over = false;
  std::atomic<std::uint32_t> cancelled = 0;
  Crew cancels;
  Crew senders;
  Crew readers;
  std::atomic<std::uint32_t> rounds = 0;
  cancels.start([&] {
    for (; !over; ++rounds) {
      producer.cancel();
      consumer.cancel();
      std::this_thread::yield();
    }
  });
  support::wait_until("the first cancel is said", [&] { return rounds > 0; });
  senders.start([&] {
    while (!sender.done()) {
      const Outcome outcome = sender.send_batch(producer, kPatience);
      if (outcome == Outcome::cancelled) {
        ++cancelled;
        producer.reset();
      } else if (outcome != Outcome::ok) {
        fail("claim", outcome);
      }
    }
  });
  std::atomic<bool> sent = false;
  readers.start([&] {
    for (;;) {
      const bool all_sent = sent;  // before the look, so that an empty one says something
      const Outcome outcome = receiver.read_batch(consumer, milliseconds(5));
      if (outcome == Outcome::cancelled) {
        ++cancelled;
        consumer.reset();
      } else if (!is_transient(outcome) && outcome != Outcome::ok) {
        fail("lease", outcome);
      } else if (outcome == Outcome::empty && all_sent) {
        return;
      }
    }
  });
  try {
    senders.join();
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
  over = true;
  cancels.join();
  sent = true;
  readers.join();
  Tally tally(1, count);
  tally.add(receiver.acked());
  tally.expect_each_once();
  EXPECT_GT(cancelled.load(), 0U);
}

TEST_P(Concurrent, RoundTripsBetweenTwoThreadsAlwaysComeBack) {
  const Queue there = Queue::create("there", options());
  const Queue back = Queue::create("back", options());
  for (const WaitStrategy strategy : {WaitStrategy::spin, WaitStrategy::adaptive, WaitStrategy::sleep}) {
    Producer request = there.producer({.wait = strategy});
    Consumer response = back.consumer(ConsumerOptions{.wait = strategy});
    const std::uint32_t rounds = scaled(300);
    support::Background echo([&, strategy] {
      Consumer from = there.consumer(ConsumerOptions{.wait = strategy});
      Producer to = back.producer({.wait = strategy});
      std::string text;
      for (std::uint32_t i = 0; i < rounds; ++i) {
        if (const Outcome outcome = from.receive(text, kPatience); outcome != Outcome::ok) fail("echo", outcome);
        if (const Outcome outcome = to.send(text, 0, kPatience); outcome != Outcome::ok) fail("echo", outcome);
      }
    });
    std::string text;
    for (std::uint32_t i = 0; i < rounds; ++i) {
      ASSERT_EQ(request.send(std::to_string(i), 0, kPatience), Outcome::ok);
      ASSERT_EQ(response.receive(text, kPatience), Outcome::ok);
      ASSERT_EQ(text, std::to_string(i));
    }
    echo.join();
  }
}

TEST_P(Concurrent, InspectionDisturbsNobodyAndCountsOnlyForward) {
  const Queue queue = create();
  const std::uint32_t count = scaled(10'000);
  std::vector<Receiver> receivers = make_receivers(members());
  Crew senders;
  Crew readers;
  start_readers(readers, queue, "default", receivers);
  start_senders(senders, queue, count);
  std::atomic<std::uint32_t> looks = 0;
  readers.start([&] {
    std::uint64_t messages = 0;
    std::uint64_t position = 0;
    std::uint64_t retired = 0;
    for (bool closed = false; !closed; ++looks) {
      closed = queue.closed();
      const QueueInfo info = queue.inspect();
      EXPECT_GE(info.messages, messages);
      EXPECT_GE(info.claim_position, position);
      EXPECT_EQ(info.groups.size(), 1U);
      for (const GroupInfo& group : info.groups) {
        EXPECT_GE(group.retired, retired);
        retired = group.retired;
      }
      messages = info.messages;
      position = info.claim_position;
      EXPECT_EQ(list(where()).size(), 1U);
    }
  });
  finish_traffic(queue, senders, readers);
  expect_each_once(receivers, count);
  EXPECT_GT(looks.load(), 0U);
  EXPECT_EQ(queue.inspect().messages, std::uint64_t{count} * producers());
}

class ConcurrentSharedGroup : public Concurrent {};
INSTANTIATE_TEST_SUITE_P(Modes, ConcurrentSharedGroup, modes_of_shared_consumers(), name_of);

// One thread leases, three others finish what it leased, in any order.
TEST_P(ConcurrentSharedGroup, LeasesMayBeFinishedByOtherThreads) {
  const Queue queue = create();
  const std::uint32_t count = scaled(15'000);
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<ipcq::Lease> handed_over;
  bool over = false;
  std::vector<Receiver> receivers = make_receivers(3);
  Crew senders;
  Crew readers;
  for (Receiver& receiver : receivers) {
    readers.start([&] {
      Random random(4000);
      for (;;) {
        ipcq::Lease lease;
        {
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return over || !handed_over.empty(); });
          if (handed_over.empty()) return;
          const bool newest = random.one_in(2);
          lease = std::move(newest ? handed_over.back() : handed_over.front());
          if (newest) {
            handed_over.pop_back();
          } else {
            handed_over.pop_front();
          }
        }
        receiver.finish(lease);
      }
    });
  }
  readers.start([&] {
    Consumer consumer = queue.consumer();
    Random random(4001);
    for (;;) {
      ipcq::Lease lease = consumer.lease({.max_messages = random.between(1, 30), .deadline = kPatience});
      const std::lock_guard lock(mutex);
      if (lease) {
        handed_over.push_back(std::move(lease));
      } else {
        EXPECT_EQ(lease.outcome(), Outcome::closed);
        over = true;
      }
      changed.notify_all();
      if (over) return;
    }
  });
  start_senders(senders, queue, count);
  finish_traffic(queue, senders, readers);
  expect_each_once(receivers, count);
}

TEST_P(ConcurrentSharedGroup, DropOldestDropsWholeMessagesAndCountsEachOfThem) {
  CreateOptions wanted = options();
  wanted.overflow = Overflow::drop_oldest;
  const Queue queue = create(wanted);
  const std::uint32_t count = scaled(20'000);
  std::vector<Receipt> seen;
  Crew senders;
  Crew readers;
  readers.start([&] {
    Consumer consumer = queue.consumer();
    Random random(5000);
    for (;;) {
      ipcq::Lease lease = consumer.lease({.max_messages = random.between(1, 20), .deadline = kPatience});
      if (!lease) {
        if (lease.outcome() != Outcome::closed) fail("lease", lease.outcome());
        return;
      }
      const std::vector<Receipt> receipts = receipts_of(lease);
      if (random.one_in(10)) {
        lease.requeue();  // it may be dropped then
        continue;
      }
      if (const Outcome outcome = lease.ack(); outcome != Outcome::ok) fail("ack", outcome);
      seen.insert(seen.end(), receipts.begin(), receipts.end());
    }
  });
  start_senders(senders, queue, count);
  finish_traffic(queue, senders, readers);
  expect_in_order(seen, producers());
  EXPECT_EQ(seen.size() + group_info(queue, "default")->dropped_messages, std::uint64_t{count} * producers());
}

class ConcurrentExclusiveProducer : public Concurrent {};
INSTANTIATE_TEST_SUITE_P(Modes, ConcurrentExclusiveProducer, modes_of_exclusive_producers(), name_of);

// Between the two threads nothing orders anything but the queue: ThreadSanitizer sees it if the group's first position,
// where the aborted claim had its payload, was read without what stands there.
TEST_P(ConcurrentExclusiveProducer, AGroupThatBeginsWhereAnAbortedClaimWasSeesTheEndThere) {
  const Queue queue = create();
  Producer producer = queue.producer();
  std::atomic<bool> sent = false;
  Crew guests;
  guests.start([&] {
    while (!sent.load(std::memory_order_relaxed)) std::this_thread::yield();
    queue.add_group({.name = "guest", .start = Start::newest});
    Consumer guest = queue.consumer("guest");
    if (const Outcome outcome = guest.lease({.deadline = now}).outcome(); outcome != Outcome::empty)
      fail("lease", outcome);
  });
  ipcq::Claim aborted = producer.claim({.messages = 1, .bytes = 4096}, now);
  ASSERT_TRUE(aborted);
  std::ranges::fill(aborted.append(4096), std::byte{0xFF});
  aborted.abort();
  put(producer, {"before the guest"});
  sent.store(true, std::memory_order_relaxed);
  guests.join();
}

class ConcurrentSharedSides : public Concurrent {};
INSTANTIATE_TEST_SUITE_P(Modes, ConcurrentSharedSides, ::testing::Values(kSharedShared), name_of);

TEST_P(ConcurrentSharedSides, OneQueueObjectServesAllThreadsAtOnce) {
  const Queue queue = create();
  const std::uint32_t rounds = scaled(200);
  Crew crew;
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    crew.start([&queue, thread, rounds] {
      const std::string name = "own-" + std::to_string(thread);
      for (std::uint32_t i = 0; i < rounds; ++i) {
        queue.add_group({.name = name, .start = Start::newest});
        {
          Producer producer = queue.producer();
          Consumer consumer = queue.consumer(name);
          ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 8}, kPatience);
          if (!claim) fail("claim", claim.outcome());
          claim.append_copy(bytes_of("x"));
          claim.commit();
          // Its own message at the latest, behind what others sent since the group began.
          if (!consumer.lease({.deadline = kPatience}))
            throw std::runtime_error("a group misses what was sent after it began");
        }
        queue.remove_group(name);
        Consumer consumer = queue.consumer();  // all threads share the work of keeping the default group empty
        while (ipcq::Lease lease = consumer.lease({.deadline = now})) lease.ack();
      }
    });
  }
  crew.join();
  Consumer consumer = queue.consumer();
  drain(consumer);
  EXPECT_EQ(queue.inspect().messages, std::uint64_t{4} * rounds);
  EXPECT_EQ(group_info(queue, "default")->leased_messages, std::uint64_t{4} * rounds);
  EXPECT_EQ(queue.inspect().groups.size(), 1U);
  EXPECT_EQ(queue.inspect().endpoints.size(), 1U);
}

}  // namespace
}  // namespace ipcq::contract
