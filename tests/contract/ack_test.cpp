// The end of a lease: ack, ack of the first n, requeue, and what comes again after it.
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

class Ack : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, Ack, every_mode(), name_of);

TEST_P(Ack, WhatIsAckedDoesNotComeAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a", "b"});
  {
    Consumer consumer = queue.consumer();
    ipcq::Lease lease = take(consumer);
    EXPECT_EQ(lease.ack(), Outcome::ok);
    EXPECT_FALSE(lease);
  }
  put(producer, {"c"});
  Consumer next = queue.consumer();
  EXPECT_EQ(drain(next), Texts{"c"});
}

TEST_P(Ack, AFinishedLeaseCannotBeFinishedAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});

  ipcq::Lease requeued = take(consumer);
  EXPECT_EQ(requeued.requeue(), Outcome::ok);
  EXPECT_EQ(errc_of([&] { requeued.requeue(); }), Errc::already_finished);
  EXPECT_EQ(errc_of([&] { requeued.ack(); }), Errc::already_finished);

  ipcq::Lease acked = take(consumer);
  EXPECT_EQ(acked.ack(), Outcome::ok);
  EXPECT_EQ(errc_of([&] { acked.ack(); }), Errc::already_finished);
  EXPECT_EQ(errc_of([&] { acked.ack(1); }), Errc::already_finished);
  EXPECT_EQ(errc_of([&] { acked.requeue(); }), Errc::already_finished);
  EXPECT_FALSE(take(consumer));
}

TEST_P(Ack, OfTheFirstMessagesKeepsTheRest) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c", "d"});
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(lease.ack(1), Outcome::ok);
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease.size(), 3U);
  EXPECT_EQ(texts_of(lease), (Texts{"b", "c", "d"}));
  EXPECT_EQ(lease.ack(2), Outcome::ok);
  EXPECT_EQ(texts_of(lease), Texts{"d"});
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  EXPECT_EQ(drain(consumer), Texts{"d"});
}

TEST_P(Ack, OfTheFirstMessagesEndsTheLeaseWithTheLast) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(lease.ack(1), Outcome::ok);
  EXPECT_EQ(lease.ack(1), Outcome::ok);
  EXPECT_FALSE(lease);
  EXPECT_EQ(errc_of([&] { lease.ack(1); }), Errc::already_finished);
  EXPECT_FALSE(take(consumer));
}

TEST_P(Ack, OneByOneThroughALongLease) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const Texts sent = put_numbers(producer, 200);
  Texts seen;
  ipcq::Lease lease = take(consumer, 4096);
  while (lease) {
    seen.emplace_back(lease.begin()->text());
    ASSERT_EQ(lease.ack(1), Outcome::ok);
  }
  EXPECT_EQ(seen, sent);
}

TEST_P(Ack, OfTheFirstMessagesGivesTheirRoomBack) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::uint32_t sent = fill(producer, 1000);
  ipcq::Lease lease = take(consumer, 4096);
  ASSERT_EQ(lease.size(), sent);
  EXPECT_EQ(lease.ack(sent / 2), Outcome::ok);
  EXPECT_GT(fill(producer, 1000), 0U);
  EXPECT_EQ(lease.size(), sent - sent / 2);
  for (const Message& message : lease) EXPECT_EQ(message.text(), std::string(1000, 'f'));
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Ack, OfMoreMessagesThanThereAreThrowsAndChangesNothing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(errc_of([&] { lease.ack(3); }), Errc::invalid_option);
  EXPECT_EQ(lease.size(), 2U);
  EXPECT_EQ(lease.ack(1), Outcome::ok);
  EXPECT_EQ(errc_of([&] { lease.ack(2); }), Errc::invalid_option);
  EXPECT_EQ(texts_of(lease), Texts{"b"});
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_FALSE(take(consumer));
}

TEST_P(Ack, RequeuedMessagesComeAgainBeforeAnythingNewer) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c"});
  ipcq::Lease lease = take(consumer);
  put(producer, {"newer"});
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  EXPECT_FALSE(lease);
  EXPECT_EQ(drain(consumer), (Texts{"a", "b", "c", "newer"}));
}

TEST_P(Ack, DestroyedOpenALeaseIsRequeued) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  EXPECT_TRUE(take(consumer));
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
}

TEST_P(Ack, DestroyedOpenInAnyOrderAllLeasesComeAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c"});
  {
    const ipcq::Lease first = take(consumer, 1);
    const ipcq::Lease second = take(consumer, 1);
    const ipcq::Lease third = take(consumer, 1);
    ASSERT_TRUE(third);
  }  // the last one first
  EXPECT_EQ(drain(consumer), (Texts{"a", "b", "c"}));

  put(producer, {"d", "e", "f"});
  std::optional<ipcq::Lease> first = take(consumer, 1);
  std::optional<ipcq::Lease> second = take(consumer, 1);
  std::optional<ipcq::Lease> third = take(consumer, 1);
  ASSERT_TRUE(*third);
  first.reset();
  second.reset();
  third.reset();
  EXPECT_EQ(drain(consumer), (Texts{"d", "e", "f"}));
}

