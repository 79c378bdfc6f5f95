// A lease: what it takes, in which order, how it is read, and whom it outlives.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;

class Lease : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, Lease, every_mode(), name_of);

TEST_P(Lease, OfNothingIsEmptyAndNotOpen) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  ipcq::Lease lease = take(consumer);
  EXPECT_FALSE(lease);
  EXPECT_EQ(lease.outcome(), Outcome::empty);
  EXPECT_EQ(lease.size(), 0U);
  EXPECT_TRUE(lease.empty());
  EXPECT_EQ(lease.begin(), lease.end());
  EXPECT_EQ(errc_of([&] { lease.ack(); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { lease.ack(1); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { lease.requeue(); }), Errc::not_open);
}

TEST_P(Lease, NeverMadeItIsNotOpen) {
  ipcq::Lease lease;
  EXPECT_FALSE(lease);
  EXPECT_EQ(lease.outcome(), Outcome::empty);
  EXPECT_EQ(lease.begin(), lease.end());
  EXPECT_EQ(errc_of([&] { lease.ack(); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { lease.ack(1); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { lease.requeue(); }), Errc::not_open);
}

TEST_P(Lease, MessagesComeInTheOrderOfTheRing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const Texts first = put_numbers(producer, 40);
  const Texts second = put_numbers(producer, 30);

  ipcq::Lease lease = take(consumer, 4096);
  Texts both = first;
  both.insert(both.end(), second.begin(), second.end());
  EXPECT_EQ(texts_of(lease), both);
  std::uint64_t position = 0;
  std::uint64_t time = 0;
  for (const Message& message : lease) {
    if (message.payload.data() != lease.begin()->payload.data()) {
      EXPECT_GT(message.position, position);
    }
    EXPECT_GE(message.time, time);
    position = message.position;
    time = message.time;
  }
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Lease, TakesAtMostMaxMessages) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put_numbers(producer, 10);
  std::uint32_t next = 0;
  for (const std::uint32_t size : {3U, 1U, 6U}) {
    ipcq::Lease lease = take(consumer, size);
    ASSERT_EQ(lease.size(), size);
    for (const Message& message : lease) EXPECT_EQ(message.text(), std::to_string(next++));
    EXPECT_EQ(lease.ack(), Outcome::ok);
  }
  EXPECT_FALSE(take(consumer));
}

TEST_P(Lease, TakesWhatIsThereIfThatIsLess) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put_numbers(producer, 5);
  ipcq::Lease lease = take(consumer, 100);
  EXPECT_EQ(lease.size(), 5U);
  EXPECT_FALSE(lease.empty());
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Lease, TakesAtMost64InASharedGroupAnd256InAnExclusiveOneUnlessAskedOtherwise) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put_numbers(producer, 300);
  ipcq::Lease lease = consumer.lease({.deadline = now});
  EXPECT_EQ(lease.size(), shared_consumers() ? 64U : 256U);
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Lease, BatchesOfBothSidesAreIndependent) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  // Ten batches of 3 come out as batches of 7, 7, 7, 7 and 2.
  for (int batch = 0; batch < 10; ++batch) put(producer, {"a", "b", "c"});
  std::vector<std::uint32_t> sizes;
  while (ipcq::Lease lease = take(consumer, 7)) {
    sizes.push_back(lease.size());
    EXPECT_EQ(lease.ack(), Outcome::ok);
  }
  EXPECT_EQ(sizes, (std::vector<std::uint32_t>{7, 7, 7, 7, 2}));
}

TEST_P(Lease, TakesAtMostMaxBytesOfPayload) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, Texts(6, std::string(100, 'x')));
  const auto size_of = [&](std::size_t max_bytes) {
    ipcq::Lease lease = consumer.lease({.max_bytes = max_bytes, .deadline = now});
    const std::uint32_t size = lease.size();
    EXPECT_EQ(lease.ack(), Outcome::ok);
    return size;
  };
  EXPECT_EQ(size_of(299), 2U);
  EXPECT_EQ(size_of(300), 3U);
  EXPECT_EQ(size_of(100'000), 1U) << "the last of six";
}

TEST_P(Lease, TakesTheFirstMessageWhateverItsSize) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {std::string(1000, 'x'), "y"});
  ipcq::Lease lease = consumer.lease({.max_bytes = 10, .deadline = now});
  EXPECT_EQ(texts_of(lease), Texts{std::string(1000, 'x')});
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Lease, TakesLessThanMinMessagesWhenItsDeadlineHasPassed) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  {
    ipcq::Lease lease = consumer.lease({.max_messages = 10, .min_messages = 3, .deadline = now});
    EXPECT_EQ(texts_of(lease), (Texts{"a", "b"}));
    EXPECT_EQ(lease.ack(), Outcome::ok);
  }
  put(producer, {"c"});
  const auto before = std::chrono::steady_clock::now();
  ipcq::Lease lease = consumer.lease({.max_messages = 10, .min_messages = 3, .deadline = milliseconds(30)});
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(30)) << "it did not wait for the others";
  EXPECT_EQ(texts_of(lease), Texts{"c"});
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Lease, LimitsOutsideTheirRangeThrowInvalidOption) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  const auto refused = [&](const Take& take) { return errc_of([&] { static_cast<void>(consumer.lease(take)); }); };
  EXPECT_EQ(refused({.max_messages = 4097, .deadline = now}), Errc::invalid_option);
  EXPECT_EQ(refused({.max_messages = 4, .min_messages = 5, .deadline = now}), Errc::invalid_option);
  EXPECT_EQ(refused({.max_messages = 4096, .min_messages = 4097, .deadline = now}), Errc::invalid_option);
  EXPECT_EQ(refused({.max_messages = 4096, .min_messages = 4096, .deadline = now}), std::nullopt);
  EXPECT_EQ(drain(consumer), Texts{"a"}) << "a refused lease takes nothing";
}

