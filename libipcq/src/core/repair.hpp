// Repair: mends what verify names and recovery does not mend by itself.
//
// While it works the queue is marked as poisoned, so that nobody uses a half-mended one; the mark goes last, and only if
// nothing that counts is left. Every step derives what it writes from what is there, or gives it up and says so: killed
// anywhere and begun again, it comes to the same. It never decides that a message is finished: what it cannot tell is
// delivered again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/verify.hpp"
#include "core/view.hpp"

namespace ipcq::core {

struct RepairStep {
  const char* invariant;  ///< what it mends
  std::uint64_t offset;   ///< of the word in the segment's file
  std::string text;       ///< what was there, and what is there now
  bool given_up;          ///< messages, or what was known of them, or limits, are lost by it
};

/// Mends a segment in which no endpoint lives and none can attach: the caller holds the remover's byte and the whole life
/// range by the description `view.fd`, through which his own locks look free.
/// `view` has a writable view of the data. Takes the segment's mutexes, 0.4 s each at most.
std::vector<RepairStep> repair_alone(const View& view);

/// Mends what can be mended while others live, each under its lock, and recovers what the dead left; touches nothing that
/// a living process holds.
void repair_in_use(const View& view, const std::vector<Finding>& findings);

/// Whether repair_in_use() mends the like of this.
[[nodiscard]] bool mends_in_use(const Finding& finding) noexcept;

/// The steps by which `before` became `after`: for each finding that went without a step of its own.
[[nodiscard]] std::vector<RepairStep> recovered(const std::vector<Finding>& before, const std::vector<Finding>& after,
                                                const std::vector<RepairStep>& steps);

}  // namespace ipcq::core
