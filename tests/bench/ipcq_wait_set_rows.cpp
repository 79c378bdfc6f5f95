// The rows about wait sets: a message there through one of N queues that a set waits for, and back through a queue of its own.
// N = 1 set against a single call's row is what the set costs; more are what each queue costs that nothing happens to.
#include <utility>
#include <vector>

#include "ipcq_runs.hpp"

namespace ipcq::bench {
namespace {

constexpr std::size_t kPayload = 64;

std::string name_of_queue(std::size_t number) { return "there" + std::to_string(number); }

/// Sends each message through another of the queues than the last.
class TurningLink {
 public:
  TurningLink(std::vector<QueueSender<kPayload>> senders, Consumer consumer)
      : senders_(std::move(senders)), receiver_(std::move(consumer), 1) {}
  void send(std::uint64_t sequence) { senders_[sequence % senders_.size()].send(sequence); }
  bool receive(std::uint64_t sequence) { return receiver_.receive(sequence); }

 private:
  std::vector<QueueSender<kPayload>> senders_;
  QueueReceiver<kPayload> receiver_;
};

/// Waits for all of the queues by one set.
class SetLink {
 public:
  SetLink(Producer producer, std::vector<Consumer> consumers, WaitStrategy wait)
      : sender_(std::move(producer), 1), set_(wait) {
    for (Consumer& consumer : consumers) {
      tokens_.push_back(set_.add(consumer));
      receivers_.emplace_back(std::move(consumer), 1);
    }
  }
  void send(std::uint64_t sequence) { sender_.send(sequence); }
  bool receive(std::uint64_t sequence) {
    const WaitSet::Ready ready = set_.wait();
    if (ready.size() != 1) unexpected("a wait set", ready.outcome());
    std::size_t which = 0;
    while (tokens_[which] != *ready.begin()) ++which;
    return receivers_[which].receive(sequence);
  }

 private:
  QueueSender<kPayload> sender_;
  WaitSet set_;
  std::vector<WaitSet::Token> tokens_;
  std::vector<QueueReceiver<kPayload>> receivers_;  // before the set they go
};

Run run_set(const Plan& plan, const QueueUse& use, std::size_t queues) {
  return run_pair(
      plan,
      [&](Side& side) {
        {
          std::vector<Queue> there;
          std::vector<QueueSender<kPayload>> senders;
          for (std::size_t i = 0; i < queues; ++i) {
            there.push_back(create_queue(use, name_of_queue(i)));
            senders.emplace_back(attach_producer(use, there.back()), 1);
          }
          const Queue back = create_queue(use, "back");
          side.meet();
          TurningLink link(std::move(senders), attach_consumer(use, back));
          ping(side, link);
        }
        side.meet();
        for (std::size_t i = 0; i < queues; ++i) remove(name_of_queue(i), {.directory = use.directory});
        remove("back", {.directory = use.directory});
      },
      [&](Side& side) {
        side.meet();
        {
          std::vector<Consumer> consumers;
          for (std::size_t i = 0; i < queues; ++i)
            consumers.push_back(attach_consumer(use, open_queue(use, name_of_queue(i))));
          SetLink link(attach_producer(use, open_queue(use, "back")), std::move(consumers), use.wait);
          pong(side, link);
        }
        side.meet();
      });
}

Row set_row(QueueUse use, std::size_t queues) {
  use.capacity_bytes = std::size_t{64} << 10;
  const bool spins = use.wait == WaitStrategy::spin;
  Facts facts = facts_of(use, 1);
  facts.emplace_back("queues", std::uint64_t{queues});
  return {.name = "ipcq/waitset-" + std::to_string(queues) + "-rtt-64B-" + wait_name(use.wait),
          .what = "a 64-byte message there through one of " + std::to_string(queues) +
                  " queues that a wait set waits for, and back through another, " + wait_text(use.wait),
          .measure = Measure::round_trip,
          .payload_bytes = kPayload,
          .limit = spins ? kRawRoundTrip64 : kRawFutex,
          .busy = {spins, spins},
          .facts = std::move(facts),
          .run = [use, queues](const Plan& plan) { return run_set(plan, use, queues); }};
}

}  // namespace

std::vector<Row> ipcq_wait_set_rows(const std::string& directory) {
  std::vector<Row> rows;
  for (const WaitStrategy wait : {WaitStrategy::spin, WaitStrategy::sleep}) {
    for (const std::size_t queues : {1U, 8U, 64U, 128U})
      rows.push_back(set_row({.directory = directory, .wait = wait}, queues));
  }
  return rows;
}

}  // namespace ipcq::bench
