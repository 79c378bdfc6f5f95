// A claim: open, visible all at once by commit, gone by abort; finished only once.
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

class Claim : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, Claim, every_mode(), name_of);

TEST_P(Claim, ABatchAppearsAtOnceAndOnlyAtCommit) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();

  ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 3}, now);
  ASSERT_TRUE(claim);
  for (const char* text : {"a", "b", "c"}) {
    claim.append_copy(bytes_of(text));
    EXPECT_FALSE(take(consumer)) << "seen before commit, after " << text;
  }
  EXPECT_EQ(claim.commit(), Outcome::ok);

  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(texts_of(lease), (Texts{"a", "b", "c"}));
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Claim, OpenIsOkAndTrue) {
  const Queue queue = create();
  Producer producer = queue.producer();
  const ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1}, now);
  EXPECT_TRUE(claim);
  EXPECT_EQ(claim.outcome(), Outcome::ok);
  EXPECT_EQ(claim.retry_after().count(), 0);
  EXPECT_FALSE(claim.blocked_by());
}

TEST_P(Claim, CountsTheMessagesAndBytesAppended) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 100}, now);
  EXPECT_EQ(claim.messages(), 0U);
  EXPECT_EQ(claim.bytes(), 0U);
  claim.append(10);
  claim.append(0);
  EXPECT_EQ(claim.messages(), 2U);
  EXPECT_EQ(claim.bytes(), 10U);
  claim.append(90);
  EXPECT_EQ(claim.messages(), 3U);
  EXPECT_EQ(claim.bytes(), 100U);
}

TEST_P(Claim, AnAppendedSpanHasTheSizeAskedForAndHoldsWhatIsWrittenToIt) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 64}, now);
  const std::span<std::byte> span = claim.append(5);
  ASSERT_EQ(span.size(), 5U);
  std::memcpy(span.data(), "12345", 5);
  claim.commit();
  EXPECT_EQ(drain(consumer), Texts{"12345"});
}

TEST_P(Claim, WhatRoomIsLeftOverIsNoMessage) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 10, .bytes = 1000}, now);
  claim.append_copy(bytes_of("a"));
  claim.append_copy(bytes_of("b"));
  claim.commit();
  put(producer, {"c"});
  EXPECT_EQ(drain(consumer), (Texts{"a", "b", "c"}));
}

TEST_P(Claim, WhatRoomIsLeftOverComesBack) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  // A third of the ring each time: by the fourth the ring would be full of room that was left over.
  for (int i = 0; i < 30; ++i) {
    ipcq::Claim claim = producer.claim({.messages = 1, .bytes = kSmallestCapacity / 3}, now);
    ASSERT_TRUE(claim) << to_string(claim.outcome()) << " at " << i;
    claim.append_copy(bytes_of(std::to_string(i)));
    claim.commit();
    ASSERT_EQ(drain(consumer), Texts{std::to_string(i)});
  }
}

TEST_P(Claim, CommitOfNothingIsAnAbort) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 4, .bytes = 4}, now);
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_FALSE(claim);
  EXPECT_FALSE(take(consumer));
  put(producer, {"after"});
  EXPECT_EQ(drain(consumer), Texts{"after"});
}

TEST_P(Claim, AbortedMessagesAreNeverSeen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"before"});
  ipcq::Claim claim = producer.claim({.messages = 2, .bytes = 8}, now);
  claim.append_copy(bytes_of("no"));
  claim.append_copy(bytes_of("never"));
  EXPECT_EQ(claim.abort(), Outcome::ok);
  EXPECT_FALSE(claim);
  put(producer, {"after"});
  EXPECT_EQ(drain(consumer), (Texts{"before", "after"}));
}

TEST_P(Claim, DestroyedOpenItIsAborted) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  {
    ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 5}, now);
    claim.append_copy(bytes_of("never"));
  }
  put(producer, {"after"});
  EXPECT_EQ(drain(consumer), Texts{"after"});
}

