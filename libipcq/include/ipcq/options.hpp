// What can be chosen when a queue is created or opened, a group added, an endpoint attached.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ipcq {

/// Who may claim: any number of producers (a robust mutex per claim), or one at a time (no mutex; a successor takes over).
enum class ProducerMode : std::uint8_t { shared, exclusive };
/// Who may lease in a group: any number of members that share the work, or one at a time (no mutex; a successor takes over).
enum class ConsumerMode : std::uint8_t { shared, exclusive };
/// What a claim does when this group's unread messages leave no room.
enum class Overflow : std::uint8_t {
  block,        ///< wait until the deadline
  reject,       ///< `full` at once
  drop_oldest,  ///< give up this group's oldest unleased messages (not with exclusive consumers)
};
/// Where a new group begins.
enum class Start : std::uint8_t {
  oldest,  ///< everything that is still in the ring
  newest,  ///< only what is claimed from now on
};
enum class Lifetime : std::uint8_t {
  persistent,  ///< stays until removed
  ephemeral,   ///< a group that goes with its last member; a queue that is cleaned away (CreateOptions::grace)
};
/// How a call waits: spin (a core, lowest latency), adaptive (spin about 20 us, then sleep), sleep (at once).
enum class WaitStrategy : std::uint8_t { spin, adaptive, sleep };

/// A rate limit on claims: so many messages and payload bytes a second, and so many at once after a pause. A limit of 0 is
/// none. Rates: 1 an hour to 10^12 a second, kept within 0.1 %. A batch larger than the burst passes when nothing is owed,
/// and owes the rest.
struct Quota {
  double messages_per_second = 0;
  double bytes_per_second = 0;       ///< of payload
  std::uint32_t burst_messages = 0;  ///< 0: what 10 ms of the rate are, at least one; else needs messages_per_second
  std::uint64_t burst_bytes = 0;     ///< 0: what 10 ms of the rate are; else needs bytes_per_second

  [[nodiscard]] constexpr bool limits() const noexcept { return messages_per_second > 0 || bytes_per_second > 0; }
};

/// One consumer group. Every message is for every group; its members share them.
struct GroupOptions {
  std::string name = "default";  ///< [A-Za-z0-9_][A-Za-z0-9_.-]{0,63}
  Start start = Start::oldest;
  std::optional<Overflow> overflow{};       ///< the queue's unless said
  std::optional<ConsumerMode> consumers{};  ///< the queue's unless said
  Lifetime lifetime = Lifetime::persistent;
};

/// Which queue, and whose queues are trusted.
struct OpenOptions {
  /// A tmpfs directory; empty: the environment's IPCQ_DIR (ignored in set-uid programs), else /dev/shm.
  std::string directory{};
  /// In a sticky or world-writable directory: uids besides root and the caller's own whose queues may be opened.
  std::vector<uid_t> trusted_owners{};
};

/// What a new queue is. Fields marked (promise) must agree at open_or_create of an existing queue.
struct CreateOptions {
  std::size_t capacity_bytes = std::size_t{8} << 20;  ///< rounded up to a power of two; at least 64 KiB
  mode_t mode = 0600;                                 ///< exactly so, whatever the umask
  std::string file_group{};                       ///< group name or number that shall own the file; empty: the caller's
  ProducerMode producers = ProducerMode::shared;  ///< (promise)
  ConsumerMode consumers = ConsumerMode::shared;  ///< of groups that say nothing
  Overflow overflow = Overflow::block;            ///< of groups that say nothing
  std::vector<GroupOptions> groups{};             ///< (promise: kind of those named) empty: one group, "default"
  std::string type{};                             ///< (promise) what a message is, in the users' words; up to 63 bytes
  std::uint32_t alignment_bytes = 16;             ///< (promise) of each payload; power of two, 16 to 4096
  bool timestamps = true;                         ///< enqueue times; off: every time is 0
  bool metrics = true;                            ///< latency histograms; off is reported as off
  std::uint32_t endpoints_max = 128;              ///< 2 to 255
  std::uint32_t groups_max = 16;                  ///< 1 to 64
  std::uint32_t ledger_entries = 256;             ///< open leases a group, 4 to 4096
  /// A message is handed out at most so often in each group, 1 to 8191; 0: without limit. A consumer that died holding it
  /// counts, and so does one that gave it back. With 1 everything in the lease of a consumer that dies is given up; from 2
  /// on only what kills when it is handed out alone. Set: needs dead_letter or drop_after.
  std::uint32_t max_deliveries = 0;
  /// The queue, in the same directory, that gets messages past max_deliveries, with their origin (ipcq/dead_letter.hpp).
  /// It need not exist yet, and must not be the queue itself. While it cannot take a message, that one is parked.
  std::string dead_letter{};
  /// ephemeral: ipcq::clean (ipcq gc, ipcqd) removes the queue once it is drained and nobody has been attached for `grace`.
  Lifetime lifetime = Lifetime::persistent;
  std::chrono::seconds grace{30};  ///< of an ephemeral queue, 0 to 10^9; after a death, from when the death is found
  bool drop_after = false;         ///< messages past max_deliveries are dropped instead, and counted
  Quota quota{};                   ///< the creator's, of all producers together (ipcq/quota.hpp)
  Quota producer_quota{};          ///< the creator's, of each producer
  std::string directory{};         ///< as OpenOptions
  std::vector<uid_t> trusted_owners{};  ///< as OpenOptions
};

struct ProducerOptions {
  WaitStrategy wait = WaitStrategy::adaptive;
};

struct ConsumerOptions {
  std::string group = "default";
  /// Set: a missing group is created so (its name field is ignored: `group` counts). Unset: a missing group is an error.
  std::optional<GroupOptions> create_group{};
  WaitStrategy wait = WaitStrategy::adaptive;
};

}  // namespace ipcq
