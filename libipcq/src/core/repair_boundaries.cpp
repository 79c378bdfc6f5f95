// Where records begin, as the words that name positions and the walk between them tell.
#include <algorithm>
#include <optional>
#include <vector>

#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/repair_parts.hpp"
#include "core/ring.hpp"

// relaxed: nobody else writes.

namespace ipcq::core {

Boundaries::Boundaries(const View& view, std::uint64_t begin, std::uint64_t end, std::vector<std::uint64_t> positions) {
  std::sort(positions.begin(), positions.end());
  auto next = positions.begin();
  const auto mark_up_to = [&](std::uint64_t boundary, std::uint64_t beyond) {
    for (; next != positions.end() && *next < beyond; ++next) {
      if (*next >= boundary) marks_.push_back({*next, boundary});
    }
  };
  std::uint64_t at = begin;
  while (at < end) {
    const std::uint64_t span = span_of(view, load_head(view, at));
    if (span == 0 || span > end - at) return;
    mark_up_to(at, at + span);
    at += span;
  }
  mark_up_to(at, at + 1);
}

std::optional<std::uint64_t> Boundaries::before(std::uint64_t position) const noexcept {
  const auto found = std::lower_bound(marks_.begin(), marks_.end(), position,
                                      [](const Mark& mark, std::uint64_t at) { return mark.position < at; });
  if (found == marks_.end() || found->position != position) return std::nullopt;
  return found->boundary;
}

std::vector<std::uint64_t> named_positions(const View& view) {
  std::vector<std::uint64_t> positions;
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const auto& row = view.group(i);
    if (state_of(row) == layout::GroupState::free) continue;
    positions.push_back(row.retired.load(std::memory_order_relaxed));
    if (is_exclusive_group(view, i)) {
      positions.push_back(row.leased_to.load(std::memory_order_relaxed));
      positions.push_back(row.again_to.load(std::memory_order_relaxed));
      continue;
    }
    for (std::uint32_t k = 0; k < view.ledger_entries; ++k) {
      const auto& entry = view.entries(i)[k];
      const EntryState state = word_state(entry.word.load(std::memory_order_relaxed));
      const std::uint64_t begin = entry.begin.load(std::memory_order_relaxed);
      const std::uint64_t end = entry.end.load(std::memory_order_relaxed);
      if (state == EntryState::free || state > EntryState::parked || begin >= end) continue;
      positions.push_back(begin);
      positions.push_back(end);
    }
  }
  return positions;
}

std::uint64_t least_retired_of(const View& view) noexcept {
  std::uint64_t least = UINT64_MAX;
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    if (state_of(view.group(i)) != layout::GroupState::free)
      least = std::min(least, view.group(i).retired.load(std::memory_order_relaxed));
  }
  return least == UINT64_MAX ? view.side().claim.claim_position.load(std::memory_order_relaxed) : least;
}

}  // namespace ipcq::core
