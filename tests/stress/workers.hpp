// The workers of the stress tests: producers that do everything a producer may, consumers that check everything they get.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "disturber.hpp"
#include "history.hpp"
#include "scenario.hpp"
#include "support/child_process.hpp"
#include "support/waiting.hpp"

namespace ipcq::stress {

inline constexpr std::uint32_t kBatchMost = 16;
/// A worker that waits looks up so often whether it shall stop.
inline constexpr std::chrono::milliseconds kLookUp{50};

/// A living process always finishes what it began: `disowned` would say that it was taken for dead.
inline void expect_ok(Outcome outcome, const char* what) {
  check(outcome == Outcome::ok, [&] { return std::string(what) + " of a living process: " + to_string(outcome); });
}

/// What `attach` returns. A predecessor may still look alive (a child that it left behind before exec(2) has its life
/// lock), and a stopped process may hold the table: then again, with patience.
template <class Attach>
auto attach_patiently(Attach attach) {
  const auto last = std::chrono::steady_clock::now() + support::kPatience;
  while (true) {
    try {
      return attach();
    } catch (const Error& error) {
      if (error.errc() != Errc::in_use && error.errc() != Errc::timed_out) throw;
      if (std::chrono::steady_clock::now() > last) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Arguments of every worker: file of the history, number of the producer, group or visitor, seed, name of the scenario,
/// "disturbed" or "undisturbed".
struct WorkerArguments {
  explicit WorkerArguments(const Child& self)
      : log(self.argument(0)),
        number(static_cast<std::uint32_t>(self.number(1))),
        seed(self.number(2)),
        scenario(&scenario_named(self.argument(3))),
        disturbed(self.argument(4) == "disturbed") {}

  [[nodiscard]] std::vector<std::string> again() const {
    return {log, std::to_string(number), std::to_string(seed), scenario->name, disturbed ? "disturbed" : "undisturbed"};
  }

  std::string log;
  std::uint32_t number;
  std::uint64_t seed;
  const Scenario* scenario;
  bool disturbed;
};

/// What all workers have. Kept outside their threads: what is open outlives the thread that opened it.
class WorkerBase {
 public:
  WorkerBase(Child& self, const ChildRole& role)
      : arguments_(self), history_(arguments_.log), random_(arguments_.seed) {
    if (arguments_.disturbed) disturber_.emplace(self, history_, role, arguments_.again(), random_);
  }

 protected:
  [[nodiscard]] bool disturb() { return disturber_ && !history_.stopped() && disturber_->disturb(); }
  [[nodiscard]] const Scenario& scenario() const noexcept { return *arguments_.scenario; }
  [[nodiscard]] std::uint32_t number() const noexcept { return arguments_.number; }
  History& history() noexcept { return history_; }
  Random& random() noexcept { return random_; }

 private:
  WorkerArguments arguments_;
  History history_;
  Random random_;
  std::optional<Disturber> disturber_;
};

class StormProducer : WorkerBase {
 public:
  StormProducer(Child& self, const ChildRole& role)
      : WorkerBase(self, role), producer_(attach_patiently([] { return Queue::open(kQueue).producer(); })) {}

  /// Sends until it is told to stop or its numbers are used up: true. False: go on in another thread.
  bool run() {
    while (claim_ || (!history().stopped() && history().next(number()) < history().limit())) {
      if (!claim_) {
        begin();
        if (!claim_) continue;
        if (disturb()) return false;
      }
      finish();
    }
    return true;
  }

 private:
  void begin() {
    first_ = history().next(number());
    const std::uint64_t count = std::min<std::uint64_t>(1 + random()() % kBatchMost, history().limit() - first_);
    Room room{.messages = 0, .bytes = 0};
    // Large messages are rare, but no batch may be larger than half the ring: others want room too.
    while (room.messages < count) {
      const std::size_t bytes = payload_bytes({number(), first_ + room.messages});
      if (room.messages > 0 && room.bytes + bytes > kCapacity / 3) break;
      room.bytes += bytes;
      ++room.messages;
    }
    const std::uint32_t messages = room.messages;
    // Now and then much more room than is used: up to all that a claim can have.
    if (random()() % 64 == 0) {
      room.messages = 2 * kBatchMost;
      room.bytes += random()() % (kCapacity - 16 - 32 * room.messages - room.bytes);
    }
    claim_ = producer_.claim(room, kLookUp);
    if (!claim_) {
      check(is_transient(claim_.outcome()), [&] { return std::string("claim: ") + to_string(claim_.outcome()); });
      if (scenario().overflow == Overflow::reject) ::usleep(50);  // refused at once
      return;
    }
    appended_ = random()() % 8 == 0 ? 1 + static_cast<std::uint32_t>(random()() % messages) : messages;
    for (std::uint32_t i = 0; i < appended_; ++i) {
      const Origin origin{number(), first_ + i};
      write_payload(claim_.append(payload_bytes(origin)), origin);
    }
  }

  /// Committed, in whole or in part, or now and then aborted.
  void finish() {
    if (random()() % 16 == 0) {
      expect_ok(claim_.abort(), "abort");
      return;
    }
    history().about_to_commit(number(), first_ + appended_);
    expect_ok(claim_.commit(), "commit");
    history().committed(number());
  }

  Producer producer_;
  Claim claim_;
  std::uint64_t first_ = 0;
  std::uint32_t appended_ = 0;
};

inline const ChildRole kProducer("stress producer", [](Child& self) {
  StormProducer producer(self, kProducer);
  Disturber::in_threads([&] { return producer.run(); });
  return 0;
});

/// Checks what comes from the queue: whole, in ring order, and of each producer in its order.
class Arrivals {
 public:
  /// What comes for the first time comes in ring order, so in the order of each producer, and its time goes forward.
  void check_order(const Message& message, Origin origin) {
    check(message.position >= position_, [&] { return origin.text() + " stands before one that came earlier"; });
    check(message.time >= time_, [&] { return origin.text() + " is older than one before it"; });
    position_ = message.position + 1;
    time_ = message.time;
    std::uint64_t& own = next_.at(origin.producer);
    check(origin.sequence >= own,
          [&] { return origin.text() + " came behind " + std::to_string(own - 1) + " of its producer"; });
    own = origin.sequence + 1;
  }
  /// One more than the last that came of this producer; 0: none came.
  [[nodiscard]] std::uint64_t next(std::uint64_t producer) const { return next_.at(producer); }

 private:
  std::uint64_t position_ = 0;
  std::uint64_t time_ = 0;
  std::array<std::uint64_t, History::kProducers> next_{};
};

/// Checks what it gets against the history and writes into it what it does. Its number is that of its group.
class CheckingConsumer : WorkerBase {
 public:
  CheckingConsumer(Child& self, const ChildRole& role)
      : WorkerBase(self, role),
        exclusive_(number() == kSolo && scenario().solo == ConsumerMode::exclusive),
        consumer_(attach_patiently([this] { return Queue::open(kQueue).consumer(kGroupNames.at(number())); })) {}

  /// Takes messages until the queue is closed and drained: true. False: go on in another thread.
  bool run() {
    while (true) {
      if (!lease_) {
        lease_ = take();
        if (lease_.outcome() == Outcome::closed) return true;
        if (!lease_) continue;
        messages_ = read(lease_);
        if (disturb()) return false;
      }
      finish();
      // Of a group that drops the oldest: what it does not get in time.
      if (number() == kLossy && random()() % 4 == 0 && !history().stopped())
        ::usleep(static_cast<useconds_t>(random()() % 3000));
    }
  }

 private:
  void finish() {
    const std::uint64_t what = random()() % 16;
    if (what == 0 && !exclusive_) {
      expect_ok(lease_.requeue(), "requeue");
    } else if (what == 1 && messages_.size() > 1) {
      ack_in_two_parts(lease_, messages_);
    } else if (what == 2) {
      ack_two_leases(lease_, messages_);
    } else {
      ack(lease_, messages_);
    }
  }

  Lease take() {
    Lease lease = consumer_.lease({.max_messages = 1 + static_cast<std::uint32_t>(random()() % 32), .deadline = kLookUp});
    if (!lease) {
      check(lease.outcome() == Outcome::closed || is_transient(lease.outcome()),
            [&] { return std::string("lease: ") + to_string(lease.outcome()); });
    }
    return lease;
  }

  std::vector<Origin> read(const Lease& lease) {
    std::vector<Origin> messages;
    for (const Message& message : lease) {
      const Origin origin = check_payload(message.payload);
      std::atomic<Mark>& mark = history().mark(number(), origin);
      const Mark before = mark.load(std::memory_order_acquire);
      check(before != Mark::acked, [&] { return origin.text() + " was acked and came again"; });
      check(before != Mark::dead_letter, [&] { return origin.text() + " is a dead letter and came again"; });
      check(lease.deliveries() > 0 || exclusive_ || before == Mark::unseen,
            [&] { return origin.text() + " came again and says that it came for the first time"; });
      mark.store(Mark::leased, std::memory_order_release);
      // The exclusive consumer's successor starts again where the dead one had acked: new is what nobody has seen.
      if (exclusive_ ? before == Mark::unseen : lease.deliveries() == 0) check_fresh(message, origin);
      if (scenario().poison && is_poison(origin)) ::kill(::getpid(), SIGKILL);
      messages.push_back(origin);
    }
    check(messages.size() == lease.size(), [&] {
      return "a lease of " + std::to_string(lease.size()) + " messages has " + std::to_string(messages.size());
    });
    return messages;
  }

  void check_fresh(const Message& message, Origin origin) {
    arrivals_.check_order(message, origin);
    if (number() == kTeam) return;
    std::atomic<std::uint64_t>& freshest = history().freshest(number(), origin.producer);
    check(origin.sequence >= freshest.load(std::memory_order_relaxed),
          [&] { return origin.text() + " came behind a later one of its producer that a dead consumer had"; });
    freshest.store(origin.sequence + 1, std::memory_order_relaxed);
  }

  void set(std::span<const Origin> messages, Mark mark) {
    for (const Origin origin : messages) history().mark(number(), origin).store(mark, std::memory_order_release);
  }

  void ack(Lease& lease, std::span<const Origin> messages) {
    set(messages, Mark::acking);
    expect_ok(lease.ack(), "ack");
    set(messages, Mark::acked);
  }

  void ack_in_two_parts(Lease& lease, std::span<const Origin> messages) {
    const auto first = static_cast<std::uint32_t>(1 + random()() % (messages.size() - 1));
    set(messages.first(first), Mark::acking);
    const Outcome outcome = lease.ack(first, kLookUp);
    check(outcome == Outcome::ok || is_transient(outcome),
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
    const std::vector<Origin> of_second = read(second);
    if (exclusive_) {
      ack(first, of_first);
      ack(second, of_second);
    } else {
      ack(second, of_second);
      ack(first, of_first);
    }
  }

  bool exclusive_;
  Consumer consumer_;
  Lease lease_;
  std::vector<Origin> messages_;
  Arrivals arrivals_;
};

inline const ChildRole kConsumer("stress consumer", [](Child& self) {
  CheckingConsumer consumer(self, kConsumer);
  Disturber::in_threads([&] { return consumer.run(); });
  return 0;
});

/// Takes dead letters until their queue is closed and drained; slowly, so that it is full at times.
class LetterReader : WorkerBase {
 public:
  LetterReader(Child& self, const ChildRole& role)
      : WorkerBase(self, role), consumer_(attach_patiently([] { return Queue::open(kDead).consumer(); })) {}

  bool run() {
    while (true) {
      Lease lease =
          consumer_.lease({.max_messages = 1 + static_cast<std::uint32_t>(random()() % 2), .deadline = kLookUp});
      if (lease.outcome() == Outcome::closed) return true;
      if (!lease) continue;
      for (const Message& message : lease) read(message);
      if (disturb()) return false;
      expect_ok(lease.ack(), "ack of a dead letter");
      if (!history().stopped()) ::usleep(static_cast<useconds_t>(random()() % 400'000));
    }
  }

 private:
  void read(const Message& message) {
    const std::optional<DeadLetter> letter = dead_letter(message);
    check(letter.has_value(), [] { return std::string("an ordinary message in the dead-letter queue"); });
    const Origin origin = check_payload(letter->payload);
    check(letter->queue == kQueue, [&] { return origin.text() + " comes from " + std::string(letter->queue); });
    check(letter->deliveries >= kMostDeliveries, [&] {
      return origin.text() + " is a dead letter after " + std::to_string(letter->deliveries) + " deliveries";
    });
    const auto group = static_cast<std::uint32_t>(std::find(kGroupNames.begin(), kGroupNames.end(), letter->group) -
                                                  kGroupNames.begin());
    std::atomic<Mark>& mark = history().mark(group, origin);
    check(mark.load(std::memory_order_acquire) != Mark::acked,
          [&] { return origin.text() + " was acked and is a dead letter"; });
    mark.store(Mark::dead_letter, std::memory_order_release);
    history().count_letter();
  }

  Consumer consumer_;
};

inline const ChildRole kLetterReader("stress reader of dead letters", [](Child& self) {
  LetterReader reader(self, kLetterReader);
  Disturber::in_threads([&] { return reader.run(); });
  return 0;
});

}  // namespace ipcq::stress
