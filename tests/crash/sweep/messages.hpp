// Messages of the sweep: a number, and its complement at the far end; short, so that stepped operations are.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <span>
#include <string>

#include "crash/sweep/expectation.hpp"

namespace ipcq::sweep {

inline constexpr std::size_t kCapacity = 65536;
inline constexpr std::size_t kPayload = 16;
inline constexpr std::size_t kRecord = 32;
/// Fills the ring with 63 and leaves less than one more needs.
inline constexpr std::size_t kLargePayload = 1024 - 16;
/// The deadline of a call that nothing may hold up: only a hang reaches it.
inline constexpr std::chrono::seconds kBound{20};

inline void append(Claim& claim, std::uint64_t id, std::size_t bytes = kPayload) {
  const std::span<std::byte> payload = claim.append(bytes);
  const std::uint64_t check = ~id;
  std::memcpy(payload.data(), &id, sizeof id);
  std::memcpy(payload.data() + bytes - sizeof check, &check, sizeof check);
}

/// The number of a message, also of a dead letter. Throws Wrong if its two ends do not belong together.
inline std::uint64_t id_of(const Message& message) {
  const std::optional<DeadLetter> letter = dead_letter(message);
  const std::span<const std::byte> payload = letter ? letter->payload : message.payload;
  require(payload.size() >= kPayload, "a message of " + std::to_string(payload.size()) + " bytes");
  std::uint64_t id = 0;
  std::uint64_t check = 0;
  std::memcpy(&id, payload.data(), sizeof id);
  std::memcpy(&check, payload.data() + payload.size() - sizeof check, sizeof check);
  require(check == ~id, "message " + std::to_string(id) + " is torn");
  return id;
}

inline void ok(Outcome outcome, const char* what) {
  require(outcome == Outcome::ok, std::string(what) + ": " + to_string(outcome));
}

/// One batch.
inline void send(Producer& producer, const Ids& list, std::size_t bytes = kPayload, Deadline deadline = kBound) {
  Claim claim = producer.claim(Room::equal(static_cast<std::uint32_t>(list.size()), bytes), deadline);
  ok(claim.outcome(), "claim");
  for (const std::uint64_t id : list) append(claim, id, bytes);
  ok(claim.commit(), "commit");
}
/// A batch for each.
inline void send_each(Producer& producer, const Ids& list, std::size_t bytes = kPayload) {
  for (const std::uint64_t id : list) send(producer, {id}, bytes);
}

inline Lease lease(Consumer& consumer, std::uint32_t messages, Deadline deadline = kBound) {
  Lease lease = consumer.lease({.max_messages = messages, .deadline = deadline});
  ok(lease.outcome(), "lease");
  return lease;
}

}  // namespace ipcq::sweep
