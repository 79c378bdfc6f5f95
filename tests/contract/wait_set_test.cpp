// Wait sets: who is ready, who is told, and what belongs to whom.
#include "ipcq/wait_set.hpp"

#include <chrono>
#include <utility>

#include "wait_set_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class ASet : public WaitSetContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ASet, every_mode(), name_of);

TEST_P(ASet, TellsWhoHasMessagesUntilTheyAreLeased) {
  const Queue one = create_numbered(1);
  const Queue two = create_numbered(2);
  Producer producer = two.producer();
  Consumer first = one.consumer();
  Consumer second = two.consumer();
  WaitSet set;
  set.add(first);
  const Token token = set.add(second);
  EXPECT_EQ(ready_now(set), Tokens{});
  EXPECT_EQ(set.wait(now).outcome(), Outcome::empty);
  put(producer, {"a", "b"});
  EXPECT_EQ(ready_now(set), Tokens{token});
  EXPECT_EQ(ready_now(set), Tokens{token}) << "a state, not an event";
  EXPECT_EQ(set.wait().outcome(), Outcome::ok) << "and no wait";
  ipcq::Lease lease = take(second, 1);
  EXPECT_EQ(ready_now(set), Tokens{token}) << "b is left";
  ipcq::Lease rest = take(second);
  EXPECT_EQ(ready_now(set), Tokens{}) << "what is leased is no message for others";
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(rest.ack(), Outcome::ok);
  EXPECT_EQ(ready_now(set), Tokens{});
}

TEST_P(ASet, TellsWhoHasRoomUntilItIsUsed) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token token = set.add(producer, {.messages = 1, .bytes = 1000});
  EXPECT_EQ(ready_now(set), Tokens{token});
  fill(producer, 1000);
  EXPECT_EQ(ready_now(set), Tokens{});
  ipcq::Lease lease = take(consumer, 1);
  EXPECT_EQ(ready_now(set), Tokens{}) << "a lease keeps its room";
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(ready_now(set), Tokens{token});
  EXPECT_EQ(producer.send(std::string(1000, 'x'), 0, now), Outcome::ok);
  EXPECT_EQ(ready_now(set), Tokens{});
}

TEST_P(ASet, WantsAsMuchRoomAsWasSaid) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  fill(producer, 1000);
  WaitSet set;
  const Token token = set.add(producer, {.messages = 1, .bytes = 20'000});
  for (int acked = 0; ready_now(set).empty(); ++acked) {
    ASSERT_EQ(producer.claim({.messages = 1, .bytes = 20'000}, now).outcome(), Outcome::full) << acked << " acked";
    ipcq::Lease lease = take(consumer, 1);
    ASSERT_TRUE(lease) << "everything is acked, and there is no room";
    lease.ack();
  }
  EXPECT_EQ(ready_now(set), Tokens{token});
  EXPECT_TRUE(producer.claim({.messages = 1, .bytes = 20'000}, now));
}

TEST_P(ASet, TellsAllWhoAreReadyInTheirOrder) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token messages = set.add(consumer);
  const Token room = set.add(producer, {.messages = 1, .bytes = 8});
  EXPECT_EQ(ready_now(set), Tokens{room});
  put(producer, {"a"});
  EXPECT_EQ(ready_now(set), (Tokens{messages, room}));
}

TEST_P(ASet, TellsOfAnAnswerForGood) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token of_consumer = set.add(consumer);
  const Token of_producer = set.add(producer, {.messages = 1, .bytes = 1000});
  fill(producer, 1000);
  drain(consumer);
  fill(producer, 1000);
  ipcq::Lease lease = take(consumer, 4096);
  EXPECT_EQ(ready_now(set), Tokens{});
  queue.close();
  EXPECT_EQ(ready_now(set), Tokens{of_producer}) << "its claim says closed; but a lease is still open";
  EXPECT_EQ(producer.send("x", 0, now), Outcome::closed);
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(ready_now(set), (Tokens{of_consumer, of_producer}));
  EXPECT_EQ(take(consumer).outcome(), Outcome::closed);
}

TEST_P(ASet, DoesNotTellOfAProducerWithAClaimOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  WaitSet set;
  const Token token = set.add(producer, {.messages = 1, .bytes = 8});
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 8}, now);
  EXPECT_EQ(ready_now(set), Tokens{}) << "a second claim would throw";
  EXPECT_EQ(claim.abort(), Outcome::ok);
  EXPECT_EQ(ready_now(set), Tokens{token});
}

TEST_P(ASet, SeesPastWhatWasAborted) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token token = set.add(consumer);
  for (int i = 0; i < 3000; ++i) {  // more ring than there is: it is room again for who waits for it
    ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1000}, now);
    if (!claim) {
      EXPECT_EQ(ready_now(set), Tokens{}) << "nothing to lease";
      claim = producer.claim({.messages = 1, .bytes = 1000}, now);
    }
    ASSERT_TRUE(claim) << "at " << i << ": " << to_string(claim.outcome());
    claim.abort();
  }
  EXPECT_EQ(ready_now(set), Tokens{});
  put(producer, {"a"});
  EXPECT_EQ(ready_now(set), Tokens{token});
  queue.close();
  drain(consumer);
  producer.detach();
  EXPECT_EQ(ready_now(set), Tokens{token});
  EXPECT_EQ(take(consumer).outcome(), Outcome::closed);
}

