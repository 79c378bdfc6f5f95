// Batches of messages of one length and of several: whatever is said of a batch in its first head, each message comes as it
// was sent, also where a lease, an ack of the first n or a second walk begins within a batch.
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
