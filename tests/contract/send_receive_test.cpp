// send and receive: one message by copy, for whoever wants it simple.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;

class SendReceive : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, SendReceive, every_mode(), name_of);

TEST_P(SendReceive, WhatIsSentIsReceived) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(producer.send("hello"), Outcome::ok);
  std::string text;
  EXPECT_EQ(consumer.receive(text), Outcome::ok);
  EXPECT_EQ(text, "hello");
}

TEST_P(SendReceive, InTheOrderOfSending) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(producer.send(std::to_string(i)), Outcome::ok);
  std::string text;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(consumer.receive(text, now), Outcome::ok);
    EXPECT_EQ(text, std::to_string(i));
  }
  EXPECT_EQ(consumer.receive(text, now), Outcome::empty);
}

TEST_P(SendReceive, BytesOfAnyValue) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  std::vector<std::byte> sent;
  for (int value = 0; value < 256; ++value) sent.push_back(static_cast<std::byte>(value));
  EXPECT_EQ(producer.send(sent), Outcome::ok);
  std::vector<std::byte> received;
  EXPECT_EQ(consumer.receive(received, now), Outcome::ok);
  EXPECT_EQ(received, sent);
}

TEST_P(SendReceive, TextKeepsItsZeroBytes) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::string sent("a\0b\0", 4);
  EXPECT_EQ(producer.send(sent), Outcome::ok);
  std::string received;
  EXPECT_EQ(consumer.receive(received, now), Outcome::ok);
  EXPECT_EQ(received, sent);
}

TEST_P(SendReceive, TheTagComesAlong) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (const std::uint16_t sent : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{0x8000}, std::uint16_t{0xffff}}) {
    EXPECT_EQ(producer.send("x", sent), Outcome::ok);
    std::uint16_t tag = 77;
    std::string text;
    EXPECT_EQ(consumer.receive(text, now, &tag), Outcome::ok);
    EXPECT_EQ(tag, sent);
  }
  EXPECT_EQ(producer.send("x"), Outcome::ok);
  std::uint16_t tag = 77;
  std::vector<std::byte> bytes;
  EXPECT_EQ(consumer.receive(bytes, now, &tag), Outcome::ok);
  EXPECT_EQ(tag, 0U) << "unless said it is 0";
}

TEST_P(SendReceive, AnEmptyMessageIsAMessage) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(producer.send(""), Outcome::ok);
  EXPECT_EQ(producer.send(std::span<const std::byte>{}), Outcome::ok);
  std::string text = "before";
  EXPECT_EQ(consumer.receive(text, now), Outcome::ok);
  EXPECT_EQ(text, "");
  std::vector<std::byte> bytes(5);
  EXPECT_EQ(consumer.receive(bytes, now), Outcome::ok);
  EXPECT_TRUE(bytes.empty());
  EXPECT_EQ(consumer.receive(text, now), Outcome::empty);
}

TEST_P(SendReceive, TheReceiversBufferBecomesAsLargeAsTheMessage) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  std::string text(10, '-');
  for (const std::size_t size : {1000U, 3U, 20'000U, 0U, 10U}) {
    ASSERT_EQ(producer.send(std::string(size, 'x')), Outcome::ok);
    ASSERT_EQ(consumer.receive(text, now), Outcome::ok);
    EXPECT_EQ(text, std::string(size, 'x'));
  }
}

TEST_P(SendReceive, ReceivingAcks) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (int i = 0; i < 500; ++i) {  // many rings full: what is received makes room
    ASSERT_EQ(producer.send(std::string(1000, 'x'), 0, now), Outcome::ok);
    std::string text;
    ASSERT_EQ(consumer.receive(text, now), Outcome::ok);
  }
  EXPECT_FALSE(take(consumer));
  EXPECT_EQ(group_info(queue, "default")->depth_messages, 0U);
}

TEST_P(SendReceive, OneMessageIsTakenOutOfABatch) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b", "c"});
  std::string text;
  EXPECT_EQ(consumer.receive(text, now), Outcome::ok);
  EXPECT_EQ(text, "a");
  EXPECT_EQ(drain(consumer), (Texts{"b", "c"}));
}

TEST_P(SendReceive, ARequeuedMessageIsReceived) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  EXPECT_EQ(take(consumer, 1).requeue(), Outcome::ok);
  for (const char* expected : {"a", "b"}) {
    std::string text;
    EXPECT_EQ(consumer.receive(text, now), Outcome::ok);
    EXPECT_EQ(text, expected);
  }
}

TEST_P(SendReceive, TheLargestMessageGoesThroughAndALargerOneIsTooBig) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::string largest(queue.message_bytes_max(), 'x');
  EXPECT_EQ(producer.send(largest), Outcome::ok);
  std::string text;
  EXPECT_EQ(consumer.receive(text, now), Outcome::ok);
  EXPECT_EQ(text, largest);
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.send(largest + 'x', 0, kPatience)); }), Errc::too_big);
}

TEST_P(SendReceive, NothingInTimeIsEmptyAndNoRoomInTimeIsFull) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  std::string text;
  EXPECT_EQ(consumer.receive(text, milliseconds(5)), Outcome::empty);
  const std::uint32_t sent = fill(producer, 1000);
  EXPECT_EQ(producer.send(std::string(1000, 'x'), 0, milliseconds(5)), Outcome::full);
  EXPECT_EQ(drain(consumer).size(), sent) << "what was refused is not there";
}

TEST_P(SendReceive, AClosedQueueTakesNothingAndEndsWhenDrained) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(producer.send("last"), Outcome::ok);
  queue.close();
  EXPECT_EQ(producer.send("late"), Outcome::closed);
  std::string text;
  EXPECT_EQ(consumer.receive(text, kPatience), Outcome::ok);
  EXPECT_EQ(text, "last");
  EXPECT_EQ(consumer.receive(text, kPatience), Outcome::closed);
}

TEST_P(SendReceive, CancelEndsBoth) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  producer.cancel();
  consumer.cancel();
  std::string text;
  EXPECT_EQ(producer.send("x", 0, kPatience), Outcome::cancelled);
  EXPECT_EQ(consumer.receive(text, kPatience), Outcome::cancelled);
}

TEST_P(SendReceive, MixesWithClaimsAndLeases) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  EXPECT_EQ(producer.send("b"), Outcome::ok);
  put(producer, {"c"});
  EXPECT_EQ(drain(consumer), (Texts{"a", "b", "c"}));
}

}  // namespace
}  // namespace ipcq::contract