TEST_P(Ack, DeliveriesCountHowOftenAMessageWasHandedOutBefore) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  for (std::uint32_t before = 0; before < 5; ++before) {
    ipcq::Lease lease = take(consumer);
    ASSERT_EQ(texts_of(lease), Texts{"a"});
    EXPECT_EQ(lease.deliveries(), before);
    EXPECT_EQ(lease.requeue(), Outcome::ok);
  }
  EXPECT_EQ(drain(consumer), Texts{"a"});
  put(producer, {"b"});
  ipcq::Lease next = take(consumer);
  EXPECT_EQ(next.deliveries(), 0U) << "the count belongs to the message, not to its place";
  EXPECT_EQ(next.ack(), Outcome::ok);
}

TEST_P(Ack, DeliveriesSaturateAndDoNotStartAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  for (int i = 0; i < 8200; ++i) ASSERT_EQ(take(consumer).requeue(), Outcome::ok);
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(lease.deliveries(), 8191U);
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(Ack, AMessageKeepsItsPositionAndTimeWhenItComesAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"before"});
  EXPECT_EQ(drain(consumer), Texts{"before"});
  put(producer, {"a"});
  ipcq::Lease lease = take(consumer);
  const Message first = *lease.begin();
  EXPECT_EQ(lease.requeue(), Outcome::ok);
  lease = take(consumer);
  EXPECT_EQ(lease.begin()->position, first.position);
  EXPECT_EQ(lease.begin()->time, first.time);
  EXPECT_EQ(lease.begin()->tag, first.tag);
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

// A shared group's leases are independent of each other and of threads.
class AckInASharedGroup : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, AckInASharedGroup, modes_of_shared_consumers(), name_of);

TEST_P(AckInASharedGroup, MayComeInAnyOrder) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c", "d"});
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(take(consumer, 1));
  for (const std::size_t i : {2U, 0U, 3U}) EXPECT_EQ(leases[i].ack(), Outcome::ok);
  EXPECT_EQ(leases[1].requeue(), Outcome::ok);
  EXPECT_EQ(drain(consumer), Texts{"b"});
}

TEST_P(AckInASharedGroup, GivesRoomBackInTheOrderOfTheRing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::uint32_t sent = fill(producer, 1000);
  ipcq::Lease older = take(consumer, sent / 2);
  ipcq::Lease newer = take(consumer, 4096);
  ASSERT_EQ(older.size() + newer.size(), sent);
  EXPECT_EQ(newer.ack(), Outcome::ok);
  EXPECT_EQ(fill(producer, 1000), 0U) << "the room behind an open lease is not free yet";
  EXPECT_EQ(older.ack(), Outcome::ok);
  EXPECT_EQ(fill(producer, 1000), sent);
}

TEST_P(AckInASharedGroup, MayComeFromAnyThreadAndAfterTheConsumer) {
  const Queue queue = create();
  Producer producer = queue.producer();
  std::optional<Consumer> consumer = queue.consumer();
  put(producer, {"a", "b", "c"});
  ipcq::Lease acked = take(*consumer, 1);
  ipcq::Lease split = take(*consumer, 2);
  Outcome outcome = Outcome::empty;
  std::thread([&outcome, lease = std::move(acked)]() mutable { outcome = lease.ack(); }).join();
  EXPECT_EQ(outcome, Outcome::ok);
  consumer.reset();
  std::thread([&outcome, lease = std::move(split)]() mutable { outcome = lease.ack(1); }).join();  // the rest goes back
  EXPECT_EQ(outcome, Outcome::ok);
  Consumer next = queue.consumer();
  EXPECT_EQ(drain(next), Texts{"c"});
}

TEST_P(AckInASharedGroup, RequeuedMessagesComeOneByOne) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c"});
  EXPECT_EQ(take(consumer).requeue(), Outcome::ok);
  put(producer, {"newer", "newest"});
  for (const char* text : {"a", "b", "c"}) {
    ipcq::Lease lease = take(consumer);
    EXPECT_EQ(texts_of(lease), Texts{text}) << "only the message that kills shall be counted out";
    EXPECT_EQ(lease.deliveries(), 1U);
    EXPECT_EQ(lease.ack(), Outcome::ok);
  }
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(texts_of(lease), (Texts{"newer", "newest"}));
  EXPECT_EQ(lease.deliveries(), 0U);
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(AckInASharedGroup, RequeuedMessagesGoToWhoeverLeasesNext) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  put(producer, {"a", "b"});
  ipcq::Lease first = take(one, 1);
  ipcq::Lease second = take(two, 1);
  EXPECT_EQ(first.requeue(), Outcome::ok);
  EXPECT_EQ(drain(two), Texts{"a"});
  EXPECT_EQ(second.requeue(), Outcome::ok);
  EXPECT_EQ(drain(one), Texts{"b"});
}

