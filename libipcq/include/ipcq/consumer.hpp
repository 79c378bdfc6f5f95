// Consumer: lease a batch of messages, read them in place, ack them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ipcq/deadline.hpp"
#include "ipcq/detail/record.hpp"
#include "ipcq/error.hpp"
#include "ipcq/export.hpp"
#include "ipcq/producer.hpp"

namespace ipcq {

class Queue;
namespace detail {
class ConsumerImpl;
}

/// One message of a lease: a read-only view of the ring (a write through it faults). Ends with the lease.
struct Message {
  std::span<const std::byte> payload;
  std::uint64_t time = 0;      ///< the queue's own clock, never less than the message before; see Lease::age
  std::uint64_t position = 0;  ///< of the record in the ring, since creation: a message's identity in its queue
  std::uint16_t tag = 0;
  std::uint16_t flags = 0;  ///< the library's: see ipcq/dead_letter.hpp

  /// The payload as text. Valid as long as `payload`.
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(payload.data()), payload.size()};
  }
};

/// What a lease asks for. It waits until `min_messages` are there, the deadline passes, or producers wait for room;
/// then it takes what is there.
struct Take {
  std::uint32_t max_messages = 0;  ///< 0: the default, 64 in a shared group, 256 in an exclusive one; at most 4096
  std::uint32_t min_messages = 1;
  std::size_t max_bytes = SIZE_MAX;  ///< of payload; the first message is taken whatever its size
  Deadline deadline = forever;
};

/// An open range of messages: read it, then `ack`. Destroyed open: requeued.
///
/// Move-only; may outlive the Consumer. A shared group's lease may be acked from any thread and in any order; an exclusive
/// consumer's in order, from the consumer's thread. Spans end at ack, requeue and destruction (a program with
/// AddressSanitizer is told where it uses one later, if it has one consumer of this Queue). Never ends by time.
/// Dies the process with a lease open, its messages are delivered again, to whoever leases next in the group; past the
/// queue's max_deliveries they go to its dead-letter queue instead.
class IPCQ_EXPORT Lease {
 public:
  class Iterator;

  Lease() noexcept = default;  ///< not open; outcome() is `empty`
  Lease(Lease&& other) noexcept { take(other); }
  Lease& operator=(Lease&& other) noexcept;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    if (impl_ != nullptr) requeue_open();
  }

  /// Whether there are messages to read.
  [[nodiscard]] explicit operator bool() const noexcept { return impl_ != nullptr; }
  /// `ok`, or why there is no lease.
  [[nodiscard]] Outcome outcome() const noexcept { return outcome_; }
  /// Messages left in the lease.
  [[nodiscard]] std::uint32_t size() const noexcept { return messages_; }
  [[nodiscard]] bool empty() const noexcept { return messages_ == 0; }
  /// How often these messages were handed out before (saturates at 8191). Not 0: somebody died with them or gave them back.
  [[nodiscard]] std::uint32_t deliveries() const noexcept { return deliveries_; }
  [[nodiscard]] inline Iterator begin() const noexcept;
  [[nodiscard]] inline Iterator end() const noexcept;

  /// Finishes all messages, without a lock. If somebody waits for room it also retires (a stopped peer costs it 4 ms).
  /// `ok`; `disowned`: this process was judged dead and the messages given to another: attach anew; `group_removed`.
  /// Throws Error{already_finished | not_open}, Error{out_of_order} for an exclusive consumer's lease behind an open one
  /// (the lease stays open then).
  Outcome ack();
  /// Finishes the first `first_messages`; the lease keeps the rest (none left: as ack()). `ok`; `too_many_leases` or
  /// `timed_out`: nothing changed; `disowned`; `group_removed`. Takes the group's lock, so it has a deadline.
  /// Throws as ack(), and Error{invalid_option} if more messages are named than there are.
  Outcome ack(std::uint32_t first_messages, Deadline deadline = forever);
  /// Gives all messages back: they are delivered again, before anything newer. Takes no lock. As ack(). An exclusive
  /// consumer's later open leases are given back with it (their ack answers `disowned`).
  Outcome requeue();

  /// Since the message was enqueued; 0 if time stamps are off.
  [[nodiscard]] std::chrono::nanoseconds age(const Message& message) const;
  /// Who held up what this lease waited for, if it is not ok; nothing if nobody is known.
  [[nodiscard]] std::optional<BlockedBy> blocked_by() const;

 private:
  friend class detail::ConsumerImpl;
  void take(Lease& other) noexcept;
  void take_handle();
  void requeue_open() noexcept;

  detail::ConsumerImpl* impl_ = nullptr;  ///< not null exactly while open
  const std::byte* base_ = nullptr;       ///< the read-only view
  std::uint64_t mask_ = 0;                ///< capacity - 1
  std::uint64_t alignment_ = 16;
  std::uint64_t begin_ = 0;  ///< ring positions
  std::uint64_t end_ = 0;
  std::uint64_t word_ = 0;   ///< shared: the ledger entry's word that is ours; exclusive: serial
  std::uint64_t asked_ = 0;  ///< when the consumer asked and when the lease was made, in the queue's clock
  std::uint64_t leased_ = 0;
  std::uint64_t first_time_ = 0;
  std::shared_ptr<const BlockedBy> blocked_by_;
  std::uint32_t entry_ = 0;
  std::uint32_t messages_ = 0;
  std::uint32_t deliveries_ = 0;
  std::atomic<bool> taken_{false};  ///< one attempt per handle, whichever thread
  Outcome outcome_ = Outcome::empty;
  bool finished_ = false;
  bool sampled_ = false;  ///< one lease in 16 feeds the latency histograms
};