TEST_P(ASet, WaitsForADeadlineAndNotLonger) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  for (const WaitStrategy strategy : kAllStrategies) {
    WaitSet set(strategy);
    set.add(consumer);
    for (const auto length : {milliseconds(5), milliseconds(120)}) {  // within a backstop, and beyond
      const auto before = steady_clock::now();
      EXPECT_EQ(set.wait(length).outcome(), Outcome::empty);
      EXPECT_GE(steady_clock::now() - before, length);
    }
    EXPECT_EQ(set.wait(steady_clock::time_point{}).outcome(), Outcome::empty);
  }
}

TEST_P(ASet, HoldsAnEndpointOnceAndLetsItGo) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  WaitSet set;
  WaitSet other;
  const Token token = set.add(consumer);
  EXPECT_EQ(errc_of([&] { set.add(consumer); }), Errc::in_use);
  EXPECT_EQ(errc_of([&] { other.add(consumer); }), Errc::in_use);
  EXPECT_EQ(set.size(), 1U);
  EXPECT_TRUE(set.remove(token));
  EXPECT_FALSE(set.remove(token));
  EXPECT_FALSE(set.remove(0));
  EXPECT_EQ(set.size(), 0U);
  const Token again = other.add(consumer);
  EXPECT_EQ(ready_now(other), Tokens{again});
  EXPECT_TRUE(other.remove(again));
  EXPECT_NE(set.add(consumer), token) << "a token is never used again";
}

TEST_P(ASet, IsLeftByWhatIsDetachedOrDestroyedAndFollowsWhatIsMoved) {
  const Queue queue = create();
  Producer producer = queue.producer();
  WaitSet set;
  {
    Consumer consumer = queue.consumer();
    const Token token = set.add(consumer);
    const Consumer moved = std::move(consumer);
    put(producer, {"a"});
    EXPECT_EQ(ready_now(set), Tokens{token});
  }
  EXPECT_EQ(set.size(), 0U);
  Consumer consumer = queue.consumer();
  set.add(consumer);
  set.add(producer, {.messages = 1, .bytes = 8});
  consumer.detach();
  EXPECT_EQ(set.size(), 1U);
  producer = Producer();
  EXPECT_EQ(set.size(), 0U);
  EXPECT_EQ(errc_of([&] { set.add(consumer); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { set.add(producer, {}); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(set.wait(now)); }), Errc::not_open) << "nobody to wait for";
}

TEST_P(ASet, MayGoBeforeItsEndpointsAndBeMoved) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  {
    WaitSet set;
    set.add(consumer);
  }
  WaitSet set;
  const Token token = set.add(consumer);
  WaitSet moved = std::move(set);
  EXPECT_EQ(ready_now(moved), Tokens{token});
  EXPECT_EQ(errc_of([&] { static_cast<void>(set.wait(now)); }), Errc::not_open);  // NOLINT: that is the question
  moved = WaitSet();
  EXPECT_EQ(drain(consumer), Texts{"a"});
}

TEST_P(ASet, RefusesRoomThatCanNeverBe) {
  const Queue queue = create();
  Producer producer = queue.producer();
  WaitSet set;
  EXPECT_EQ(errc_of([&] { set.add(producer, {.messages = 1, .bytes = kSmallestCapacity}); }), Errc::too_big);
  EXPECT_TRUE(contains(text_of([&] { set.add(producer, {.messages = 1, .bytes = kSmallestCapacity}); }), "contract"));
  EXPECT_EQ(set.size(), 0U);
}

TEST_P(ASet, RefusesAnotherThreadsCallsWhileItWaits) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token token = set.add(consumer);
  SetWaiter waiter(set);
  waiter.wait_until_asleep();
  EXPECT_EQ(errc_of([&] { static_cast<void>(set.wait(now)); }), Errc::in_use);
  EXPECT_EQ(errc_of([&] { set.remove(token); }), Errc::in_use);
  EXPECT_EQ(errc_of([&] { set.add(producer, {}); }), Errc::in_use);
  EXPECT_EQ(errc_of([&] { static_cast<void>(set.arm()); }), Errc::in_use);
  EXPECT_EQ(errc_of([&] { static_cast<void>(set.size()); }), Errc::in_use);
  EXPECT_FALSE(waiter.finished());
  put(producer, {"a"});
  EXPECT_EQ(waiter.tokens(), Tokens{token});
}

