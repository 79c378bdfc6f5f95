// Consumer: lease a batch of messages, read them in place, ack them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
class WaitSet;
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

  /// Not open; outcome() is `empty`. (Not defaulted: see Claim.)
  Lease() noexcept {}
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
  /// As taken.
  Lease(detail::ConsumerImpl* impl, const std::byte* base, std::uint64_t mask, std::uint64_t alignment,
        std::uint64_t begin, std::uint64_t end, std::uint64_t word, std::uint64_t asked, std::uint64_t leased,
        std::uint64_t first_time, std::uint32_t entry, std::uint32_t messages, std::uint32_t deliveries,
        bool one_thread, bool sampled) noexcept
      : impl_(impl),
        base_(base),
        mask_(mask),
        alignment_(alignment),
        begin_(begin),
        end_(end),
        word_(word),
        asked_(asked),
        leased_(leased),
        first_time_(first_time),
        entry_(entry),
        messages_(messages),
        deliveries_(deliveries),
        outcome_(Outcome::ok),
        one_thread_(one_thread),
        sampled_(sampled) {}
  void take(Lease& other) noexcept;
  [[nodiscard]] bool take_first() noexcept;
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
  bool one_thread_ = false;  ///< an exclusive consumer's
  bool sampled_ = false;     ///< one lease in 16 feeds the latency histograms
};

/// Walks the messages of a lease in ring order. Every length is loaded once and bounded by the lease. Where somebody has
/// damaged the ring meanwhile it ends early, before Lease::size() messages.
class Lease::Iterator {
 public:
  /// A message with an address, for `->`.
  class Arrow {
   public:
    const Message* operator->() const noexcept { return &message_; }

   private:
    friend class Iterator;
    explicit Arrow(const Message& message) noexcept : message_(message) {}
    Message message_;
  };
  using iterator_category = std::input_iterator_tag;
  using value_type = Message;
  using difference_type = std::ptrdiff_t;
  using pointer = Arrow;
  using reference = Message;

  Iterator() noexcept = default;
  /// By value: a message is a view and outlives the iterator that found it. Only what is used of it is read.
  Message operator*() const noexcept {
    // Not atomic, so that nothing is read that is not used: the lease's walk has acquired the batch with A:publish.
    std::uint64_t words[2];
    std::memcpy(words, at_, sizeof(words));
    Message message;
    message.payload = {at_ + alignment_, length_};
    message.time = words[1];
    message.position = reinterpret_cast<std::uintptr_t>(at_) + to_position_;
    message.tag = detail::head_tag(words[0]);
    message.flags = detail::head_flags(words[0]);
    return message;
  }
  Arrow operator->() const noexcept { return Arrow(**this); }
  Iterator& operator++() noexcept {
    if (--left_ == 0) [[unlikely]] {
      if (behind_ != 0) enter(find(at_ + bytes_, end_, alignment_, behind_));
    } else {
      at_ += bytes_;
    }
    return *this;
  }
  void operator++(int) noexcept { ++*this; }
  friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
    return a.left_ == b.left_ && a.behind_ == b.behind_;
  }

 private:
  friend class Lease;
  Iterator(const std::byte* base, std::uint64_t mask, std::uint64_t alignment, std::uint64_t begin, std::uint64_t end,
           std::uint32_t messages) noexcept
      : end_(base + (begin & mask) + (end - begin)),  // the ring is mapped twice in a row: a lease never wraps
        to_position_(begin - reinterpret_cast<std::uintptr_t>(base + (begin & mask))),
        alignment_(alignment),
        behind_(messages) {
    enter(find(base + (begin & mask), end_, alignment, messages));
  }

  // Messages of one length, one behind the other.
  struct Run {
    const std::byte* at = nullptr;
    std::uint64_t bytes = 0;     // of each, in the ring
    std::uint32_t length = 0;    // of each one's payload
    std::uint32_t messages = 0;  // 0: none; somebody has damaged the ring
  };
  // The next run from `at` on, behind skipped records, of at most `messages_max` messages. By value, and apart: so the
  // iterator itself stays in registers.
  [[gnu::noinline]] static Run find(const std::byte* at, const std::byte* end, std::uint64_t alignment,
                                    std::uint32_t messages_max) noexcept {
    while (at < end) {
      const auto left = static_cast<std::uint64_t>(end - at);
      const std::uint64_t head = head_at(at);
      const std::uint32_t length = detail::head_length(head);
      if (detail::head_state(head) == detail::RecordState::committed) {
        const std::uint64_t bytes = detail::record_bytes(length, alignment);
        if (bytes > left) break;  // damaged under us: stay inside the lease
        return {at, bytes, length, count_alike(at, left, head, bytes, messages_max)};
      }
      if (detail::head_state(head) != detail::RecordState::skipped || length == 0 || length > left ||
          (length & (alignment - 1)) != 0) {
        break;
      }
      at += length;
    }
    return {};
  }
  static std::uint32_t count_alike(const std::byte* at, std::uint64_t left, std::uint64_t head, std::uint64_t bytes,
                                   std::uint32_t messages_max) noexcept {
    constexpr std::uint32_t kLook = 32;  // heads read at once where they say nothing of those behind them
    std::uint32_t count = 1 + detail::head_run(head);
    if (count > messages_max) count = messages_max;
    if (count > 1) return count * bytes <= left ? count : static_cast<std::uint32_t>(left / bytes);
    const detail::BatchShape shape(head);
    for (left -= bytes; count < messages_max && count < kLook && bytes <= left; left -= bytes, ++count) {
      at += bytes;
      if (detail::BatchShape(head_at(at)) != shape) break;
    }
    return count;
  }
  static std::uint64_t head_at(const std::byte* at) noexcept {
    // relaxed: the lease's walk has acquired the batch already (A:publish).
    return reinterpret_cast<const detail::RecordHeader*>(at)->head.load(std::memory_order_relaxed);
  }
  void enter(const Run& run) noexcept {
    at_ = run.at;
    bytes_ = run.bytes;
    length_ = run.length;
    left_ = run.messages;
    behind_ = left_ == 0 ? 0 : behind_ - left_;
  }

  const std::byte* at_ = nullptr;   ///< the current message's header
  const std::byte* end_ = nullptr;  ///< of the lease
  std::uint64_t bytes_ = 0;         ///< of the current message in the ring, and of all in its run
  std::uint64_t to_position_ = 0;   ///< what is to be added to an address to make it a position
  std::uint64_t alignment_ = 16;
  std::uint32_t length_ = 0;
  std::uint32_t left_ = 0;    ///< of this run, the current message included; 0: at the end
  std::uint32_t behind_ = 0;  ///< messages of the lease behind this run
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
  [[nodiscard]] Lease lease(const Take& take = {});
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
  friend class WaitSet;
  explicit Consumer(detail::ConsumerImpl* impl) noexcept : impl_(impl) {}
  detail::ConsumerImpl* impl_ = nullptr;
};

}  // namespace ipcq
