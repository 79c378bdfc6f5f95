// Producer: claim room in the ring, write messages in place, commit them as one batch.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ipcq/deadline.hpp"
#include "ipcq/detail/record.hpp"
#include "ipcq/error.hpp"
#include "ipcq/export.hpp"
#include "ipcq/options.hpp"

namespace ipcq {

class Queue;
class WaitSet;
namespace detail {
class ProducerImpl;
}

/// What a claim asks for: up to `messages` messages of up to `bytes` payload bytes in all. Messages of any sizes within
/// that fit (each costs up to 31 bytes of ring beside its payload). `equal()` asks for n messages of one size exactly.
struct Room {
  std::uint32_t messages = 1;
  std::size_t bytes = 0;
  std::size_t bytes_each = 0;  ///< not 0: every message is at most so large; `bytes` is messages * bytes_each

  [[nodiscard]] static constexpr Room equal(std::uint32_t messages, std::size_t bytes_each) noexcept {
    return {messages, messages * bytes_each, bytes_each};
  }
};

/// Who holds what a call waited for.
struct BlockedBy {
  std::string what;       ///< "claim", "lease", "producer mutex", "group mutex", "parked message" (of no process)
  std::uint32_t pid = 0;  ///< 0: not known
  std::string command;    ///< of that process; empty: gone or not readable
  std::chrono::nanoseconds age{};  ///< since the claim or lease was made; 0: not known
};

/// An open range of the ring: `append` messages, then `commit`. Destroyed open: aborted.
///
/// Belongs to its producer's thread. Move-only; may outlive the Producer (it keeps the mapping). Spans from append end at
/// commit, abort and destruction (a program with AddressSanitizer is told where it uses one later). Do not block with a claim open: everything committed after it waits behind it.
/// Dies the process with a claim open, the whole claim is skipped by whoever meets it; nothing of it is ever seen.
class IPCQ_EXPORT Claim {
 public:
  /// Not open; outcome() is `empty`. (Not defaulted: GCC would first zero all of it in a loop, for every call.)
  Claim() noexcept {}
  Claim(Claim&& other) noexcept { take(other); }
  Claim& operator=(Claim&& other) noexcept;
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() {
    if (impl_ != nullptr) abandon_open();
  }

  /// Whether there is room to write to.
  [[nodiscard]] explicit operator bool() const noexcept { return impl_ != nullptr; }
  /// `ok`, or why there is no claim.
  [[nodiscard]] Outcome outcome() const noexcept { return outcome_; }
  /// After `over_quota`: how long until the same claim would pass; else 0.
  [[nodiscard]] std::chrono::nanoseconds retry_after() const noexcept {
    return std::chrono::nanoseconds(retry_after_ns_);
  }

