// The rows of ipcq between one producer and one consumer: streams, round trips, paced messages; with default options but for
// what a row's name says.
#include <algorithm>

#include "ipcq_runs.hpp"

namespace ipcq::bench {
namespace {

template <std::size_t PayloadBytes>
Row stream_row(const QueueUse& use, std::uint32_t batch, const std::string& limit) {
  // The lease is named where it is not the one that the other rows take.
  const std::string lease = use.lease_max == QueueUse{}.lease_max ? "" : "-lease" + std::to_string(use.lease_max);
  return {.name = "ipcq/stream-" + size_name(PayloadBytes) + "-b" + std::to_string(batch) + "-" +
                  size_name(use.capacity_bytes) + "-" + mode_name(use) + lease + options_name(use),
          .what = "messages of " + size_text(PayloadBytes) + ", " + std::to_string(batch) +
                  " a claim, leases of up to " + std::to_string(use.lease_max) + ", " + mode_text(use) + ", spinning" +
                  options_text(use),
          .payload_bytes = PayloadBytes,
          .limit = limit,
          .facts = facts_of(use, batch),
          .run = [use, batch](const Plan& plan) {
            return one_queue(
                plan, use,
                [&](Side& side, const Queue& queue) {
                  QueueSender<PayloadBytes> sender(attach_producer(use, queue), batch);
                  stream_out(side, sender);
                },
                [&](Side& side, const Queue& queue) {
                  QueueReceiver<PayloadBytes> receiver(attach_consumer(use, queue), use.lease_max);
                  stream_in(side, receiver);
                });
          }};
}

Row round_trip_row(const QueueUse& use) {
  constexpr std::size_t kPayload = 64;
  const bool spins = use.wait == WaitStrategy::spin;
  return {
      .name = "ipcq/rtt-" + size_name(kPayload) + "-" + wait_name(use.wait) + "-" + mode_name(use) + options_name(use),
      .what = "two queues, one 64-byte message there and back, " + mode_text(use) + ", waiting by " +
              wait_name(use.wait) + options_text(use),
      .measure = Measure::round_trip,
      .payload_bytes = kPayload,
      .limit = spins ? kRawRoundTrip64 : kRawFutex,
      .busy = {spins, spins},
      .facts = facts_of(use, 1),
      .run = [use](const Plan& plan) { return queue_round_trips<kPayload>(plan, use); }};
}

Row paced_row(const QueueUse& use, const std::string& rate_name, double messages_per_s) {
  constexpr std::size_t kPayload = 64;
  Facts facts = facts_of(use, 1);
  facts.emplace_back("rate", static_cast<std::uint64_t>(messages_per_s));
  return {.name = "ipcq/paced-" + rate_name + "-" + wait_name(use.wait),
          .what = rate_name + " messages of 64 bytes a second, " + wait_text(use.wait) +
                  ": from when each was due until it was read",
          .measure = Measure::one_way,
          .payload_bytes = kPayload,
          .busy = {true, use.wait == WaitStrategy::spin},
          .facts = std::move(facts),
          .run = [use, messages_per_s](const Plan& plan) {
            return one_queue(
                plan, use,
                [&](Side& side, const Queue& queue) {
                  QueueSender<kPayload> sender(attach_producer(use, queue), 1);
                  paced_out(side, sender, messages_per_s);
                },
                [&](Side& side, const Queue& queue) {
                  QueueReceiver<kPayload> receiver(attach_consumer(use, queue), use.lease_max);
                  paced_in(side, receiver, messages_per_s);
                });
          }};
}

QueueUse use_of(const std::string& directory, bool exclusive) {
  return {.directory = directory,
          .producers = exclusive ? ProducerMode::exclusive : ProducerMode::shared,
          .consumers = exclusive ? ConsumerMode::exclusive : ConsumerMode::shared};
}

void append_round_trips(std::vector<Row>& rows, const std::string& directory) {
  for (const bool exclusive : {true, false}) {
    for (const WaitStrategy wait : {WaitStrategy::spin, WaitStrategy::adaptive, WaitStrategy::sleep}) {
      QueueUse use = use_of(directory, exclusive);
      use.wait = wait;
      rows.push_back(round_trip_row(use));
    }
    QueueUse use = use_of(directory, exclusive);
    use.metrics = false;
    rows.push_back(round_trip_row(use));
  }
}

/// One message size: batches of 1 exclusive and shared; shared, the default, in batches of every size.
template <std::size_t PayloadBytes>
void append_size(std::vector<Row>& rows, const std::string& directory) {
  for (const bool exclusive : {true, false}) {
    const QueueUse use = use_of(directory, exclusive);
    for (const std::uint32_t batch : {1U, 4U, 16U, 64U, 256U}) {
      if (batch * PayloadBytes > use.capacity_bytes / 8) continue;  // a ring that a few batches fill shows the ring
      if (exclusive && batch != 1 && batch != 64) continue;
      // One by one is set against the batched limit too: that is what batching would have brought.
      rows.push_back(stream_row<PayloadBytes>(
          use, batch, raw_stream_name(PayloadBytes, PayloadBytes == 64 * kKi ? 1 : 64, use.capacity_bytes)));
    }
  }
}

void append_rings(std::vector<Row>& rows, const std::string& directory) {
  for (const std::size_t ring : kRingSweep) {
    if (ring == QueueUse{}.capacity_bytes) continue;  // it is among the sizes
    for (const bool exclusive : {true, false}) {
      QueueUse use = use_of(directory, exclusive);
      use.capacity_bytes = ring;
      rows.push_back(stream_row<64>(use, 64, raw_stream_name(64, 64, ring)));
      if (ring == 16 * kMi) rows.push_back(stream_row<64 * kKi>(use, 1, raw_stream_name(64 * kKi, 1, ring)));
    }
  }
}

/// What the options cost that may be switched off.
void append_options(std::vector<Row>& rows, const std::string& directory) {
  for (const bool exclusive : {true, false}) {
    QueueUse use = use_of(directory, exclusive);
    use.metrics = false;
    rows.push_back(stream_row<64>(use, 64, raw_stream_name(64, 64, use.capacity_bytes)));
    rows.push_back(stream_row<64>(use, 1, raw_stream_name(64, 64, use.capacity_bytes)));
  }
  QueueUse use = use_of(directory, true);
  use.timestamps = false;
  rows.push_back(stream_row<64>(use, 1, raw_stream_name(64, 64, use.capacity_bytes)));
  rows.push_back(stream_row<8>(use, 1, raw_stream_name(8, 64, use.capacity_bytes)));
}

}  // namespace

std::vector<Row> ipcq_rows(const std::string& directory) {
  std::vector<Row> rows;
  append_round_trips(rows, directory);
  for (const WaitStrategy wait : {WaitStrategy::spin, WaitStrategy::adaptive, WaitStrategy::sleep}) {
    QueueUse use = use_of(directory, false);
    use.wait = wait;
    rows.push_back(paced_row(use, "10k", 10e3));
    rows.push_back(paced_row(use, "100k", 100e3));
    rows.push_back(paced_row(use, "1M", 1e6));
  }
  append_size<8>(rows, directory);
  append_size<64>(rows, directory);
  append_size<256>(rows, directory);
  append_size<kKi>(rows, directory);
  append_size<4 * kKi>(rows, directory);
  append_size<64 * kKi>(rows, directory);
  append_rings(rows, directory);
  append_options(rows, directory);
  QueueUse members = use_of(directory, false);
  members.producers = ProducerMode::exclusive;
  members.lease_max = 64;
  rows.push_back(stream_row<64>(members, 64, raw_stream_name(64, 64, members.capacity_bytes)));
  return rows;
}

}  // namespace ipcq::bench