TEST_P(Lease, IsReadByIterator) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "bb", ""});
  ipcq::Lease lease = take(consumer);
  ASSERT_EQ(lease.size(), 3U);

  ipcq::Lease::Iterator at = lease.begin();
  EXPECT_EQ((*at).text(), "a");
  EXPECT_EQ(at->payload.size(), 1U);
  ++at;
  EXPECT_EQ(at->text(), "bb");
  EXPECT_NE(at, lease.end());
  at++;
  EXPECT_EQ(at->text(), "");
  EXPECT_NE(at, lease.end());
  EXPECT_EQ(++at, lease.end());

  EXPECT_EQ(std::distance(lease.begin(), lease.end()), 3);
  std::vector<const std::byte*> first;
  std::vector<const std::byte*> second;
  for (const Message& message : lease) first.push_back(message.payload.data());
  for (const Message& message : lease) second.push_back(message.payload.data());
  EXPECT_EQ(first, second) << "it may be read again, and stays where it is";
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Lease, PassesOverAbortedClaimsAndUnusedRoom) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (const char* text : {"a", "b", "c"}) {
    ipcq::Claim aborted = producer.claim({.messages = 5, .bytes = 500}, now);
    aborted.append_copy(bytes_of("never"));
    aborted.abort();
    ipcq::Claim claim = producer.claim({.messages = 5, .bytes = 500}, now);
    claim.append_copy(bytes_of(text));
    claim.commit();
  }
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(lease.size(), 3U);
  EXPECT_EQ(texts_of(lease), (Texts{"a", "b", "c"}));
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_FALSE(take(consumer));
}

TEST_P(Lease, OfFreshMessagesHasNoDeliveriesBehindIt) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(lease.deliveries(), 0U);
  EXPECT_EQ(lease.outcome(), Outcome::ok);
  EXPECT_FALSE(lease.blocked_by());
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Lease, SeveralMayBeOpenAtOnceAndShareNothing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const Texts sent = put_numbers(producer, 9);
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 3; ++i) leases.push_back(take(consumer, 3));
  EXPECT_FALSE(take(consumer)) << "what is leased is not there for others";
  Texts seen;
  for (const ipcq::Lease& lease : leases) {
    const Texts texts = texts_of(lease);
    seen.insert(seen.end(), texts.begin(), texts.end());
  }
  EXPECT_EQ(seen, sent);
  for (ipcq::Lease& lease : leases) EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_FALSE(take(consumer));
}

TEST_P(Lease, HoldsItsRoomUntilItIsAcked) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::uint32_t sent = fill(producer, 1000);
  ipcq::Lease lease = take(consumer, 4096);
  ASSERT_EQ(lease.size(), sent);
  EXPECT_EQ(producer.send(std::string(1000, 'x'), 0, now), Outcome::full);
  for (const Message& message : lease) EXPECT_EQ(message.text(), std::string(1000, 'f'));
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(fill(producer, 1000), sent);
}

TEST_P(Lease, MovedFromItIsNotOpenAndTheOtherOneGoesOn) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  ipcq::Lease first = take(consumer);
  ipcq::Lease second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): what a moved-from lease answers is what is tested
  EXPECT_EQ(first.begin(), first.end());
  EXPECT_EQ(errc_of([&] { first.ack(); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { first.requeue(); }), Errc::not_open);
  ipcq::Lease third;
  third = std::move(second);
  EXPECT_EQ(texts_of(third), (Texts{"a", "b"}));
  EXPECT_EQ(third.ack(), Outcome::ok);
  EXPECT_FALSE(take(consumer));
}

TEST_P(Lease, AssignedOverAnOpenLeaseIsGivenBack) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  ipcq::Lease lease = take(consumer);
  ASSERT_TRUE(lease);
  lease = ipcq::Lease();
  EXPECT_EQ(drain(consumer), Texts{"a"});
}

TEST_P(Lease, OutlivesItsConsumer) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a", "b"});
  ipcq::Lease lease;
  {
    Consumer consumer = queue.consumer();
    lease = take(consumer);
  }
  ASSERT_TRUE(lease);
  EXPECT_EQ(texts_of(lease), (Texts{"a", "b"}));
  EXPECT_EQ(lease.ack(), Outcome::ok);
  Consumer next = queue.consumer();
  EXPECT_FALSE(take(next));
}

TEST_P(Lease, OutlivesItsQueueObjects) {
  ipcq::Lease lease;
  {
    const Queue queue = create();
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    put(producer, {"orphan"});
    lease = take(consumer);
  }
  ASSERT_TRUE(lease);
  EXPECT_EQ(texts_of(lease), Texts{"orphan"});
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

}  // namespace
}  // namespace ipcq::contract
