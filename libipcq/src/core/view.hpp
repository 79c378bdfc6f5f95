// View: what one process knows of one segment. All limits are private copies, validated once; positions and lengths read
// from the segment are bounded by them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ipcq/options.hpp"
#include "layout/layout.hpp"
#include "os/clock.hpp"
#include "os/process.hpp"

namespace ipcq::core {

using layout::kNoPosition;

/// Row (low 8 bits) and incarnation (high 24): names an owner everywhere. 0: nobody.
using Owner = std::uint32_t;
constexpr Owner make_owner(std::uint32_t row, std::uint32_t incarnation) noexcept { return row | (incarnation << 8); }
constexpr std::uint32_t owner_row(Owner owner) noexcept { return owner & 0xffU; }
constexpr std::uint32_t owner_incarnation(Owner owner) noexcept { return owner >> 8; }

struct View {
  std::byte* control = nullptr;
  const std::byte* data = nullptr;     // read-only, mapped twice back to back
  std::byte* data_writable = nullptr;  // the same, writable; null in a process that has no producer
  std::byte* data_dormant = nullptr;  // the same, once, without access until a repair opens a window; null: an observer
  int fd = -1;                        // the control descriptor: carries no lock, so probes may go through it
  os::FileId file;

  std::uint64_t capacity = 0;  // these five by set_ring()
  std::uint64_t mask = 0;
  std::uint64_t alignment = 16;
  std::uint64_t message_bytes_max = 0;
  std::uint64_t need_max = 0;  // of a claim
  std::uint64_t control_bytes = 0;
  std::uint64_t rows_offset = 0;
  std::uint64_t groups_offset = 0;
  std::uint64_t group_stride = 0;
  std::uint64_t life_begin = 0;
  std::uint32_t endpoints_max = 0;
  std::uint32_t groups_max = 0;
  std::uint32_t ledger_entries = 0;
  ProducerMode producers = ProducerMode::shared;
  std::uint32_t max_deliveries = 0;
  bool drop_after = false;
  bool metrics = true;
  layout::ClockKind clock = layout::ClockKind::monotonic;
  os::TickScale scale;

  [[nodiscard]] layout::FrozenHeader& frozen() const noexcept {
    return *reinterpret_cast<layout::FrozenHeader*>(control);
  }
  [[nodiscard]] layout::Header& header() const noexcept {
    return *reinterpret_cast<layout::Header*>(control + layout::kHeaderOffset);
  }
  [[nodiscard]] layout::Side& side() const noexcept {
    return *reinterpret_cast<layout::Side*>(control + layout::kSideOffset);
  }
  [[nodiscard]] layout::EndpointRow& row(std::uint32_t i) const noexcept {
    return *reinterpret_cast<layout::EndpointRow*>(control + rows_offset + i * sizeof(layout::EndpointRow));
  }
  [[nodiscard]] layout::GroupRow& group(std::uint32_t i) const noexcept {
    return *reinterpret_cast<layout::GroupRow*>(control + groups_offset + i * group_stride);
  }
  [[nodiscard]] layout::LedgerEntry* entries(std::uint32_t i) const noexcept {
    return reinterpret_cast<layout::LedgerEntry*>(control + groups_offset + i * group_stride + sizeof(layout::GroupRow));
  }
  /// The ledger's index: under the group's mutex only.
  [[nodiscard]] std::uint16_t* index(std::uint32_t i) const noexcept {
    return reinterpret_cast<std::uint16_t*>(control + groups_offset + i * group_stride + sizeof(layout::GroupRow) +
                                            ledger_entries * sizeof(layout::LedgerEntry));
  }
  [[nodiscard]] layout::Histograms& histograms(std::uint32_t i) const noexcept {
    return *reinterpret_cast<layout::Histograms*>(control + groups_offset + i * group_stride +
                                                  sizeof(layout::GroupRow) + layout::ledger_bytes(ledger_entries));
  }

  [[nodiscard]] bool exclusive() const noexcept { return producers == ProducerMode::exclusive; }
  /// The ring's size, and what follows from it: every claim and every record asks.
  void set_ring(std::uint64_t capacity_bytes, std::uint64_t alignment_bytes) noexcept {
    capacity = capacity_bytes;
    mask = capacity - 1;
    alignment = alignment_bytes;
    const std::uint64_t most = detail::kClaimBytesMax - 2 * alignment;  // with its header it must fit a claim
    message_bytes_max = capacity / 2 < most ? capacity / 2 : most;
    // The end mark wants 16 bytes behind it, and lengths have 30 bits.
    const std::uint64_t room = capacity - alignment;
    need_max = room < detail::kClaimBytesMax ? room : detail::kClaimBytesMax - alignment;
  }

  /// A stamp of the queue's clock; 0 if stamps are off.
  [[nodiscard]] std::uint64_t stamp() const noexcept {
    switch (clock) {
      case layout::ClockKind::tsc:
        return os::tsc();
      case layout::ClockKind::monotonic:
        return static_cast<std::uint64_t>(os::monotonic_ns());
      default:
        return 0;
    }
  }
  [[nodiscard]] std::uint64_t stamp_difference_ns(std::uint64_t from, std::uint64_t to) const noexcept {
    if (from == 0 || to <= from) return 0;
    return clock == layout::ClockKind::tsc ? os::ticks_to_ns(to - from, scale) : to - from;
  }
};

}  // namespace ipcq::core
