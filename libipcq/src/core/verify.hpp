// Verify: proves a segment sound, or names each invariant that does not hold and where.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/view.hpp"

namespace ipcq::core {

/// An invariant that does not hold.
struct Finding {
  const char* invariant;  ///< a stable name, "ledger.tiles"
  std::uint64_t offset;   ///< of the word in the segment's file
  std::string text;       ///< what is there, and what should be
  /// A state that a death, or a call in progress, may leave: whoever comes next mends it by itself, so it is noted and
  /// does not count. Everything else no death leaves: something wrote here that should not.
  bool recoverable;
};

/// All findings, in order of offset; none, or only recoverable ones: the segment is sound.
///
/// Reads only, takes no lock and no row. Every word is loaded once a look and bounded by the view's private limits, so it
/// is safe on arbitrary memory, and the time is bounded: by the control area's size and by one head for every
/// `alignment` bytes of the ring, twice, and up to 20 ms for a mutex that is held.
///
/// On a queue in use: what one look finds counts only if a second look, begun after the first had ended, finds the same
/// with the same values. Positions, incarnations and sequences never come back, so values that are the same in both looks
/// stood there together in between, and the finding is no mixture of two moments. What a living thread's mutex protects
/// is not judged while it is held. What the ring held when consumers were faster than the look is not judged either.
[[nodiscard]] std::vector<Finding> verify(const View& view);

}  // namespace ipcq::core
