// Close: no new claims; consumers end when they have drained, and not before what others hold is acked or comes back.
#include <optional>
#include <string>
#include <utility>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

using support::Background;

/// What a lease answers that waits as long as it takes.
Outcome last_outcome(Consumer& consumer) { return consumer.lease({.deadline = kPatience}).outcome(); }

class Close : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, Close, every_mode(), name_of);

TEST_P(Close, RefusesClaims) {
  const Queue queue = create();
  Producer producer = queue.producer();
  EXPECT_FALSE(queue.closed());
  queue.close();
  EXPECT_TRUE(queue.closed());
  EXPECT_EQ(producer.claim({.messages = 1, .bytes = 1}, now).outcome(), Outcome::closed);
  EXPECT_EQ(producer.claim({.messages = 1, .bytes = 1}, kPatience).outcome(), Outcome::closed);
  EXPECT_EQ(producer.send("x", 0, kPatience), Outcome::closed);
}

TEST_P(Close, RefusesNewProducersAndTakesNewConsumers) {
  const Queue queue = create();
  queue.close();
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.producer()); }), Errc::closed);
  Consumer consumer = queue.consumer();
  EXPECT_EQ(last_outcome(consumer), Outcome::closed);
}

TEST_P(Close, IsToldToConsumersOnlyWhenTheyHaveDrained) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a", "b", "c"});
  }
  queue.close();
  Consumer consumer = queue.consumer();
  for (const char* text : {"a", "b", "c"}) {
    ipcq::Lease lease = take(consumer, 1);
    EXPECT_EQ(texts_of(lease), Texts{text});
    EXPECT_EQ(lease.ack(), Outcome::ok);
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(last_outcome(consumer), Outcome::closed) << "it stays so";
}

TEST_P(Close, IsToldToEachGroupWhenThatGroupHasDrained) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "fast"}, {.name = "slow"}};
  const Queue queue = create(wanted);
  {
    Producer producer = queue.producer();
    put(producer, {"a"});
  }
  queue.close();
  Consumer fast = queue.consumer("fast");
  Consumer slow = queue.consumer("slow");
  EXPECT_EQ(drain(fast), Texts{"a"});
  EXPECT_EQ(last_outcome(fast), Outcome::closed);
  EXPECT_EQ(drain(slow), Texts{"a"});
  EXPECT_EQ(last_outcome(slow), Outcome::closed);
}

TEST_P(Close, MinMessagesAreNotWaitedForWhenNoneCanCome) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a", "b"});
  }
  queue.close();
  Consumer consumer = queue.consumer();
  ipcq::Lease lease = consumer.lease({.max_messages = 10, .min_messages = 10, .deadline = kPatience});
  EXPECT_EQ(texts_of(lease), (Texts{"a", "b"}));
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(endpoint_info(queue, consumer.row())->waits, 0U);
}

TEST_P(Close, ComesAfterTheConsumersOwnOpenLease) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a"});
  }
  queue.close();
  Consumer consumer = queue.consumer();
  ipcq::Lease lease = take(consumer);
  ASSERT_TRUE(lease);
  EXPECT_TRUE(is_transient(take(consumer).outcome())) << "it may be given back";
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  EXPECT_EQ(drain(consumer), Texts{"a"});
  EXPECT_EQ(last_outcome(consumer), Outcome::closed);
}

TEST_P(Close, AClaimBegunBeforeMayCommitAndItsMessagesArrive) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 2, .bytes = 10}, now);
  claim.append_copy(bytes_of("a"));
  queue.close();
  EXPECT_TRUE(is_transient(take(consumer).outcome())) << "a batch may still come";
  claim.append_copy(bytes_of("b"));
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
  EXPECT_EQ(last_outcome(consumer), Outcome::closed);
  EXPECT_EQ(producer.claim({}, now).outcome(), Outcome::closed);
}

TEST_P(Close, AClaimBegunBeforeMayAbortAndThenTheStreamEnds) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  ipcq::Claim claim = producer.claim({.messages = 2, .bytes = 10}, now);
  claim.append_copy(bytes_of("never"));
  queue.close();
  EXPECT_EQ(drain(consumer), Texts{"a"});
  EXPECT_TRUE(is_transient(take(consumer).outcome()));
  claim.abort();
  EXPECT_EQ(last_outcome(consumer), Outcome::closed);
}

TEST_P(Close, TheEndOfTheLastClaimIsToldToASleepingConsumer) {
  for (const bool commits : {true, false}) {
    SCOPED_TRACE(commits ? "commit" : "abort");
    const Queue queue = Queue::create(commits ? "commits" : "aborts", options());
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1}, now);
    queue.close();
    Texts seen;
    Outcome last = Outcome::ok;
    Background waiter([&] {
      for (;;) {
        ipcq::Lease lease = consumer.lease({.deadline = kPatience});
        last = lease.outcome();
        if (!lease) return;
        for (std::string& text : texts_of(lease)) seen.push_back(std::move(text));
        lease.ack();
      }
    });
    waiter.wait_until_asleep();
    EXPECT_FALSE(waiter.finished());
    if (commits) {
      claim.append_copy(bytes_of("a"));
      claim.commit();
    } else {
      claim.abort();
    }
    waiter.join();
    EXPECT_EQ(seen, commits ? Texts{"a"} : Texts{});
    EXPECT_EQ(last, Outcome::closed);
  }
}

TEST_P(Close, IsIdempotent) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a"});
  }
  queue.close();
  queue.close();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(drain(consumer), Texts{"a"});
  queue.close();
  EXPECT_EQ(last_outcome(consumer), Outcome::closed);
}

