// Traffic that checks itself: threads that send numbered messages and threads that read them, in random batches.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checked_message.hpp"
#include "queue_contract.hpp"
#include "random.hpp"

namespace ipcq::contract {

/// In aborted messages instead of their sender: nobody may ever see it.
inline constexpr std::uint32_t kNobody = 0xdead;

[[noreturn]] inline void fail(std::string_view what, Outcome outcome) {
  throw std::runtime_error(std::string(what) + ": " + to_string(outcome));
}

/// Messages of one producer: claims random rooms, leaves some of them partly unused, shrinks and aborts some.
class Sender {
 public:
  /// Will send messages 0 to `count` - 1 of producer `number`.
  Sender(std::uint32_t number, std::uint32_t count) : random_(1000 + number), number_(number), count_(count) {}

  [[nodiscard]] bool done() const noexcept { return next_ == count_; }
  /// One claim. `ok`, or why there was none.
  Outcome send_batch(Producer& producer, Deadline deadline) {
    const std::uint32_t largest = random_.one_in(50) ? 3000 : 200;
    const std::uint32_t messages = random_.between(1, 16);
    const Room room =
        random_.one_in(2) ? Room::equal(messages, largest) : Room{.messages = messages, .bytes = largest * 4U};
    ipcq::Claim claim = producer.claim(room, deadline);
    if (!claim) return claim.outcome();
    const bool abort = random_.one_in(8);
    std::uint32_t next = next_;
    while (next < count_) {
      const std::uint32_t size = random_.between(kCheckedBytesMin, largest);
      if (!claim.fits(size)) break;
      std::span<std::byte> span = claim.append(size);
      if (random_.one_in(4)) {
        span = span.first(random_.between(kCheckedBytesMin, size));
        claim.shrink_last(span.size());
      }
      write_checked(span, {.producer = abort ? kNobody : number_, .sequence = next++});
    }
    const Outcome outcome = abort ? claim.abort() : claim.commit();
    if (outcome != Outcome::ok) fail("end of a claim", outcome);
    if (!abort) next_ = next;
    return Outcome::ok;
  }
  void send_all(Producer& producer) {
    while (!done()) {
      if (const Outcome outcome = send_batch(producer, kPatience); outcome != Outcome::ok) fail("claim", outcome);
    }
  }

 private:
  Random random_;
  std::uint32_t number_;
  std::uint32_t count_;
  std::uint32_t next_ = 0;
};

struct Receipt {
  Identity identity;
  std::uint64_t position = 0;
};

/// The content of a lease; throws if any byte of it is not as it was written.
inline std::vector<Receipt> receipts_of(const ipcq::Lease& lease) {
  std::vector<Receipt> receipts;
  for (const Message& message : lease) {
    const std::optional<Identity> identity = read_checked(message.payload);
    if (!identity) throw std::runtime_error("a torn message at position " + std::to_string(message.position));
    receipts.push_back({*identity, message.position});
  }
  if (receipts.size() != lease.size()) throw std::runtime_error("a lease of another size than it says");
  return receipts;
}

/// Messages read by one consumer: leases of random sizes, some given back whole or in part.
class Receiver {
 public:
  explicit Receiver(std::uint64_t number) : random_(2000 + number) {}

  /// One lease. `ok`, or why there was none.
  Outcome read_batch(Consumer& consumer, Deadline deadline) {
    Take take{.max_messages = random_.between(1, 100), .deadline = deadline};
    if (random_.one_in(4)) {
      take.min_messages = random_.between(1, take.max_messages);
      take.deadline = std::chrono::milliseconds(2);
    }
    ipcq::Lease lease = consumer.lease(take);
    if (!lease) return lease.outcome();
    finish(lease);
    return Outcome::ok;
  }
  /// Until the queue is closed and drained.
  void read_all(Consumer& consumer) {
    for (;;) {
      const Outcome outcome = read_batch(consumer, kPatience);
      if (outcome == Outcome::closed) return;
      // Only the short waits for min_messages may end so.
      const bool may_be = outcome == Outcome::ok || outcome == Outcome::empty || outcome == Outcome::blocked;
      if (!may_be) fail("lease", outcome);
    }
  }
  /// Acks, acks in part, requeues or drops.
  void finish(ipcq::Lease& lease) {
    std::vector<Receipt> receipts = receipts_of(lease);
    const std::uint32_t choice = random_.below(10);
    if (choice == 0) {
      if (const Outcome outcome = lease.requeue(); outcome != Outcome::ok) fail("requeue", outcome);
      return;
    }
    if (choice == 1) {
      lease = ipcq::Lease();
      return;
    }
    if (choice == 2) receipts.resize(random_.between(1, lease.size()));  // the rest goes back with the lease
    const auto finished = static_cast<std::uint32_t>(receipts.size());
    const Outcome outcome = choice == 2 ? lease.ack(finished, kPatience) : lease.ack();
    if (outcome != Outcome::ok) fail("ack", outcome);
    acked_.insert(acked_.end(), receipts.begin(), receipts.end());
  }