  /// Whether one more message of `size` payload bytes fits.
  [[nodiscard]] bool fits(std::size_t size) const noexcept {
    return messages_left_ > 0 && size <= bytes_each_ && size <= bytes_left_;
  }
  /// One more message: `size` bytes of the ring itself, uninitialised, at the queue's alignment, for the caller to fill
  /// before commit. `tag` is the user's. Never blocks, no system call, nothing allocated.
  /// Throws Error{claim_overrun} past the room that was claimed, Error{not_open} without an open claim.
  std::span<std::byte> append(std::size_t size, std::uint16_t tag = 0) {
    if (!fits(size)) overrun(size);
    const std::uint64_t record = detail::record_bytes(size, alignment_);
    std::byte* at = base_ + used_;
    auto* header = reinterpret_cast<detail::RecordHeader*>(at);
    const std::uint64_t head = detail::make_head(detail::RecordState::committed, size, tag);
    // The first head stays the claim's own until commit: while it does, nobody walks into this range, so the inner
    // heads need no order (relaxed: they are published with the first one, R:publish).
    if (used_ == 0) {
      first_head_ = head;
    } else {
      header->head.store(head, std::memory_order_relaxed);
      if (detail::head_length(head) != detail::head_length(first_head_)) unlike_ = true;
    }
    // Lines of the ring are in the consumers' caches, and stores wait for them in order, a few at a time. Never what
    // somebody may still be reading.
    if (used_ + detail::kPrefetchBytes < room_ahead_) detail::prefetch_for_write(at + detail::kPrefetchBytes);
    header->time.store(time_, std::memory_order_relaxed);
    used_ += record;
    bytes_left_ -= size;
    --messages_left_;
    return {at + alignment_, size};
  }
  /// `count` more messages of `size` bytes each: fill(i, span) writes the i-th, as append would have given it. The fastest
  /// way to send many of one size: what append keeps in the claim for each message stays in registers.
  /// What `fill` throws goes on, behind as many messages as it has filled. It must not touch this claim.
  /// Throws as append, before the first is filled.
  template <class Fill>
  void append_each(std::uint32_t count, std::size_t size, Fill&& fill, std::uint16_t tag = 0) {
    if (count == 0) return;
    if (count > messages_left_ || !fits(size) || (size != 0 && count > bytes_left_ / size)) overrun(size);
    const std::uint64_t head = detail::make_head(detail::RecordState::committed, size, tag);
    if (used_ == 0) {
      first_head_ = head;
    } else if (detail::head_length(head) != detail::head_length(first_head_)) {
      unlike_ = true;
    }
    struct Filled {  // the messages before `number` are whole
      Filled(Claim& of, std::size_t each) noexcept : claim(of), size(each), at(of.base_ + of.used_) {}
      Filled(const Filled&) = delete;
      Filled& operator=(const Filled&) = delete;
      ~Filled() {
        claim.used_ = static_cast<std::uint64_t>(at - claim.base_);
        claim.bytes_left_ -= number * size;
        claim.messages_left_ -= number;
      }
      Claim& claim;
      std::size_t size;
      std::byte* at;
      std::uint32_t number = 0;
    } filled(*this, size);
    const std::uint64_t record = detail::record_bytes(size, alignment_);
    const std::uint64_t alignment = alignment_;
    const std::uint64_t time = time_;
    const std::byte* const base = base_;
    const std::byte* const ahead_end = base_ + room_ahead_;
    for (; filled.number < count; ++filled.number, filled.at += record) {
      auto* header = reinterpret_cast<detail::RecordHeader*>(filled.at);
      if (filled.at != base) header->head.store(head, std::memory_order_relaxed);  // relaxed: as in append
      header->time.store(time, std::memory_order_relaxed);                         // relaxed: as in append
      if (filled.at + detail::kPrefetchBytes < ahead_end)
        detail::prefetch_for_write(filled.at + detail::kPrefetchBytes);
      fill(filled.number, std::span<std::byte>{filled.at + alignment, size});
    }
  }
  /// One more message, copied from `bytes`.
  void append_copy(std::span<const std::byte> bytes, std::uint16_t tag = 0) {
    const std::span<std::byte> to = append(bytes.size(), tag);
    if (!bytes.empty()) std::memcpy(to.data(), bytes.data(), bytes.size());
  }
  /// Makes the message appended last smaller, for sizes known only after writing. Its span keeps its first `size` bytes.
  /// Throws Error{claim_overrun} if `size` is larger than it is, Error{not_open} if nothing was appended.
  void shrink_last(std::size_t size);

  /// Messages and payload bytes appended so far.
  [[nodiscard]] std::uint32_t messages() const noexcept { return messages_room_ - messages_left_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_room_ - bytes_left_; }

  /// Publishes all appended messages at once and wakes consumers that sleep. Never blocks; one system call only if
  /// somebody sleeps. Nothing appended: an abort. `ok`, or `disowned`: this process was judged dead (its life lock was
  /// lost), others skipped the range, nothing was published: attach anew. Throws Error{already_finished | not_open}.
  /// Dies the process in here, all of the batch is visible or none of it.
  Outcome commit();
  /// Gives the range up: it is skipped. `ok` or `disowned`. Throws Error{already_finished | not_open}.
  Outcome abort();

  /// Who held up what this claim waited for, if it is not ok; nothing if nobody is known.
  [[nodiscard]] std::optional<BlockedBy> blocked_by() const;

 private:
  friend class detail::ProducerImpl;
  /// As granted: [base, base + need) of the writable view, at ring position `position`.
  Claim(detail::ProducerImpl* impl, std::byte* base, std::uint64_t need, std::uint64_t alignment, std::uint64_t time,
        std::uint64_t room_ahead, std::uint64_t position, std::size_t bytes, std::size_t bytes_each,
        std::uint32_t messages) noexcept
      : impl_(impl),
        base_(base),
        need_(need),
        alignment_(alignment),
        time_(time),
        room_ahead_(room_ahead),
        position_(position),
        bytes_left_(bytes),
        bytes_room_(bytes),
        bytes_each_(bytes_each),
        messages_left_(messages),
        messages_room_(messages),
        outcome_(Outcome::ok) {}
  void take(Claim& other) noexcept;
  void abandon_open() noexcept;
  [[noreturn]] void overrun(std::size_t size) const;
  [[noreturn]] void not_open() const;