TEST_P(Claim, AnAbortGivesTheRoomBack) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (int i = 0; i < 20; ++i) {
    ipcq::Claim claim = producer.claim({.messages = 4, .bytes = kSmallestCapacity - 1024}, now);
    ASSERT_TRUE(claim) << to_string(claim.outcome()) << " at " << i;
    claim.abort();
    // A living exclusive consumer passes skipped ranges itself, when it looks; in a shared group whoever is short does.
    if (!shared_consumers()) {
      EXPECT_FALSE(take(consumer));
    }
  }
}

TEST_P(Claim, ASecondClaimWhileOneIsOpenThrowsClaimOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1}, now);
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.claim({}, now)); }), Errc::claim_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.send("x", 0, now)); }), Errc::claim_open);
  claim.append_copy(bytes_of("a"));
  EXPECT_EQ(claim.commit(), Outcome::ok) << "the open claim is unharmed";
  put(producer, {"b"});
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
}

TEST_P(Claim, FinishedItCannotBeFinishedAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();

  ipcq::Claim committed = producer.claim({.messages = 1, .bytes = 1}, now);
  committed.append_copy(bytes_of("a"));
  EXPECT_EQ(committed.commit(), Outcome::ok);
  EXPECT_EQ(errc_of([&] { committed.commit(); }), Errc::already_finished);
  EXPECT_EQ(errc_of([&] { committed.abort(); }), Errc::already_finished);

  ipcq::Claim aborted = producer.claim({.messages = 1, .bytes = 1}, now);
  EXPECT_EQ(aborted.abort(), Outcome::ok);
  EXPECT_EQ(errc_of([&] { aborted.abort(); }), Errc::already_finished);
  EXPECT_EQ(errc_of([&] { aborted.commit(); }), Errc::already_finished);

  EXPECT_EQ(drain(consumer), Texts{"a"});
}

TEST_P(Claim, FinishedItTakesNoMoreMessages) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ipcq::Claim claim = producer.claim({.messages = 2, .bytes = 20}, now);
  claim.append(1);
  claim.commit();
  EXPECT_FALSE(claim.fits(1));
  EXPECT_EQ(errc_of([&] { claim.append(1); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { claim.shrink_last(0); }), Errc::not_open);
}

TEST_P(Claim, NeverMadeItIsNotOpen) {
  ipcq::Claim claim;
  EXPECT_FALSE(claim);
  EXPECT_EQ(claim.outcome(), Outcome::empty);
  EXPECT_FALSE(claim.fits(0));
  EXPECT_EQ(errc_of([&] { claim.append(0); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { claim.shrink_last(0); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { claim.commit(); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { claim.abort(); }), Errc::not_open);
}

TEST_P(Claim, RefusedItIsNotOpenAndSaysWhy) {
  const Queue queue = create();
  Producer producer = queue.producer();
  fill(producer, 1000);
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1000}, now);
  EXPECT_FALSE(claim);
  EXPECT_EQ(claim.outcome(), Outcome::full);
  EXPECT_FALSE(claim.fits(0));
  EXPECT_EQ(errc_of([&] { claim.append(0); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { claim.commit(); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { claim.abort(); }), Errc::not_open);
}

TEST_P(Claim, ARefusedClaimTakesNothing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::uint32_t sent = fill(producer, 1000);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(producer.claim({.messages = 1, .bytes = 1000}, now).outcome(), Outcome::full);
  EXPECT_EQ(drain(consumer).size(), sent);
  EXPECT_EQ(fill(producer, 1000), sent) << "the ring takes as many messages as before";
}

TEST_P(Claim, MovedFromItIsNotOpenAndTheOtherOneGoesOn) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim first = producer.claim({.messages = 2, .bytes = 2}, now);
  first.append_copy(bytes_of("a"));

  ipcq::Claim second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): what a moved-from claim answers is what is tested
  EXPECT_EQ(errc_of([&] { first.append(0); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { first.commit(); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { first.abort(); }), Errc::not_open);

  ipcq::Claim third;
  third = std::move(second);
  ASSERT_TRUE(third);
  EXPECT_EQ(third.messages(), 1U);
  third.append_copy(bytes_of("b"));
  EXPECT_EQ(third.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
}

TEST_P(Claim, OutlivesItsProducer) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim;
  {
    Producer producer = queue.producer();
    claim = producer.claim({.messages = 2, .bytes = 11}, now);
    claim.append_copy(bytes_of("with"));
  }
  ASSERT_TRUE(claim);
  claim.append_copy(bytes_of("without"));
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"with", "without"}));
}

