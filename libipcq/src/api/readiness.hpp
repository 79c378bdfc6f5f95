// Readiness: what a look at an endpoint of a wait set came to.
#pragma once

#include <cstdint>

#include "layout/layout.hpp"
#include "os/futex.hpp"

namespace ipcq::detail {

struct Readiness {
  /// A call would bring something, or answer for good.
  bool ready = false;
  /// Not ready: nothing but a wake of `event`, or the time `look_ns`, can change that; no call of the endpoint's own either.
  bool only_by_event = false;
  layout::AtomicU32* event = nullptr;  ///< what the endpoint sleeps on
  std::int64_t look_ns = os::kNoDeadline;
  std::uint64_t stop = layout::kNoPosition;  ///< consumers: the frontier, and the head there
  std::uint64_t head = 0;
};

/// What a producer in a set waits for.
struct WantedRoom {
  std::uint64_t need = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
};

}  // namespace ipcq::detail
