// Numbered messages: what the crash tests send, and how they read it back.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ipcq/ipcq.hpp>
#include <span>
#include <string>
#include <vector>

#include "support/child_main.hpp"

namespace ipcq::crash {

using Ids = std::vector<std::uint64_t>;

/// The ring of every crash test, and a message that takes 1/64 of it: an empty ring takes kRingful of them (the last 16
/// bytes of a ring are never claimed).
inline constexpr std::size_t kCapacity = 65536;
inline constexpr std::size_t kPayload = 1024 - 16;
inline constexpr std::size_t kRingful = 63;
inline constexpr const char* kQueue = "crash";

/// How long any one call may take that the death of another process must not hold up. A hundred times what recovery
/// needs: reached only by a call that hangs.
inline constexpr std::chrono::seconds kBound{20};
/// A dead holder of a lease is looked for at most so often.
inline constexpr std::chrono::milliseconds kProbePause{60};

/// "1-4 7" is 1, 2, 3, 4, 7.
inline Ids ids(const std::string& text) {
  Ids list;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t used = 0;
    const std::uint64_t first = std::stoull(text.substr(at), &used);
    at += used;
    std::uint64_t last = first;
    if (at < text.size() && text[at] == '-') {
      last = std::stoull(text.substr(at + 1), &used);
      at += used + 1;
    }
    for (std::uint64_t id = first; id <= last; ++id) list.push_back(id);
    while (at < text.size() && text[at] == ' ') ++at;
  }
  return list;
}

inline std::string text(const Ids& list) {
  std::string result;
  for (const std::uint64_t id : list) {
    if (!result.empty()) result += ' ';
    result += std::to_string(id);
  }
  return result.empty() ? "nothing" : result;
}

inline std::byte pattern(std::uint64_t id, std::size_t index) {
  return static_cast<std::byte>((id * 131 + index * 7) & 0xff);
}

/// Fills a message: its number, then bytes that depend on the number and the place.
inline void fill(std::span<std::byte> payload, std::uint64_t id) {
  std::memcpy(payload.data(), &id, sizeof id);
  for (std::size_t i = sizeof id; i < payload.size(); ++i) payload[i] = pattern(id, i);
}

/// The number of a message. Throws if one byte of it is not what fill() wrote.
inline std::uint64_t read(const Message& message) {
  std::uint64_t id = 0;
  support::require(message.payload.size() >= sizeof id,
                   "a message of " + std::to_string(message.payload.size()) + " bytes");
  std::memcpy(&id, message.payload.data(), sizeof id);
  for (std::size_t i = sizeof id; i < message.payload.size(); ++i) {
    support::require(message.payload[i] == pattern(id, i),
                     "message " + std::to_string(id) + " is torn at byte " + std::to_string(i));
  }
  return id;
}

/// Claims room for these messages and appends them.
inline Claim claim(Producer& producer, const Ids& list, Deadline deadline = kBound) {
  Claim claim = producer.claim(Room::equal(static_cast<std::uint32_t>(list.size()), kPayload), deadline);
  if (claim) {
    for (const std::uint64_t id : list) fill(claim.append(kPayload), id);
  }
  return claim;
}

/// One batch. Throws unless it is committed.
inline void send(Producer& producer, const Ids& list, Deadline deadline = kBound) {
  Claim batch = claim(producer, list, deadline);
  support::require(batch.outcome() == Outcome::ok, "claim: " + std::string(to_string(batch.outcome())));
  const Outcome outcome = batch.commit();
  support::require(outcome == Outcome::ok, "commit: " + std::string(to_string(outcome)));
}

/// A batch for each message.
inline void send_each(Producer& producer, const Ids& list) {
  for (const std::uint64_t id : list) send(producer, {id});
}

/// The messages of a lease.
inline Ids read(const Lease& lease) {
  Ids list;
  for (const Message& message : lease) list.push_back(read(message));
  return list;
}

/// One message as a consumer got it.
struct Delivery {
  std::uint64_t id = 0;
  std::uint32_t deliveries = 0;  ///< how often it was handed out before
  std::uint32_t lease_size = 0;  ///< of how many messages the lease was that brought it
};

struct Deliveries {
  std::vector<Delivery> all;
  Outcome last = Outcome::ok;  ///< what ended it

  [[nodiscard]] Ids ids() const {
    Ids list;
    for (const Delivery& one : all) list.push_back(one.id);
    return list;
  }
};

/// Leases and acks until `count` messages have come or a lease brings nothing within `deadline`.
inline Deliveries receive(Consumer& consumer, std::size_t count, Deadline deadline = kBound) {
  Deliveries got;
  while (got.all.size() < count) {
    const auto left = static_cast<std::uint32_t>(std::min<std::size_t>(count - got.all.size(), 64));
    Lease lease = consumer.lease({.max_messages = left, .deadline = deadline});
    got.last = lease.outcome();
    if (!lease) break;
    for (const std::uint64_t id : read(lease)) got.all.push_back({id, lease.deliveries(), lease.size()});
    const Outcome outcome = lease.ack();
    support::require(outcome == Outcome::ok, "ack: " + std::string(to_string(outcome)));
  }
  return got;
}

}  // namespace ipcq::crash
