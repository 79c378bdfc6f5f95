// The rows of ipcq with more than one of something: producers and consumers that sleep, consumers that share a full ring,
// groups, consumers that are only attached.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "clock.hpp"
#include "ipcq_runs.hpp"
#include "turns.hpp"

namespace ipcq::bench {
namespace {

constexpr std::size_t kPayload = 64;
constexpr std::size_t kRecord = 80;  // with its header, in the ring

/// Message n of producer p is sequence p << 40 | n, so that order and completeness can be told of each producer apart.
constexpr unsigned kProducerShift = 40;

/// Spreads a sequence over 64 bits, so that sums of different sets of messages differ.
std::uint64_t mixed(std::uint64_t sequence) noexcept {
  sequence = (sequence ^ (sequence >> 31)) * 0x9e3779b97f4a7c15U;
  return (sequence ^ (sequence >> 29)) * 0xbf58476d1ce4e5b9U;
}

/// Takes leases apart: every message whole, of each producer in order. `passed` counts and sums them.
class CrowdReader {
 public:
  void read(const Lease& lease) {
    for (const Message& message : lease) {
      if (message.payload.size() != kPayload) wrong_size(passed.messages, kPayload, message.payload.size());
      std::uint64_t sequence = 0;
      std::memcpy(&sequence, message.payload.data(), sizeof sequence);
      const std::uint64_t producer = sequence >> kProducerShift;
      if (producer >= next_.size() || !payload_is<kPayload>(message.payload.data(), sequence)) {
        throw PayloadError("a message is not what any producer sent");
      }
      if (sequence < next_[producer]) throw PayloadError("messages of one producer came out of order, or twice");
      next_[producer] = sequence + 1;
      ++passed.messages;
      passed.sum += mixed(sequence);
    }
  }
  Passed passed;

