// Frozen: what any version may do to a queue of any other, by the first 128 bytes of its file alone.
#pragma once

#include <cstdint>

#include "api/segment_file.hpp"
#include "ipcq/error.hpp"
#include "layout/layout.hpp"
#include "os/mapping.hpp"

namespace ipcq::detail {

/// Whether an error of opening whole means only that the rest is for another library or namespace: the frozen part is usable.
[[nodiscard]] constexpr bool only_frozen_usable(Errc code) noexcept {
  return code == Errc::other_layout || code == Errc::other_machine || code == Errc::other_namespace;
}

/// Endpoints that live: life bytes that somebody holds. `fd` carries no lock itself. 0.3 us each of `life_count`.
[[nodiscard]] std::uint32_t count_living(int fd, const layout::HeaderCopy& header) noexcept;

/// The frozen header, writable. Nothing else of the segment is mapped.
class FrozenMapping {
 public:
  /// Throws Error{system}.
  FrozenMapping(const Place& place, const OpenedFile& file);
  /// Adds bits to the flags, for all versions to see. Sleepers of another layout see it at their next backstop.
  void add_flags(std::uint32_t flags) noexcept {
    header_->flags.fetch_or(flags, std::memory_order_seq_cst);  // R:flags, with A:flags; R:wake
  }

 private:
  os::Mapping mapping_;
  layout::FrozenHeader* header_ = nullptr;
};

}  // namespace ipcq::detail
