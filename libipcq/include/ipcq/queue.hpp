// Queue: create or open a named segment, attach producers and consumers. Start here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "ipcq/consumer.hpp"
#include "ipcq/detail/record.hpp"
#include "ipcq/error.hpp"
#include "ipcq/export.hpp"
#include "ipcq/options.hpp"
#include "ipcq/producer.hpp"

namespace ipcq {

struct QueueInfo;
namespace detail {
class Segment;
}

/// A queue of this host, mapped into this process. Copyable (copies share the mapping) and safe to use from any thread.
/// The mapping lives until the last Queue, Producer, Consumer, Claim and Lease of it is gone.
/// In a forked child every call throws Error{forked}.
class IPCQ_EXPORT Queue {
 public:
  /// Creates `name` whole or not at all: a visible name is a finished queue whose memory is reserved (no SIGBUS later).
  /// Throws Error{exists}, Error{invalid_name | invalid_option}, Error{no_space}, Error{permission_denied},
  /// Error{no_robust_mutex}, Error{system}. Dies the process in here, nothing is left behind (without O_TMPFILE: a
  /// temporary file that `ipcq ls` shows).
  [[nodiscard]] static Queue create(std::string_view name, const CreateOptions& options = {}) {
    return create_checked(name, options, detail::kLayoutVersion);
  }
  /// Opens an existing queue for reading and writing; takes no row. Never blocks on a creator.
  /// Throws Error{no_such_queue}, Error{invalid_name}, Error{not_a_queue}, Error{damaged}, Error{other_layout |
  /// other_machine | other_namespace}, Error{permission_denied}, Error{untrusted_owner}, Error{removed}, Error{system}.
  [[nodiscard]] static Queue open(std::string_view name, const OpenOptions& options = {}) {
    return open_checked(name, options, detail::kLayoutVersion);
  }
  /// Opens the queue, or creates it if there is none. Throws as both, and Error{incompatible}, naming both sides, if a
  /// promise of the existing queue differs from `options`.
  [[nodiscard]] static Queue open_or_create(std::string_view name, const CreateOptions& options = {}) {
    return open_or_create_checked(name, options, detail::kLayoutVersion);
  }

  /// Attaches a producer. Throws Error{too_many_endpoints}, Error{in_use} (exclusive: one lives already; names it),
  /// Error{closed | removed | poisoned}, Error{forked}.
  [[nodiscard]] Producer producer(const ProducerOptions& options = {}) const;
  /// Attaches a consumer to a group. Throws Error{no_such_group}, Error{too_many_endpoints}, Error{too_many_groups},
  /// Error{in_use} (exclusive group: one lives already; names it), Error{removed | poisoned}, Error{forked}.
  [[nodiscard]] Consumer consumer(const ConsumerOptions& options = {}) const;
  /// Attaches a consumer to `group`, which must exist.
  [[nodiscard]] Consumer consumer(std::string_view group) const;

  /// Adds a group. Throws Error{group_exists}, Error{too_many_groups}, Error{invalid_name | invalid_option}, Error{removed}.
  void add_group(const GroupOptions& options) const;
  /// Removes a group; its members get `group_removed`. Throws Error{no_such_group}, Error{last_group}, Error{in_use} while
  /// a living member is attached (`force`: while one holds a lease; an exclusive group: while its consumer lives) or
  /// messages are parked in it (`force`: they go with it). Two that remove the last two groups with force at once: one gets
  /// last_group, but members of the group that stays may have been told `group_removed` meanwhile. They attach again.
  void remove_group(std::string_view group, bool force = false) const;
  /// Gives up the messages of a group that are parked (past max_deliveries, and the dead-letter queue did not take them);
  /// how many. Dies the process in here, some of them are. Throws Error{no_such_group}, Error{in_use} while an exclusive
  /// group's consumer lives, Error{timed_out | removed | poisoned}.
  std::uint64_t purge_parked(std::string_view group) const;
  /// Gives up all messages of a group that were committed before and that no living member has leased, parked ones too; how
  /// many. Its members, and an open claim of a living producer with what is behind it, keep what they have. Dies the
  /// process in here, some of them are given up. Throws Error{no_such_group}, Error{in_use} while a living member is attached
  /// (`force`: while an exclusive group's consumer lives, or leases leave no room in the ledger), Error{timed_out | removed |
  /// poisoned | damaged}.
  std::uint64_t purge(std::string_view group, bool force = false) const;

  /// End of stream: no new claims from now on; consumers get `closed` when they have drained. Idempotent. With an exclusive
  /// producer attached only that one knows where the stream ends: it tells so at its next claim (refused), commit or abort,
  /// or when it detaches. So detach it, also in this process, before others wait for the end.
  void close() const;
  /// Takes close() back.
  void reopen() const;
  [[nodiscard]] bool closed() const;

  /// Everything about the queue, as values; see admin.hpp. Takes no lock.
  [[nodiscard]] QueueInfo inspect() const;

  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const std::string& path() const noexcept;
  [[nodiscard]] std::size_t capacity_bytes() const noexcept;
  /// Largest payload of one message.
  [[nodiscard]] std::size_t message_bytes_max() const noexcept;
  /// Whether this call of open_or_create made it.
  [[nodiscard]] bool created() const noexcept;

 private:
  explicit Queue(std::shared_ptr<detail::Segment> segment, bool created) noexcept;
  // Inline callers hand over the record format they were compiled with; another than the library's is refused.
  static Queue create_checked(std::string_view name, const CreateOptions& options, std::uint32_t header_layout);
  static Queue open_checked(std::string_view name, const OpenOptions& options, std::uint32_t header_layout);
  static Queue open_or_create_checked(std::string_view name, const CreateOptions& options, std::uint32_t header_layout);

  std::shared_ptr<detail::Segment> segment_;
  bool created_ = false;
};

}  // namespace ipcq
