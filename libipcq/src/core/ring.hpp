// Ring: heads by position, and the walk over records.
//
// Invariants
//   Z  The head at the end of everything claimed is zero before anything before it becomes visible. So nobody who walks
//      records meets stale bytes.
//   S  A head is claimed, then committed or skipped; behind `claim_position` it changes no more until all groups retired it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "core/view.hpp"
#include "core/without.hpp"
#include "ipcq/detail/record.hpp"
#include "os/address_sanitizer.hpp"

namespace ipcq::core {

using detail::RecordState;

[[nodiscard]] inline const detail::RecordHeader& record_at(const View& view, std::uint64_t position) noexcept {
  return *reinterpret_cast<const detail::RecordHeader*>(view.data + (position & view.mask));
}
[[nodiscard]] inline detail::RecordHeader& writable_record_at(const View& view, std::uint64_t position) noexcept {
  return *reinterpret_cast<detail::RecordHeader*>(view.data_writable + (position & view.mask));
}
// Every access to a head or a stamp goes through these: in a program with AddressSanitizer, what is lent to nobody is
// poisoned, heads and stamps included, and only these may touch it.
IPCQ_MAY_TOUCH_POISONED inline void store_head(std::atomic<std::uint64_t>& word, std::uint64_t head,
                                               std::memory_order order) noexcept {
  word.store(head, order);
}
IPCQ_MAY_TOUCH_POISONED inline void exchange_head(std::atomic<std::uint64_t>& word, std::uint64_t head) noexcept {
  if constexpr (has(Idea::fence)) {
    word.exchange(head, std::memory_order_seq_cst);  // R:publish, R:wake
  } else {
    word.store(head, std::memory_order_release);  // R:publish
  }
}
[[nodiscard]] IPCQ_MAY_TOUCH_POISONED inline bool compare_exchange_head(std::atomic<std::uint64_t>& word,
                                                                        std::uint64_t& expected,
                                                                        std::uint64_t head) noexcept {
  return word.compare_exchange_strong(expected, head, std::memory_order_seq_cst);  // R:publish, R:wake
}
/// A:publish — with R:publish (commit, abort, abandon): payload and inner heads of the batch are visible after it.
[[nodiscard]] IPCQ_MAY_TOUCH_POISONED inline std::uint64_t load_head(const std::atomic<std::uint64_t>& word) noexcept {
  return word.load(std::memory_order_acquire);  // A:publish
}
[[nodiscard]] inline std::uint64_t load_head(const View& view, std::uint64_t position) noexcept {
  return load_head(record_at(view, position).head);
}
/// relaxed: ordered by the head that was read before, or stored after.
[[nodiscard]] IPCQ_MAY_TOUCH_POISONED inline std::uint64_t load_time(const View& view, std::uint64_t position) noexcept {
  return record_at(view, position).time.load(std::memory_order_relaxed);
}
IPCQ_MAY_TOUCH_POISONED inline void store_time(const View& view, std::uint64_t position, std::uint64_t time) noexcept {
  writable_record_at(view, position).time.store(time, std::memory_order_relaxed);
}

/// A head, and a stamp, for whoever holds nothing there: members may have finished the position meanwhile, and a producer
/// may be writing payload over it. So they are hints: a consumer that waits only compares them (an unequal head means "look
/// again", an equal one is checked under the mutex before anything follows from it), an observer checks afterwards that
/// `retired` has not passed. ThreadSanitizer is told not to look.
__attribute__((no_sanitize("thread"))) IPCQ_MAY_TOUCH_POISONED inline std::uint64_t peek_head(
    const View& view, std::uint64_t position) noexcept {
  return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(&record_at(view, position).head),
                         __ATOMIC_ACQUIRE);  // A:publish
}
__attribute__((no_sanitize("thread"))) IPCQ_MAY_TOUCH_POISONED inline std::uint64_t peek_time(
    const View& view, std::uint64_t position) noexcept {
  return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(&record_at(view, position).time),
                         __ATOMIC_RELAXED);  // relaxed: a hint
}

/// Bytes that the record with this head takes in the ring; 0 if the head's length cannot be (damaged) or it has none.
[[nodiscard]] inline std::uint64_t span_of(const View& view, std::uint64_t head) noexcept {
  const std::uint64_t length = detail::head_length(head);
  switch (detail::head_state(head)) {
    case RecordState::committed:
      return length <= view.message_bytes_max ? detail::record_bytes(length, view.alignment) : 0;
    case RecordState::claimed:
    case RecordState::skipped:
      return length >= view.alignment && length <= view.capacity && (length & (view.alignment - 1)) == 0 ? length : 0;
    default:
      return 0;
  }
}

