// The record format, for the inlined append and iteration. Not for users; the rest of the layout is inside the library.
//
//   offset 0   head  u64, always loaded and stored whole
//                    bits  0-29  length: of the payload when committed; of the whole range when claimed or skipped
//                    bits 30-31  state: 0 nothing here yet | 1 claimed | 2 committed | 3 skipped
//                    bits 32-63  claimed: owner = row (8) | incarnation (24); committed: tag (16) | flags (4) | run (12)
//                                run: so many messages of the same length follow at once, committed with this one. It
//                                stands in the first head of a batch; whoever has that head knows where all begin, and
//                                reads no other head to find them. 0 says nothing.
//   offset 8   time  u64 stamp of the claim; 0 when time stamps are off
//   offset A   payload (A = alignment, at least 16), then padding to a multiple of A
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ipcq::detail {

/// Raised with every change of the segment's layout or of this record format. Compiled into callers; open refuses another.
inline constexpr std::uint32_t kLayoutVersion = 2;

inline constexpr std::size_t kRecordHeaderBytes = 16;
inline constexpr std::uint32_t kLengthMask = (1U << 30) - 1;
inline constexpr std::size_t kClaimBytesMax = std::size_t{1} << 30;  ///< a claim is smaller: 30 bits of length

enum class RecordState : std::uint32_t { none = 0, claimed = 1, committed = 2, skipped = 3 };

struct RecordHeader {
  std::atomic<std::uint64_t> head;
  std::atomic<std::uint64_t> time;
};
static_assert(sizeof(RecordHeader) == kRecordHeaderBytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

constexpr std::uint64_t make_head(RecordState state, std::uint64_t length, std::uint32_t high) noexcept {
  return (std::uint64_t{high} << 32) | (std::uint64_t{static_cast<std::uint32_t>(state)} << 30) | length;
}
constexpr RecordState head_state(std::uint64_t head) noexcept { return static_cast<RecordState>((head >> 30) & 3U); }
constexpr std::uint32_t head_length(std::uint64_t head) noexcept {
  return static_cast<std::uint32_t>(head) & kLengthMask;
}
constexpr std::uint32_t head_high(std::uint64_t head) noexcept { return static_cast<std::uint32_t>(head >> 32); }
constexpr std::uint16_t head_tag(std::uint64_t head) noexcept { return static_cast<std::uint16_t>(head >> 32); }
constexpr std::uint16_t head_flags(std::uint64_t head) noexcept {
  return static_cast<std::uint16_t>((head >> 48) & 0xfU);
}
inline constexpr std::uint32_t kRunMax = 0xfff;
constexpr std::uint32_t head_run(std::uint64_t head) noexcept { return static_cast<std::uint32_t>(head >> 52); }
constexpr std::uint64_t with_run(std::uint64_t head, std::uint64_t run) noexcept {
  return (head & ((std::uint64_t{1} << 52) - 1)) | (run < kRunMax ? run : kRunMax) << 52;
}

/// Bytes of a record in the ring, for a payload of `payload_bytes` at alignment `alignment` (a power of two, >= 16).
constexpr std::uint64_t record_bytes(std::uint64_t payload_bytes, std::uint64_t alignment) noexcept {
  return alignment + ((payload_bytes + alignment - 1) & ~(alignment - 1));
}

/// How far ahead of its stores a producer asks for the ring's lines: about as many as are under way at once.
inline constexpr std::uint64_t kPrefetchBytes = 1024;
/// Asks for a line, to write to it. Changes nothing, faults nowhere. (Of __builtin_prefetch for writing GCC makes one for
/// reading, unless told of the processor: the line would come twice.)
inline void prefetch_for_write(const std::byte* at) noexcept { asm volatile("prefetchw %0" : : "m"(*at)); }

/// What a walk compares, to guess where the next records begin: a head's length and state, and its run if it is a message.
/// Tag and flags do not matter.
class BatchShape {
 public:
  constexpr explicit BatchShape(std::uint64_t head) noexcept : bits_(head & kBits) {}
  friend constexpr bool operator==(const BatchShape&, const BatchShape&) noexcept = default;

 private:
  static constexpr std::uint64_t kBits = (std::uint64_t{kRunMax} << 52) | 0xffff'ffffU;
  std::uint64_t bits_;
};

}  // namespace ipcq::detail
