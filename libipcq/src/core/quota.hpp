// Quota: what a claim takes of the buckets that bind its producer, and gives back.
//
// The buckets of a producer: the queue's, its user's, its row's. Each has a word of time for messages and one for bytes;
// a claim pays into them in that order, each by one compare-exchange, and nobody holds a lock for it.
// What a dead producer has paid is gone: it was his, and is forgotten at the pace of the limit.
//
// A claim that may wait pays at once, whenever its turn comes: that is its place in the line, and nobody passes it.
#pragma once

#include <array>
#include <cstdint>

#include "core/quota_rate.hpp"
#include "core/view.hpp"

namespace ipcq::core {

/// Of the segment's buckets: the queue's, users' from 1 on, then one a row.
inline constexpr std::uint32_t kQueueBucket = 0;
inline constexpr std::uint32_t kUserBuckets = 32;
[[nodiscard]] constexpr std::uint32_t row_bucket(std::uint32_t row) noexcept { return 1 + kUserBuckets + row; }
[[nodiscard]] inline std::uint32_t quota_buckets(const View& view) noexcept {
  return 1 + kUserBuckets + view.endpoints_max;
}
[[nodiscard]] inline layout::QuotaBucket& quota_bucket(const View& view, std::uint32_t number) noexcept {
  return *reinterpret_cast<layout::QuotaBucket*>(
      view.control + view.groups_offset + view.groups_max * view.group_stride + number * sizeof(layout::QuotaBucket));
}
/// Who waits for a quota sleeps on it: claims are many, and consumers' acks must not wake those whom no room helps.
[[nodiscard]] inline layout::AtomicU32& quota_event(const View& view) noexcept {
  return quota_bucket(view, kQueueBucket).event;
}

/// The buckets of users that a row's bucket names: of its user, and of every producer. 0: none.
struct BucketLinks {
  std::uint32_t user = 0;
  std::uint32_t each = 0;
};
[[nodiscard]] constexpr std::uint32_t links_word(BucketLinks links) noexcept { return links.user | links.each << 8; }
[[nodiscard]] inline BucketLinks links_of(const layout::QuotaBucket& row_bucket) noexcept {
  const std::uint32_t word = row_bucket.whose.load(std::memory_order_acquire);  // A:quota, with R:quota
  const BucketLinks links{word & 0xffU, (word >> 8) & 0xffU};
  return {links.user <= kUserBuckets ? links.user : 0, links.each <= kUserBuckets ? links.each : 0};
}

/// The lowest of the three sources' limits.
[[nodiscard]] Limit message_limit(const layout::QuotaBucket& bucket) noexcept;
[[nodiscard]] Limit byte_limit(const layout::QuotaBucket& bucket) noexcept;

/// What one producer's claim has paid. Belongs to its thread.
class Debit {
 public:
  /// Whether the last claim was bound: so the next one says beforehand what it asks for.
  [[nodiscard]] bool expected() const noexcept { return expected_; }
  /// A claim begins: what it asks for, and until when it may wait (CLOCK_MONOTONIC; 0: not at all).
  void ask(std::uint64_t messages, std::uint64_t bytes, std::int64_t latest_ns) noexcept;
  /// For a claim that has found its room. True: everything is paid, and its turn has come. False: its place is taken, and
  /// comes at ready_ns(); or it was refused, and nothing is paid; or ask() was forgotten. No system call.
  [[nodiscard]] bool pass(const View& view, Owner owner) noexcept;
  /// When the place that is taken comes; INT64_MAX: none is taken.
  [[nodiscard]] std::int64_t ready_ns() const noexcept { return shares_count_ > 0 ? ready_ns_ : INT64_MAX; }
  /// After a pass() that failed: how long until it would have passed.
  [[nodiscard]] std::int64_t retry_after_ns() const noexcept { return retry_after_ns_; }
  /// How much lateness is made up for later: who wakes later than that falls behind its rate.
  [[nodiscard]] std::int64_t slack_ns() const noexcept { return slack_ns_; }

  /// Whether there is something to settle.
  [[nodiscard]] bool paid() const noexcept { return shares_count_ > 0; }
  /// The claim is over: what it did not use is given back.
  void settle(std::uint64_t messages, std::uint64_t bytes) noexcept;
  /// The claim was not made: a place that has not come is given back if it is the last in its bucket (who stands behind it
  /// has its time already), one that has come in any case.
  void give_up() noexcept;
  /// Without a word to the segment: an inherited copy in a forked child.
  void forget() noexcept { shares_count_ = 0; }
  /// Tells the queue's, the user's and the row's bucket of a claim that was refused, and of time that one has waited.
  static void count_refusal(const View& view, Owner owner) noexcept;
  static void count_wait(const View& view, Owner owner, std::uint64_t ns) noexcept;

 private:
  struct Share {
    layout::AtomicU64* time;
    const layout::AtomicU32* change;
    std::uint32_t change_seen;
    bool of_bytes;
    std::uint64_t interval;
    QuotaTime paid;
    QuotaTime after;
  };
  enum class Taken : std::uint8_t { yes, refused, changed };

  [[nodiscard]] Taken take_all(const View& view, Owner owner, std::int64_t now_ns) noexcept;
  [[nodiscard]] Taken take(layout::QuotaBucket& bucket, const layout::QuotaBucket* beside, QuotaTime now, bool of_bytes,
                           bool pay) noexcept;
  [[nodiscard]] bool stands() const noexcept;
  void give_back_all() noexcept;

  std::array<Share, 6> shares_;  // the first shares_count_
  std::uint32_t shares_count_ = 0;
  bool expected_ = false;
  bool asked_ = false;
  std::uint64_t messages_ = 0;
  std::uint64_t bytes_ = 0;
  std::int64_t latest_ns_ = 0;
  std::int64_t ready_ns_ = 0;
  std::int64_t retry_after_ns_ = 0;
  std::int64_t slack_ns_ = 0;
};

}  // namespace ipcq::core
