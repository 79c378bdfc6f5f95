// Auditing a queue's producers: what they have sent, by the records; what accounts for it; and who went past his limit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ipcq/export.hpp"
#include "ipcq/quota.hpp"
#include "ipcq/watch.hpp"

namespace ipcq {

/// Somebody has sent more than his limit and what is tolerated lets through.
struct PastLimit {
  /// The producer; nothing: several together, and none of them by itself.
  std::optional<Attached> producer{};
  std::optional<uid_t> user{};  ///< of several: all of this user's; nothing: all of the queue
  Quota limit{};                ///< what binds the producer, all together; the user's; the queue's
  bool of_bytes = false;        ///< it is the rate of bytes that was passed, else that of messages
  std::uint64_t beyond = 0;     ///< messages, or bytes, by which the limit and what is tolerated are passed now
  bool hides = false;           ///< claims were seen with its name that its own counters do not account for
  bool revoked = false;         ///< its right to claim was taken before, and it claims all the same
};

/// What one look came to. Sums are of the interval.
struct AuditReport {
  std::uint64_t interval_ns = 0;
  std::uint64_t messages = 0;  ///< committed, counted from the records
  std::uint64_t bytes = 0;     ///< payload of these
  /// Of ring, claimed and not counted: who is fast overwrites records before the audit comes to them. Then `messages` is
  /// less than there were, and nothing is concluded from what it lacks.
  std::uint64_t uncounted_bytes = 0;
  std::uint64_t accounted_messages = 0;  ///< by the counters of all endpoints, also those that have left
  std::uint64_t accounted_bytes = 0;
  /// What the records have and no endpoint accounts for, at the least; told once it is more than a batch of each producer,
  /// which may be between its commit and its counter. In the interval or before.
  std::uint64_t unaccounted_messages = 0;
  std::uint64_t unaccounted_bytes = 0;
  std::vector<PastLimit> past_limit{};
};

/// Compares, from look to look, what was committed with what endpoints account for and with the limits. For watchdogs; the
/// longer between looks, the more is overwritten before it is counted: ipcqd looks 10 times a second while messages come.
///
/// A producer is past its limit when what it owes, that is, what it sent less 1.05 times the rate, never less than nothing,
/// is more than the burst (or a batch, if that is larger) and one batch. A batch: the largest that was counted; where not all
/// could be counted, or the queue has no time stamps, the largest that fits. What it sent: what its counters tell, as far as
/// positions bear that out; or what stood in ranges that were seen claimed with its name, if that is more: then its counters
/// are wrong, and if it is the only such producer, what nobody accounts for is its too. Of an exclusive producer: everything.
/// A change of limits, and an attach, begin anew.
///
/// Holds no lock, takes no row, waits for nobody. Memory: some kilobytes. One thread at a time.
class IPCQ_EXPORT Audit {
 public:
  /// Of a queue that is watched; need not outlive `watch`. Begins the first interval.
  explicit Audit(const Watch& watch);
  Audit(Audit&&) noexcept;
  Audit& operator=(Audit&&) noexcept;
  Audit(const Audit&) = delete;
  Audit& operator=(const Audit&) = delete;
  ~Audit();

  /// Ends an interval and begins the next. Looks at some 65,000 records at most, a millisecond or two. Throws Error{forked}.
  [[nodiscard]] AuditReport look();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ipcq
