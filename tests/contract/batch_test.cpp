// Batches of messages of one length and of several: whatever is said of a batch in its first head, each message comes as it
// was sent, also where a lease, an ack of the first n or a second walk begins within a batch.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "ipcq/detail/record.hpp"
#include "queue_contract.hpp"
#include "random.hpp"

namespace ipcq::contract {
namespace {

class Batch : public QueueContract {
 protected:
  struct Sent {
    std::string text;
    std::uint16_t tag;
  };
  /// One claim with messages of these sizes, each of its own text and tag.
  void send(Producer& producer, const std::vector<std::size_t>& sizes) {
    std::size_t bytes = 0;
    for (const std::size_t size : sizes) bytes += size;
    ipcq::Claim claim = producer.claim({.messages = static_cast<std::uint32_t>(sizes.size()), .bytes = bytes}, now);
    ASSERT_TRUE(claim);
    for (const std::size_t size : sizes) {
      Sent one{std::string(size, static_cast<char>('a' + number_ % 26)), static_cast<std::uint16_t>(number_ * 7)};
      ++number_;
      claim.append_copy(bytes_of(one.text), one.tag);
      sent_.push_back(one);
    }
    ASSERT_EQ(claim.commit(), Outcome::ok);
  }
  /// The messages of the lease are the next that were sent, from `first` on.
  void expect_messages(const Lease& lease, std::size_t first) {
    ASSERT_LE(first + lease.size(), sent_.size());
    std::size_t i = first;
    for (const ipcq::Message& message : lease) {
      ASSERT_LT(i, sent_.size());
      ASSERT_EQ(message.text(), sent_[i].text) << "message " << i;
      ASSERT_EQ(message.tag, sent_[i].tag) << "message " << i;
      ASSERT_EQ(message.flags, 0) << "message " << i;
      ++i;
    }
    ASSERT_EQ(i - first, lease.size());
  }
  std::vector<Sent> sent_;
  std::size_t number_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Modes, Batch, every_mode(), name_of);

TEST_P(Batch, OfAnySizesComesAsItWasSentWhereverALeaseBegins) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  Random random;
  for (int round = 0; round < 200; ++round) {
    sent_.clear();
    for (int batch = 0; batch < 3; ++batch) {
      std::vector<std::size_t> sizes(1 + random.below(20), random.below(40));
      if (random.below(2) == 0) sizes[random.below(static_cast<std::uint32_t>(sizes.size()))] = random.below(40);
      send(producer, sizes);
    }
    std::size_t first = 0;
    while (first < sent_.size()) {
      Lease lease = consumer.lease({.max_messages = static_cast<std::uint32_t>(1 + random.below(30)), .deadline = now});
      ASSERT_TRUE(lease);
      expect_messages(lease, first);
      expect_messages(lease, first);  // a second walk over the same
      while (lease && !HasFatalFailure()) {
        const auto part = static_cast<std::uint32_t>(1 + random.below(lease.size()));
        ASSERT_EQ(lease.ack(part), Outcome::ok);
        first += part;
        if (lease) expect_messages(lease, first);
      }
    }
  }
}

TEST_P(Batch, OfMoreMessagesThanAHeadCanSayComesWhole) {
  CreateOptions large = options();
  large.capacity_bytes = 1 << 20;
  const Queue queue = create(large);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  send(producer, std::vector<std::size_t>(detail::kRunMax + 1000, 3));
  std::size_t first = 0;
  while (first < sent_.size()) {
    Lease lease = consumer.lease({.max_messages = 4096, .deadline = now});
    ASSERT_TRUE(lease);
    expect_messages(lease, first);
    first += lease.size();
    ASSERT_EQ(lease.ack(), Outcome::ok);
  }
}

TEST_P(Batch, OfAppendEachComesAsItWasFilled) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{16}, std::size_t{100}}) {
    for (const std::uint32_t count : {1U, 2U, 64U}) {
      sent_.clear();
      ipcq::Claim claim = producer.claim(Room::equal(count + 2, 100), now);
      ASSERT_TRUE(claim);
      const auto put = [&](std::span<std::byte> to, std::uint16_t tag) {
        const std::string text(to.size(), static_cast<char>('a' + sent_.size() % 26));
        std::copy(text.begin(), text.end(), reinterpret_cast<char*>(to.data()));
        sent_.push_back({text, tag});
      };
      put(claim.append(100, 1), 1);
      claim.append_each(
          count, size,
          [&](std::uint32_t i, std::span<std::byte> to) {
            ASSERT_EQ(i + 1, sent_.size());
            ASSERT_EQ(to.size(), size);
            put(to, 2);
          },
          2);
      EXPECT_EQ(claim.messages(), count + 1);
      EXPECT_EQ(claim.bytes(), 100 + count * size);
      put(claim.append(100, 3), 3);
      ASSERT_EQ(claim.commit(), Outcome::ok);
      Lease lease = consumer.lease({.max_messages = 4096, .deadline = now});
      ASSERT_EQ(lease.size(), count + 2);
      expect_messages(lease, 0);
      ASSERT_EQ(lease.ack(), Outcome::ok);
    }
  }
}

