// Rows about a ring that is full all the time, because a full ring is where room is counted. They show that every message
// arrives, not how fast.
#include "clock.hpp"
#include "ipcq_runs.hpp"

namespace ipcq::bench {
namespace {

/// Looks before it waits, so that it knows that its ring was full.
template <std::size_t PayloadBytes>
class FullRingSender : public QueueSender<PayloadBytes> {
 public:
  FullRingSender(Producer producer, std::uint32_t batch, std::size_t capacity_bytes, Side& side)
      : QueueSender<PayloadBytes>(std::move(producer), batch), capacity_bytes_(capacity_bytes), side_(side) {}

  void send(std::uint64_t sequence) {
    const Room room = Room::equal(this->batch_, PayloadBytes);
    Claim claim = this->producer_.claim(room, now);
    if (claim.outcome() == Outcome::full) {
      side_.found_full();
      ++times_full_;
      claim = this->producer_.claim(room);
    }
    this->fill(std::move(claim), sequence, this->batch_);
    bytes_ += this->batch_ * PayloadBytes;
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

template <std::size_t PayloadBytes>
Row full_row(const QueueUse& use, std::uint32_t batch) {
  return {.name = "full/stream-" + size_name(PayloadBytes) + "-b" + std::to_string(batch) + "-" +
                  size_name(use.capacity_bytes) + "-" + mode_name(use) + "-" + wait_name(use.wait),
          .what = "a ring that is full all the time: messages of " + size_text(PayloadBytes) + ", " +
                  std::to_string(batch) + " a claim, a consumer that comes late and dawdles",
          .payload_bytes = PayloadBytes,
          .busy = {false, false},
          .smoke_only = true,
          .run = [use, batch](const Plan& plan) {
            return one_queue(
                plan, use,
                [&](Side& side, const Queue& queue) {
                  FullRingSender<PayloadBytes> sender(attach_producer(use, queue), batch, use.capacity_bytes, side);
                  stream_out(side, sender);
                },
                [&](Side& side, const Queue& queue) {
                  LateReceiver<PayloadBytes> receiver(attach_consumer(use, queue), use.lease_max, side);
                  stream_in(side, receiver);
                });
          }};
}

}  // namespace

std::vector<Row> full_ring_rows(const std::string& directory) {
  std::vector<Row> rows;
  for (const bool exclusive : {true, false}) {
    for (const WaitStrategy wait : {WaitStrategy::spin, WaitStrategy::adaptive, WaitStrategy::sleep}) {
      const QueueUse use{.directory = directory,
                         .producers = exclusive ? ProducerMode::exclusive : ProducerMode::shared,
                         .consumers = exclusive ? ConsumerMode::exclusive : ConsumerMode::shared,
                         .wait = wait,
                         .capacity_bytes = 64 * kKi,  // the least there is
                         .lease_max = 48};            // out of step with the batches
      rows.push_back(full_row<8>(use, 1));
      rows.push_back(full_row<64>(use, 64));
      rows.push_back(full_row<1008>(use, 63));          // a claim takes all of the ring but one record
      rows.push_back(full_row<32 * kKi - 16>(use, 1));  // the largest message: half the ring with its header
    }
  }
  return rows;
}

}  // namespace ipcq::bench
