// Verify: proves a queue sound, or names what is broken. Repair: mends it. For tools and administrators.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ipcq/export.hpp"
#include "ipcq/options.hpp"

namespace ipcq {

/// An invariant of a queue that does not hold.
struct Finding {
  std::string invariant;     ///< a stable name, "ledger.tiles"; docs/verify.md lists them
  std::uint64_t offset = 0;  ///< of the word in the queue's file
  std::string text;          ///< what is there, and what should be
  /// What a death or a call in progress leaves, and whoever comes next mends by itself: noted, not counted.
  bool recoverable = false;
};

struct Verification {
  std::vector<Finding> findings;  ///< by offset
  /// Whether nothing that counts was found.
  [[nodiscard]] bool sound() const noexcept {
    for (const Finding& finding : findings) {
      if (!finding.recoverable) return false;
    }
    return true;
  }
};

/// Looks at everything in a queue that can be right or wrong: header, tables, positions, every record's header, mutexes.
/// Needs read permission only, takes no lock and no row, changes nothing, disturbs nobody; also of a poisoned queue, and
/// of one that is removed or whose header is damaged. On a queue in use what is found was there at one moment; what a
/// living process was changing just then is not judged. Takes microseconds for each KiB of control area, nanoseconds for
/// each record in the ring, and up to 40 ms while somebody holds a mutex. Thread-safe.
/// Throws as Queue::open, but for Error{removed | poisoned}, and for Error{damaged}, which is a finding.
[[nodiscard]] IPCQ_EXPORT Verification verify(std::string_view name, const OpenOptions& options = {});

/// One thing that a repair did, or would do.
struct RepairStep {
  std::string invariant;     ///< what it mends
  std::uint64_t offset = 0;  ///< of the word in the queue's file
  std::string text;          ///< what was there, and what is there now
  bool given_up = false;     ///< messages, or what was known of them, or limits, are lost by it
};

struct RepairReport {
  std::vector<Finding> found;     ///< before
  std::vector<RepairStep> steps;  ///< in the order done
  std::vector<Finding> left;      ///< after
  /// Not empty: who lives in the queue. While somebody does, only what recovery mends by itself, and what can be mended
  /// under a lock, is mended.
  std::string in_use_by;
  /// Whether nothing that counts is left, and nothing was given up.
  [[nodiscard]] bool whole() const noexcept {
    for (const RepairStep& step : steps) {
      if (step.given_up) return false;
    }
    return Verification{left}.sound();
  }
};

struct RepairOptions {
  bool dry_run = false;  ///< say what would be done, and change nothing
  std::string directory{};
  std::vector<uid_t> trusted_owners{};
};

/// Mends what verify() finds, never touching what a living process holds. What nothing tells for certain is given up in
/// the way that loses least: a message whose fate is not known is delivered again; records that cannot be read are
/// skipped; each such step says so. Nothing is guessed.
///
/// What only an empty queue can be mended of (a poisoned one, torn ledgers, damaged records) is mended while no endpoint
/// lives; none can attach meanwhile, and calls of others answer `poisoned`. A removal that was broken off is finished.
/// Blocks up to a second for another repair or removal, and 0.4 s for each mutex that a stopped process holds. For the
/// owner of the queue and root: kept by the tools. Dies the process in here, the queue is poisoned at worst, and the next
/// repair does the same.
/// Throws as Queue::open, but for Error{removed | poisoned}; Error{damaged} for a header that is damaged: nothing can be
/// mended then; Error{in_use} while another process repairs or removes it.
[[nodiscard]] IPCQ_EXPORT RepairReport repair(std::string_view name, const RepairOptions& options = {});

}  // namespace ipcq
