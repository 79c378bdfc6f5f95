// ipcq as a carrier of the suite's traffic. Each side creates or opens and attaches in its own process, after the fork.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "clock.hpp"
#include "ipcq/ipcq.hpp"
#include "payload.hpp"
#include "traffic.hpp"

namespace ipcq::bench {

/// How a row uses its queues. Everything else is ipcq's default.
struct QueueUse {
  std::string directory;
  bool exclusive = false;  ///< on both sides
  WaitStrategy wait = WaitStrategy::spin;
  std::size_t capacity_bytes = std::size_t{8} << 20;
  std::uint32_t lease_max = 256;
};

inline Queue create_queue(const QueueUse& use, const std::string& name) {
  return Queue::create(name, {.capacity_bytes = use.capacity_bytes,
                              .producers = use.exclusive ? ProducerMode::exclusive : ProducerMode::shared,
                              .consumers = use.exclusive ? ConsumerMode::exclusive : ConsumerMode::shared,
                              .directory = use.directory});
}
inline Queue open_queue(const QueueUse& use, const std::string& name) {
  return Queue::open(name, {.directory = use.directory});
}
inline Producer attach_producer(const QueueUse& use, const Queue& queue) { return queue.producer({.wait = use.wait}); }
inline Consumer attach_consumer(const QueueUse& use, const Queue& queue) { return queue.consumer({.wait = use.wait}); }

/// A call that must succeed in a benchmark did not. Not a matter of time: nothing here has a deadline but `now`.
[[noreturn]] inline void unexpected(const char* call, Outcome outcome) {
  throw std::runtime_error(std::string(call) + " answered " + to_string(outcome));
}

/// Claims room for `Messages` of `PayloadBytes` bytes, writes them in place, commits them at once.
template <std::size_t PayloadBytes, std::uint32_t Messages>
class QueueSender {
 public:
  static constexpr std::uint64_t kBatch = Messages;

  explicit QueueSender(Producer producer) : producer_(std::move(producer)) {}

  void send(std::uint64_t sequence) { fill(producer_.claim(Room::equal(Messages, PayloadBytes)), sequence, Messages); }
  void send_end() { fill(producer_.claim(Room::equal(1, PayloadBytes)), kEndOfRun, 1); }
  static constexpr bool has_more_to_show() noexcept { return false; }

 protected:
  static void fill(Claim claim, std::uint64_t sequence, std::uint32_t messages) {
    if (!claim) unexpected("claim", claim.outcome());
    if (messages == 1) {
      write_payload<PayloadBytes>(claim.append(PayloadBytes).data(), sequence);
    } else {
      claim.append_each(messages, PayloadBytes, [sequence](std::uint32_t i, std::span<std::byte> to) {
        write_payload<PayloadBytes>(to.data(), sequence + i);
      });
    }
    if (const Outcome outcome = claim.commit(); outcome != Outcome::ok) unexpected("commit", outcome);
  }

  Producer producer_;
};

/// Looks before it waits, so that a row about a full ring knows that its ring was full.
template <std::size_t PayloadBytes, std::uint32_t Messages>
class FullRingSender : public QueueSender<PayloadBytes, Messages> {
 public:
  FullRingSender(Producer producer, std::size_t capacity_bytes, Side& side)
      : QueueSender<PayloadBytes, Messages>(std::move(producer)), capacity_bytes_(capacity_bytes), side_(side) {}

  void send(std::uint64_t sequence) {
    Claim claim = this->producer_.claim(Room::equal(Messages, PayloadBytes), now);
    if (claim.outcome() == Outcome::full) {
      side_.found_full();
      ++times_full_;
      claim = this->producer_.claim(Room::equal(Messages, PayloadBytes));
    }
    this->fill(std::move(claim), sequence, Messages);
    bytes_ += Messages * PayloadBytes;
  }
  /// However short the run: the ring has been full some times, and been gone round some times.
  [[nodiscard]] bool has_more_to_show() const noexcept {
    constexpr unsigned kEnough = 4;
    return times_full_ < kEnough || bytes_ < kEnough * capacity_bytes_;
  }

 private:
  std::size_t capacity_bytes_;
  Side& side_;
  std::uint64_t bytes_ = 0;
  unsigned times_full_ = 0;
};

/// Leases up to `lease_max` messages, checks each in place, acks them at once.
template <std::size_t PayloadBytes>
class QueueReceiver {
 public:
  QueueReceiver(Consumer consumer, std::uint32_t lease_max) : consumer_(std::move(consumer)), lease_max_(lease_max) {}

  bool receive(std::uint64_t& sequence) {
    Lease lease = consumer_.lease({.max_messages = lease_max_});
    if (!lease) unexpected("lease", lease.outcome());
    bool more = true;
    for (const Message& message : lease) {
      if (message.payload.size() != PayloadBytes) wrong_size(sequence, PayloadBytes, message.payload.size());
      if (!payload_is<PayloadBytes>(message.payload.data(), sequence)) [[unlikely]] {
        more = !is_end_of_run<PayloadBytes>(message.payload.data(), sequence);
        break;
      }
      ++sequence;
    }
    if (const Outcome outcome = lease.ack(); outcome != Outcome::ok) unexpected("ack", outcome);
    return more;
  }

 private:
  Consumer consumer_;
  std::uint32_t lease_max_;
};

/// Begins when the ring is full and stays too slow, so that it remains so.
template <std::size_t PayloadBytes>
class LateReceiver : public QueueReceiver<PayloadBytes> {
 public:
  LateReceiver(Consumer consumer, std::uint32_t lease_max, Side& side)
      : QueueReceiver<PayloadBytes>(std::move(consumer), lease_max), side_(side) {}

  bool receive(std::uint64_t& sequence) {
    if (sequence == 0) side_.wait_until_full();
    constexpr std::uint64_t kDawdleNs = 20'000;
    const std::uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    while (clock_ns(CLOCK_MONOTONIC) - begin < kDawdleNs) relax();
    return QueueReceiver<PayloadBytes>::receive(sequence);
  }

 private:
  Side& side_;
};

/// One end of a round trip: a producer of one queue, a consumer of the other, one message a claim and a lease.
template <std::size_t PayloadBytes>
class QueueLink {
 public:
  QueueLink(Producer producer, Consumer consumer) : sender_(std::move(producer)), receiver_(std::move(consumer), 1) {}

  void send(std::uint64_t sequence) { sender_.send(sequence); }
  bool receive(std::uint64_t sequence) { return receiver_.receive(sequence); }

 private:
  QueueSender<PayloadBytes, 1> sender_;
  QueueReceiver<PayloadBytes> receiver_;
};

}  // namespace ipcq::bench