  detail::ProducerImpl* impl_ = nullptr;  ///< not null exactly while open
  std::byte* base_ = nullptr;             ///< the claim's first byte in the writable view
  std::uint64_t used_ = 0;                ///< ring bytes appended
  std::uint64_t need_ = 0;                ///< ring bytes claimed
  std::uint64_t alignment_ = 16;
  std::uint64_t time_ = 0;
  std::uint64_t first_head_ = 0;    ///< committed head of the first message, published by commit
  std::uint64_t known_offset_ = 0;  ///< where some message begins: shrink_last() looks for the last one from there
  std::uint64_t room_ahead_ = 0;    ///< bytes from base_ on that nobody reads; 0: a message alone, not one of a stream
  std::uint64_t position_ = 0;      ///< ring position of the claim
  std::size_t bytes_left_ = 0;
  std::size_t bytes_room_ = 0;
  std::size_t bytes_each_ = 0;
  std::int64_t retry_after_ns_ = 0;
  std::shared_ptr<const BlockedBy> blocked_by_;
  std::uint32_t messages_left_ = 0;  ///< 0 without an open claim
  std::uint32_t messages_room_ = 0;
  Outcome outcome_ = Outcome::empty;
  bool unlike_ = false;    ///< some message may be of another length than the first
  bool finished_ = false;  ///< was open once: a second commit is told apart from a claim never made
};

/// One attached producer. Made by Queue::producer(). Belongs to one thread at a time; move-only; may be moved while a
/// claim is open. One open claim at a time. In a forked child every call throws Error{forked}; the destructor does nothing.
/// Dies the process, its claim is skipped and its row freed by whoever meets them.
class IPCQ_EXPORT Producer {
 public:
  Producer() noexcept;  ///< not attached
  Producer(Producer&&) noexcept;
  Producer& operator=(Producer&&) noexcept;
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;
  ~Producer();

  /// Claims room for a batch, waiting for it (room first, then quota) until `deadline`.
  /// ok: write to it. full, over_quota, blocked: not in time. closed, cancelled, revoked, removed, poisoned, damaged: for good.
  /// No system call while there is room and nobody sleeps; nothing is allocated for an open claim.
  /// Throws Error{too_big} at once if it can never fit (a message: half the ring; a claim: capacity - 16 bytes and 1 GiB),
  /// Error{claim_open} with a claim open, Error{not_open} if detached, Error{forked}.
  [[nodiscard]] Claim claim(const Room& room, Deadline deadline = forever);
  /// One message by copy: claim, append, commit.
  [[nodiscard]] Outcome send(std::span<const std::byte> payload, std::uint16_t tag = 0, Deadline deadline = forever);
  [[nodiscard]] Outcome send(std::string_view payload, std::uint16_t tag = 0, Deadline deadline = forever) {
    return send(std::as_bytes(std::span(payload.data(), payload.size())), tag, deadline);
  }

  /// Ends a waiting claim of this producer, and every later one until reset(), with `cancelled`. From any thread and from
  /// signal handlers (async-signal-safe). Nothing is lost: an open claim stays open.
  void cancel() noexcept;
  void reset() noexcept;

  /// Frees the row. Throws Error{claim_open} with a claim open. Afterwards only destruction and assignment are allowed;
  /// other calls throw Error{not_open}. Destruction detaches too; with a claim open, that claim detaches when it ends.
  void detach();
  [[nodiscard]] bool attached() const noexcept { return impl_ != nullptr; }
  /// Number of this endpoint's row, as `ipcq stat` shows it.
  [[nodiscard]] std::uint32_t row() const;
  /// What limits this producer now: of each rate the lowest of all quotas that bind it, with its burst in numbers; all 0:
  /// nothing. A batch within the burst is not in debt afterwards. A few loads.
  [[nodiscard]] Quota quota() const;

 private:
  friend class Queue;
  friend class WaitSet;
  explicit Producer(detail::ProducerImpl* impl) noexcept : impl_(impl) {}
  detail::ProducerImpl* impl_ = nullptr;
};

}  // namespace ipcq
