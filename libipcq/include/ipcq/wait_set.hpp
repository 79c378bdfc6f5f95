// WaitSet: wait for several consumers and producers at once, of any queues; and a descriptor for event loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ipcq/consumer.hpp"
#include "ipcq/deadline.hpp"
#include "ipcq/error.hpp"
#include "ipcq/export.hpp"
#include "ipcq/options.hpp"
#include "ipcq/producer.hpp"

namespace ipcq {

namespace detail {
class WaitSetImpl;
}

/// Consumers that wait for messages and producers that wait for room, waited for together: one system call a sleep, however
/// many they are, and none while one of them is ready.
///
///     WaitSet set;
///     const WaitSet::Token orders = set.add(consumer), replies = set.add(producer, {.messages = 1, .bytes = 64});
///     while (WaitSet::Ready ready = set.wait()) {
///       for (const WaitSet::Token token : ready) … a call with the deadline ipcq::now
///     }
///
/// **Ready** is who would get something now: a consumer with a message to lease; a producer for which its room is there and
/// its quota's turn has come; and whoever gets an answer for good (closed and drained, cancelled, revoked, removed,
/// group_removed, …). It is a state, not an event: who is ready stays so until the message is leased, and wait() tells again
/// and again. It is no promise: another member or producer may be faster, so the call that follows has the deadline `now`.
/// Not ready: a producer with a claim open, an exclusive consumer that has as many leases open as it may.
/// A producer in a set takes no place in its quota's line, so one that waits in claim() goes before it. One that is short of
/// room makes room as a waiting claim does: a drop-oldest group gives up its oldest messages for it.
///
/// A set belongs to one thread at a time, together with all that are in it; between two waits they are used as always. A
/// call that meets another thread's in the same set throws Error{in_use} and changes nothing. Only cancel() may come from
/// anywhere. An endpoint is in one set at most, may be moved, and leaves the set when it is detached or destroyed.
/// In a forked child every call throws Error{forked}; the destructor ends nothing that is the parent's. Dies the process,
/// nothing is left behind but a bit that costs the next publisher of each queue one system call.
class IPCQ_EXPORT WaitSet {
 public:
  /// Names an endpoint in its set. Never 0; never used again in the set.
  using Token = std::uint64_t;
  static constexpr std::size_t kEndpointsMax = 128;  ///< one less in a set with a descriptor

  /// What a wait came to. Its tokens are the set's memory: valid until the next call of the set.
  class Ready {
   public:
    Ready() noexcept = default;
    Ready(Outcome outcome, std::span<const Token> tokens) noexcept : tokens_(tokens), outcome_(outcome) {}
    /// Whether somebody is ready.
    [[nodiscard]] explicit operator bool() const noexcept { return !tokens_.empty(); }
    /// `ok`; `empty`: nobody in time; `cancelled`.
    [[nodiscard]] Outcome outcome() const noexcept { return outcome_; }
    [[nodiscard]] std::size_t size() const noexcept { return tokens_.size(); }
    /// In the order of add().
    [[nodiscard]] const Token* begin() const noexcept { return tokens_.data(); }
    [[nodiscard]] const Token* end() const noexcept { return tokens_.data() + tokens_.size(); }

   private:
    std::span<const Token> tokens_;
    Outcome outcome_ = Outcome::empty;
  };

  /// `wait`: how wait() waits; the endpoints' own strategies do not matter in a set.
  explicit WaitSet(WaitStrategy wait = WaitStrategy::adaptive);
  WaitSet(WaitSet&&) noexcept;
  WaitSet& operator=(WaitSet&&) noexcept;
  WaitSet(const WaitSet&) = delete;
  WaitSet& operator=(const WaitSet&) = delete;
  /// With a descriptor: ends its thread, and closes it.
  ~WaitSet();

  /// Waits for messages too: at least one. Throws Error{invalid_option} if the set is full, Error{in_use} if the consumer is
  /// in a set already, Error{not_open} if it is detached, Error{forked}.
  Token add(Consumer& consumer);
  /// Waits for that much room too. Throws as above, and Error{too_big} if it can never fit.
  Token add(Producer& producer, Room room);
  /// False: nobody in the set has this token (any more).
  bool remove(Token token);
  [[nodiscard]] std::size_t size() const;

  /// Waits until somebody is ready, `deadline`, or cancel(). Tells everybody who is ready. Also looks for the dead, 20 times a
  /// second, as every waiting call does. Throws Error{not_open} if the set is empty, Error{in_use}, Error{forked}.
  /// Costs: with nobody ready about 10 ns an endpoint that nothing happened to, and one system call (Linux 5.16 on, and
  /// futex_waitv not forbidden; else a wake may come a millisecond late, and each millisecond costs a system call).
  [[nodiscard]] Ready wait(Deadline deadline = forever);

  /// Ends a waiting wait(), and every later one until reset(), with `cancelled`; makes the descriptor readable. From any
  /// thread, and from signal handlers (async-signal-safe). The endpoints are not cancelled.
  void cancel() noexcept;
  void reset() noexcept;

  /// A descriptor for poll, select and epoll (for reading, level-triggered), the set's own: do not read or close it. Made at
  /// the first call, with a thread (`ipcq-wait`, all signals blocked) that sleeps on the endpoints' behalf: futexes have no
  /// descriptors. A wake so goes through two threads. It is readable from the start, and becomes so whenever arm() is
  /// to be called (again). Throws Error{invalid_option} with kEndpointsMax endpoints in the set, Error{system}, Error{forked}.
  [[nodiscard]] int descriptor();
  /// Before the event loop sleeps: takes the descriptor back to not readable, if nobody is ready. Then it becomes readable as
  /// soon as somebody may be; rarely when nobody is, so always ask wait(now). False: somebody is ready already, or cancel()
  /// was called, or the set is empty but for what was cancelled; the descriptor is readable still.
  /// Every call through an endpoint of the set may make another ready: call arm() after the last of them.
  /// Makes the descriptor if there is none. A few system calls. Throws as descriptor().
  [[nodiscard]] bool arm();

 private:
  [[nodiscard]] detail::WaitSetImpl& impl() const;
  std::unique_ptr<detail::WaitSetImpl> impl_;
};

}  // namespace ipcq
