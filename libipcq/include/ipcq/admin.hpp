// Administration: list, inspect and remove queues. What the command line is made of.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ipcq/error.hpp"
#include "ipcq/export.hpp"
#include "ipcq/options.hpp"
#include "ipcq/quota.hpp"

namespace ipcq {

/// Whether a row's process lives. lost_life_lock: it is there and maps the queue, but its life lock is gone (closefrom).
enum class Life : std::uint8_t { alive, dead, lost_life_lock };
IPCQ_EXPORT const char* to_string(Life life) noexcept;          ///< "alive", "dead", "lost_life_lock"
IPCQ_EXPORT const char* to_string(ProducerMode mode) noexcept;  ///< "shared", "exclusive"
IPCQ_EXPORT const char* to_string(ConsumerMode mode) noexcept;  ///< "shared", "exclusive"
IPCQ_EXPORT const char* to_string(Overflow overflow) noexcept;  ///< "block", "reject", "drop-oldest" (as on the command line)
IPCQ_EXPORT const char* to_string(Start start) noexcept;        ///< "oldest", "newest"
IPCQ_EXPORT const char* to_string(Lifetime lifetime) noexcept;  ///< "persistent", "ephemeral"

/// A producer's open claim.
struct ClaimInfo {
  std::uint64_t position = 0;
  std::uint64_t bytes = 0;  ///< of ring
  std::uint64_t age_ns = 0;
};

/// One attached (or dead and not yet cleaned) producer or consumer.
struct EndpointInfo {
  std::uint32_t row = 0;
  std::uint32_t incarnation = 0;
  bool producer = false;  ///< else a consumer
  std::string group;      ///< of a consumer
  std::uint32_t pid = 0;
  uid_t uid = 0;
  std::string command;  ///< empty: gone or not readable
  Life life = Life::alive;
  bool revoked = false;
  std::uint64_t attached_ns = 0;     ///< since it attached
  std::uint64_t messages = 0;        ///< committed, or leased
  std::uint64_t bytes = 0;           ///< payload of these
  std::uint64_t batches = 0;         ///< commits, or leases
  std::uint64_t waits = 0;           ///< calls that had to sleep
  std::uint64_t refusals = 0;        ///< claims that were full in time
  std::uint64_t quota_refusals = 0;  ///< claims that were over a quota in time
  std::uint64_t quota_wait_ns = 0;   ///< time that claims waited for a quota
  std::optional<ClaimInfo> open_claim;
  std::uint32_t open_leases = 0;
};

/// One ledger entry that is not finished, or an exclusive consumer's open range.
struct LeaseInfo {
  std::string state;  ///< "leased", "redeliverable", "parked"
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint32_t deliveries = 0;
  std::uint32_t row = 0;  ///< of the holder, if leased
  std::uint32_t pid = 0;
  std::string command;
  std::uint64_t age_ns = 0;  ///< since it was leased
  /// If parked, why the dead-letter queue did not take it: "missing", "not writable", "full", "message too large",
  /// "closed", "no row free", "unusable".
  std::string reason;
};

/// A latency as its histogram tells it (8 buckets an octave: within 9 %). Times in nanoseconds.
struct LatencyInfo {
  std::uint64_t messages = 0;  ///< weight of the samples: one lease in 16, by its messages
  double mean_ns = 0;
  std::uint64_t p50_ns = 0, p90_ns = 0, p99_ns = 0, p999_ns = 0, max_ns = 0;
};

struct GroupInfo {
  std::string name;
  std::uint32_t row = 0;
  Start start = Start::oldest;
  Overflow overflow = Overflow::block;
  ConsumerMode consumers = ConsumerMode::shared;
  Lifetime lifetime = Lifetime::persistent;
  std::uint64_t retired = 0;         ///< positions before it are finished
  std::uint64_t depth_bytes = 0;     ///< of ring, from there to the end of what is claimed
  std::uint64_t depth_messages = 0;  ///< committed and not retired (leased ones included)
  bool depth_exact = true;           ///< false: more than could be counted, depth_messages is what was
  std::uint64_t oldest_age_ns = 0;   ///< of the first unfinished message; 0: none, or time stamps off
  std::uint32_t members = 0;         ///< attached and alive
  bool unattended = false;           ///< backlog and no member
  std::vector<LeaseInfo> leases;
  std::uint64_t leased_messages = 0;         ///< ever handed out for the first time
  std::uint64_t redelivered_messages = 0;    ///< handed out again
  std::uint64_t dropped_messages = 0;        ///< given up by drop-oldest, or past max_deliveries with drop_after
  std::uint64_t dead_lettered_messages = 0;  ///< moved to the dead-letter queue
  std::uint64_t parked_messages = 0;         ///< now: past max_deliveries, and the dead-letter queue does not take them
  std::uint64_t purged_messages = 0;         ///< given up by purge and purge_parked
  std::uint64_t recovered_leases = 0;        ///< leases of the dead that were given back
  double availability = 0;  ///< processing time / attached time of its consumers (a utilisation, 0 to 1 each)
  LatencyInfo queue, transfer, processing, latency;
};

/// Everything about one queue at one moment. Taken without locks: figures may be a moment apart.
struct QueueInfo {
  std::string name;
  std::string path;
  std::uint32_t layout_version = 0;
  std::uint64_t segment_bytes = 0;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t message_bytes_max = 0;
  uid_t owner = 0;
  gid_t file_group = 0;
  mode_t mode = 0;
  std::uint64_t created_unix_ns = 0;
  ProducerMode producers = ProducerMode::shared;
  Overflow overflow = Overflow::block;
  ConsumerMode consumers = ConsumerMode::shared;
  std::string type;
  std::uint32_t alignment_bytes = 16;
  bool timestamps = true;
  bool metrics = true;
  std::string clock;                 ///< "tsc", "monotonic", "off"
  std::uint32_t max_deliveries = 0;  ///< 0: without limit
  std::string dead_letter;           ///< the queue that gets messages past it; empty: none
  bool drop_after = false;           ///< they are dropped instead
  Lifetime lifetime = Lifetime::persistent;
  std::uint64_t grace_ns = 0;  ///< of an ephemeral queue
  std::uint32_t endpoints_max = 0, groups_max = 0, ledger_entries = 0;
  bool closed = false, removed = false, poisoned = false;
  std::uint64_t claim_position = 0;
  std::uint64_t depth_bytes = 0;       ///< of ring, of the group furthest behind
  std::uint64_t messages = 0;          ///< committed since creation
  std::uint64_t bytes = 0;             ///< payload of these
  std::uint64_t abandoned_claims = 0;  ///< claims of the dead that were skipped
  std::uint64_t recoveries = 0;        ///< repairs after a process died holding a mutex
  std::uint64_t quota_refusals = 0;    ///< claims that were refused with `over_quota`
  std::uint64_t quota_wait_ns = 0;     ///< time that claims waited for a quota
  std::vector<QuotaInfo> quotas;       ///< of every scope with limits: the queue's, users', each producer's, producers'
  std::vector<EndpointInfo> endpoints;
  std::vector<GroupInfo> groups;
};

/// One line of a listing.
struct QueueSummary {
  std::string name;
  std::string path;
  uid_t owner = 0;
  mode_t mode = 0;
  std::uint64_t segment_bytes = 0;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t depth_bytes = 0;  ///< of the group furthest behind
  std::uint32_t producers = 0;    ///< alive
  std::uint32_t consumers = 0;    ///< alive
  std::uint32_t living = 0;       ///< endpoints alive; known of queues of other layouts too
  std::uint32_t groups = 0;
  bool closed = false;
  bool leftover = false;        ///< a temporary file of a creator that died (only without O_TMPFILE)
  std::optional<Errc> problem;  ///< set: what kept us from looking inside; the figures are then 0, but for what the frozen
                                ///< header of another layout, machine or namespace tells: segment_bytes, closed, living
  std::string problem_text;
};

/// All queues of the directory, by name. A file that is no readable queue is listed with its problem.
/// Throws Error{no_such_queue} if there is no such directory, Error{permission_denied}, Error{system}.
[[nodiscard]] IPCQ_EXPORT std::vector<QueueSummary> list(const OpenOptions& options = {});

/// Everything about one queue. Needs read permission only; locks nothing, takes no row. Throws as Queue::open.
[[nodiscard]] IPCQ_EXPORT QueueInfo inspect(std::string_view name, const OpenOptions& options = {});

/// End of stream by name, as Queue::close, for queues of any layout: of another layout, machine or namespace only the flag in
/// the frozen header is set, which its users meet at their next call or backstop. Idempotent. Throws as Queue::open, but for
/// these three, and Error{removed | poisoned}. One store ends it: dies the process in here, it has happened or has not.
IPCQ_EXPORT void close_queue(std::string_view name, const OpenOptions& options = {});

struct RemoveOptions {
  bool force = false;  ///< remove although endpoints live: they keep their mapping and get `removed`
  std::string directory{};
  std::vector<uid_t> trusted_owners{};
};
/// Removes a queue and its messages. Throws Error{no_such_queue}, Error{in_use} naming who lives, Error{permission_denied}.
/// Dies the process in here, whoever opens or creates the name next finishes the removal.
IPCQ_EXPORT void remove(std::string_view name, const RemoveOptions& options = {});
/// The same. Without this overload `using namespace ipcq; remove("orders")` would silently be the C library's remove(3);
/// so it is ambiguous, and asks to be qualified.
inline void remove(const char* name, const RemoveOptions& options = {}) { remove(std::string_view(name), options); }

struct CleanOptions {
  std::vector<std::string> names{};  ///< only these; empty: all of the directory
  bool with_messages = false;        ///< ephemeral queues among `names` go with what they hold: needs names
  std::optional<std::chrono::nanoseconds> grace{};  ///< in place of each ephemeral queue's own, and of 30 s for a leftover
  bool dry_run = false;                             ///< say what would be done, and change nothing
  std::string directory{};
};
enum class Cleaned : std::uint8_t {
  removed,           ///< an ephemeral queue that nobody needs
  removal_finished,  ///< a queue whose remover died half way
  leftover_removed,  ///< the unfinished file of a creator that died (only where the file system has no O_TMPFILE)
  kept,
};
/// What became of one file, or with dry_run would become of it.
struct CleanAction {
  std::string name;  ///< of the queue; of a leftover, its file's
  std::string path;
  Cleaned what = Cleaned::kept;
  std::string reason;  ///< why: "drained, and nobody has been attached for 31 s"
  /// If kept: after how long it is worth asking again; nothing: not before somebody attaches, or drains it.
  std::optional<std::chrono::nanoseconds> again_in{};
};
/// Removes what nobody needs, of files that belong to the caller's effective uid (also root's): ephemeral queues, once they
/// are drained and nobody has been attached for the grace time; queues whose removal was broken off; unfinished files of
/// dead creators. A persistent queue never goes, and one with unacked messages only by name and with with_messages.
/// Tells of what goes, and of ephemeral queues and leftovers that stay; of every one of `names`.
/// Recovers ephemeral queues first, as ipcq::recover; their locks are tried for milliseconds each. Several cleaners at once,
/// and processes that attach meanwhile, are safe: a queue goes under the locks of remove(), after a second look under them,
/// and a name only if it still is that file. Dies the process in here, each queue is there or removed, or its removal is
/// finished by whoever comes next.
/// Throws Error{invalid_option} (with_messages without names), Error{invalid_name}; of a named queue what Queue::open throws,
/// and Error{untrusted_owner} if it belongs to another uid; Error{no_such_queue} if there is no such directory,
/// Error{permission_denied}, Error{system}. Of queues not named such errors are passed over.
IPCQ_EXPORT std::vector<CleanAction> clean(const CleanOptions& options = {});

/// The directory that `options.directory` means: itself, or IPCQ_DIR, or /dev/shm.
[[nodiscard]] IPCQ_EXPORT std::string resolve_directory(const std::string& directory);
/// Whether `name` is in the grammar of queue and group names.
[[nodiscard]] IPCQ_EXPORT bool is_valid_name(std::string_view name) noexcept;
/// Largest capacity_bytes that the file system of the directory has room for now; 0 if not even the least.
[[nodiscard]] IPCQ_EXPORT std::uint64_t largest_capacity_bytes(const CreateOptions& options);

}  // namespace ipcq
