// The room of a claim: how much it takes, how much fits, what is too big, and where in memory it lies.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checked_message.hpp"
#include "queue_contract.hpp"
#include "random.hpp"

namespace ipcq::contract {
namespace {

class ClaimRoom : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ClaimRoom, every_mode(), name_of);

// Of a ring of 64 KiB: 2047 records of 16 payload bytes are 65504 bytes, and 16 must stay behind a claim.
constexpr std::uint32_t kMost16 = 2047;

TEST_P(ClaimRoom, MoreMessagesThanClaimedThrowClaimOverrun) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 2, .bytes = 100}, now);
  claim.append_copy(bytes_of("a"));
  claim.append_copy(bytes_of("b"));
  EXPECT_EQ(errc_of([&] { claim.append(1); }), Errc::claim_overrun);
  EXPECT_EQ(errc_of([&] { claim.append(0); }), Errc::claim_overrun);
  EXPECT_EQ(claim.commit(), Outcome::ok) << "what fitted can still be committed";
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
}

TEST_P(ClaimRoom, MoreBytesThanClaimedThrowClaimOverrun) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 10, .bytes = 5}, now);
  EXPECT_EQ(errc_of([&] { claim.append(6); }), Errc::claim_overrun);
  claim.append_copy(bytes_of("abc"));
  EXPECT_EQ(errc_of([&] { claim.append(3); }), Errc::claim_overrun);
  claim.append_copy(bytes_of("de"));
  EXPECT_EQ(errc_of([&] { claim.append(1); }), Errc::claim_overrun);
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"abc", "de"}));
}

TEST_P(ClaimRoom, FitsSaysWhatAppendWillTake) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 100}, now);
  EXPECT_TRUE(claim.fits(100));
  EXPECT_FALSE(claim.fits(101));
  claim.append(60);
  EXPECT_TRUE(claim.fits(40));
  EXPECT_FALSE(claim.fits(41));
  claim.append(40);
  EXPECT_TRUE(claim.fits(0)) << "a message is left, if no byte";
  EXPECT_FALSE(claim.fits(1));
  claim.append(0);
  EXPECT_FALSE(claim.fits(0)) << "no message is left";
}

TEST_P(ClaimRoom, NoMessageOfAnEqualRoomMayBeLarger) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim(Room::equal(3, 4), now);
  EXPECT_TRUE(claim.fits(4));
  EXPECT_FALSE(claim.fits(5)) << "although 12 bytes were claimed";
  EXPECT_EQ(errc_of([&] { claim.append(5); }), Errc::claim_overrun);
  for (const char* text : {"1234", "12", "1234"}) claim.append_copy(bytes_of(text));
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"1234", "12", "1234"}));
}

TEST_P(ClaimRoom, EqualMessagesTakeNoMoreOfTheRingThanTheirRecords) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (int lap = 0; lap < 3; ++lap) {
    ipcq::Claim claim = producer.claim(Room::equal(kMost16, 16), now);
    ASSERT_TRUE(claim) << to_string(claim.outcome()) << " in lap " << lap;
    for (std::uint32_t i = 0; i < kMost16; ++i) write_checked(claim.append(16), {.producer = 1, .sequence = i});
    EXPECT_EQ(claim.commit(), Outcome::ok);
    EXPECT_EQ(producer.claim(Room::equal(1, 16), now).outcome(), Outcome::full) << "the ring is full to the brim";

    std::uint32_t next = 0;
    while (ipcq::Lease lease = take(consumer, 4096)) {
      for (const Message& message : lease) {
        const std::optional<Identity> identity = read_checked(message.payload);
        ASSERT_TRUE(identity);
        ASSERT_EQ(identity->sequence, next++);
      }
      ASSERT_EQ(lease.ack(), Outcome::ok);
    }
    EXPECT_EQ(next, kMost16);
  }
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.claim(Room::equal(kMost16 + 1, 16), now)); }), Errc::too_big);
}

