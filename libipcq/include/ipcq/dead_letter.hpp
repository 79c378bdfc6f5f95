// Dead letters: messages that were handed out max_deliveries times and not finished, as their dead-letter queue has them.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ipcq/consumer.hpp"
#include "ipcq/deadline.hpp"
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

struct RequeueOptions {
  std::string group = "default";            ///< of the dead-letter queue, whose messages go back
  std::uint64_t messages_max = UINT64_MAX;  ///< at most so many
  Deadline deadline = now;                  ///< how long each may wait for room in its origin queue
  std::function<bool()> stop{};             ///< asked before each, and every 50 ms while one waits: true ends it
  std::string directory{};
  std::vector<uid_t> trusted_owners{};
};

/// Messages that stayed in the dead-letter queue, and why.
struct RequeueLeft {
  std::string queue;  ///< that they come from; empty: they are no dead letters
  std::string why;
  std::uint64_t messages = 0;
  bool full = false;  ///< there was no room in time
};

struct RequeueReport {
  std::uint64_t returned = 0;
  std::vector<RequeueLeft> left;
  bool stopped = false;  ///< because `stop` said so
};

/// Sends dead letters back to the queues that they come from (by name, in the directory of the dead-letter queue), as they
/// were sent there: payload and tag; to all groups of that queue, with no delivery counted. In order, each sent first and
/// then acked: at least once. As many as there were when it began. What cannot go back stays, with one delivery more; in an
/// exclusive group, which has its order, all that is behind it stays too. A queue that refused one is not asked again.
/// Takes one row in each queue meanwhile. Dies the process in here, what it had in hand comes again, and may be in its
/// origin queue as well.
/// Throws as Queue::open and Queue::consumer for the dead-letter queue, and Error{removed | poisoned | damaged} if it comes to
/// that meanwhile.
IPCQ_EXPORT RequeueReport requeue_dead_letters(std::string_view name, const RequeueOptions& options = {});

}  // namespace ipcq