TEST_P(ASet, LooksAtOthersBesidesThoseThatItTold) {
  // Who is told and left alone keeps nobody else from being seen.
  const Queue one = create_numbered(1);
  const Queue two = create_numbered(2);
  Producer to_one = one.producer();
  Producer to_two = two.producer();
  Consumer first = one.consumer();
  Consumer second = two.consumer();
  WaitSet set;
  const Token token_1 = set.add(first);
  const Token token_2 = set.add(second);
  put(to_one, {"a"});
  EXPECT_EQ(ready_now(set), Tokens{token_1});
  put(to_two, {"b"});
  EXPECT_EQ(ready_now(set), (Tokens{token_1, token_2}));
  drain(first);
  EXPECT_EQ(ready_now(set), Tokens{token_2});
}

class ASetOfSharedConsumers : public WaitSetContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ASetOfSharedConsumers, modes_of_shared_consumers(), name_of);

TEST_P(ASetOfSharedConsumers, TellsOfWhatCameBack) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  WaitSet set;
  const Token token = set.add(two);
  put(producer, {"a"});
  ipcq::Lease lease = take(one);
  EXPECT_EQ(ready_now(set), Tokens{});
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  EXPECT_EQ(ready_now(set), Tokens{token});
  lease = take(two);
  EXPECT_EQ(lease.deliveries(), 1U) << "asking has delivered nothing";
}

TEST_P(ASetOfSharedConsumers, WithoutAFreeLedgerEntryNobodyIsReady) {
  CreateOptions wanted = options();
  wanted.ledger_entries = 4;
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  put_numbers(producer, 5);
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(take(one, 1));
  WaitSet set;
  const Token token = set.add(two);
  EXPECT_EQ(ready_now(set), Tokens{});
  SetWaiter waiter(set);
  waiter.wait_until_asleep();
  EXPECT_FALSE(waiter.finished());
  for (ipcq::Lease& lease : leases) EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(waiter.tokens(), Tokens{token});
  EXPECT_EQ(drain(two), Texts{"4"});
}

TEST_P(ASetOfSharedConsumers, FindsADeadLetterAndTheLeaseMovesIt) {
  CreateOptions wanted = options();
  wanted.max_deliveries = 1;
  wanted.dead_letter = "dead";
  const Queue queue = create(wanted);
  CreateOptions of_dead = options();
  of_dead.producers = ProducerMode::shared;
  const Queue dead = Queue::create("dead", of_dead);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token token = set.add(consumer);
  put(producer, {"a"});
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  EXPECT_EQ(ready_now(set), Tokens{token});
  EXPECT_EQ(take(consumer).outcome(), Outcome::empty);
  EXPECT_EQ(ready_now(set), Tokens{});
  Consumer of_dead_letters = dead.consumer();
  EXPECT_EQ(drain(of_dead_letters).size(), 1U);
}

class ASetOfExclusiveConsumers : public WaitSetContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ASetOfExclusiveConsumers, modes_of_exclusive_consumers(), name_of);

TEST_P(ASetOfExclusiveConsumers, TellsOfWhatItGaveBackItself) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token token = set.add(consumer);
  put(producer, {"a", "b"});
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(ready_now(set), Tokens{});
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  EXPECT_EQ(ready_now(set), Tokens{token});
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
}

TEST_P(ASetOfExclusiveConsumers, TellsOfTheEndThatItsOwnAckBrought) {
  // Nobody publishes it, and the set has slept since the close: it looks all the same.
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token token = set.add(consumer);
  put(producer, {"a"});
  ipcq::Lease lease = take(consumer);
  queue.close();
  producer.detach();
  EXPECT_EQ(ready_now(set), Tokens{});
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(tokens_of(set.wait(now)), Tokens{token});
}

TEST_P(ASetOfExclusiveConsumers, WithAllLeasesOpenIsNotReadyUntilItAcks) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token token = set.add(consumer);
  put_numbers(producer, 1025);
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 1024; ++i) leases.push_back(take(consumer, 1));
  ASSERT_EQ(take(consumer).outcome(), Outcome::too_many_leases);
  EXPECT_EQ(ready_now(set), Tokens{}) << "it would wait for itself";
  EXPECT_EQ(leases.front().ack(), Outcome::ok);
  EXPECT_EQ(ready_now(set), Tokens{token});
  for (std::size_t i = 1; i < leases.size(); ++i) EXPECT_EQ(leases[i].ack(), Outcome::ok);
}

}  // namespace
}  // namespace ipcq::contract
