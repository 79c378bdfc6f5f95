// The origin of a dead letter: what stands before its payload in the dead-letter queue.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layout/layout.hpp"

namespace ipcq::layout {

/// Flag of a committed head: the payload begins with a DeadLetterOrigin.
inline constexpr std::uint16_t kFlagDeadLetter = 1;
inline constexpr std::uint32_t kDeadLetterVersion = 1;

struct DeadLetterOrigin {
  std::uint32_t version;
  std::uint32_t payload_offset;  // from the first byte of this; a multiple of the dead-letter queue's alignment
  std::uint64_t position;
  std::uint64_t queue_created_unix_ns;
  std::uint64_t sent_unix_ns;  // 0: not known
  std::uint64_t moved_unix_ns;
  std::uint32_t deliveries;
  std::uint16_t tag;
  std::uint16_t flags;  // of the message as it was
  char queue[kNameBytes];
  char group[kNameBytes];
};
static_assert(sizeof(DeadLetterOrigin) == 192);
static_assert(offsetof(DeadLetterOrigin, version) == 0);
static_assert(offsetof(DeadLetterOrigin, payload_offset) == 4);
static_assert(offsetof(DeadLetterOrigin, position) == 8);
static_assert(offsetof(DeadLetterOrigin, queue_created_unix_ns) == 16);
static_assert(offsetof(DeadLetterOrigin, sent_unix_ns) == 24);
static_assert(offsetof(DeadLetterOrigin, moved_unix_ns) == 32);
static_assert(offsetof(DeadLetterOrigin, deliveries) == 40);
static_assert(offsetof(DeadLetterOrigin, tag) == 44);
static_assert(offsetof(DeadLetterOrigin, flags) == 46);
static_assert(offsetof(DeadLetterOrigin, queue) == 48);
static_assert(offsetof(DeadLetterOrigin, group) == 120);

}  // namespace ipcq::layout
