#include <memory>
#include <span>
#include <utility>

#include "operation.hpp"
#include "traffic.hpp"

namespace ipcq::budget {
namespace {

enum class Mode : std::uint8_t { exclusive, shared };

// A queue and both its sides. Producers and group of one mode.
struct Both {
  explicit Both(Mode mode)
      : queue({.producers = mode == Mode::exclusive ? ProducerMode::exclusive : ProducerMode::shared,
               .consumers = mode == Mode::exclusive ? ConsumerMode::exclusive : ConsumerMode::shared}) {}

  OwnQueue queue;
  Producer producer = queue->producer();
  Consumer consumer = queue->consumer();
};

Operation claim_commit(Mode mode, std::uint32_t messages) {
  auto both = std::make_shared<Both>(mode);
  auto left = std::make_shared<bool>(false);  // what the call before has put there
  return {.before =
              [both, left, messages] {
                if (std::exchange(*left, true)) consume(both->consumer, messages);
              },
          .once = [both, messages] { produce(both->producer, messages); }};
}

Operation claim_commit_each(Mode mode, std::uint32_t messages) {
  auto both = std::make_shared<Both>(mode);
  auto left = std::make_shared<bool>(false);
  return {.before =
              [both, left, messages] {
                if (std::exchange(*left, true)) consume(both->consumer, messages);
              },
          .once =
              [both, messages] {
                Claim claim = both->producer.claim(Room::equal(messages, kPayload_bytes), now);
                if (!claim) unexpected("claim", claim.outcome());
                claim.append_each(messages, kPayload_bytes,
                                  [](std::uint32_t, std::span<std::byte> payload) { write_message(payload); });
                if (const Outcome outcome = claim.commit(); outcome != Outcome::ok) unexpected("commit", outcome);
              }};
}

Operation claim_abort(Mode mode) {
  auto both = std::make_shared<Both>(mode);
  return {.before = {}, .once = [both] {
            Claim claim = both->producer.claim(Room::equal(1, kPayload_bytes), now);
            if (!claim) unexpected("claim", claim.outcome());
            if (const Outcome outcome = claim.abort(); outcome != Outcome::ok) unexpected("abort", outcome);
          }};
}

Operation lease_ack(Mode mode, std::uint32_t messages) {
  auto both = std::make_shared<Both>(mode);
  return {.before = [both, messages] { produce(both->producer, messages); },
          .once = [both, messages] { consume(both->consumer, messages); }};
}

Operation lease_requeue(Mode mode) {
  auto both = std::make_shared<Both>(mode);
  produce(both->producer, 1);
  return {.before = {}, .once = [both] {
            Lease lease = both->consumer.lease({.max_messages = 1, .deadline = now});
            if (!lease) unexpected("lease", lease.outcome());
            if (const Outcome outcome = lease.requeue(); outcome != Outcome::ok) unexpected("requeue", outcome);
          }};
}

Operation send() {
  auto both = std::make_shared<Both>(Mode::shared);
  auto left = std::make_shared<bool>(false);
  auto payload = std::make_shared<std::array<std::byte, kPayload_bytes>>();
  return {.before =
              [both, left] {
                if (std::exchange(*left, true)) consume(both->consumer, 1);
              },
          .once =
              [both, payload] {
                const Outcome outcome = both->producer.send(*payload, 0, now);
                if (outcome != Outcome::ok) unexpected("send", outcome);
              }};
}

Operation receive() {
  auto both = std::make_shared<Both>(Mode::shared);
  auto payload = std::make_shared<std::vector<std::byte>>();
  return {.before = [both] { produce(both->producer, 1); },
          .once =
              [both, payload] {
                if (const Outcome outcome = both->consumer.receive(*payload, now); outcome != Outcome::ok)
                  unexpected("receive", outcome);
                if (payload->size() != kPayload_bytes) throw std::runtime_error("a message of another size");
              }};
}

Operation inspect() {
  auto both = std::make_shared<Both>(Mode::shared);
  return {.before = {}, .once = [both] {
            if (both->queue->inspect().endpoints.size() != 2) throw std::runtime_error("inspect: not two endpoints");
          }};
}

Operation attach_producer() {
  auto both = std::make_shared<Both>(Mode::shared);
  return {.before = {}, .once = [both] { both->queue->producer().detach(); }};
}

Operation attach_consumer() {
  auto both = std::make_shared<Both>(Mode::shared);
  return {.before = {}, .once = [both] { both->queue->consumer().detach(); }};
}

Operation open_close() {
  auto both = std::make_shared<Both>(Mode::shared);
  return {.before = {}, .once = [both] { static_cast<void>(Queue::open(both->queue->name())); }};
}

// Without time stamps: to measure the time-stamp counter takes a millisecond of looking at the clock, as many instructions as
// the processor does in it.
Operation create_remove() {
  return {.before = {}, .once = [] {
            static_cast<void>(Queue::create(kQueue, {.capacity_bytes = 64 << 10, .timestamps = false}));
            remove(kQueue);
          }};
}

}  // namespace

// Calls are multiples of 16, since one lease in 16 is timed.
std::vector<Row> rows_of_one_process() {
  std::vector<Row> rows;
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    const std::string name = mode == Mode::exclusive ? "-exclusive" : "-shared";
    for (const std::uint32_t messages : {1U, 64U}) {
      const std::string suffix = "-" + std::to_string(messages) + name;
      const std::uint32_t calls = messages == 1 ? 512 : 64;
      rows.push_back({"claim-commit" + suffix, calls, [mode, messages] { return claim_commit(mode, messages); }});
      rows.push_back({"lease-ack" + suffix, calls, [mode, messages] { return lease_ack(mode, messages); }});
    }
    rows.push_back({"claim-commit-each-64" + name, 64, [mode] { return claim_commit_each(mode, 64); }});
    rows.push_back({"claim-abort" + name, 256, [mode] { return claim_abort(mode); }});
    rows.push_back({"lease-requeue" + name, 256, [mode] { return lease_requeue(mode); }});
  }
  rows.push_back({"send", 256, send});
  rows.push_back({"receive", 256, receive});
  rows.push_back({"inspect", 32, inspect});
  rows.push_back({"attach-detach-producer", 32, attach_producer});
  rows.push_back({"attach-detach-consumer", 32, attach_consumer});
  rows.push_back({"open-close", 32, open_close});
  rows.push_back({"create-remove", 16, create_remove});
  return rows;
}

}  // namespace ipcq::budget
