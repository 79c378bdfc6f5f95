#include "crash/sweep/whole.hpp"

#include <string>
#include <string_view>

#include "core/endpoints.hpp"
#include "core/ring.hpp"
#include "core/verify.hpp"
#include "crash/sweep/expectation.hpp"

namespace ipcq::sweep {
namespace {

// What only a successor mends: recovery takes over nobody's side.
bool waits_for_a_successor(const core::Finding& finding) {
  const std::string_view invariant = finding.invariant;
  return finding.recoverable &&
         (invariant == "side.exclusive_owner" || invariant == "side.claim_position" || invariant == "group.owner");
}

std::string text_of(const core::Finding& finding) {
  return std::string(finding.invariant) + " at " + std::to_string(finding.offset) + ": " + finding.text;
}

}  // namespace

void check_mendable(const core::View& view) {
  require((view.frozen().flags.load() & layout::flag::kPoisoned) == 0, "the queue is poisoned");
  for (const core::Finding& finding : core::verify(view)) {
    require(finding.recoverable, "no death leaves this: " + text_of(finding));
  }
}

void check_recovered(const core::View& view) {
  require((view.frozen().flags.load() & layout::flag::kPoisoned) == 0, "the queue is poisoned");
  for (const core::Finding& finding : core::verify(view))
    require(waits_for_a_successor(finding), "recovery leaves this: " + text_of(finding));
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i)
    require(!core::row_attached(view, i), "row " + std::to_string(i) + " is attached, and nobody lives");
  if (!view.exclusive()) {
    const std::uint64_t end = view.side().claim.claim_position.load();
    require(core::load_head(view, end) == 0, "Z: the head at claim_position is not zero");
  }
}

}  // namespace ipcq::sweep
