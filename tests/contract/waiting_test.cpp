// Waiting: what a lease and a claim wait for, what wakes them, how long at the most, and how they are told to stop.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using support::Background;

constexpr WaitStrategy kStrategies[] = {WaitStrategy::spin, WaitStrategy::adaptive, WaitStrategy::sleep};

const char* strategy_name(WaitStrategy strategy) {
  return strategy == WaitStrategy::spin ? "spin" : strategy == WaitStrategy::adaptive ? "adaptive" : "sleep";
}

/// A thread that spins never sleeps: then the test goes on at once, and must hold in either order.
void let_it_wait(const Background& waiter, WaitStrategy strategy) {
  if (strategy != WaitStrategy::spin) waiter.wait_until_asleep();
}

class Waiting : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, Waiting, every_mode(), ipcq::contract::name_of);

TEST_P(Waiting, ALeaseSleepsUntilACommit) {
  const Queue queue = create();
  Producer producer = queue.producer();
  for (const WaitStrategy strategy : kStrategies) {
    SCOPED_TRACE(strategy_name(strategy));
    Consumer consumer = queue.consumer(ConsumerOptions{.wait = strategy});
    Texts seen;
    Background waiter([&] {
      ipcq::Lease lease = consumer.lease({.deadline = kPatience});
      seen = texts_of(lease);
      lease.ack();
    });
    let_it_wait(waiter, strategy);
    put(producer, {"a", "b"});
    waiter.join();
    EXPECT_EQ(seen, (Texts{"a", "b"}));
  }
}

TEST_P(Waiting, AClaimSleepsUntilAnAck) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  for (const WaitStrategy strategy : kStrategies) {
    SCOPED_TRACE(strategy_name(strategy));
    Producer producer = queue.producer({.wait = strategy});
    const std::uint32_t sent = fill(producer, 1000);
    Outcome outcome = Outcome::empty;
    Background waiter([&] { outcome = producer.send(std::string(1000, 'x'), 0, kPatience); });
    let_it_wait(waiter, strategy);
    const std::size_t drained = drain(consumer).size();
    waiter.join();
    EXPECT_EQ(outcome, Outcome::ok);
    EXPECT_EQ(drained + drain(consumer).size(), sent + 1);
  }
}

TEST_P(Waiting, MinMessagesMayBeMetBySeveralCommits) {
  const Queue queue = create();
  Producer producer = queue.producer();
  for (const WaitStrategy strategy : kStrategies) {
    SCOPED_TRACE(strategy_name(strategy));
    Consumer consumer = queue.consumer(ConsumerOptions{.wait = strategy});
    Texts seen;
    Background waiter([&] {
      ipcq::Lease lease = consumer.lease({.max_messages = 3, .min_messages = 3, .deadline = kPatience});
      seen = texts_of(lease);
      lease.ack();
    });
    for (const char* text : {"a", "b", "c"}) {
      let_it_wait(waiter, strategy);
      EXPECT_FALSE(waiter.finished()) << "before " << text;
      put(producer, {text});
    }
    waiter.join();
    EXPECT_EQ(seen, (Texts{"a", "b", "c"}));
  }
}

TEST_P(Waiting, MinMessagesGiveWayToAProducerThatIsShortOfRoom) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  constexpr std::uint32_t kMessages = 300;  // several rings full; a ring holds far less than min_messages
  std::uint32_t seen = 0;
  Background reader([&] {
    constexpr Take kAll{.max_messages = 4096, .min_messages = 4096, .deadline = 2 * kPatience};
    while (ipcq::Lease lease = consumer.lease(kAll)) {
      seen += lease.size();
      lease.ack();
    }
  });
  std::uint32_t sent = 0;
  while (sent < kMessages && producer.send(std::string(1000, 'x'), 0, kPatience) == Outcome::ok) ++sent;
  EXPECT_EQ(sent, kMessages) << "the reader insisted on messages that had no room to come";
  consumer.cancel();
  reader.join();
  consumer.reset();
  EXPECT_EQ(seen + drain(consumer).size(), sent);
}

TEST_P(Waiting, WithDeadlineNowNothingIsWaitedFor) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (const Deadline deadline : {now, Deadline(milliseconds(0)), Deadline(milliseconds(-5)),
                                  Deadline(steady_clock::time_point{}), Deadline(steady_clock::now())}) {
    EXPECT_EQ(consumer.lease({.deadline = deadline}).outcome(), Outcome::empty);
  }
  fill(producer, 1000);
  EXPECT_EQ(producer.send(std::string(1000, 'x'), 0, now), Outcome::full);
  EXPECT_EQ(producer.send(std::string(1000, 'x'), 0, Deadline(steady_clock::time_point{})), Outcome::full);
  EXPECT_EQ(endpoint_info(queue, producer.row())->waits, 0U);
  EXPECT_EQ(endpoint_info(queue, consumer.row())->waits, 0U);
}