TEST_P(Claim, OutlivesItsQueueObjects) {
  ipcq::Claim claim = create().producer().claim({.messages = 1, .bytes = 8}, now);
  ASSERT_TRUE(claim);
  claim.append_copy(bytes_of("orphan"));
  EXPECT_EQ(claim.commit(), Outcome::ok);
  const Queue queue = Queue::open("contract", where());
  Consumer consumer = queue.consumer();
  EXPECT_EQ(drain(consumer), Texts{"orphan"});
}

TEST_P(Claim, DestroyedAfterItsProducerItIsAborted) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  {
    ipcq::Claim claim;
    Producer producer = queue.producer();
    claim = producer.claim({.messages = 1, .bytes = 8}, now);
    claim.append_copy(bytes_of("never"));
    producer = Producer();
    EXPECT_TRUE(claim);
  }
  Producer next = queue.producer();
  put(next, {"after"});
  EXPECT_EQ(drain(consumer), Texts{"after"});
}

// Several producers at once: batches stand in the order of their claims, not of their commits.
class ClaimsOfSharedProducers : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ClaimsOfSharedProducers, modes_of_shared_producers(), name_of);

TEST_P(ClaimsOfSharedProducers, StandInTheOrderOfTheirClaims) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim first = one.claim({.messages = 1, .bytes = 5}, now);
  ipcq::Claim second = two.claim({.messages = 1, .bytes = 6}, now);
  ASSERT_TRUE(second) << "an open claim keeps no other producer from claiming";
  second.append_copy(bytes_of("second"));
  EXPECT_EQ(second.commit(), Outcome::ok);
  EXPECT_FALSE(take(consumer)) << "what was committed behind an open claim waits for it";
  first.append_copy(bytes_of("first"));
  EXPECT_EQ(first.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"first", "second"}));
}

TEST_P(ClaimsOfSharedProducers, AnAbortInFrontShowsWhatWasCommittedBehind) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim first = one.claim({.messages = 1, .bytes = 5}, now);
  put(two, {"behind"});
  EXPECT_FALSE(take(consumer));
  first.abort();
  EXPECT_EQ(drain(consumer), Texts{"behind"});
}

TEST_P(ClaimsOfSharedProducers, AnAbortBehindHidesNothing) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim first = one.claim({.messages = 1, .bytes = 5}, now);
  ipcq::Claim second = two.claim({.messages = 1, .bytes = 6}, now);
  Producer three = queue.producer();
  put(three, {"third"});
  second.abort();
  EXPECT_FALSE(take(consumer));
  first.append_copy(bytes_of("first"));
  first.commit();
  EXPECT_EQ(drain(consumer), (Texts{"first", "third"}));
}

TEST_P(ClaimsOfSharedProducers, AssignedOverAnOpenClaimIsAborted) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = one.claim({.messages = 1, .bytes = 5}, now);
  claim.append_copy(bytes_of("never"));
  ipcq::Claim other = two.claim({.messages = 1, .bytes = 5}, now);
  other.append_copy(bytes_of("other"));
  claim = std::move(other);
  EXPECT_TRUE(one.claim({.messages = 1, .bytes = 1}, now)) << "the first producer has no claim open any more";
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), Texts{"other"});
}

}  // namespace
}  // namespace ipcq::contract
