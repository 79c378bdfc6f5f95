#include "tally.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>

namespace demo {

void Tally::add(const Report& report) {
  if (report.consumer >= shares_.size()) throw std::runtime_error("a report names a consumer that does not exist");
  if (report.deliveries > 0) redelivered_ += report.messages;

  // A dead consumer's batch comes again as a whole or in parts, never mixed with other messages. So a range is counted
  // already if it lies in one that is; one that lies across two would be an error of the queue.
  const auto after = ranges_.upper_bound(report.first_position);
  if (after != ranges_.begin() && report.first_position <= std::prev(after)->second) {
    if (report.last_position > std::prev(after)->second) throw std::runtime_error("batches overlap");
    counted_already_ += report.messages;
    return;
  }
  if (after != ranges_.end() && report.last_position >= after->first) throw std::runtime_error("batches overlap");
  ranges_.emplace_hint(after, report.first_position, report.last_position);

  for (Share* share : {&shares_[report.consumer], &total_}) {
    share->counts += report.counts;
    share->messages += report.messages;
    ++share->batches;
  }
  first_enqueued_ns_ = std::min(first_enqueued_ns_, report.enqueued_ns);
  last_counted_ns_ = std::max(last_counted_ns_, report.counted_ns);
}

double Tally::seconds() const noexcept {
  return last_counted_ns_ > first_enqueued_ns_ ? static_cast<double>(last_counted_ns_ - first_enqueued_ns_) * 1e-9 : 0;
}

}  // namespace demo
