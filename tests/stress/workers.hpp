// The workers of the stress tests: producers that do everything a producer may, consumers that check everything they get.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "history.hpp"
#include "support/child_process.hpp"

namespace ipcq::stress {

using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::Ending;

inline constexpr const char* kQueue = "stress";
inline constexpr std::size_t kCapacity = 65536;
/// Group 0 has one consumer at a time, group 1 several.
inline constexpr std::array<const char*, History::kGroups> kGroupNames = {"solo", "team"};
inline constexpr std::uint32_t kBatchMost = 16;
/// A worker that waits looks up so often whether it shall stop.
inline constexpr std::chrono::milliseconds kLookUp{50};

using Random = std::mt19937_64;

/// A living process always finishes what it began: `disowned` would say that it was taken for dead.
inline void expect_ok(Outcome outcome, const char* what) {
  check(outcome == Outcome::ok, [&] { return std::string(what) + " of a living process: " + to_string(outcome); });
}

namespace detail {

/// One batch: committed, in whole or in part, or now and then aborted.
inline void send_batch(Producer& producer, History& history, std::uint32_t self, Random& random) {
  const std::uint64_t first = history.next(self);
  const std::uint64_t count = std::min<std::uint64_t>(1 + random() % kBatchMost, history.limit() - first);
  Room room{.messages = 0, .bytes = 0};
  // Large messages are rare, but no batch may be larger than half the ring: others want room too.
  while (room.messages < count) {
    const std::size_t bytes = payload_bytes({self, first + room.messages});
    if (room.messages > 0 && room.bytes + bytes > kCapacity / 3) break;
    room.bytes += bytes;
    ++room.messages;
  }
  Claim claim = producer.claim(room, kLookUp);
  if (!claim) {
    check(is_transient(claim.outcome()), [&] { return std::string("claim: ") + to_string(claim.outcome()); });
    return;
  }
  const std::uint32_t appended =
      random() % 8 == 0 ? 1 + static_cast<std::uint32_t>(random() % room.messages) : room.messages;
  for (std::uint32_t i = 0; i < appended; ++i) {
    const Origin origin{self, first + i};
    write_payload(claim.append(payload_bytes(origin)), origin);
  }
  if (random() % 16 == 0) {
    expect_ok(claim.abort(), "abort");
    return;
  }
  history.about_to_commit(self, first + appended);
  expect_ok(claim.commit(), "commit");
  history.committed(self);
}

}  // namespace detail

/// Sends until it is told to stop or its numbers are used up. Arguments: file of the history, number of the producer, seed.
inline const ChildRole kProducer("stress producer", [](Child& self) {
  History history(self.argument(0));
  const auto number = static_cast<std::uint32_t>(self.number(1));
  Random random(self.number(2));
  Producer producer = Queue::open(kQueue).producer();
  while (!history.stopped() && history.next(number) < history.limit()) {
    detail::send_batch(producer, history, number, random);
  }
  return 0;
});

/// A consumer that checks what it gets against the history and writes into it what it does.
class CheckingConsumer {
 public:
  CheckingConsumer(History& history, std::uint32_t group, bool exclusive, std::uint64_t seed)
      : history_(history),
        group_(group),
        exclusive_(exclusive),
        random_(seed),
        consumer_(Queue::open(kQueue).consumer(kGroupNames[group])) {}

  /// Takes messages until the queue is closed and drained.
  void run() {
    while (true) {
      Lease lease = take();
      if (lease.outcome() == Outcome::closed) return;
      if (!lease) continue;
      const std::vector<Origin> messages = check(lease);
      const std::uint64_t what = random_() % 16;
      if (what == 0 && !exclusive_) {
        expect_ok(lease.requeue(), "requeue");
      } else if (what == 1 && messages.size() > 1) {
        ack_in_two_parts(lease, messages);
      } else if (what == 2) {
        ack_two_leases(lease, messages);
      } else {
        ack(lease, messages);
      }
    }
  }

 private:
  Lease take() {
    Lease lease = consumer_.lease({.max_messages = 1 + static_cast<std::uint32_t>(random_() % 32), .deadline = kLookUp});
    if (!lease) {
      stress::check(lease.outcome() == Outcome::closed || is_transient(lease.outcome()),
                    [&] { return std::string("lease: ") + to_string(lease.outcome()); });
    }
    return lease;
  }

