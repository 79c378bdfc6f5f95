// Whose consumer pauses to let its producer get ahead: one who finds messages at once, not one who has to wait for each.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/event_count.hpp"
#include "queue_and_segment.hpp"

namespace ipcq::unit {
namespace {

class Pausing : public QueueAndSegment {
 protected:
  static constexpr int kMessages = 100;  // more than a consumer looks on before it tries: 8 looks, and 32 that are timed

  void send_one() {
    Claim claim = producer_.claim({.bytes = 16});
    ASSERT_TRUE(claim);
    claim.append(16);
    ASSERT_EQ(claim.commit(), Outcome::ok);
  }
  void take_one() {  // the one there is, by a look that would take more
    Lease lease = consumer_.lease({.max_messages = 8, .deadline = std::chrono::seconds(60)});
    ASSERT_TRUE(lease);
    ASSERT_EQ(lease.ack(), Outcome::ok);
    tries_ += view().side().data.streaming.load();
  }

  Producer producer_ = queue_.producer();
  Consumer consumer_ = queue_.consumer({.wait = WaitStrategy::sleep});
  unsigned tries_ = 0;
};

TEST_F(Pausing, IsTriedByWhoFindsOneMessageAtOnceLookAfterLook) {
  for (int i = 0; i < kMessages; ++i) {
    send_one();
    take_one();
  }
  EXPECT_GT(tries_, 0U);
}

TEST_F(Pausing, IsNotTriedByWhoWaitsForEachMessage) {
  std::thread receiver([this] {
    for (int i = 0; i < kMessages; ++i) take_one();
  });
  for (int i = 0; i < kMessages; ++i) {
    while (!core::somebody_waits(view().side().data)) std::this_thread::yield();
    send_one();
  }
  receiver.join();
  EXPECT_EQ(tries_, 0U);
}

}  // namespace
}  // namespace ipcq::unit