TEST_P(Close, OfAnEmptyQueueIsToldAtOnce) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(take(consumer).outcome(), Outcome::empty);
  queue.close();
  EXPECT_EQ(take(consumer).outcome(), Outcome::closed);
}

TEST_P(Close, IsTakenBackByReopen) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  for (int i = 0; i < 3; ++i) {
    {
      Producer producer = queue.producer();
      put(producer, {"before"});
    }
    queue.close();
    EXPECT_EQ(drain(consumer), Texts{"before"});
    EXPECT_EQ(last_outcome(consumer), Outcome::closed);
    queue.reopen();
    EXPECT_FALSE(queue.closed());
    EXPECT_EQ(take(consumer).outcome(), Outcome::empty);
    Producer producer = queue.producer();
    put(producer, {"after"});
    EXPECT_EQ(drain(consumer), Texts{"after"});
  }
}

TEST_P(Close, ReopenLetsAnAttachedProducerClaimAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  queue.close();
  EXPECT_EQ(producer.send("x", 0, now), Outcome::closed);
  queue.reopen();
  put(producer, {"a"});
  EXPECT_EQ(drain(consumer), Texts{"a"});
  EXPECT_EQ(take(consumer).outcome(), Outcome::empty) << "not closed any more";
}

TEST_P(Close, ReopenOfAnOpenQueueChangesNothing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  queue.reopen();
  EXPECT_FALSE(queue.closed());
  EXPECT_EQ(drain(consumer), Texts{"a"});
}

TEST_P(Close, AGroupAddedAfterwardsDrainsToo) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a"});
  }
  queue.close();
  queue.add_group({.name = "late", .start = Start::oldest});
  queue.add_group({.name = "later", .start = Start::newest});
  Consumer late = queue.consumer("late");
  Consumer later = queue.consumer("later");
  EXPECT_EQ(drain(late), Texts{"a"});
  EXPECT_EQ(last_outcome(late), Outcome::closed);
  EXPECT_EQ(last_outcome(later), Outcome::closed);
}

class CloseOfASharedGroup : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, CloseOfASharedGroup, modes_of_shared_consumers(), name_of);

TEST_P(CloseOfASharedGroup, ComesAfterTheLeasesOfOthersAreAcked) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a", "b"});
  }
  queue.close();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  ipcq::Lease by_one = take(one, 1);
  ipcq::Lease by_two = take(two, 1);
  EXPECT_EQ(by_two.ack(), Outcome::ok);
  EXPECT_TRUE(is_transient(take(two).outcome())) << "the other's message may come back";
  EXPECT_EQ(by_one.ack(), Outcome::ok);
  EXPECT_EQ(last_outcome(two), Outcome::closed);
  EXPECT_EQ(last_outcome(one), Outcome::closed);
}

TEST_P(CloseOfASharedGroup, WaitsForALeaseThatComesBack) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a"});
  }
  queue.close();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  ipcq::Lease lease = take(one);
  Texts seen;
  Outcome last = Outcome::ok;
  Background waiter([&] {
    ipcq::Lease again = two.lease({.deadline = kPatience});
    seen = texts_of(again);
    again.ack();
    last = two.lease({.deadline = kPatience}).outcome();
  });
  waiter.wait_until_asleep();
  EXPECT_FALSE(waiter.finished());
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  waiter.join();
  EXPECT_EQ(seen, Texts{"a"});
  EXPECT_EQ(last, Outcome::closed);
}

TEST_P(CloseOfASharedGroup, IsToldToSleepingMembersByTheLastAck) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a"});
  }
  queue.close();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  ipcq::Lease lease = take(one);
  Outcome last = Outcome::ok;
  Background waiter([&] { last = two.lease({.deadline = kPatience}).outcome(); });
  waiter.wait_until_asleep();
  EXPECT_FALSE(waiter.finished());
  EXPECT_EQ(lease.ack(), Outcome::ok);
  waiter.join();
  EXPECT_EQ(last, Outcome::closed);
}

// A living exclusive producer claims without a lock, so only it can say where its stream ends.
class CloseWithAnExclusiveProducer : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, CloseWithAnExclusiveProducer, modes_of_exclusive_producers(), name_of);

TEST_P(CloseWithAnExclusiveProducer, IsToldOnceTheProducersNextClaimIsRefused) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  queue.close();
  EXPECT_EQ(drain(consumer), Texts{"a"});
  EXPECT_EQ(producer.send("x", 0, now), Outcome::closed);
  EXPECT_EQ(last_outcome(consumer), Outcome::closed);
}

TEST_P(CloseWithAnExclusiveProducer, IsToldOnceTheProducerDetaches) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  queue.close();
  EXPECT_EQ(drain(consumer), Texts{"a"});
  Outcome last = Outcome::ok;
  Background waiter([&] { last = consumer.lease({.deadline = kPatience}).outcome(); });
  waiter.wait_until_asleep();
  producer.detach();
  waiter.join();
  EXPECT_EQ(last, Outcome::closed);
}

TEST_P(CloseWithAnExclusiveProducer, LosesNothingThatASuccessorWrote) {
  const Queue queue = create();
  {
    Producer producer = queue.producer();
    put(producer, {"a"});
  }
  {
    Producer successor = queue.producer();
    put(successor, {"b"});
  }
  queue.close();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
  EXPECT_EQ(last_outcome(consumer), Outcome::closed);
}

}  // namespace
}  // namespace ipcq::contract