// What the doors promise for messages of any sizes: at most 31 bytes beside each payload, whatever the sizes are.
TEST_P(ClaimRoom, MessagesOfAnySizesThatAddUpToItFit) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  Random random;
  for (std::uint32_t round = 0; round < scaled(300); ++round) {
    std::vector<std::uint32_t> sizes(random.between(1, 100));
    std::size_t bytes = 0;
    for (std::uint32_t& size : sizes) bytes += size = random.below(random.one_in(8) ? 400 : 40);
    ipcq::Claim claim = producer.claim({.messages = static_cast<std::uint32_t>(sizes.size()), .bytes = bytes}, now);
    ASSERT_TRUE(claim) << to_string(claim.outcome());
    for (const std::uint32_t size : sizes) {
      ASSERT_TRUE(claim.fits(size));
      std::ranges::fill(claim.append(size), static_cast<std::byte>(size));
    }
    ASSERT_EQ(claim.commit(), Outcome::ok);

    ipcq::Lease lease = take(consumer, 4096);
    ASSERT_EQ(lease.size(), sizes.size());
    std::size_t i = 0;
    for (const Message& message : lease) {
      const std::uint32_t size = sizes[i++];
      ASSERT_EQ(message.payload.size(), size);
      ASSERT_TRUE(std::ranges::all_of(message.payload, [&](std::byte b) { return b == static_cast<std::byte>(size); }));
    }
    ASSERT_EQ(lease.ack(), Outcome::ok);
  }
}

TEST_P(ClaimRoom, EmptyMessagesAreMessages) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 0}, now);
  ASSERT_TRUE(claim);
  for (std::uint16_t tag = 1; tag <= 3; ++tag) EXPECT_EQ(claim.append(0, tag).size(), 0U);
  EXPECT_EQ(claim.commit(), Outcome::ok);

  ipcq::Lease lease = take(consumer);
  ASSERT_EQ(lease.size(), 3U);
  std::uint16_t tag = 0;
  for (const Message& message : lease) {
    EXPECT_EQ(message.tag, ++tag);
    EXPECT_TRUE(message.payload.empty());
  }
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(ClaimRoom, TheLargestMessageIsHalfTheRing) {
  const Queue queue = create();
  const std::size_t largest = queue.message_bytes_max();
  EXPECT_LE(largest, queue.capacity_bytes() / 2);
  EXPECT_GE(largest, queue.capacity_bytes() / 2 - 64) << "half the ring but for its header";

  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (std::uint32_t i = 0; i < 7; ++i) {  // at another place of the ring each time
    ipcq::Claim claim = producer.claim({.messages = 1, .bytes = largest}, now);
    ASSERT_TRUE(claim) << to_string(claim.outcome()) << " at " << i;
    write_checked(claim.append(largest), {.producer = 0, .sequence = i});
    EXPECT_EQ(claim.commit(), Outcome::ok);
    ipcq::Lease lease = take(consumer);
    ASSERT_EQ(lease.size(), 1U);
    const std::optional<Identity> identity = read_checked(lease.begin()->payload);
    ASSERT_TRUE(identity);
    EXPECT_EQ(identity->sequence, i);
    EXPECT_EQ(lease.ack(), Outcome::ok);
    put(producer, {"between"});
    EXPECT_EQ(drain(consumer), Texts{"between"});
  }
}

TEST_P(ClaimRoom, WhatCanNeverFitIsTooBigAtOnceAndNotWaitedFor) {
  const Queue queue = create();
  Producer producer = queue.producer();
  fill(producer, 1000);  // a claim that fits would wait here
  const std::size_t largest = queue.message_bytes_max();
  const auto refused = [&](Room room) { return errc_of([&] { static_cast<void>(producer.claim(room, kPatience)); }); };
  EXPECT_EQ(refused({.messages = 1, .bytes = largest + 1}), Errc::too_big);
  EXPECT_EQ(refused(Room::equal(1, largest + 1)), Errc::too_big);
  EXPECT_EQ(refused({.messages = 3, .bytes = queue.capacity_bytes()}), Errc::too_big);
  EXPECT_EQ(refused({.messages = 1'000'000, .bytes = 0}), Errc::too_big) << "headers need room too";
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.send(std::string(largest + 1, 'x'), 0, kPatience)); }),
            Errc::too_big);
  const std::optional<EndpointInfo> row = endpoint_info(queue, producer.row());
  ASSERT_TRUE(row);
  EXPECT_EQ(row->waits, 0U);
}

TEST_P(ClaimRoom, SizesNearTheEndOfArithmeticAreTooBigAndNotWrappedAround) {
  const Queue queue = create();
  Producer producer = queue.producer();
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  constexpr std::uint32_t kMostMessages = std::numeric_limits<std::uint32_t>::max();
  for (const Room room : {Room{.messages = 1, .bytes = kMost}, Room{.messages = 2, .bytes = kMost - 61},
                          Room{.messages = kMostMessages, .bytes = kMost}, Room{.messages = kMostMessages, .bytes = 0},
                          Room{.messages = 2, .bytes = std::size_t{1} << 32}}) {
    EXPECT_EQ(errc_of([&] { static_cast<void>(producer.claim(room, now)); }), Errc::too_big)
        << room.messages << " messages of " << room.bytes << " bytes";
  }
}

