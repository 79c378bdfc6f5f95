// Closing and reopening tell everybody who sleeps, and change the stream's end under the producer side's mutex alone.
#include <gtest/gtest.h>

#include <cstdint>

#include "core/closing.hpp"
#include "core/event_count.hpp"
#include "fixture.hpp"
#include "kept_mutex.hpp"

namespace ipcq::unit {
namespace {

// Somebody sleeps on either side.
class Sleepers {
 public:
  explicit Sleepers(const core::View& view) : view_(view) {
    core::arm(view_.side().data);
    core::arm(view_.side().space);
  }
  [[nodiscard]] bool all_woken() const {
    return !core::somebody_waits(view_.side().data) && !core::somebody_waits(view_.side().space);
  }

 private:
  const core::View& view_;
};

class ClosingWakes : public ::testing::Test {
 protected:
  explicit ClosingWakes(ProducerMode mode = ProducerMode::shared) : segment_({.producers = mode}) {
    segment_.add_group();
  }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  void set_flag() const { view().frozen().flags.fetch_or(layout::flag::kClosed); }
  [[nodiscard]] bool has_end() const noexcept { return core::closed_at(view()) != core::kNoPosition; }

  CoreSegment segment_;
  core::ProducerState producer_ = segment_.producer(0);
};

// The end is its living producer's to store, so a close is the flag alone.
class ClosingWakesOfAnExclusiveProducer : public ClosingWakes {
 protected:
  ClosingWakesOfAnExclusiveProducer() : ClosingWakes(ProducerMode::exclusive) {
    core::Owner holder = 0;
    if (core::take_over_producer(view(), producer_, holder) != core::TakeOver::ok) ADD_FAILURE() << "no producer";
  }
};

TEST_F(ClosingWakesOfAnExclusiveProducer, tells_all_of_the_flag) {
  const Sleepers sleepers(view());
  core::close(view());
  EXPECT_FALSE(has_end());
  EXPECT_TRUE(sleepers.all_woken());
}

TEST_F(ClosingWakesOfAnExclusiveProducer, tells_all_of_the_end_that_he_stores) {
  core::close(view());
  const Sleepers sleepers(view());
  core::finish_close_as_owner(view(), producer_.owner);
  EXPECT_TRUE(has_end());
  EXPECT_TRUE(sleepers.all_woken());
}

TEST_F(ClosingWakes, tells_all_of_an_end_that_another_stores) {
  set_flag();
  const Sleepers sleepers(view());
  core::finish_close(view());
  EXPECT_TRUE(has_end());
  EXPECT_TRUE(sleepers.all_woken());
}

TEST_F(ClosingWakes, tells_all_when_it_is_taken_back) {
  core::close(view());
  const Sleepers sleepers(view());
  EXPECT_TRUE(core::reopen(view()));
  EXPECT_TRUE(sleepers.all_woken());
}

TEST_F(ClosingWakes, stores_no_end_while_a_producer_may_claim) {
  const Keeper keeper(view().side().producer_lock.mutex);
  core::close(view());
  EXPECT_TRUE(core::is_closed(view()));
  EXPECT_FALSE(has_end()) << "a claim that is being made would come behind it";
}

TEST_F(ClosingWakes, is_not_taken_back_while_somebody_stores_the_end) {
  core::close(view());
  const Keeper keeper(view().side().producer_lock.mutex);
  EXPECT_FALSE(core::reopen(view()));
  EXPECT_TRUE(core::is_closed(view()));
  EXPECT_TRUE(has_end());
}

}  // namespace
}  // namespace ipcq::unit
