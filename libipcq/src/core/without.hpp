// Without: the library as it would be without one of its ideas, to measure what the idea buys (`./dev bench --ideas`,
// docs/ideas.md). Chosen by -DIPCQ_WITHOUT=…, for such measurements only: without the fence a sleeper may not be woken.
#pragma once

#include <cstdint>

namespace ipcq::core {

enum class Idea : std::uint8_t {
  nothing,        // the library as it is
  fence,          // publication and ack by plain stores: what moving the fence to the sleeper could buy at most
  getting_ahead,  // a consumer that follows closely pauses, and the producer then gets lines beforehand
  prefetch,       // the producer gets lines beforehand
  runs,           // a batch's first head says how many are like it
  free_ack,       // an ack is one exchange; here it takes the group's mutex and retires
  sampling,       // one lease in sixteen is timed; here each
  ticks,          // stamps by the processor's counter; here by clock_gettime
  hot_looks,      // a spinning consumer's first looks come without pauses
};

#ifdef IPCQ_WITHOUT
inline constexpr Idea kWithout = Idea::IPCQ_WITHOUT;
#else
inline constexpr Idea kWithout = Idea::nothing;
#endif

[[nodiscard]] constexpr bool has(Idea idea) noexcept { return idea != kWithout; }

}  // namespace ipcq::core
