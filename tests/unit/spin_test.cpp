// When a call that waits spins, and when it does not any more.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "api/endpoint.hpp"
#include "core/event_count.hpp"
#include "os/futex.hpp"
#include "queue_and_segment.hpp"

namespace ipcq::unit {
namespace {

class Spinning : public QueueAndSegment {
 protected:
  [[nodiscard]] std::unique_ptr<detail::Endpoint> endpoint(WaitStrategy strategy) const {
    const core::AttachRequest request{layout::RowKind::producer, 0, 0};
    return std::make_unique<detail::Endpoint>(segment_, view(), request, strategy);
  }
  [[nodiscard]] layout::EventLine& event() const { return view().side().data; }
};

TEST_F(Spinning, adaptively_is_for_a_moment_and_never_past_the_deadline) {
  const auto adaptive = endpoint(WaitStrategy::adaptive);
  EXPECT_EQ(adaptive->spin_until(1'000, os::kNoDeadline, true), 1'000 + detail::kAdaptiveSpin_ns);
  EXPECT_EQ(adaptive->spin_until(1'000, 1'010, true), 1'010);
}

TEST_F(Spinning, adaptively_is_not_done_again_when_a_sleep_ended_by_itself) {
  EXPECT_EQ(endpoint(WaitStrategy::adaptive)->spin_until(1'000, os::kNoDeadline, false), 1'000);
}

TEST_F(Spinning, goes_on_to_the_deadline_where_that_was_asked_for_and_never_where_sleep_was) {
  for (const bool stirred : {true, false}) {
    EXPECT_EQ(endpoint(WaitStrategy::spin)->spin_until(1'000, 5'000'000, stirred), 5'000'000);
    EXPECT_EQ(endpoint(WaitStrategy::sleep)->spin_until(1'000, 5'000'000, stirred), 1'000);
  }
}

TEST_F(Spinning, a_sleep_tells_whether_it_was_woken) {
  const auto sleeper = endpoint(WaitStrategy::adaptive);
  const std::uint32_t armed = core::arm(event());
  EXPECT_FALSE(sleeper->sleep_once(event(), armed, os::monotonic_ns() + 1'000'000)) << "nobody woke it";
  core::publish_fenced(event());
  EXPECT_TRUE(sleeper->sleep_once(event(), armed, os::kNoDeadline)) << "something came between";
}

TEST_F(Spinning, a_sleep_that_ends_for_a_look_at_the_dead_was_not_woken) {
  const auto sleeper = endpoint(WaitStrategy::adaptive);
  EXPECT_FALSE(sleeper->sleep_once(event(), core::arm(event()), os::kNoDeadline));  // the backstop
}

}  // namespace
}  // namespace ipcq::unit