TEST_P(ClaimRoom, AMessageOverHalfTheRingDoesNotFitAClaimOfSeveralEither) {
  const Queue queue = create();
  Producer producer = queue.producer();
  const std::size_t largest = queue.message_bytes_max();
  ipcq::Claim claim = producer.claim({.messages = 2, .bytes = largest + 100}, now);
  ASSERT_TRUE(claim);
  EXPECT_FALSE(claim.fits(largest + 1));
  EXPECT_TRUE(errc_of([&] { claim.append(largest + 1); }).has_value());
  EXPECT_TRUE(claim.fits(largest));
}

TEST_P(ClaimRoom, ShrinkLastKeepsTheFirstBytesAndTheTag) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 300}, now);
  for (std::uint16_t tag = 7; tag < 10; ++tag) {  // the first record of a claim, one in it, the last
    std::memcpy(claim.append(100, tag).data(), "0123456789", 10);
    claim.shrink_last(10U - tag % 3U);
  }
  EXPECT_EQ(claim.commit(), Outcome::ok);

  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(texts_of(lease), (Texts{"012345678", "01234567", "0123456789"}));
  std::uint16_t tag = 7;
  for (const Message& message : lease) EXPECT_EQ(message.tag, tag++);
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(ClaimRoom, ShrinkLastGivesTheBytesBackToTheClaim) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 100}, now);
  std::memset(claim.append(100).data(), 'a', 100);
  EXPECT_FALSE(claim.fits(1));
  claim.shrink_last(30);
  EXPECT_EQ(claim.messages(), 1U);
  EXPECT_EQ(claim.bytes(), 30U);
  EXPECT_TRUE(claim.fits(70));
  EXPECT_FALSE(claim.fits(71));
  claim.shrink_last(0);
  EXPECT_EQ(claim.bytes(), 0U);
  std::memset(claim.append(100).data(), 'b', 100);
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{"", std::string(100, 'b')}));
}

TEST_P(ClaimRoom, ShrinkLastTakesNoLargerSizeAndNothingBeforeTheFirstAppend) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 2, .bytes = 100}, now);
  EXPECT_EQ(errc_of([&] { claim.shrink_last(0); }), Errc::not_open);
  claim.append_copy(bytes_of("12345"));
  EXPECT_EQ(errc_of([&] { claim.shrink_last(6); }), Errc::claim_overrun);
  claim.shrink_last(5);
  EXPECT_EQ(claim.bytes(), 5U);
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), Texts{"12345"});
}

TEST_P(ClaimRoom, EveryTagArrivesAsItWasSent) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  std::uint32_t expected = 0;
  for (std::uint32_t first = 0; first < 65536; first += 1024) {
    ipcq::Claim claim = producer.claim({.messages = 1024, .bytes = 0}, now);
    ASSERT_TRUE(claim) << to_string(claim.outcome());
    for (std::uint32_t i = 0; i < 1024; ++i) claim.append(0, static_cast<std::uint16_t>(first + i));
    ASSERT_EQ(claim.commit(), Outcome::ok);
    while (ipcq::Lease lease = take(consumer, 4096)) {
      for (const Message& message : lease) ASSERT_EQ(message.tag, expected++);
      ASSERT_EQ(lease.ack(), Outcome::ok);
    }
  }
  EXPECT_EQ(expected, 65536U);
}

TEST_P(ClaimRoom, IsOnePieceAlsoAcrossTheEndOfTheRing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::uint64_t mask = queue.capacity_bytes() - 1;
  constexpr std::size_t kRecord = 16 + 1024;  // header, 1010 bytes and padding: no divisor of the ring
  std::uint32_t crossings = 0;
  for (std::uint32_t batch = 0; batch < 64; ++batch) {
    ipcq::Claim claim = producer.claim(Room::equal(7, 1010), now);
    ASSERT_TRUE(claim) << to_string(claim.outcome());
    const std::byte* next = nullptr;
    for (std::uint32_t i = 0; i < 7; ++i) {
      const std::span<std::byte> span = claim.append(1010);
      if (next != nullptr) {
        EXPECT_EQ(span.data(), next);
      }
      next = span.data() + kRecord;
      write_checked(span, {.producer = batch, .sequence = i});
    }
    ASSERT_EQ(claim.commit(), Outcome::ok);

    ipcq::Lease lease = take(consumer);
    ASSERT_EQ(lease.size(), 7U);
    std::uint32_t i = 0;
    for (const Message& message : lease) {
      if ((message.position & mask) + kRecord > queue.capacity_bytes()) ++crossings;
      const std::optional<Identity> identity = read_checked(message.payload);
      ASSERT_TRUE(identity);
      EXPECT_EQ(identity->producer, batch);
      EXPECT_EQ(identity->sequence, i++);
    }
    ASSERT_EQ(lease.ack(), Outcome::ok);
  }
  EXPECT_GT(crossings, 0U) << "no message crossed the end: this test has tested nothing";
}

