// QueueAndSegment: a queue as its users have it, and its segment mapped a second time, whose words a test looks at and changes.
#pragma once

#include <gtest/gtest.h>

#include <ipcq/ipcq.hpp>
#include <memory>

#include "api/segment.hpp"
#include "support/scratch_directory.hpp"

namespace ipcq::unit {

class QueueAndSegment : public ::testing::Test {
 protected:
  [[nodiscard]] core::View view() const { return segment_->writable_view(); }

  support::ScratchDirectory scratch_;
  Queue queue_ = Queue::create("q", {.capacity_bytes = 1 << 16, .directory = scratch_.path()});
  const detail::Place place_ = detail::place_of("q", scratch_.path());
  const std::shared_ptr<detail::Segment> segment_ =
      detail::Segment::map(place_, detail::open_file(place_, detail::Access::read_write, detail::Depth::whole, {}),
                           detail::Access::read_write);
};

}  // namespace ipcq::unit
