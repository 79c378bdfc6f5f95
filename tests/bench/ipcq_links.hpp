// ipcq as a carrier of the suite's traffic. Each side creates or opens and attaches in its own process, after the fork.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "ipcq/ipcq.hpp"
#include "payload.hpp"

namespace ipcq::bench {

/// How a row uses its queues. Everything else is ipcq's default.
struct QueueUse {
  std::string directory;
  ProducerMode producers = ProducerMode::shared;
  ConsumerMode consumers = ConsumerMode::shared;
  WaitStrategy wait = WaitStrategy::spin;
  std::size_t capacity_bytes = std::size_t{8} << 20;
  std::uint32_t lease_max = 256;
  bool timestamps = true;
  bool metrics = true;
  std::uint32_t groups = 1;
  std::uint32_t bystanders = 0;  ///< consumers that the second side attaches besides, and that take nothing
};

inline std::string group_name(std::uint32_t number) { return "g" + std::to_string(number); }

inline Queue create_queue(const QueueUse& use, const std::string& name) {
  CreateOptions options{.capacity_bytes = use.capacity_bytes,
                        .producers = use.producers,
                        .consumers = use.consumers,
                        .timestamps = use.timestamps,
                        .metrics = use.metrics,
                        .directory = use.directory};
  for (std::uint32_t i = 0; i < use.groups; ++i) options.groups.push_back({.name = group_name(i)});
  return Queue::create(name, options);
}
inline Queue open_queue(const QueueUse& use, const std::string& name) {
  return Queue::open(name, {.directory = use.directory});
}
inline Producer attach_producer(const QueueUse& use, const Queue& queue) { return queue.producer({.wait = use.wait}); }
inline Consumer attach_consumer(const QueueUse& use, const Queue& queue, std::uint32_t group = 0) {
  return queue.consumer({.group = group_name(group), .wait = use.wait});
}

/// A call that must succeed in a benchmark did not. Not a matter of time: nothing here has a deadline but `now`.
[[noreturn]] inline void unexpected(const char* call, Outcome outcome) {
  throw std::runtime_error(std::string(call) + " answered " + to_string(outcome));
}

/// Claims room for a batch of messages of `PayloadBytes` bytes, writes them in place, commits them at once.
template <std::size_t PayloadBytes>
class QueueSender {
 public:
  QueueSender(Producer producer, std::uint32_t batch) : producer_(std::move(producer)), batch_(batch) {}

  [[nodiscard]] std::uint64_t batch() const noexcept { return batch_; }
  void send(std::uint64_t sequence) { fill(producer_.claim(Room::equal(batch_, PayloadBytes)), sequence, batch_); }
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
  std::uint32_t batch_;
};

/// Checks the messages of a lease in place; false: the last was the end of the run.
template <std::size_t PayloadBytes>
bool check(const Lease& lease, std::uint64_t& sequence) {
  if (!lease) unexpected("lease", lease.outcome());
  for (const Message& message : lease) {
    if (message.payload.size() != PayloadBytes) wrong_size(sequence, PayloadBytes, message.payload.size());
    if (!payload_is<PayloadBytes>(message.payload.data(), sequence)) [[unlikely]]
      return !is_end_of_run<PayloadBytes>(message.payload.data(), sequence);
    ++sequence;
  }
  return true;
}

inline void finish(Lease& lease) {
  if (const Outcome outcome = lease.ack(); outcome != Outcome::ok) unexpected("ack", outcome);
}

/// Leases up to `lease_max` messages, checks each in place, acks them at once.
template <std::size_t PayloadBytes>
class QueueReceiver {
 public:
  QueueReceiver(Consumer consumer, std::uint32_t lease_max) : consumer_(std::move(consumer)), lease_max_(lease_max) {}

  bool receive(std::uint64_t& sequence) {
    Lease lease = consumer_.lease({.max_messages = lease_max_});
    const bool more = check<PayloadBytes>(lease, sequence);
    finish(lease);
    return more;
  }

 private:
  Consumer consumer_;
  std::uint32_t lease_max_;
};

/// One end of a round trip: a producer of one queue, a consumer of the other, one message a claim and a lease. What is
/// answered is acked behind its answer: should this process die in between, it is asked again, not left without one.
template <std::size_t PayloadBytes>
class QueueLink {
 public:
  QueueLink(Producer producer, Consumer consumer) : sender_(std::move(producer), 1), consumer_(std::move(consumer)) {}

  void send(std::uint64_t sequence) {
    sender_.send(sequence);
    if (answered_) finish(answered_);
  }
  bool receive(std::uint64_t sequence) {
    answered_ = consumer_.lease({.max_messages = 1});
    return check<PayloadBytes>(answered_, sequence);
  }

 private:
  QueueSender<PayloadBytes> sender_;
  Consumer consumer_;
  Lease answered_;
};

}  // namespace ipcq::bench
