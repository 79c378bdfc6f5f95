// The fixture of the contract suite: one body for every mode, each test with a directory of its own.
//
// The tests see the public headers only. Threads of a test share one Queue object, hence one mapping: ThreadSanitizer
// takes two mappings of the same bytes for unrelated memory.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <optional>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ipcq/ipcq.hpp"
#include "support/scratch_directory.hpp"
#include "support/waiting.hpp"

namespace ipcq {

// How gtest shows these, found by argument-dependent lookup.
inline void PrintTo(Outcome outcome, std::ostream* out) { *out << to_string(outcome); }
inline void PrintTo(Errc code, std::ostream* out) { *out << to_string(code); }

}  // namespace ipcq

namespace ipcq::contract {

using support::kPatience;
using support::scaled;

/// The smallest ring there is: a test meets its end and its being full early.
inline constexpr std::size_t kSmallestCapacity = std::size_t{64} << 10;

struct Modes {
  ProducerMode producers;
  ConsumerMode consumers;
};
inline void PrintTo(const Modes& modes, std::ostream* out) {
  *out << to_string(modes.producers) << " producers, " << to_string(modes.consumers) << " consumers";
}
inline std::string name_of(const ::testing::TestParamInfo<Modes>& info) {
  return std::string(info.param.producers == ProducerMode::shared ? "SharedProducers" : "ExclusiveProducer") +
         (info.param.consumers == ConsumerMode::shared ? "SharedConsumers" : "ExclusiveConsumer");
}

inline constexpr Modes kSharedShared{ProducerMode::shared, ConsumerMode::shared};
inline constexpr Modes kSharedExclusive{ProducerMode::shared, ConsumerMode::exclusive};
inline constexpr Modes kExclusiveShared{ProducerMode::exclusive, ConsumerMode::shared};
inline constexpr Modes kExclusiveExclusive{ProducerMode::exclusive, ConsumerMode::exclusive};

inline auto every_mode() {
  return ::testing::Values(kSharedShared, kSharedExclusive, kExclusiveShared, kExclusiveExclusive);
}
inline auto modes_of_shared_producers() { return ::testing::Values(kSharedShared, kSharedExclusive); }
inline auto modes_of_exclusive_producers() { return ::testing::Values(kExclusiveShared, kExclusiveExclusive); }
inline auto modes_of_shared_consumers() { return ::testing::Values(kSharedShared, kExclusiveShared); }
inline auto modes_of_exclusive_consumers() { return ::testing::Values(kSharedExclusive, kExclusiveExclusive); }

class QueueContract : public ::testing::TestWithParam<Modes> {
 protected:
  [[nodiscard]] static bool shared_producers() { return GetParam().producers == ProducerMode::shared; }
  [[nodiscard]] static bool shared_consumers() { return GetParam().consumers == ConsumerMode::shared; }

  [[nodiscard]] const std::string& directory() const noexcept { return scratch_.path(); }
  /// A queue of these modes with the smallest ring, in this test's directory.
  [[nodiscard]] CreateOptions options() const {
    CreateOptions options;
    options.capacity_bytes = kSmallestCapacity;
    options.producers = GetParam().producers;
    options.consumers = GetParam().consumers;
    options.directory = directory();
    return options;
  }
  [[nodiscard]] Queue create() const { return create(options()); }
  [[nodiscard]] static Queue create(const CreateOptions& options) { return Queue::create("contract", options); }
  [[nodiscard]] OpenOptions where() const { return {.directory = directory(), .trusted_owners = {}}; }

 private:
  support::ScratchDirectory scratch_;
};

/// The code of the Error that `call` throws; nothing if it throws none.
template <class Call>
std::optional<Errc> errc_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.errc();
  }
  return std::nullopt;
}
/// The text of the Error that `call` throws; empty if it throws none.
template <class Call>
std::string text_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

using Texts = std::vector<std::string>;

/// Commits the texts as one batch.
inline void put(Producer& producer, const Texts& texts) {
  const std::size_t bytes = std::accumulate(texts.begin(), texts.end(), std::size_t{0},
                                            [](std::size_t sum, const std::string& text) { return sum + text.size(); });
  ipcq::Claim claim = producer.claim({.messages = static_cast<std::uint32_t>(texts.size()), .bytes = bytes}, now);
  if (!claim) throw std::runtime_error(std::string("put: ") + to_string(claim.outcome()));
  for (const std::string& text : texts) claim.append_copy(bytes_of(text));
  if (const Outcome outcome = claim.commit(); outcome != Outcome::ok) {
    throw std::runtime_error(std::string("put: commit: ") + to_string(outcome));
  }
}
/// Commits `count` messages "0", "1", … as one batch.
inline Texts put_numbers(Producer& producer, std::uint32_t count) {
  Texts texts;
  for (std::uint32_t i = 0; i < count; ++i) texts.push_back(std::to_string(i));
  put(producer, texts);
  return texts;
}
/// Sends messages of `size` bytes, one by one, until the ring has no room for the next; how many went in.
inline std::uint32_t fill(Producer& producer, std::size_t size) {
  const std::string payload(size, 'f');
  for (std::uint32_t sent = 0; sent < kSmallestCapacity; ++sent) {
    const Outcome outcome = producer.send(payload, 0, now);
    if (outcome == Outcome::full) return sent;
    if (outcome != Outcome::ok) throw std::runtime_error(std::string("fill: ") + to_string(outcome));
  }
  throw std::runtime_error("fill: the ring never gets full");
}

/// A lease of what is there now.
inline ipcq::Lease take(Consumer& consumer, std::uint32_t max_messages = 0) {
  return consumer.lease({.max_messages = max_messages, .deadline = now});
}
inline Texts texts_of(const ipcq::Lease& lease) {
  Texts texts;
  for (const Message& message : lease) texts.emplace_back(message.text());
  return texts;
}
/// Leases and acks until nothing is there.
inline Texts drain(Consumer& consumer) {
  Texts all;
  while (ipcq::Lease lease = take(consumer)) {
    for (std::string& text : texts_of(lease)) all.push_back(std::move(text));
    if (const Outcome outcome = lease.ack(); outcome != Outcome::ok) {
      throw std::runtime_error(std::string("drain: ack: ") + to_string(outcome));
    }
  }
  return all;
}

inline std::optional<GroupInfo> group_info(const Queue& queue, std::string_view name) {
  for (const GroupInfo& group : queue.inspect().groups) {
    if (group.name == name) return group;
  }
  return std::nullopt;
}
inline std::optional<EndpointInfo> endpoint_info(const Queue& queue, std::uint32_t row) {
  for (const EndpointInfo& endpoint : queue.inspect().endpoints) {
    if (endpoint.row == row) return endpoint;
  }
  return std::nullopt;
}

}  // namespace ipcq::contract
