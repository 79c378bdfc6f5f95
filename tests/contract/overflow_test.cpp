// What happens to a claim when a group's unread messages leave no room: block, reject, drop-oldest.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;

class WhenFull : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, WhenFull, every_mode(), name_of);

const std::string kPayload(1000, 'x');

TEST_P(WhenFull, BlockWaitsUntilTheDeadline) {
  const Queue queue = create();
  Producer producer = queue.producer();
  fill(producer, kPayload.size());
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(producer.send(kPayload, 0, milliseconds(30)), Outcome::full);
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(30));
}

TEST_P(WhenFull, RejectAnswersFullWithoutWaiting) {
  CreateOptions wanted = options();
  wanted.overflow = Overflow::reject;
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  const std::uint32_t sent = fill(producer, kPayload.size());
  EXPECT_EQ(producer.send(kPayload, 0, kPatience), Outcome::full);
  EXPECT_EQ(endpoint_info(queue, producer.row())->waits, 0U);
  Consumer consumer = queue.consumer();
  EXPECT_EQ(drain(consumer).size(), sent) << "nothing was lost for it";
  EXPECT_EQ(producer.send(kPayload, 0, kPatience), Outcome::ok);
}

TEST_P(WhenFull, ARejectingGroupRejectsOnlyWhatItHasNoRoomFor) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "blocking", .overflow = Overflow::block},
                   {.name = "rejecting", .overflow = Overflow::reject}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer blocking = queue.consumer("blocking");
  Consumer rejecting = queue.consumer("rejecting");
  const std::uint32_t sent = fill(producer, kPayload.size());
  EXPECT_EQ(drain(rejecting).size(), sent);
  Outcome outcome = Outcome::ok;
  support::Background waiting([&] { outcome = producer.send(kPayload, 0, kPatience); });
  support::wait_until("only the blocking group is short: the claim waits",
                      [&] { return endpoint_info(queue, producer.row())->waits == 1U; });
  producer.cancel();
  waiting.join();
  EXPECT_EQ(outcome, Outcome::cancelled);
  producer.reset();
  EXPECT_EQ(drain(blocking).size(), sent);
  EXPECT_EQ(fill(producer, kPayload.size()), sent);
  EXPECT_EQ(drain(blocking).size(), sent);
  EXPECT_EQ(producer.send(kPayload, 0, kPatience), Outcome::full);
  EXPECT_EQ(endpoint_info(queue, producer.row())->waits, 1U) << "the rejecting group is short: it does not";
}

TEST_P(WhenFull, DropOldestIsRefusedForExclusiveConsumers) {
  const auto errc_with = [&](const CreateOptions& wanted) {
    return errc_of([&] { static_cast<void>(Queue::create("refused", wanted)); });
  };
  CreateOptions of_queue = options();
  of_queue.consumers = ConsumerMode::exclusive;
  of_queue.overflow = Overflow::drop_oldest;
  EXPECT_EQ(errc_with(of_queue), Errc::invalid_option);

  CreateOptions of_group = options();
  of_group.groups = {{.name = "a", .overflow = Overflow::drop_oldest, .consumers = ConsumerMode::exclusive}};
  EXPECT_EQ(errc_with(of_group), Errc::invalid_option);
  EXPECT_TRUE(list(where()).empty()) << "a refused queue is not there";

  const Queue queue = create();
  EXPECT_EQ(errc_of([&] {
              queue.add_group({.name = "a", .overflow = Overflow::drop_oldest, .consumers = ConsumerMode::exclusive});
            }),
            Errc::invalid_option);
  EXPECT_FALSE(group_info(queue, "a"));
}

class DropOldest : public QueueContract {
 protected:
  [[nodiscard]] Queue create_dropping() const {
    CreateOptions wanted = options();
    wanted.overflow = Overflow::drop_oldest;
    return create(wanted);
  }
  /// Sends messages "<first>", …, padded to 200 bytes; none may be refused.
  static void send_numbers(Producer& producer, std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t i = first; i < first + count; ++i) {
      std::string text = std::to_string(i);
      text.resize(200, ' ');
      ASSERT_EQ(producer.send(text, 0, now), Outcome::ok) << i;
    }
  }
  /// Drains, and expects numbers without a gap up to `last`; the first of them.
  static std::uint32_t drain_numbers(Consumer& consumer, std::uint32_t last) {
    const Texts texts = drain(consumer);
    if (texts.empty()) {
      ADD_FAILURE() << "nothing is left";
      return 0;
    }
    const std::uint32_t first = static_cast<std::uint32_t>(std::stoul(texts.front()));
    std::uint32_t next = first;
    for (const std::string& text : texts) EXPECT_EQ(std::stoul(text), next++);
    EXPECT_EQ(next, last + 1);
    return first;
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, DropOldest, modes_of_shared_consumers(), name_of);