 private:
  std::array<std::uint64_t, kSidesMax> next_{};
};

/// `sending`: how many producers have not finished; the last one closes the queue, which is how consumers learn the end.
void crowd_out(Side& side, const QueueUse& use, const Queue& queue, std::atomic<std::uint32_t>& sending,
               std::uint64_t number, std::uint32_t batch) {
  Producer producer = attach_producer(use, queue);
  Passed passed;
  side.start();
  do {
    Claim claim = producer.claim(Room::equal(batch, kPayload));
    if (!claim) unexpected("claim", claim.outcome());
    for (std::uint32_t i = 0; i < batch; ++i, ++passed.messages) {
      const std::uint64_t sequence = number << kProducerShift | passed.messages;
      write_payload<kPayload>(claim.append(kPayload).data(), sequence);
      passed.sum += mixed(sequence);
    }
    if (const Outcome outcome = claim.commit(); outcome != Outcome::ok) unexpected("commit", outcome);
  } while (side.running(passed.messages));
  producer.detach();
  if (sending.fetch_sub(1, std::memory_order_acq_rel) == 1) queue.close();
  side.finish(passed);
}

void crowd_in(Side& side, const QueueUse& use, const Queue& queue) {
  Consumer consumer = attach_consumer(use, queue);
  CrowdReader reader;
  side.start();
  for (;;) {
    Lease lease = consumer.lease({.max_messages = use.lease_max});
    if (lease.outcome() == Outcome::closed) break;
    if (!lease) unexpected("lease", lease.outcome());
    reader.read(lease);
    if (const Outcome outcome = lease.ack(); outcome != Outcome::ok) unexpected("ack", outcome);
    side.running(reader.passed.messages);
  }
  side.finish(reader.passed);
}

Run run_crowd(const Plan& plan, const QueueUse& use, std::uint32_t producers, std::uint32_t consumers,
              std::uint32_t batch) {
  const std::string name = "crowd";
  const SharedMemory memory(sizeof(std::atomic<std::uint32_t>));
  auto& sending = *new (memory.data()) std::atomic<std::uint32_t>(producers);
  std::vector<SidePlan> sides;
  for (std::uint32_t i = 0; i < producers; ++i) {
    sides.push_back({Role::sends, [&, i](Side& side) {
                       {
                         if (i != 0) side.meet();
                         const Queue queue = i == 0 ? create_queue(use, name) : open_queue(use, name);
                         if (i == 0) side.meet();
                         crowd_out(side, use, queue, sending, i, batch);
                       }
                       side.meet();
                       if (i == 0) remove(name, {.directory = use.directory});
                     }});
  }
  for (std::uint32_t i = 0; i < consumers; ++i) {
    sides.push_back({Role::receives, [&](Side& side) {
                       side.meet();
                       {
                         const Queue queue = open_queue(use, name);
                         crowd_in(side, use, queue);
                       }
                       side.meet();
                     }});
  }
  return run_sides(plan, sides);
}

Row crowd_row(const QueueUse& use, std::uint32_t producers, std::uint32_t consumers, std::uint32_t batch) {
  const std::string shape = std::to_string(producers) + "x" + std::to_string(consumers);
  Facts facts = facts_of(use, batch);
  facts.emplace_back("producers", std::uint64_t{producers});
  facts.emplace_back("consumers", std::uint64_t{consumers});
  return {.name = "ipcq/crowd-" + shape + "-64B-b" + std::to_string(batch),
          .what = std::to_string(producers) + " producers on one cpu, " + std::to_string(consumers) +
                  " consumers that share a group on the other, 64-byte messages, " + std::to_string(batch) +
                  " a claim, waiting by " + wait_name(use.wait),
          .payload_bytes = kPayload,
          .busy = {false, false},
          .facts = std::move(facts),
          .run = [=](const Plan& plan) { return run_crowd(plan, use, producers, consumers, batch); }};
}

/// Sends batches of 64 until `messages` have gone.
void fill_ring(Producer& producer, Passed& passed, std::uint64_t messages) {
  constexpr std::uint32_t kBatch = 64;
  for (std::uint64_t sent = 0; sent < messages; sent += kBatch) {
    Claim claim = producer.claim(Room::equal(kBatch, kPayload));
    if (!claim) unexpected("claim", claim.outcome());
    claim.append_each(kBatch, kPayload, [&](std::uint32_t, std::span<std::byte> to) {
      write_payload<kPayload>(to.data(), passed.messages);
      passed.sum += mixed(passed.messages++);
    });
    if (const Outcome outcome = claim.commit(); outcome != Outcome::ok) unexpected("commit", outcome);
  }
}

/// As many messages as the ring holds, but for a batch or two.
std::uint64_t ring_full(const QueueUse& use) { return (use.capacity_bytes / kRecord - 128) / 64 * 64; }

void drain_ring(Consumer& consumer, CrowdReader& reader, std::uint32_t lease_max) {
  for (;;) {
    Lease lease = consumer.lease({.max_messages = lease_max, .deadline = now});
    if (lease.outcome() == Outcome::empty) return;
    if (lease.outcome() == Outcome::blocked) continue;  // the other one is at the group's lock
    if (!lease) unexpected("lease", lease.outcome());
    reader.read(lease);
    if (const Outcome outcome = lease.ack(); outcome != Outcome::ok) unexpected("ack", outcome);
  }
}

/// The first side fills the ring; then one or both drain it, which alone is timed.
Run run_drain(const Plan& plan, const QueueUse& use, std::uint32_t consumers) {
  const SharedMemory memory(sizeof(Turns));
  auto& turns = *new (memory.data()) Turns{};
  return one_queue(
      plan, use,
      [&](Side& side, const Queue& queue) {
        const TickClock& clock = tick_clock();
        Producer producer = attach_producer(use, queue);
        Consumer consumer = attach_consumer(use, queue);
        CrowdReader reader;
        Passed sent;
        std::uint64_t round = 0, timed_messages = 0, timed_ticks = 0;
        side.start();
        do {
          fill_ring(producer, sent, ring_full(use));
          const std::uint64_t begin = clock.ticks();
          turns.begun.store(++round, std::memory_order_release);
          drain_ring(consumer, reader, use.lease_max);
          const std::uint64_t end = clock.ticks();
          await_turn(turns.done, round - 1);
          if (!side.warmed_up() && round > 1) continue;
          timed_messages += ring_full(use);
          timed_ticks += std::max(end, turns.done_ticks) - begin;
        } while (side.running(sent.messages));
        turns.of_first = reader.passed;
        turns.begun.store(kNoMoreTurns, std::memory_order_release);
        side.tell(static_cast<double>(timed_messages) / clock.ns(static_cast<double>(timed_ticks)) * 1e3);
        side.finish(sent);
      },
      [&](Side& side, const Queue& queue) {
        const TickClock& clock = tick_clock();
        Consumer consumer = attach_consumer(use, queue);
        CrowdReader reader;
        side.start();
        for (std::uint64_t round = 0; (round = await_turn(turns.begun, round)) != kNoMoreTurns;) {
          if (consumers > 1) drain_ring(consumer, reader, use.lease_max);
          turns.done_ticks = clock.ticks();
          turns.done.store(round, std::memory_order_release);
          side.running(reader.passed.messages);
        }
        side.finish(Passed{.messages = reader.passed.messages + turns.of_first.messages,
                           .sum = reader.passed.sum + turns.of_first.sum});
      });
}

Row drain_row(QueueUse use, std::uint32_t consumers, std::uint32_t lease_max) {
  use.producers = ProducerMode::exclusive;
  use.lease_max = lease_max;
  Facts facts = facts_of(use, 64);
  facts.emplace_back("drained_by", std::uint64_t{consumers});
  return {.name = "ipcq/drain-by-" + std::to_string(consumers) + "-64B-lease" + std::to_string(lease_max),
          .what = "a full ring drained by " + std::to_string(consumers) +
                  " of one shared group, each on its cpu, in leases of up to " + std::to_string(lease_max),
          .measure = Measure::told,
          .unit = "million messages/s",
          .payload_bytes = kPayload,
          .facts = std::move(facts),
          .run = [use, consumers](const Plan& plan) { return run_drain(plan, use, consumers); }};
}

/// The first side fills the ring, which alone is timed; then the second reads it once for each group.
Run run_fill(const Plan& plan, const QueueUse& use) {
  const SharedMemory memory(sizeof(Turns));
  auto& turns = *new (memory.data()) Turns{};
  return one_queue(
      plan, use,
      [&](Side& side, const Queue& queue) {
        const TickClock& clock = tick_clock();
        Producer producer = attach_producer(use, queue);
        Passed sent;
        std::uint64_t round = 0, timed_messages = 0, timed_ticks = 0;
        side.start();
        do {
          const std::uint64_t begin = clock.ticks();
          fill_ring(producer, sent, ring_full(use));
          const std::uint64_t end = clock.ticks();
          turns.begun.store(++round, std::memory_order_release);
          await_turn(turns.done, round - 1);
          if (!side.warmed_up() && round > 1) continue;
          timed_messages += ring_full(use);
          timed_ticks += end - begin;
        } while (side.running(sent.messages));
        turns.begun.store(kNoMoreTurns, std::memory_order_release);
        side.tell(static_cast<double>(timed_messages) / clock.ns(static_cast<double>(timed_ticks)) * 1e3);
        side.finish(sent);
      },
      [&](Side& side, const Queue& queue) {
        std::vector<Consumer> consumers;
        for (std::uint32_t i = 0; i < use.groups; ++i) consumers.push_back(attach_consumer(use, queue, i));
        std::vector<CrowdReader> readers(use.groups);
        side.start();
        for (std::uint64_t round = 0; (round = await_turn(turns.begun, round)) != kNoMoreTurns;) {
          for (std::uint32_t i = 0; i < use.groups; ++i) drain_ring(consumers[i], readers[i], use.lease_max);
          turns.done.store(round, std::memory_order_release);
          side.running(readers[0].passed.messages);
        }
        for (const CrowdReader& reader : readers) {
          if (reader.passed.messages != readers[0].passed.messages || reader.passed.sum != readers[0].passed.sum) {
            throw PayloadError("the groups did not all get the same messages");
          }
        }
        side.finish(readers[0].passed);
      });
}

Row groups_row(QueueUse use, std::uint32_t groups) {
  use.groups = groups;
  return {.name = "ipcq/groups-" + std::to_string(groups),
          .what = "what a producer gets into a ring that " + std::to_string(groups) +
                  " groups have emptied, and empty again when it is full: 64-byte messages in batches of 64",
          .measure = Measure::told,
          .unit = "million messages/s",
          .payload_bytes = kPayload,
          .facts = facts_of(use, 64),
          .run = [use](const Plan& plan) { return run_fill(plan, use); }};
}

Row bystanders_row(QueueUse use, std::uint32_t bystanders) {
  use.bystanders = bystanders;
  return {.name = "ipcq/attached-" + std::to_string(bystanders + 2) + "-rtt-64B-spin-shared",
          .what = "a round trip while " + std::to_string(bystanders + 2) +
                  " producers and consumers are attached to each of the two queues",
          .measure = Measure::round_trip,
          .payload_bytes = kPayload,
          .limit = kRawRoundTrip64,
          .facts = facts_of(use, 1),
          .run = [use](const Plan& plan) { return queue_round_trips<kPayload>(plan, use); }};
}

}  // namespace

std::vector<Row> ipcq_crowd_rows(const std::string& directory) {
  std::vector<Row> rows;
  const QueueUse sleeping{.directory = directory, .wait = WaitStrategy::sleep, .lease_max = 64};
  for (const auto& [producers, consumers] :
       {std::pair{1U, 1U}, {2U, 2U}, {4U, 4U}, {8U, 8U}, {2U, 1U}, {4U, 1U}, {8U, 1U}, {1U, 2U}, {1U, 4U}, {1U, 8U}}) {
    rows.push_back(crowd_row(sleeping, producers, consumers, 1));
    if (producers == consumers) rows.push_back(crowd_row(sleeping, producers, consumers, 16));
  }
  const QueueUse spinning{.directory = directory};
  for (const std::uint32_t consumers : {1U, 2U}) {
    rows.push_back(drain_row(spinning, consumers, 1));
    rows.push_back(drain_row(spinning, consumers, 16));
    rows.push_back(drain_row(spinning, consumers, 64));
  }
  for (const std::uint32_t groups : {1U, 2U, 4U, 8U}) rows.push_back(groups_row(spinning, groups));
  for (const std::uint32_t bystanders : {0U, 14U, 62U, 124U}) rows.push_back(bystanders_row(spinning, bystanders));
  return rows;
}

}  // namespace ipcq::bench