TEST_P(ClaimRoom, ManyLapsOfRandomBatchesKeepEveryByte) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  Random random;
  struct Sent {
    std::uint32_t sequence;
    std::size_t size;
    std::uint16_t tag;
  };
  std::deque<Sent> in_ring;
  std::uint32_t sequence = 0;
  std::uint32_t refused = 0;
  std::uint64_t position = 0;
  const std::uint64_t end = std::uint64_t{scaled(40)} * queue.capacity_bytes();

  bool filling = true;  // for a while the ring fills up, then it drains
  while (position < end) {
    if (random.one_in(100)) filling = !filling;
    if (random.one_in(10) != filling) {
      const std::uint32_t largest = random.one_in(10) ? 4000 : 300;
      const std::uint32_t messages = random.between(1, largest == 4000 ? 8 : 32);
      const Room room =
          random.one_in(2) ? Room::equal(messages, largest) : Room{.messages = messages, .bytes = 16U * 300};
      ipcq::Claim claim = producer.claim(room, now);
      if (!claim) {
        ASSERT_EQ(claim.outcome(), Outcome::full);
        ++refused;
      } else if (random.one_in(10)) {
        while (claim.fits(kCheckedBytesMin) && !random.one_in(4)) {
          write_checked(claim.append(kCheckedBytesMin), {.producer = 666, .sequence = 0});
        }
        ASSERT_EQ(claim.abort(), Outcome::ok);
      } else {
        for (;;) {
          const std::size_t size = random.between(kCheckedBytesMin, largest);
          if (!claim.fits(size)) break;
          const auto tag = static_cast<std::uint16_t>(random.below(65536));
          write_checked(claim.append(size, tag), {.producer = 1, .sequence = sequence});
          in_ring.push_back({sequence++, size, tag});
        }
        ASSERT_EQ(claim.commit(), Outcome::ok);
      }
    } else {
      ipcq::Lease lease = take(consumer, random.between(1, 80));
      for (const Message& message : lease) {
        ASSERT_FALSE(in_ring.empty());
        const Sent sent = in_ring.front();
        in_ring.pop_front();
        const std::optional<Identity> identity = read_checked(message.payload);
        ASSERT_TRUE(identity);
        ASSERT_EQ(identity->sequence, sent.sequence);
        ASSERT_EQ(message.payload.size(), sent.size);
        ASSERT_EQ(message.tag, sent.tag);
        position = message.position;
      }
      if (lease) {
        ASSERT_EQ(lease.ack(), Outcome::ok);
      }
    }
  }
  EXPECT_GT(refused, 0U) << "the ring was never full: this test has tested less than it says";
  EXPECT_EQ(drain(consumer).size(), in_ring.size());
}

TEST_P(ClaimRoom, PayloadsLieAtTheQueuesAlignment) {
  for (const std::uint32_t alignment : {16U, 64U, 4096U}) {
    SCOPED_TRACE(alignment);
    CreateOptions wanted = options();
    wanted.alignment_bytes = alignment;
    const Queue queue = Queue::create("aligned-" + std::to_string(alignment), wanted);
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    const auto aligned = [&](const std::byte* at) { return reinterpret_cast<std::uintptr_t>(at) % alignment == 0; };
    for (std::uint32_t batch = 0; batch < 50; ++batch) {
      ipcq::Claim claim = producer.claim({.messages = 4, .bytes = 600}, now);
      ASSERT_TRUE(claim) << to_string(claim.outcome());
      for (const std::size_t size : {1U, 17U, 64U, 500U}) {
        const std::span<std::byte> span = claim.append(size);
        EXPECT_TRUE(aligned(span.data()));
        std::ranges::fill(span, static_cast<std::byte>(size));
      }
      ASSERT_EQ(claim.commit(), Outcome::ok);
      ipcq::Lease lease = take(consumer);
      ASSERT_EQ(lease.size(), 4U);
      for (const Message& message : lease) {
        EXPECT_TRUE(aligned(message.payload.data()));
        EXPECT_EQ(message.payload.front(), static_cast<std::byte>(message.payload.size()));
        EXPECT_EQ(message.payload.back(), static_cast<std::byte>(message.payload.size()));
      }
      ASSERT_EQ(lease.ack(), Outcome::ok);
    }
  }
}

}  // namespace
}  // namespace ipcq::contract
