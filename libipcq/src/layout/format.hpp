// Format: turns zeroed memory into a segment. Validate: tells whether a file is one that this library can use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "ipcq/error.hpp"
#include "layout/layout.hpp"
#include "os/process.hpp"

namespace ipcq::layout {

/// What a new segment shall be; values are checked and rounded already.
struct Plan {
  std::uint64_t capacity = 0;
  std::uint32_t alignment = 16;
  std::uint32_t endpoints_max = 128;
  std::uint32_t groups_max = 16;
  std::uint32_t ledger_entries = 256;
  std::uint8_t producers = 0;
  std::uint8_t consumers = 0;
  std::uint8_t overflow = 0;
  bool metrics = true;
  ClockKind clock = ClockKind::monotonic;
  std::uint64_t clock_mult = 1;
  std::uint32_t clock_shift = 0;
  std::string type;
  std::uint32_t max_deliveries = 0;
  bool drop_after = false;
  std::string dead_letter;
  std::uint8_t lifetime = 0;
  std::uint32_t grace_s = 0;
  std::uint32_t owner_uid = 0;
  os::Namespaces namespaces;
  std::uint64_t created_unix_ns = 0;
};

inline constexpr std::uint32_t kUidBuckets = 32;
/// Deliveries are counted in 13 bits.
inline constexpr std::uint32_t kMaxDeliveriesMax = 8191;
inline constexpr std::uint64_t kCapacityMax = std::uint64_t{1} << 39;
/// Where life bytes are in the file's lock space: beyond any file's end. The byte before is the remover's.
inline constexpr std::uint64_t kLifeBegin = std::uint64_t{1} << 40;

[[nodiscard]] std::uint64_t control_bytes(std::uint32_t endpoints_max, std::uint32_t groups_max,
                                          std::uint32_t ledger_entries) noexcept;
[[nodiscard]] std::uint64_t segment_bytes(const Plan& plan) noexcept;
[[nodiscard]] Fingerprint own_fingerprint() noexcept;

/// Formats `control`, zeroed memory of control_bytes(). The segment is not visible yet: nothing here is ordered, and a
/// death leaves nothing behind. Returns an errno of mutex initialisation, 0 on success. Groups are added later, by
/// core::add_group, still before the segment is visible.
[[nodiscard]] int format(std::byte* control, const Plan& plan) noexcept;

/// A private copy of the first 512 bytes, copied once; only the copy is used after validation.
struct HeaderCopy {
  std::uint32_t layout_version = 0;
  std::uint32_t flags = 0;
  std::uint64_t segment_bytes = 0;
  std::uint64_t life_begin = 0;
  std::uint32_t life_count = 0;
  std::uint32_t owner_uid = 0;
  os::Namespaces namespaces;
  std::uint64_t created_unix_ns = 0;
  Header header{};
};

enum class Verdict : std::uint8_t {
  ok,
  not_a_queue,    // no magic, or too short
  damaged,        // numbers that contradict each other or the file's size
  other_layout,   // frozen part usable, the rest not
  other_machine,  // byte order, word, page, mutex size or C library
};
struct Validation {
  Verdict verdict = Verdict::ok;
  const char* reason = "";   // a static text for the message
  std::uint64_t offset = 0;  // of the first word that is wrong
};
/// Checks the first bytes of a file (`available` of them at `bytes`, 512 wanted) of `file_bytes` bytes, and fills `copy`:
/// for other_layout and other_machine only the frozen part.
[[nodiscard]] Validation validate(const std::byte* bytes, std::size_t available, std::uint64_t file_bytes,
                                  HeaderCopy& copy) noexcept;

}  // namespace ipcq::layout