/// Why a walk ended.
enum class WalkEnd : std::uint8_t {
  frontier,  // nothing here yet
  claimed,   // an open claim; `head` names its owner
  limit,     // as many as were asked for
  damaged,   // a length, an owner or a place that cannot be
};

/// No queue gets there: sums of positions below it with sixteen of the largest rings do not wrap.
inline constexpr std::uint64_t kPositionMax = UINT64_MAX << 43;

/// Whether records begin at such positions.
[[nodiscard]] inline bool can_be_position(const View& view, std::uint64_t position) noexcept {
  return position < kPositionMax && (position & (view.alignment - 1)) == 0;
}
/// Whether what is unfinished from `begin` on may end at `end`: an end mark always has room behind it.
[[nodiscard]] inline bool can_be_range(const View& view, std::uint64_t begin, std::uint64_t end) noexcept {
  return end >= begin && end - begin <= view.capacity - view.alignment && can_be_position(view, begin) &&
         can_be_position(view, end);
}
/// Whether the head of an open claim names a length and an owner that may be; else nobody would ever finish it.
[[nodiscard]] inline bool can_be_claimed(const View& view, std::uint64_t head) noexcept {
  return span_of(view, head) != 0 && owner_row(detail::head_high(head)) < view.endpoints_max;
}

struct Walk {
  std::uint64_t end = 0;         // behind the last record taken
  std::uint64_t stop = 0;        // where it ended: `end`, or further if only skipped records follow
  std::uint64_t head = 0;        // what it stopped at
  std::uint64_t bytes = 0;       // payload taken
  std::uint64_t first_time = 0;  // stamp of the first message
  std::uint32_t messages = 0;
  std::uint32_t records = 0;
  WalkEnd why = WalkEnd::frontier;
};

inline constexpr std::uint32_t kWalkRecordsMax = 4096;

/// Of at most `count` messages of `length` bytes those that keep a sum of `bytes` within `max_bytes`, and at least one.
[[nodiscard]] inline std::uint64_t alike_within(std::uint64_t count, std::uint64_t length, std::uint64_t bytes,
                                                std::uint64_t max_bytes) noexcept {
  if (length == 0) return count;
  const std::uint64_t more = bytes < max_bytes ? (max_bytes - bytes) / length : 0;
  return std::clamp<std::uint64_t>(more, 1, count);
}

/// How many messages of one length follow each other from `at` on, the one there included: at most `count_max`, none behind
/// `last_begin`. A batch's first head says how many are its own. The next batch is taken to be like it (a single message is
/// a batch too), and its first head compared: so its address does not wait for the head before it to arrive from another
/// processor, and the loads of many heads are under way at once. Were the address taken from the head, a walk over fresh
/// messages would go one cache miss at a time.
[[nodiscard]] inline std::uint64_t run_of_alike(const View& view, std::uint64_t at, std::uint64_t last_begin,
                                                std::uint64_t head, std::uint64_t span, std::uint64_t count_max) noexcept {
  const std::uint64_t batch = std::uint64_t{1} + detail::head_run(head);
  const std::uint64_t room = last_begin - at;
  // What the ring has room for; less than the batch where somebody cut his range, or where the head is damaged.
  if (batch * span - span > room) return std::min(count_max, 1 + room / span);
  const detail::BatchShape shape(head);
  std::uint64_t count = batch;
  for (at += batch * span; count < count_max && at <= last_begin; at += batch * span, count += batch) {
    if (detail::BatchShape(load_head(view, at)) != shape) return count;  // A:publish
    if (last_begin - at < batch * span - span) return std::min(count_max, count + 1 + (last_begin - at) / span);
  }
  return std::min(count, count_max);
}