  std::vector<Origin> check(const Lease& lease) {
    std::vector<Origin> messages;
    for (const Message& message : lease) {
      const Origin origin = check_payload(message.payload);
      std::atomic<Mark>& mark = history_.mark(group_, origin);
      const Mark before = mark.load(std::memory_order_acquire);
      stress::check(before != Mark::acked, [&] { return origin.text() + " was acked and came again"; });
      stress::check(lease.deliveries() > 0 || exclusive_ || before == Mark::unseen,
                    [&] { return origin.text() + " came again and says that it came for the first time"; });
      mark.store(Mark::leased, std::memory_order_release);
      // The exclusive consumer's successor starts again where the dead one had acked: new is what nobody has seen.
      if (exclusive_ ? before == Mark::unseen : lease.deliveries() == 0) check_order(message, origin);
      messages.push_back(origin);
    }
    stress::check(messages.size() == lease.size(), [&] {
      return "a lease of " + std::to_string(lease.size()) + " messages has " + std::to_string(messages.size());
    });
    return messages;
  }

  // What comes for the first time comes in ring order, so in the order of each producer, and its time goes forward.
  void check_order(const Message& message, Origin origin) {
    stress::check(message.position >= position_, [&] { return origin.text() + " stands before one that came earlier"; });
    stress::check(message.time >= time_, [&] { return origin.text() + " is older than one before it"; });
    position_ = message.position + 1;
    time_ = message.time;
    std::uint64_t& own = next_[origin.producer];
    stress::check(origin.sequence >= own,
                  [&] { return origin.text() + " came behind " + std::to_string(own - 1) + " of its producer"; });
    own = origin.sequence + 1;
    if (group_ != 0) return;
    std::atomic<std::uint64_t>& freshest = history_.freshest(group_, origin.producer);
    stress::check(origin.sequence >= freshest.load(std::memory_order_relaxed),
                  [&] { return origin.text() + " came behind a later one of its producer that a dead consumer had"; });
    freshest.store(own, std::memory_order_relaxed);
  }

  void set(std::span<const Origin> messages, Mark mark) {
    for (const Origin origin : messages) history_.mark(group_, origin).store(mark, std::memory_order_release);
  }

  void ack(Lease& lease, std::span<const Origin> messages) {
    set(messages, Mark::acking);
    expect_ok(lease.ack(), "ack");
    set(messages, Mark::acked);
  }

  void ack_in_two_parts(Lease& lease, std::span<const Origin> messages) {
    const auto first = static_cast<std::uint32_t>(1 + random_() % (messages.size() - 1));
    set(messages.first(first), Mark::acking);
    const Outcome outcome = lease.ack(first, kLookUp);
    stress::check(outcome == Outcome::ok || is_transient(outcome),
                  [&] { return std::string("ack of the first: ") + to_string(outcome); });
    if (outcome == Outcome::ok) {
      set(messages.first(first), Mark::acked);
      messages = messages.subspan(first);
    }
    ack(lease, messages);
  }

  void ack_two_leases(Lease& first, std::span<const Origin> of_first) {
    Lease second = take();
    if (!second) return ack(first, of_first);
    const std::vector<Origin> of_second = check(second);
    if (exclusive_) {
      ack(first, of_first);
      ack(second, of_second);
    } else {
      ack(second, of_second);
      ack(first, of_first);
    }
  }

  History& history_;
  std::uint32_t group_;
  bool exclusive_;
  Random random_;
  Consumer consumer_;
  std::uint64_t position_ = 0;
  std::uint64_t time_ = 0;
  std::array<std::uint64_t, History::kProducers> next_{};
};

/// Arguments: file of the history, number of the group, seed, "exclusive" or "shared".
inline const ChildRole kConsumer("stress consumer", [](Child& self) {
  History history(self.argument(0));
  CheckingConsumer(history, static_cast<std::uint32_t>(self.number(1)), self.argument(3) == "exclusive", self.number(2))
      .run();
  return 0;
});

}  // namespace ipcq::stress