TEST_P(DropOldest, ANewMessageAlwaysFindsRoomAndTheNewestStay) {
  const Queue queue = create_dropping();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send_numbers(producer, 0, 1000);
  const std::uint32_t first = drain_numbers(consumer, 999);
  EXPECT_GT(first, 0U);
  EXPECT_GT(1000 - first, 100U) << "no more than needed was dropped: 64 KiB hold some 280 of these";
}

TEST_P(DropOldest, WhatIsDroppedIsCounted) {
  const Queue queue = create_dropping();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send_numbers(producer, 0, 100);
  EXPECT_EQ(group_info(queue, "default")->dropped_messages, 0U) << "there was room";
  send_numbers(producer, 100, 900);
  EXPECT_EQ(drain_numbers(consumer, 999), group_info(queue, "default")->dropped_messages);
}

TEST_P(DropOldest, ALargeClaimDropsAsManyAsItNeeds) {
  const Queue queue = create_dropping();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send_numbers(producer, 0, 1000);
  const std::string large(queue.message_bytes_max(), 'L');
  EXPECT_EQ(producer.send(large, 0, now), Outcome::ok);
  Texts texts = drain(consumer);
  ASSERT_GT(texts.size(), 1U);
  EXPECT_EQ(texts.back(), large);
  EXPECT_EQ(std::stoul(texts[texts.size() - 2]), 999U);
  EXPECT_EQ(texts.size() - 1 + group_info(queue, "default")->dropped_messages, 1000U);
}

TEST_P(DropOldest, ALeasedMessageIsNeverDropped) {
  const Queue queue = create_dropping();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send_numbers(producer, 0, 10);
  ipcq::Lease lease = take(consumer, 1);
  ASSERT_TRUE(lease);
  fill(producer, 200);  // ends: in front is a message that is leased, so here drop-oldest refuses as reject does
  EXPECT_EQ(std::stoul(texts_of(lease).front()), 0U);
  EXPECT_EQ(lease.ack(), Outcome::ok);
  send_numbers(producer, 1000, 500);  // what is in front now is not leased
  drain_numbers(consumer, 1499);
}

TEST_P(DropOldest, RequeuedMessagesMayBeDropped) {
  const Queue queue = create_dropping();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send_numbers(producer, 0, 100);
  EXPECT_EQ(take(consumer, 10).requeue(), Outcome::ok);
  send_numbers(producer, 100, 900);
  const std::uint32_t first = drain_numbers(consumer, 999);
  EXPECT_GT(first, 10U);
  EXPECT_EQ(group_info(queue, "default")->dropped_messages, first);
}

TEST_P(DropOldest, ARequeuedBatchIsDroppedMessageByMessage) {
  const Queue queue = create_dropping();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send_numbers(producer, 0, 60);
  ASSERT_EQ(take(consumer, 60).requeue(), Outcome::ok);
  // One by one until the first message goes: the other 59 of its batch stay.
  std::uint32_t next = 60;
  while (next < 1000 && group_info(queue, "default")->dropped_messages == 0) send_numbers(producer, next++, 1);
  EXPECT_GT(group_info(queue, "default")->dropped_messages, 0U);
  EXPECT_LT(group_info(queue, "default")->dropped_messages, 60U);
  {
    const ipcq::Lease rest = take(consumer);
    EXPECT_EQ(rest.size(), 1U);
    EXPECT_EQ(rest.deliveries(), 1U) << "what is left of the batch is still known to have been handed out";
  }
  EXPECT_EQ(drain_numbers(consumer, next - 1), group_info(queue, "default")->dropped_messages);
}

TEST_P(DropOldest, AnAckedMessageIsNotCountedAsDropped) {
  const Queue queue = create_dropping();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (std::uint32_t first = 0; first < 1000; first += 100) {
    send_numbers(producer, first, 100);
    EXPECT_EQ(drain_numbers(consumer, first + 99), first);
  }
  EXPECT_EQ(group_info(queue, "default")->dropped_messages, 0U);
}

TEST_P(DropOldest, NothingIsDroppedWhileAnotherGroupHasNoRoomToGive) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "blocking", .overflow = Overflow::block},
                   {.name = "dropping", .overflow = Overflow::drop_oldest}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer blocking = queue.consumer("blocking");
  Consumer dropping = queue.consumer("dropping");
  const std::uint32_t sent = fill(producer, 200);
  EXPECT_EQ(producer.send(std::string(200, 'x'), 0, milliseconds(5)), Outcome::full);
  EXPECT_EQ(group_info(queue, "dropping")->dropped_messages, 0U) << "it would have been in vain";
  EXPECT_EQ(drain(blocking).size(), sent);
  EXPECT_EQ(fill(producer, 200), sent) << "now only the dropping group is short, until the blocking one is again";
  EXPECT_GT(group_info(queue, "dropping")->dropped_messages, 0U);
  EXPECT_EQ(drain(blocking).size(), sent);
  EXPECT_EQ(drain(dropping).size() + group_info(queue, "dropping")->dropped_messages, std::uint64_t{sent} * 2);
}

}  // namespace
}  // namespace ipcq::contract
