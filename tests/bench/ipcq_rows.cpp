// The rows of ipcq: streams and round trips, with default options but for what a row's name says.
#include "ipcq_links.hpp"
#include "raw_rows.hpp"
#include "row.hpp"

namespace ipcq::bench {
namespace {

constexpr std::size_t kKi = 1024;
constexpr std::size_t kMi = kKi * kKi;

/// Side one makes the queue and removes it after both have detached; a queue that a failed run leaves behind goes with
/// the directory.
template <class Sender, class Receiver, class MakeSender, class MakeReceiver>
PairRun stream(const PairPlan& plan, const QueueUse& use, MakeSender make_sender, MakeReceiver make_receiver) {
  const std::string name = "stream";
  return run_pair(
      plan,
      [&](Side& side) {
        {
          const Queue queue = create_queue(use, name);
          side.meet();
          Sender sender = make_sender(attach_producer(use, queue), side);
          stream_out(side, sender);
        }
        side.meet();
        remove(name, {.directory = use.directory});
      },
      [&](Side& side) {
        side.meet();
        {
          const Queue queue = open_queue(use, name);
          Receiver receiver = make_receiver(attach_consumer(use, queue), side);
          stream_in(side, receiver);
        }
        side.meet();
      });
}

template <std::size_t PayloadBytes, std::uint32_t Batch>
PairRun plain_stream(const PairPlan& plan, const QueueUse& use) {
  using Sender = QueueSender<PayloadBytes, Batch>;
  using Receiver = QueueReceiver<PayloadBytes>;
  return stream<Sender, Receiver>(
      plan, use, [](Producer producer, Side&) { return Sender(std::move(producer)); },
      [&use](Consumer consumer, Side&) { return Receiver(std::move(consumer), use.lease_max); });
}

template <std::size_t PayloadBytes, std::uint32_t Batch>
PairRun full_stream(const PairPlan& plan, const QueueUse& use) {
  using Sender = FullRingSender<PayloadBytes, Batch>;
  using Receiver = LateReceiver<PayloadBytes>;
  return stream<Sender, Receiver>(
      plan, use, [&use](Producer producer, Side& side) { return Sender(std::move(producer), use.capacity_bytes, side); },
      [&use](Consumer consumer, Side& side) { return Receiver(std::move(consumer), use.lease_max, side); });
}

template <std::size_t PayloadBytes>
PairRun round_trips(const PairPlan& plan, const QueueUse& use) {
  return run_pair(
      plan,
      [&](Side& side) {
        {
          const Queue there = create_queue(use, "there");
          const Queue back = create_queue(use, "back");
          side.meet();
          QueueLink<PayloadBytes> link(attach_producer(use, there), attach_consumer(use, back));
          ping(side, link);
        }
        side.meet();
        remove("there", {.directory = use.directory});
        remove("back", {.directory = use.directory});
      },
      [&](Side& side) {
        side.meet();
        {
          const Queue there = open_queue(use, "there");
          const Queue back = open_queue(use, "back");
          QueueLink<PayloadBytes> link(attach_producer(use, back), attach_consumer(use, there));
          pong(side, link);
        }
        side.meet();
      });
}

const char* mode_name(bool exclusive) { return exclusive ? "exclusive" : "shared"; }

const char* wait_name(WaitStrategy wait) {
  switch (wait) {
    case WaitStrategy::spin:
      return "spin";
    case WaitStrategy::adaptive:
      return "adaptive";
    case WaitStrategy::sleep:
      return "sleep";
  }
  return "";
}

template <std::size_t PayloadBytes, std::uint32_t Batch>
Row stream_row(const QueueUse& use, const std::string& limit) {
  const std::string batch = std::to_string(Batch);
  return {.name = "ipcq/stream-" + size_name(PayloadBytes) + "-b" + batch + "-" + size_name(use.capacity_bytes) + "-" +
                  mode_name(use.exclusive),
          .what = size_name(PayloadBytes) + " messages, " + batch + " a claim, leases of up to " +
                  std::to_string(use.lease_max) + ", " + mode_name(use.exclusive) + " on both sides, spinning",
          .payload_bytes = PayloadBytes,
          .limit = limit,
          .run = [use](const PairPlan& plan) { return plain_stream<PayloadBytes, Batch>(plan, use); }};
}

template <std::size_t PayloadBytes, std::uint32_t Batch>
Row full_row(const QueueUse& use) {
  const std::string batch = std::to_string(Batch);
  return {.name = "full/stream-" + size_name(PayloadBytes) + "-b" + batch + "-" + size_name(use.capacity_bytes) + "-" +
                  mode_name(use.exclusive) + "-" + wait_name(use.wait),
          .what = "a ring that is full all the time: " + size_name(PayloadBytes) + " messages, " + batch +
                  " a claim, a consumer that comes late and dawdles",
          .payload_bytes = PayloadBytes,
          .busy = {false, false},
          .smoke_only = true,
          .run = [use](const PairPlan& plan) { return full_stream<PayloadBytes, Batch>(plan, use); }};
}

Row round_trip_row(const QueueUse& use) {
  constexpr std::size_t kPayload = 64;
  const bool spins = use.wait == WaitStrategy::spin;
  return {.name = "ipcq/rtt-" + size_name(kPayload) + "-" + wait_name(use.wait) + "-" + mode_name(use.exclusive),
          .what = "two queues, one 64-byte message there and back, " + std::string(mode_name(use.exclusive)) +
                  " on both sides, waiting by " + wait_name(use.wait),
          .measure = Measure::round_trip,
          .payload_bytes = kPayload,
          .limit = spins ? kRawRoundTrip64 : kRawFutex,
          .busy = {spins, spins},
          .run = [use](const PairPlan& plan) { return round_trips<kPayload>(plan, use); }};
}

}  // namespace

std::vector<Row> ipcq_rows(const std::string& directory) {
  std::vector<Row> rows;
  for (const bool exclusive : {true, false}) {
    for (const WaitStrategy wait : {WaitStrategy::spin, WaitStrategy::sleep}) {
      rows.push_back(round_trip_row({.directory = directory, .exclusive = exclusive, .wait = wait}));
    }
  }
  for (const std::size_t ring : {8 * kMi, kMi}) {
    for (const bool exclusive : {true, false}) {
      const QueueUse use{.directory = directory, .exclusive = exclusive, .capacity_bytes = ring};
      rows.push_back(stream_row<8, 64>(use, raw_stream_name(8, 64, ring)));
      if (ring == 8 * kMi) rows.back().bar_per_s = 100e6;
      rows.push_back(stream_row<64, 64>(use, raw_stream_name(64, 64, ring)));
      if (ring != 8 * kMi) continue;
      // One by one is set against the batched limit too: that is what batching would have brought.
      rows.push_back(stream_row<8, 1>(use, raw_stream_name(8, 64, ring)));
      rows.push_back(stream_row<64, 1>(use, raw_stream_name(64, 64, ring)));
      rows.push_back(stream_row<64 * kKi, 1>(use, raw_stream_name(64 * kKi, 1, ring)));
    }
  }
  return rows;
}

std::vector<Row> full_ring_rows(const std::string& directory) {
  std::vector<Row> rows;
  for (const bool exclusive : {true, false}) {
    for (const WaitStrategy wait : {WaitStrategy::spin, WaitStrategy::adaptive, WaitStrategy::sleep}) {
      const QueueUse use{.directory = directory,
                         .exclusive = exclusive,
                         .wait = wait,
                         .capacity_bytes = 64 * kKi,  // the least there is
                         .lease_max = 48};            // out of step with the batches
      rows.push_back(full_row<8, 1>(use));
      rows.push_back(full_row<64, 64>(use));
      rows.push_back(full_row<1008, 63>(use));          // a claim takes all of the ring but one record
      rows.push_back(full_row<32 * kKi - 16, 1>(use));  // the largest message: half the ring with its header
    }
  }
  return rows;
}

}  // namespace ipcq::bench