  /// What was acked, in that order.
  [[nodiscard]] const std::vector<Receipt>& acked() const noexcept { return acked_; }

 private:
  Random random_;
  std::vector<Receipt> acked_;
};

/// Counts receipts against what was sent.
class Tally {
 public:
  Tally(std::uint32_t producers, std::uint32_t count) : count_(count), seen_(std::size_t{producers} * count) {}

  void add(const std::vector<Receipt>& receipts) {
    for (const Receipt& receipt : receipts) {
      const std::size_t index = std::size_t{receipt.identity.producer} * count_ + receipt.identity.sequence;
      if (receipt.identity.sequence >= count_ || index >= seen_.size()) {
        ++never_sent_;
      } else {
        ++seen_[index];
      }
    }
  }
  /// Each message exactly once, and nothing that was aborted.
  void expect_each_once() const {
    std::size_t missing = 0;
    std::size_t repeated = 0;
    for (const std::uint32_t times : seen_) {
      if (times == 0) ++missing;
      if (times > 1) ++repeated;
    }
    EXPECT_EQ(missing, 0U) << "of " << seen_.size();
    EXPECT_EQ(repeated, 0U);
    EXPECT_EQ(never_sent_, 0U) << "messages of aborted claims were seen";
  }

 private:
  std::uint32_t count_;
  std::vector<std::uint32_t> seen_;
  std::size_t never_sent_ = 0;
};

/// In ring order, and so in each producer's own.
inline void expect_in_order(const std::vector<Receipt>& receipts, std::uint32_t producers) {
  std::size_t out_of_ring_order = 0;
  std::size_t out_of_producers_order = 0;
  std::vector<std::optional<std::uint32_t>> last(producers);
  for (std::size_t i = 0; i < receipts.size(); ++i) {
    const Receipt& receipt = receipts[i];
    if (i > 0 && receipt.position <= receipts[i - 1].position) ++out_of_ring_order;
    if (receipt.identity.producer >= producers) continue;  // the tally tells
    std::optional<std::uint32_t>& before = last[receipt.identity.producer];
    if (before && receipt.identity.sequence <= *before) ++out_of_producers_order;
    before = receipt.identity.sequence;
  }
  EXPECT_EQ(out_of_ring_order, 0U);
  EXPECT_EQ(out_of_producers_order, 0U);
}

/// Threads that are joined together.
class Crew {
 public:
  void start(std::function<void()> work) { threads_.emplace_back(std::move(work)); }
  /// Waits for all of them; throws what the first of those threw that threw.
  void join() {
    std::exception_ptr first;
    for (support::Background& thread : threads_) {
      try {
        thread.join();
      } catch (...) {
        if (first == nullptr) first = std::current_exception();
      }
    }
    threads_.clear();
    if (first != nullptr) std::rethrow_exception(first);
  }

 private:
  std::list<support::Background> threads_;
};

/// Waits for those who send, closes the queue, and waits for those who read.
inline void finish_traffic(const Queue& queue, Crew& senders, Crew& readers) {
  std::exception_ptr of_senders;
  try {
    senders.join();
  } catch (...) {
    of_senders = std::current_exception();
  }
  queue.close();  // also after a failure: the readers wait for it
  readers.join();
  if (of_senders != nullptr) std::rethrow_exception(of_senders);
}

}  // namespace ipcq::contract