/// Walks the messages of a lease in ring order. Every length is loaded once and bounded by the lease. Where somebody has
/// damaged the ring meanwhile it ends early, before Lease::size() messages.
class Lease::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = Message;
  using difference_type = std::ptrdiff_t;
  using pointer = const Message*;
  using reference = Message;

  Iterator() noexcept = default;
  /// By value: a message is a view and outlives the iterator that found it.
  Message operator*() const noexcept { return message_; }
  const Message* operator->() const noexcept { return &message_; }
  Iterator& operator++() noexcept {
    next();
    return *this;
  }
  void operator++(int) noexcept { next(); }
  friend bool operator==(const Iterator& a, const Iterator& b) noexcept { return a.left_ == b.left_; }

 private:
  friend class Lease;
  Iterator(const std::byte* base, std::uint64_t mask, std::uint64_t alignment, std::uint64_t begin, std::uint64_t end,
           std::uint32_t messages) noexcept
      : base_(base), mask_(mask), alignment_(alignment), position_(begin), end_(end), left_(messages) {
    go_to(find(base, mask, alignment, begin, end));
  }
  // Where the next message begins, behind skipped records; none (bytes 0) where somebody has damaged the ring.
  struct Found {
    std::uint64_t position = 0;
    std::uint64_t bytes = 0;
    detail::RecordShape shape;
  };
  // By value, and apart: so the iterator itself stays in registers.
  [[gnu::noinline]] static Found find(const std::byte* base, std::uint64_t mask, std::uint64_t alignment,
                                      std::uint64_t position, std::uint64_t end) noexcept {
    while (position < end) {
      const std::uint64_t head =
          header_at(base, mask, position).head.load(std::memory_order_relaxed);  // relaxed: as below
      const detail::RecordShape shape(head);
      if (shape.is_message()) {
        const std::uint64_t bytes = detail::record_bytes(shape.length(), alignment);
        if (bytes > end - position) break;  // damaged under us: stay inside the lease
        return {position, bytes, shape};
      }
      const std::uint64_t bytes = shape.length();
      if (detail::head_state(head) != detail::RecordState::skipped || bytes == 0 || bytes > end - position ||
          (bytes & (alignment - 1)) != 0) {
        break;
      }
      position += bytes;
    }
    return {};
  }
  static const detail::RecordHeader& header_at(const std::byte* base, std::uint64_t mask,
                                               std::uint64_t position) noexcept {
    return *reinterpret_cast<const detail::RecordHeader*>(base + (position & mask));
  }
  void next() noexcept {
    if (--left_ == 0) return;
    // relaxed: the lease's walk has acquired this head already (A:publish).
    std::uint64_t head = 0;
    if (bytes_ <= end_ - position_) head = header_at(base_, mask_, position_).head.load(std::memory_order_relaxed);
    // Like the message before, as a rule: then where the next one begins is known without waiting for this head.
    if (detail::RecordShape(head) != shape_) [[unlikely]] {
      go_to(find(base_, mask_, alignment_, position_, end_));
      return;
    }
    pass(head);
  }
  void go_to(const Found& found) noexcept {
    if (found.bytes == 0) {
      left_ = 0;
      return;
    }
    position_ = found.position;
    bytes_ = found.bytes;
    shape_ = found.shape;
    pass(header_at(base_, mask_, position_).head.load(std::memory_order_relaxed));  // relaxed: tag and flags only
  }
  void pass(std::uint64_t head) noexcept {
    message_.payload = {base_ + (position_ & mask_) + alignment_, shape_.length()};
    message_.time = header_at(base_, mask_, position_).time.load(std::memory_order_relaxed);
    message_.position = position_;
    message_.tag = detail::head_tag(head);
    message_.flags = detail::head_flags(head);
    position_ += bytes_;
  }

  Message message_;
  const std::byte* base_ = nullptr;
  std::uint64_t mask_ = 0;
  std::uint64_t alignment_ = 16;
  std::uint64_t position_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t bytes_ = 0;    ///< in the ring, of a record of this shape
  detail::RecordShape shape_;  ///< of the record found last
  std::uint32_t left_ = 0;     ///< messages not yet passed, the current one included; 0: at the end
};