TEST_P(AckInASharedGroup, TooManyOpenLeasesAreRefusedUntilTheOldestIsAcked) {
  CreateOptions wanted = options();
  wanted.ledger_entries = 4;
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put_numbers(producer, 10);
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 4; ++i) {
    leases.push_back(take(consumer, 1));
    ASSERT_TRUE(leases.back()) << to_string(leases.back().outcome()) << " at lease " << i;
  }
  EXPECT_EQ(take(consumer, 1).outcome(), Outcome::too_many_leases);
  EXPECT_EQ(leases[2].ack(), Outcome::ok);
  EXPECT_EQ(take(consumer, 1).outcome(), Outcome::too_many_leases) << "done, but behind an open one";
  EXPECT_EQ(leases[0].ack(), Outcome::ok);
  ipcq::Lease next = take(consumer, 1);
  EXPECT_EQ(texts_of(next), Texts{"4"});
  EXPECT_EQ(next.ack(), Outcome::ok);
  EXPECT_EQ(leases[1].ack(), Outcome::ok);
  EXPECT_EQ(leases[3].ack(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"5", "6", "7", "8", "9"}));
}

TEST_P(AckInASharedGroup, WithoutAFreeEntryTheFirstMessagesCannotBeAckedAloneAndNothingChanges) {
  CreateOptions wanted = options();
  wanted.ledger_entries = 4;
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put_numbers(producer, 8);
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(take(consumer, 2));
  ASSERT_TRUE(leases.back());
  EXPECT_EQ(leases[3].ack(1, now), Outcome::too_many_leases);
  EXPECT_EQ(texts_of(leases[3]), (Texts{"6", "7"}));
  for (ipcq::Lease& lease : leases) EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_FALSE(take(consumer));
}

TEST_P(AckInASharedGroup, RequeuedMessagesAreHandedOutEvenWithoutAFreeEntry) {
  CreateOptions wanted = options();
  wanted.ledger_entries = 4;
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put_numbers(producer, 8);
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(take(consumer, 2));
  ASSERT_TRUE(leases.back());
  EXPECT_EQ(leases[1].requeue(), Outcome::ok);
  ipcq::Lease again = take(consumer);
  EXPECT_EQ(texts_of(again), (Texts{"2", "3"})) << "whole, since there is no entry for the rest; never refused";
  EXPECT_EQ(again.ack(), Outcome::ok);
  for (const std::size_t i : {0U, 2U, 3U}) EXPECT_EQ(leases[i].ack(), Outcome::ok);
  EXPECT_FALSE(take(consumer));
}

// An exclusive consumer's leases end in the order in which they were made.
class AckOfAnExclusiveConsumer : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, AckOfAnExclusiveConsumer, modes_of_exclusive_consumers(), name_of);

TEST_P(AckOfAnExclusiveConsumer, OutOfOrderThrowsAndLeavesTheLeaseOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  ipcq::Lease first = take(consumer, 1);
  ipcq::Lease second = take(consumer, 1);
  EXPECT_EQ(errc_of([&] { second.ack(); }), Errc::out_of_order);
  EXPECT_EQ(errc_of([&] { second.ack(1); }), Errc::out_of_order);
  ASSERT_TRUE(second);
  EXPECT_EQ(texts_of(second), Texts{"b"});
  EXPECT_EQ(first.ack(), Outcome::ok);
  EXPECT_EQ(second.ack(), Outcome::ok);
  EXPECT_FALSE(take(consumer));
}

TEST_P(AckOfAnExclusiveConsumer, OfTheFirstMessagesDoesNotLetALaterLeaseGoFirst) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c"});
  ipcq::Lease first = take(consumer, 2);
  ipcq::Lease second = take(consumer, 1);
  EXPECT_EQ(first.ack(1), Outcome::ok);
  EXPECT_EQ(errc_of([&] { second.ack(); }), Errc::out_of_order);
  EXPECT_EQ(first.ack(1), Outcome::ok);
  EXPECT_EQ(second.ack(), Outcome::ok);
}

TEST_P(AckOfAnExclusiveConsumer, ARequeueGivesLaterLeasesBackToo) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c"});
  ipcq::Lease first = take(consumer, 1);
  ipcq::Lease second = take(consumer, 1);
  ipcq::Lease third = take(consumer, 1);
  EXPECT_EQ(first.ack(), Outcome::ok);
  EXPECT_EQ(second.requeue(), Outcome::ok);
  EXPECT_EQ(third.ack(), Outcome::disowned);
  EXPECT_EQ(drain(consumer), (Texts{"b", "c"}));
}

TEST_P(AckOfAnExclusiveConsumer, ManyLeasesMayBeOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put_numbers(producer, 100);
  std::vector<ipcq::Lease> leases;
  for (int i = 0; i < 100; ++i) {
    leases.push_back(take(consumer, 1));
    ASSERT_TRUE(leases.back()) << to_string(leases.back().outcome());
  }
  for (ipcq::Lease& lease : leases) EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_FALSE(take(consumer));
}

}  // namespace
}  // namespace ipcq::contract