TEST_P(Batch, OfAppendEachThatNeverFitsIsRefusedBeforeAnythingIsFilled) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ipcq::Claim claim = producer.claim({.messages = 10, .bytes = 100}, now);
  const auto never = [](std::uint32_t, std::span<std::byte>) { ADD_FAILURE() << "filled"; };
  EXPECT_EQ(errc_of([&] { claim.append_each(11, 1, never); }), Errc::claim_overrun);
  EXPECT_EQ(errc_of([&] { claim.append_each(10, 11, never); }), Errc::claim_overrun);
  EXPECT_EQ(errc_of([&] { claim.append_each(1, 101, never); }), Errc::claim_overrun);
  claim.append_each(0, 1000, never);
  EXPECT_EQ(claim.messages(), 0U);
  EXPECT_EQ(claim.abort(), Outcome::ok);
  EXPECT_EQ(errc_of([&] { claim.append_each(1, 1, never); }), Errc::not_open);
}

TEST_P(Batch, WhoseFillingThrewKeepsWhatWasFilledBefore) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (const std::uint32_t at : {0U, 1U, 3U}) {
    ipcq::Claim claim = producer.claim(Room::equal(8, 1), now);
    const auto fill = [&](std::uint32_t i, std::span<std::byte> to) {
      if (i == at) throw at;
      to[0] = static_cast<std::byte>('a' + i);
    };
    EXPECT_THROW(claim.append_each(8, 1, fill), std::uint32_t);
    EXPECT_EQ(claim.messages(), at);
    claim.append_copy(bytes_of("z"));
    ASSERT_EQ(claim.commit(), Outcome::ok);
    const Texts all{"a", "b", "c"};
    Texts expected(all.begin(), all.begin() + at);
    expected.emplace_back("z");
    EXPECT_EQ(drain(consumer), expected);
  }
}

TEST_P(Batch, MadeSmallerAtItsEndAgainAndAgainKeepsTheRest) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 20, .bytes = 2000}, now);
  Texts expected;
  for (std::size_t i = 0; i < 20; ++i) {
    const std::span<std::byte> to = claim.append(100);
    std::memset(to.data(), 'a' + static_cast<int>(i), to.size());
    const std::size_t size = i % 3 == 0 ? 100 : i;
    claim.shrink_last(50 + i);
    claim.shrink_last(std::min<std::size_t>(size, 50 + i));
    expected.emplace_back(std::min<std::size_t>(size, 50 + i), static_cast<char>('a' + i));
  }
  ASSERT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), expected);
}

TEST_P(Batch, WhoseLastMessageWasMadeSmallerIsNotTakenForOneOfEqualMessages) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 4, .bytes = 400}, now);
  for (const char letter : {'a', 'b', 'c'}) {
    const std::span<std::byte> to = claim.append(100);
    std::memset(to.data(), letter, to.size());
  }
  claim.shrink_last(20);
  ASSERT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{std::string(100, 'a'), std::string(100, 'b'), std::string(20, 'c')}));
}

TEST_P(Batch, WhoseFirstMessageWasMadeSmallerIsOfThatSize) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 300}, now);
  std::memset(claim.append(100).data(), 'a', 100);
  claim.shrink_last(20);
  for (const char letter : {'b', 'c'}) {
    const std::span<std::byte> to = claim.append(20);
    std::memset(to.data(), letter, to.size());
  }
  ASSERT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(drain(consumer), (Texts{std::string(20, 'a'), std::string(20, 'b'), std::string(20, 'c')}));
}

}  // namespace
}  // namespace ipcq::contract
