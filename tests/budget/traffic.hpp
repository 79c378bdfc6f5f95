// Traffic: a queue of one's own, and messages of 64 bytes, every byte written and read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ipcq/ipcq.hpp>
#include <stdexcept>
#include <string>

namespace ipcq::budget {

inline constexpr const char* kQueue = "budget";
inline constexpr std::size_t kPayload_bytes = 64;

/// Goes with its owner.
class OwnQueue {
 public:
  explicit OwnQueue(const CreateOptions& options = {}) : queue_(Queue::create(kQueue, options)) {}
  ~OwnQueue() {
    try {
      remove(kQueue, {.force = true});
    } catch (const Error&) {  // a destructor has nobody to tell; the queue's directory goes with the test
    }
  }
  OwnQueue(const OwnQueue&) = delete;
  OwnQueue& operator=(const OwnQueue&) = delete;
  const Queue* operator->() const noexcept { return &queue_; }

 private:
  Queue queue_;
};

[[noreturn]] inline void unexpected(const char* call, Outcome outcome) {
  throw std::runtime_error(std::string(call) + ": " + to_string(outcome));
}

inline void write_message(std::span<std::byte> payload) {
  static constexpr std::array<std::byte, kPayload_bytes> kBytes{std::byte{1}, std::byte{2}, std::byte{3}};
  std::memcpy(payload.data(), kBytes.data(), kPayload_bytes);
}

inline std::uint64_t read_message(const Message& message) {
  std::array<std::uint64_t, kPayload_bytes / 8> words;
  std::memcpy(words.data(), message.payload.data(), kPayload_bytes);
  std::uint64_t sum = 0;
  for (const std::uint64_t word : words) sum += word;
  return sum;
}

inline void produce(Producer& producer, std::uint32_t messages) {
  Claim claim = producer.claim(Room::equal(messages, kPayload_bytes), now);
  if (!claim) unexpected("claim", claim.outcome());
  for (std::uint32_t i = 0; i < messages; ++i) write_message(claim.append(kPayload_bytes));
  if (const Outcome outcome = claim.commit(); outcome != Outcome::ok) unexpected("commit", outcome);
}

inline void consume(Consumer& consumer, std::uint32_t messages, Deadline deadline = now) {
  static volatile std::uint64_t sum = 0;  // volatile: read by nobody, and yet to be made
  Lease lease = consumer.lease({.max_messages = messages, .deadline = deadline});
  if (!lease) unexpected("lease", lease.outcome());
  if (lease.size() != messages) throw std::runtime_error("a lease of " + std::to_string(lease.size()) + " messages");
  for (const Message& message : lease) sum = sum + read_message(message);
  if (const Outcome outcome = lease.ack(); outcome != Outcome::ok) unexpected("ack", outcome);
}

}  // namespace ipcq::budget
