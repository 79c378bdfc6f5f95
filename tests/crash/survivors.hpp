// The survivors: processes that come to, or sleep in, a queue in which another has died, and check what they find.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ipcq/ipcq.hpp>
#include <string>
#include <thread>
#include <vector>

#include "crash_test.hpp"

namespace ipcq::crash {

/// What a survivor of the matrix checks. Passed to a child as arguments, in this order.
struct Expectation {
  std::string expected;
  std::string redelivered;
  unsigned may_miss_first = 0;
  bool closed = false;

  [[nodiscard]] std::vector<std::string> arguments() const {
    return {expected, redelivered, std::to_string(may_miss_first), closed ? "closed" : "open"};
  }
  static Expectation from(const Child& self, std::size_t first) {
    return {self.argument(first), self.argument(first + 1), static_cast<unsigned>(self.number(first + 2)),
            self.argument(first + 3) == "closed"};
  }
};

/// What the survivors send.
inline const char* const kAfter = "201-204";
/// What a producer sends that waited for nearly the whole ring; more room than kAfter and the expected messages leave.
inline const char* const kLarge = "901-903";
inline constexpr std::size_t kLargePayload = 21000;

/// Takes what is expected, in order, then the messages `more`.
inline void take(Consumer& consumer, const Expectation& expectation, const std::string& more) {
  Ids wanted = ids(expectation.expected);
  const Ids after = ids(more);
  wanted.insert(wanted.end(), after.begin(), after.end());
  // The last of them may be waited for in vain if the first have been dropped.
  const Deadline deadline = expectation.may_miss_first > 0 ? Deadline(10 * kProbePause) : Deadline(kBound);
  const Deliveries got = receive(consumer, wanted.size(), deadline);
  const std::size_t missing = wanted.size() - got.all.size();
  if (missing > 0 && missing <= expectation.may_miss_first) {
    wanted.erase(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(missing));
  }
  require(got.ids() == wanted,
          "got " + text(got.ids()) + " instead of " + text(wanted) + ", then " + to_string(got.last));
  const Ids again = ids(expectation.redelivered);
  for (const Delivery& one : got.all) {
    const bool is_again = std::find(again.begin(), again.end(), one.id) != again.end();
    require((one.deliveries > 0) == is_again, "message " + std::to_string(one.id) + " says it was handed out " +
                                                  std::to_string(one.deliveries) + " times before");
    require(!is_again || one.lease_size == 1, "message " + std::to_string(one.id) + " came in a lease of " +
                                                  std::to_string(one.lease_size) + " although it may have killed one");
  }
}

inline void expect_nothing_more(Consumer& consumer, bool closed) {
  const Lease none = consumer.lease({.deadline = closed ? Deadline(kBound) : Deadline(now)});
  const Outcome wanted = closed ? Outcome::closed : Outcome::empty;
  require(none.outcome() == wanted, std::string("in the drained queue: ") + to_string(none.outcome()));
}

/// A new producer. A closed queue must refuse one; it is opened again then.
inline Producer producer_of(const Queue& queue, bool closed) {
  if (closed) {
    try {
      static_cast<void>(queue.producer());
      require(false, "a producer attached to a closed queue");
    } catch (const Error& error) {
      require(error.errc() == Errc::closed, error.what());
    }
    queue.reopen();
  }
  return queue.producer();
}

/// Opens the queue anew and reads before it attaches a producer: only consumers to recover what the dead left.
inline const ChildRole kConsumerFirst("consumer first", [](Child& self) {
  const Expectation expectation = Expectation::from(self, 0);
  const Queue queue = Queue::open(kQueue);
  Consumer consumer = queue.consumer();
  std::this_thread::sleep_for(kProbePause);
  take(consumer, expectation, "");
  expect_nothing_more(consumer, expectation.closed);
  Producer producer = producer_of(queue, expectation.closed);
  send(producer, ids(kAfter));
  take(consumer, {kAfter, "", 0, false}, "");
  expect_nothing_more(consumer, false);
  return 0;
});

/// Opens the queue anew and attaches a producer, which may get the row of the dead, before anybody has looked for it.
inline const ChildRole kProducerFirst("producer first", [](Child& self) {
  const Expectation expectation = Expectation::from(self, 0);
  const Queue queue = Queue::open(kQueue);
  Producer producer = producer_of(queue, expectation.closed);
  send(producer, ids(kAfter));
  Consumer consumer = queue.consumer();
  std::this_thread::sleep_for(kProbePause);
  take(consumer, expectation, kAfter);
  expect_nothing_more(consumer, false);
  return 0;
});

/// Takes what was there before the death, then sleeps until it gets the rest of what is expected, then until it gets what
/// others send. Arguments: an Expectation, how many were there before, what others send.
inline const ChildRole kWaitingConsumer("waiting consumer", [](Child& self) {
  const Expectation expectation = Expectation::from(self, 0);
  const Ids wanted = ids(expectation.expected);
  const Ids after = ids(self.argument(5));
  const Queue queue = Queue::open(kQueue);
  Consumer consumer = queue.consumer({.wait = WaitStrategy::sleep});
  Ids got = receive(consumer, self.number(4)).ids();
  self.report("waiting");
  const Deliveries rest = receive(consumer, wanted.size() - got.size());
  for (const std::uint64_t id : rest.ids()) got.push_back(id);
  require(got == wanted, "got " + text(got) + " instead of " + text(wanted) + ", then " + to_string(rest.last));
  self.report("has them");
  const Deliveries others = receive(consumer, after.size());
  require(others.ids() == after,
          "got " + text(others.ids()) + " instead of " + text(after) + ", then " + to_string(others.last));
  expect_nothing_more(consumer, expectation.closed);
  return 0;
});

/// Waits for nearly the whole ring, and sends three large messages when it has it.
inline const ChildRole kWaitingProducer("waiting producer", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  Producer producer = queue.producer({.wait = WaitStrategy::sleep});
  const Ids large = ids(kLarge);
  self.report("waiting");
  Claim batch = producer.claim(Room::equal(static_cast<std::uint32_t>(large.size()), kLargePayload), 2 * kBound);
  require(batch.outcome() == Outcome::ok, std::string("the claim that waited: ") + to_string(batch.outcome()));
  for (const std::uint64_t id : large) fill(batch.append(kLargePayload), id);
  const Outcome outcome = batch.commit();
  require(outcome == Outcome::ok, std::string("its commit: ") + to_string(outcome));
  return 0;
});