/// Walks from `begin` over committed and skipped records: at most `max_messages` messages, `max_bytes` of payload (the
/// first is taken whatever its size), kWalkRecordsMax records, never beyond `limit`. Skipped records before a message
/// belong to the range, those behind the last one do not (`end` stays; `stop` goes on).
/// In place, for a lease: its caller has what comes of it in registers. Returned, it would be read before its stores have arrived.
[[nodiscard, gnu::always_inline]] inline Walk walk_here(const View& view, std::uint64_t begin, std::uint64_t limit,
                                                        std::uint32_t max_messages, std::uint64_t max_bytes) noexcept {
  Walk result;
  std::uint64_t at = begin;
  result.end = begin;
  if (!can_be_position(view, begin)) {
    result.why = WalkEnd::damaged;
    result.stop = begin;
    return result;
  }
  const std::uint64_t bound = limit - begin > view.capacity ? begin + view.capacity : limit;
  for (;;) {
    if (at >= limit || result.messages == max_messages || result.records == kWalkRecordsMax) {
      result.why = WalkEnd::limit;
      break;
    }
    const std::uint64_t head = load_head(view, at);
    const RecordState state = detail::head_state(head);
    if (state == RecordState::none || state == RecordState::claimed) {
      result.why = state == RecordState::none ? WalkEnd::frontier : WalkEnd::claimed;
      // A frontier that is not all zero (Z), a claim that nobody can have made: no wait for them would ever end.
      if (state == RecordState::none ? head != 0 : !can_be_claimed(view, head)) result.why = WalkEnd::damaged;
      result.head = head;
      break;
    }
    const std::uint64_t span = span_of(view, head);
    if (span == 0 || span > bound - at) {
      result.why = WalkEnd::damaged;
      break;
    }
    const std::uint64_t length = detail::head_length(head);
    std::uint64_t alike_max = kWalkRecordsMax - result.records;
    if (state == RecordState::committed) {
      if (result.messages > 0 && (result.bytes > max_bytes || length > max_bytes - result.bytes)) {
        result.why = WalkEnd::limit;
        break;
      }
      alike_max = std::min<std::uint64_t>(alike_max, max_messages - result.messages);
      if (max_bytes < view.capacity) alike_max = alike_within(alike_max, length, result.bytes, max_bytes);
      if (result.messages == 0) result.first_time = load_time(view, at);
    }
    // Only a message's head has a run.
    const std::uint64_t batch_head = state == RecordState::committed ? head : detail::with_run(head, 0);
    const std::uint64_t alike =
        alike_max == 1 || !has(Idea::runs) ? 1 : run_of_alike(view, at, bound - span, batch_head, span, alike_max);
    at += alike * span;
    result.records += static_cast<std::uint32_t>(alike);
    if (state == RecordState::committed) {
      result.messages += static_cast<std::uint32_t>(alike);
      result.bytes += alike * length;
      result.end = at;
    }
  }
  result.stop = at;
  return result;
}

[[nodiscard]] inline Walk walk(const View& view, std::uint64_t begin, std::uint64_t limit, std::uint32_t max_messages,
                               std::uint64_t max_bytes) noexcept {
  return walk_here(view, begin, limit, max_messages, max_bytes);
}

/// Whether the stream can end at `closed_at`, for a group that has finished everything before `retired` and whose walk
/// found less than was asked for. A frontier elsewhere than at the end is none: nothing would ever be claimed there.
[[nodiscard]] inline bool can_be_end(const View& view, std::uint64_t closed_at, std::uint64_t retired,
                                     const Walk& range) noexcept {
  if (closed_at == kNoPosition) return true;
  if (!can_be_range(view, retired, closed_at)) return false;
  // Looked at again behind closed_at: the first look may have come before the last claim.
  return range.why != WalkEnd::frontier || range.stop == closed_at || load_head(view, range.stop) != 0;  // A:publish
}

struct Skipped {
  std::uint64_t end = 0;
  bool unfinished = false;  // `records_max` came first: more may follow
  bool damaged = false;     // they go on behind everything claimed, or more is claimed than the ring has room for
};

/// How far skipped records go from `begin`, a position before which a group has finished everything. Where `retired` is
/// to follow, the ring alone is no bound: skipped records all round would be followed for ever.
[[nodiscard]] inline Skipped walk_skipped(const View& view, std::uint64_t begin, std::uint32_t records_max) noexcept {
  Skipped result;
  result.end = begin;
  result.damaged = !can_be_position(view, begin);
  if (result.damaged) return result;
  for (std::uint32_t records = 0;; ++records) {
    const std::uint64_t head = load_head(view, result.end);  // A:publish
    if (detail::head_state(head) != RecordState::skipped) return result;
    result.unfinished = records == records_max;
    if (result.unfinished) return result;
    const std::uint64_t span = span_of(view, head);
    // A:claim_position, with R:claim_position: who skips has claimed before. Later claims may be seen already.
    const std::uint64_t claimed = view.side().claim.claim_position.load(std::memory_order_acquire);
    if (span == 0 || !can_be_range(view, begin, claimed) || span > claimed - result.end) {
      result.damaged = true;
      return result;
    }
    result.end += span;
  }
}

}  // namespace ipcq::core
