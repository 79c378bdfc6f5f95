// Dead letters: messages that were handed out max_deliveries times and not finished, as their dead-letter queue has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ipcq/consumer.hpp"
#include "ipcq/export.hpp"

namespace ipcq {

/// Where a dead letter comes from. All of it is a view of the message: valid as long as the lease that brought it.
struct DeadLetter {
  std::string_view queue;                   ///< that it was sent to
  std::string_view group;                   ///< that could not finish it
  std::uint64_t position = 0;               ///< of its record there: with the next field, its identity
  std::uint64_t queue_created_unix_ns = 0;  ///< tells queues of one name apart
  std::uint64_t sent_unix_ns = 0;           ///< wall clock when it was sent; 0: that queue has no time stamps
  std::uint64_t moved_unix_ns = 0;          ///< wall clock when it was moved
  std::uint32_t deliveries = 0;             ///< how often it was handed out
  std::uint16_t tag = 0;                    ///< the sender's (the dead letter has the same)
  /// What was sent, at the alignment of the dead-letter queue. If that was itself a dead letter, of another queue, its own
  /// origin stands in front: `inner` is that message.
  std::span<const std::byte> payload;
  Message inner;

  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(payload.data()), payload.size()};
  }
};

/// The dead letter that `message` is; nothing if it is an ordinary message. Never throws; a message that says it is a dead
/// letter and contradicts itself (somebody wrote it by hand) is an ordinary one.
[[nodiscard]] IPCQ_EXPORT std::optional<DeadLetter> dead_letter(const Message& message) noexcept;

}  // namespace ipcq
