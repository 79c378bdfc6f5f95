// What a consumer tells the parent about one batch, as one message of the report queue.
#pragma once

#include <cstdint>
#include <type_traits>

#include "word_count.hpp"

namespace demo {

/// Sent before the batch is acked. A consumer killed before it has sent its report leaves the batch to others, who report
/// it; one killed between report and ack leaves it too, and then it is reported twice. Positions tell: a message's position
/// is its identity in the queue.
struct Report {
  std::uint64_t first_position = 0;  ///< of the batch's first and last message
  std::uint64_t last_position = 0;
  Counts counts;
  std::int64_t enqueued_ns = 0;  ///< when the first message was enqueued, and when the batch was counted: CLOCK_MONOTONIC
  std::int64_t counted_ns = 0;
  std::uint32_t consumer = 0;
  std::uint32_t messages = 0;
  std::uint32_t deliveries = 0;  ///< how often the batch had been handed out before
  std::uint32_t unused = 0;
};
static_assert(std::is_trivially_copyable_v<Report>);

}  // namespace demo
