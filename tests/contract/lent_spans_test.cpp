// Spans end with their claim or lease. Nothing can stop a program from using one later; AddressSanitizer can tell where.
#include <gtest/gtest.h>

#include <cstddef>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <span>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

// Only a build with AddressSanitizer tells; in the others there is nothing to test.
#if defined(__SANITIZE_ADDRESS__)
#define IPCQ_SPANS_ARE_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IPCQ_SPANS_ARE_WATCHED 1
#endif
#endif

#ifdef IPCQ_SPANS_ARE_WATCHED

constexpr const char* kReport = "use-after-poison";

// Through volatile, so that the access is made.
std::byte read_at(std::span<const std::byte> span) { return *static_cast<const volatile std::byte*>(span.data()); }
void write_at(std::span<std::byte> span) { *static_cast<volatile std::byte*>(span.data()) = std::byte{1}; }

class LentSpans : public QueueContract {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    queue_ = create();
  }

  std::optional<Queue> queue_;
};

TEST_P(LentSpans, a_span_of_a_claim_ends_at_commit) {
  Producer producer = queue_->producer();
  Claim claim = producer.claim({.messages = 1, .bytes = 64});
  const std::span<std::byte> span = claim.append(64);
  write_at(span);
  ASSERT_EQ(claim.commit(), Outcome::ok);
  EXPECT_DEATH(write_at(span), kReport);
}

TEST_P(LentSpans, a_span_of_a_claim_ends_at_abort) {
  Producer producer = queue_->producer();
  Claim claim = producer.claim({.messages = 1, .bytes = 64});
  const std::span<std::byte> span = claim.append(64);
  ASSERT_EQ(claim.abort(), Outcome::ok);
  EXPECT_DEATH(write_at(span), kReport);
}

TEST_P(LentSpans, a_span_of_a_lease_ends_at_ack) {
  Producer producer = queue_->producer();
  Consumer consumer = queue_->consumer();
  ASSERT_EQ(producer.send("message"), Outcome::ok);
  ipcq::Lease lease = consumer.lease();
  const std::span<const std::byte> span = lease.begin()->payload;
  EXPECT_EQ(read_at(span), std::byte{'m'});
  ASSERT_EQ(lease.ack(), Outcome::ok);
  EXPECT_DEATH(static_cast<void>(read_at(span)), kReport);
}

TEST_P(LentSpans, a_span_of_a_lease_ends_at_requeue_and_its_message_may_be_read_when_it_comes_again) {
  Producer producer = queue_->producer();
  Consumer consumer = queue_->consumer();
  ASSERT_EQ(producer.send("message"), Outcome::ok);
  ipcq::Lease lease = consumer.lease();
  const std::span<const std::byte> span = lease.begin()->payload;
  ASSERT_EQ(lease.requeue(), Outcome::ok);
  EXPECT_DEATH(static_cast<void>(read_at(span)), kReport);
  ipcq::Lease again = consumer.lease();
  ASSERT_TRUE(again);
  EXPECT_EQ(read_at(span), std::byte{'m'});
  EXPECT_EQ(again.ack(), Outcome::ok);
}

TEST_P(LentSpans, the_first_messages_end_at_their_ack_and_the_rest_may_still_be_read) {
  Producer producer = queue_->producer();
  Consumer consumer = queue_->consumer();
  ASSERT_EQ(producer.send("first"), Outcome::ok);
  ASSERT_EQ(producer.send("second"), Outcome::ok);
  ipcq::Lease lease = consumer.lease({.min_messages = 2});
  ipcq::Lease::Iterator message = lease.begin();
  const std::span<const std::byte> first = message->payload;
  ++message;
  const std::span<const std::byte> second = message->payload;
  ASSERT_EQ(lease.ack(1), Outcome::ok);
  EXPECT_DEATH(static_cast<void>(read_at(first)), kReport);
  EXPECT_EQ(read_at(second), std::byte{'s'});
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

INSTANTIATE_TEST_SUITE_P(Modes, LentSpans, every_mode(), name_of);

#endif

}  // namespace
}  // namespace ipcq::contract