inline Lease::Iterator Lease::begin() const noexcept {
  return messages_ == 0 ? Iterator{} : Iterator{base_, mask_, alignment_, begin_, end_, messages_};
}
inline Lease::Iterator Lease::end() const noexcept { return {}; }

/// One attached consumer of one group. Made by Queue::consumer(). Belongs to one thread at a time; move-only; may be moved
/// while leases are open. Several leases may be open at once. In a forked child every call throws Error{forked}; the
/// destructor does nothing. Dies the process, its leases are delivered again and its row freed by whoever meets them.
class IPCQ_EXPORT Consumer {
 public:
  Consumer() noexcept;  ///< not attached
  Consumer(Consumer&&) noexcept;
  Consumer& operator=(Consumer&&) noexcept;
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  ~Consumer();

  /// Leases the next batch, waiting for it until `take.deadline`.
  /// ok: read it. empty, blocked, too_many_leases: not in time. closed (and drained), cancelled, group_removed, removed,
  /// revoked, poisoned, damaged: for good. No system call while messages are there and nobody sleeps; nothing is allocated.
  /// Messages past max_deliveries that it meets it moves to the dead-letter queue first (system calls, an allocation, a
  /// copy each; never waiting for that queue). Those that cannot be moved are parked: in a shared group the others go on,
  /// and `closed` comes in spite of them; in an exclusive one everything waits behind the parked message (`blocked`).
  /// Throws Error{invalid_option} for limits outside their range, Error{not_open} if detached, Error{forked}.
  [[nodiscard]] Lease lease(Take take = {});
  /// One message by copy into `payload` (resized), and acked. It is acked before you have processed it: a crash afterwards
  /// loses it; use lease() for at least once. `tag` may be null.
  [[nodiscard]] Outcome receive(std::vector<std::byte>& payload, Deadline deadline = forever,
                                std::uint16_t* tag = nullptr);
  [[nodiscard]] Outcome receive(std::string& payload, Deadline deadline = forever, std::uint16_t* tag = nullptr);

  /// Ends a waiting lease of this consumer, and every later one until reset(), with `cancelled`. From any thread and from
  /// signal handlers (async-signal-safe). Open leases stay open.
  void cancel() noexcept;
  void reset() noexcept;

  /// Frees the row. Throws Error{in_use} with leases open. Afterwards only destruction and assignment are allowed; other
  /// calls throw Error{not_open}. Destruction detaches too; with leases open, the last of them detaches when it ends.
  void detach();
  [[nodiscard]] bool attached() const noexcept { return impl_ != nullptr; }
  [[nodiscard]] const std::string& group() const;
  /// Number of this endpoint's row, as `ipcq stat` shows it.
  [[nodiscard]] std::uint32_t row() const;

 private:
  friend class Queue;
  explicit Consumer(detail::ConsumerImpl* impl) noexcept : impl_(impl) {}
  detail::ConsumerImpl* impl_ = nullptr;
};

}  // namespace ipcq