/// Opens the queue anew and takes what is expected and what a waiting producer sends then.
inline const ChildRole kReader("reader", [](Child& self) {
  const Expectation expectation = Expectation::from(self, 0);
  const Queue queue = Queue::open(kQueue);
  Consumer consumer = queue.consumer();
  std::this_thread::sleep_for(kProbePause);
  take(consumer, expectation, kLarge);
  expect_nothing_more(consumer, false);
  return 0;
});

/// Opens the queue anew and sends. Arguments: what.
inline const ChildRole kSender("sender", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  send(producer, ids(self.argument(0)));
  return 0;
});

namespace survivors {

// Everybody who may read, whatever group was being added or removed when somebody died.
inline std::vector<Consumer> consumers_of_all_groups(const Queue& queue) {
  std::vector<Consumer> consumers;
  for (const GroupInfo& group : queue.inspect().groups) {
    try {
      consumers.push_back(queue.consumer(group.name));
    } catch (const Error& error) {
      require(error.errc() == Errc::no_such_group, error.what());
    }
  }
  require(!consumers.empty(), "the queue has no group");
  return consumers;
}

}  // namespace survivors

/// Fills the ring to its capacity and drains it, twice, so that every byte of it is used again. Nothing may be missing
/// of it for a claim or a lease that nobody holds any more.
inline const ChildRole kWholeRing("whole ring", [](Child&) {
  const Queue queue = Queue::open(kQueue);
  if (queue.closed()) queue.reopen();
  std::vector<Consumer> consumers = survivors::consumers_of_all_groups(queue);
  for (Consumer& consumer : consumers) {
    while (Lease rest = consumer.lease({.deadline = kProbePause}))
      require(rest.ack() == Outcome::ok, "ack of the rest");
  }
  Producer producer = queue.producer();
  const bool refuses = queue.inspect().overflow != Overflow::drop_oldest;
  for (std::uint64_t round = 1; round <= 2; ++round) {
    Ids filled;
    while (filled.size() < kRingful) {
      filled.push_back(round * 1000 + filled.size());
      Claim batch = claim(producer, {filled.back()}, now);
      require(batch.outcome() == Outcome::ok, "the ring takes " + std::to_string(filled.size() - 1) + " of " +
                                                  std::to_string(kRingful) + " messages, then " +
                                                  to_string(batch.outcome()));
      require(batch.commit() == Outcome::ok, "commit");
    }
    if (refuses) {
      const Claim one_more = claim(producer, {1}, now);
      require(one_more.outcome() == Outcome::full, "the ring takes more than it has room for");
    }
    for (Consumer& consumer : consumers) {
      const Deliveries got = receive(consumer, filled.size());
      require(got.ids() == filled, "the full ring gave " + text(got.ids()) + ", then " + to_string(got.last));
      expect_nothing_more(consumer, false);
    }
  }
  return 0;
});

}  // namespace ipcq::crash