TEST_P(Waiting, ADeadlineThatHasPassedStillTakesWhatIsThere) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(producer.send("a", 0, Deadline(steady_clock::time_point{})), Outcome::ok);
  ipcq::Lease lease = consumer.lease({.deadline = steady_clock::time_point{}});
  EXPECT_EQ(texts_of(lease), Texts{"a"});
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Waiting, ADeadlineIsWaitedForWhetherDurationOrTimePoint) {
  const Queue queue = create();
  for (const WaitStrategy strategy : kStrategies) {
    SCOPED_TRACE(strategy_name(strategy));
    Consumer consumer = queue.consumer(ConsumerOptions{.wait = strategy});
    const auto before = steady_clock::now();
    EXPECT_EQ(consumer.lease({.deadline = milliseconds(20)}).outcome(), Outcome::empty);
    EXPECT_GE(steady_clock::now() - before, milliseconds(20));

    const auto at = steady_clock::now() + milliseconds(20);
    EXPECT_EQ(consumer.lease({.deadline = at}).outcome(), Outcome::empty);
    EXPECT_GE(steady_clock::now(), at);
  }
}

TEST_P(Waiting, ALongerDeadlineThanTheBackstopIsWaitedForToo) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const auto before = steady_clock::now();
  EXPECT_EQ(consumer.lease({.deadline = milliseconds(180)}).outcome(), Outcome::empty);
  EXPECT_GE(steady_clock::now() - before, milliseconds(180));
  EXPECT_EQ(endpoint_info(queue, consumer.row())->waits, 1U) << "one call that slept, however often it looked";
}

TEST_P(Waiting, CancelEndsAWaitingLease) {
  const Queue queue = create();
  Producer producer = queue.producer();
  for (const WaitStrategy strategy : kStrategies) {
    SCOPED_TRACE(strategy_name(strategy));
    Consumer consumer = queue.consumer(ConsumerOptions{.wait = strategy});
    Outcome outcome = Outcome::ok;
    Background waiter([&] { outcome = consumer.lease({.deadline = kPatience}).outcome(); });
    let_it_wait(waiter, strategy);
    consumer.cancel();
    waiter.join();
    EXPECT_EQ(outcome, Outcome::cancelled);
  }
}

TEST_P(Waiting, CancelEndsAWaitingClaim) {
  const Queue queue = create();
  for (const WaitStrategy strategy : kStrategies) {
    SCOPED_TRACE(strategy_name(strategy));
    Producer producer = queue.producer({.wait = strategy});
    fill(producer, 1000);
    Outcome outcome = Outcome::ok;
    Background waiter([&] { outcome = producer.send(std::string(1000, 'x'), 0, kPatience); });
    let_it_wait(waiter, strategy);
    producer.cancel();
    waiter.join();
    EXPECT_EQ(outcome, Outcome::cancelled);
  }
}

TEST_P(Waiting, CancelIsStickyUntilReset) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  consumer.cancel();
  producer.cancel();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(take(consumer).outcome(), Outcome::cancelled) << "although a message is there";
    EXPECT_EQ(consumer.lease().outcome(), Outcome::cancelled) << "and for ever";
    EXPECT_EQ(producer.send("x", 0, now), Outcome::cancelled) << "although there is room";
    EXPECT_EQ(producer.claim({}).outcome(), Outcome::cancelled);
  }
  consumer.reset();
  producer.reset();
  EXPECT_EQ(producer.send("b", 0, now), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
}

TEST_P(Waiting, CancelOfOneEndpointIsNoOthers) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "one"}, {.name = "two"}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer one = queue.consumer("one");
  Consumer two = queue.consumer("two");
  Texts seen;
  Background waiter([&] {
    ipcq::Lease lease = two.lease({.deadline = kPatience});
    seen = texts_of(lease);
    lease.ack();
  });
  waiter.wait_until_asleep();
  one.cancel();
  put(producer, {"a"});
  waiter.join();
  EXPECT_EQ(seen, Texts{"a"});
  EXPECT_EQ(take(one).outcome(), Outcome::cancelled);
}

TEST_P(Waiting, CancelLeavesWhatIsOpenOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  ipcq::Lease lease = take(consumer);
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1}, now);
  consumer.cancel();
  producer.cancel();
  EXPECT_EQ(texts_of(lease), Texts{"a"});
  EXPECT_EQ(lease.ack(), Outcome::ok);
  claim.append_copy(bytes_of("b"));
  EXPECT_EQ(claim.commit(), Outcome::ok);
  consumer.reset();
  EXPECT_EQ(drain(consumer), Texts{"b"});
}

std::atomic<Consumer*> g_consumer_of_signal;
std::atomic<Producer*> g_producer_of_signal;

extern "C" void on_cancel_signal(int) {
  if (Consumer* consumer = g_consumer_of_signal.load()) consumer->cancel();
  if (Producer* producer = g_producer_of_signal.load()) producer->cancel();
}

