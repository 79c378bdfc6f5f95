// Error: what set-up and misuse throw. Outcome: what the data path answers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "ipcq/export.hpp"

namespace ipcq {

/// Why a call threw. The code says what the caller can do next; the message names the queue, what happened and what to do.
enum class Errc : int {
  invalid_name = 1,    ///< a queue or group name outside the grammar
  invalid_option,      ///< a size, mode, alignment or count outside its range, or two options that exclude each other
  no_such_queue,       ///< nothing of that name in the directory
  exists,              ///< create: the name is taken
  not_a_queue,         ///< the file is empty, garbage, truncated, or no regular file
  damaged,             ///< a queue whose contents contradict themselves
  other_layout,        ///< made by a version with another segment layout
  other_machine,       ///< other byte order, word or page size, or C library
  other_namespace,     ///< made in another PID or time namespace: robust mutexes are unsafe across them
  permission_denied,   ///< the file's mode or the directory's forbids it
  untrusted_owner,     ///< the file belongs to a uid that is not trusted here
  no_space,            ///< the memory cannot be reserved
  incompatible,        ///< open_or_create: a promise of the existing queue differs
  too_many_endpoints,  ///< every row of the endpoint table is taken by a living process
  too_many_groups,     ///< every group row is taken
  no_such_group,       ///< the queue has no group of that name
  group_exists,        ///< add_group: the name is taken
  last_group,          ///< the last group cannot be removed
  in_use,              ///< someone living holds what the call needs alone (exclusive side, removal, group)
  too_big,             ///< a message or claim that can never fit this queue
  claim_overrun,       ///< append past the room that was claimed
  claim_open,          ///< a second claim while one is open
  already_finished,    ///< commit, abort, ack or requeue of a claim or lease that is finished
  not_open,            ///< the handle is empty: moved from, detached, or an outcome without a claim or lease
  out_of_order,        ///< an exclusive consumer's leases are acked in order
  forked,              ///< the handle was inherited through fork(): attach anew in the child
  closed,              ///< the queue is closed
  removed,             ///< the queue is removed
  poisoned,            ///< a recovery met a state it cannot mend: ipcq::repair may, while nobody uses the queue
  no_robust_mutex,     ///< robust mutexes do not work in this thread (a library replaced the robust list)
  timed_out,           ///< an administrative call could not get a lock held by a stopped process
  system,              ///< a system call failed; the message has its errno
  too_many_quotas,     ///< set_quota: all buckets of users are taken
};

/// The one category of Errc: name "ipcq".
IPCQ_EXPORT const std::error_category& error_category() noexcept;
inline std::error_code make_error_code(Errc code) noexcept { return {static_cast<int>(code), error_category()}; }

/// Thrown by set-up calls and for misuse. `what()` is one line: the queue, what happened, what to do.
class IPCQ_EXPORT Error : public std::system_error {
 public:
  /// `message` is shown as it is. `system_errno` is the errno behind it, or 0.
  Error(Errc code, const std::string& message, int system_errno = 0);
  ~Error() override;
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;
  [[nodiscard]] Errc errc() const noexcept { return static_cast<Errc>(code().value()); }
  [[nodiscard]] int system_errno() const noexcept { return system_errno_; }
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
  int system_errno_;
};

/// What a claim, commit, lease, ack, send or receive came to. `ok` first; the others name the cause.
enum class Outcome : std::uint8_t {
  ok,
  empty,            ///< nothing to lease in time (or fewer than min_messages, and none at all)
  blocked,          ///< a living process holds what we wait for: see blocked_by(); it is never robbed
  full,             ///< no room in time, or at once where the group that holds the room back rejects
  over_quota,       ///< a rate limit: see retry_after()
  too_many_leases,  ///< no free ledger entry: too many open leases in this group
  closed,           ///< producer: no new claims; consumer: closed and drained
  cancelled,        ///< cancel() was called; sticky until reset()
  revoked,          ///< this endpoint's right to claim was taken
  disowned,         ///< this endpoint was judged dead by others: its claim or lease is no longer its own; attach anew
  group_removed,    ///< the consumer's group is gone
  removed,          ///< the queue is removed
  poisoned,         ///< a repair met a state it cannot mend
  damaged,          ///< a record or position contradicts itself; nothing was touched
  timed_out,        ///< ack(n): the group's lock was not to be had in time; nothing changed
};

/// "ok", "empty", … as in the list above, with '_' as written. Never null; valid for the program's life.
IPCQ_EXPORT const char* to_string(Outcome outcome) noexcept;
/// "invalid_name", … as in the list above.
IPCQ_EXPORT const char* to_string(Errc code) noexcept;

/// Whether waiting again can help: empty, blocked, full, over_quota, too_many_leases, timed_out.
[[nodiscard]] constexpr bool is_transient(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::empty:
    case Outcome::blocked:
    case Outcome::full:
    case Outcome::over_quota:
    case Outcome::too_many_leases:
    case Outcome::timed_out:
      return true;
    default:
      return false;
  }
}

}  // namespace ipcq

template <>
struct std::is_error_code_enum<ipcq::Errc> : std::true_type {};
