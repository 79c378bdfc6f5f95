// The parent's sums of what the consumers report.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "report.hpp"
#include "word_count.hpp"

namespace demo {

/// Counts every message once, also if a killed consumer's batch is reported again by another.
class Tally {
 public:
  struct Share {
    Counts counts;
    std::uint64_t messages = 0;
    std::uint64_t batches = 0;
  };

  explicit Tally(std::size_t consumers) : shares_(consumers) {}

  /// Throws std::runtime_error if the report names a consumer that is not there, or covers part of another report only.
  void add(const Report& report);

  [[nodiscard]] const std::vector<Share>& shares() const noexcept { return shares_; }
  [[nodiscard]] const Share& total() const noexcept { return total_; }
  /// Messages handed out again after their consumer died, and those of them that were counted already.
  [[nodiscard]] std::uint64_t redelivered() const noexcept { return redelivered_; }
  [[nodiscard]] std::uint64_t counted_already() const noexcept { return counted_already_; }
  /// From the first message's enqueue time to the end of the last count.
  [[nodiscard]] double seconds() const noexcept;

 private:
  std::vector<Share> shares_;
  Share total_;
  std::map<std::uint64_t, std::uint64_t> ranges_;  // counted: positions of a batch's first and last message
  std::uint64_t redelivered_ = 0;
  std::uint64_t counted_already_ = 0;
  std::int64_t first_enqueued_ns_ = INT64_MAX;
  std::int64_t last_counted_ns_ = 0;
};

}  // namespace demo