/// SIGUSR1 cancels `consumer` and `producer` (or null), for the guard's life.
class CancelBySignal {
 public:
  CancelBySignal(Consumer* consumer, Producer* producer) {
    g_consumer_of_signal = consumer;
    g_producer_of_signal = producer;
    struct sigaction action {};
    action.sa_handler = on_cancel_signal;  // without SA_RESTART, as a program that ends on a signal has it
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGUSR1, &action, &before_);
  }
  CancelBySignal(const CancelBySignal&) = delete;
  CancelBySignal& operator=(const CancelBySignal&) = delete;
  ~CancelBySignal() {
    ::sigaction(SIGUSR1, &before_, nullptr);
    g_consumer_of_signal = nullptr;
    g_producer_of_signal = nullptr;
  }

 private:
  struct sigaction before_ {};
};

TEST_P(Waiting, CancelFromASignalHandlerOfTheWaitingThreadEndsIt) {
  const Queue queue = create();
  for (const WaitStrategy strategy : kStrategies) {
    SCOPED_TRACE(strategy_name(strategy));
    Producer producer = queue.producer({.wait = strategy});
    Consumer consumer = queue.consumer(ConsumerOptions{.wait = strategy});
    {
      const CancelBySignal guard(&consumer, nullptr);
      Outcome outcome = Outcome::ok;
      std::atomic<bool> begun = false;
      Background waiter([&] {
        begun = true;
        outcome = consumer.lease({.deadline = kPatience}).outcome();
      });
      support::wait_until("the thread runs", [&] { return begun.load(); });
      let_it_wait(waiter, strategy);
      waiter.signal(SIGUSR1);
      waiter.join();
      EXPECT_EQ(outcome, Outcome::cancelled);
    }
    fill(producer, 1000);
    {
      const CancelBySignal guard(nullptr, &producer);
      Outcome outcome = Outcome::ok;
      std::atomic<bool> begun = false;
      Background waiter([&] {
        begun = true;
        outcome = producer.send(std::string(1000, 'x'), 0, kPatience);
      });
      support::wait_until("the thread runs", [&] { return begun.load(); });
      let_it_wait(waiter, strategy);
      waiter.signal(SIGUSR1);
      waiter.join();
      EXPECT_EQ(outcome, Outcome::cancelled);
    }
    consumer.reset();
    EXPECT_FALSE(drain(consumer).empty());
  }
}

TEST_P(Waiting, ASignalAloneEndsNoWait) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const CancelBySignal guard(nullptr, nullptr);
  Texts seen;
  Background waiter([&] {
    ipcq::Lease lease = consumer.lease({.deadline = kPatience});
    seen = texts_of(lease);
    lease.ack();
  });
  for (int i = 0; i < 20; ++i) {
    waiter.wait_until_asleep();
    waiter.signal(SIGUSR1);
  }
  EXPECT_FALSE(waiter.finished());
  put(producer, {"a"});
  waiter.join();
  EXPECT_EQ(seen, Texts{"a"});
}

TEST_P(Waiting, CloseEndsAWaitingLease) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  Outcome outcome = Outcome::ok;
  Background waiter([&] { outcome = consumer.lease({.deadline = kPatience}).outcome(); });
  waiter.wait_until_asleep();
  queue.close();
  waiter.join();
  EXPECT_EQ(outcome, Outcome::closed);
}

TEST_P(Waiting, CloseEndsAWaitingClaim) {
  const Queue queue = create();
  Producer producer = queue.producer();
  fill(producer, 1000);
  Outcome outcome = Outcome::ok;
  Background waiter([&] { outcome = producer.send(std::string(1000, 'x'), 0, kPatience); });
  waiter.wait_until_asleep();
  queue.close();
  waiter.join();
  EXPECT_EQ(outcome, Outcome::closed);
}

TEST_P(Waiting, RemovalOfTheQueueEndsBothSidesWaits) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  fill(producer, 1000);
  ipcq::Lease lease = take(consumer, 4096);
  Outcome of_claim = Outcome::ok;
  Outcome of_lease = Outcome::ok;
  Background claims([&] { of_claim = producer.send(std::string(1000, 'x'), 0, kPatience); });
  Background leases([&] { of_lease = consumer.lease({.deadline = kPatience}).outcome(); });
  claims.wait_until_asleep();
  leases.wait_until_asleep();
  remove("contract", {.force = true, .directory = directory(), .trusted_owners = {}});
  claims.join();
  leases.join();
  EXPECT_EQ(of_claim, Outcome::removed);
  EXPECT_EQ(of_lease, Outcome::removed);
}

TEST_P(Waiting, RemovalOfTheSlowestGroupEndsAWaitForRoom) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "fast"}, {.name = "slow"}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer fast = queue.consumer("fast");
  fill(producer, 1000);
  drain(fast);
  Outcome outcome = Outcome::empty;
  Background waiter([&] { outcome = producer.send(std::string(1000, 'x'), 0, kPatience); });
  waiter.wait_until_asleep();
  queue.remove_group("slow");
  waiter.join();
  EXPECT_EQ(outcome, Outcome::ok);
}

}  // namespace
}  // namespace ipcq::contract
