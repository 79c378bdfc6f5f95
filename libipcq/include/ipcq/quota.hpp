// Quotas: how fast producers may claim. They hold by themselves: each claim debits buckets in the segment.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ipcq/export.hpp"
#include "ipcq/options.hpp"

namespace ipcq {

/// Who sets a limit. The three are kept apart; of each rate the lowest holds, with its own burst.
enum class QuotaSource : std::uint8_t {
  creator,    ///< CreateOptions
  operator_,  ///< an administrator, by hand  NOLINT(readability-identifier-naming): `operator` is a keyword
  policy,     ///< a watchdog's configuration
};
inline constexpr std::array kQuotaSources{QuotaSource::creator, QuotaSource::operator_, QuotaSource::policy};
IPCQ_EXPORT const char* to_string(QuotaSource source) noexcept;  ///< "creator", "operator", "policy"

/// Whom a limit binds. A producer is bound by all that apply to it: the queue's, its user's, its own, every producer's.
struct QuotaScope {
  enum class Kind : std::uint8_t {
    queue,          ///< all producers together
    user,           ///< all producers of one uid together
    each_producer,  ///< every producer by itself
    producer,       ///< the one producer attached in a row, until it detaches
  };
  Kind kind = Kind::queue;
  std::uint32_t number = 0;  ///< of a user: the uid; of a producer: the row (Producer::row); else 0

  [[nodiscard]] static constexpr QuotaScope queue() noexcept { return {}; }
  [[nodiscard]] static constexpr QuotaScope user(uid_t uid) noexcept { return {Kind::user, uid}; }
  [[nodiscard]] static constexpr QuotaScope each_producer() noexcept { return {Kind::each_producer, 0}; }
  [[nodiscard]] static constexpr QuotaScope producer(std::uint32_t row) noexcept { return {Kind::producer, row}; }
  [[nodiscard]] constexpr bool operator==(const QuotaScope&) const noexcept = default;
};

/// The limits of one scope, and what came of them.
struct QuotaInfo {
  QuotaScope scope;
  std::array<Quota, 3> limits{};             ///< by QuotaSource, as set
  Quota holds{};                             ///< the lowest of them, with its burst; default bursts in numbers
  std::optional<QuotaSource> messages_by{};  ///< whose rate of messages holds; nothing: none is set
  std::optional<QuotaSource> bytes_by{};     ///< whose rate of bytes holds
  /// Until everything that was claimed is paid for: of messages and of bytes whichever takes longer. Of each producer: 0.
  std::uint64_t owed_ns = 0;
  /// Claims that were refused with `over_quota`, and time that claims waited for it: of all producers in the scope. Of a
  /// producer since it attached. Of each producer: 0.
  std::uint64_t refusals = 0;
  std::uint64_t wait_ns = 0;

  [[nodiscard]] const Quota& limit(QuotaSource source) const noexcept {
    return limits[static_cast<std::size_t>(source)];
  }
};

/// Sets what `source` says of `scope`, in place of what it said before; the other sources' limits stay. A claim that waits
/// is woken and looks anew; who claims next finds nothing owed. The same as is set already changes nothing. For the
/// owner of the queue and root: kept by the tools, not by the library. Blocks up to 0.4 s for a stopped process.
/// Dies the process in here, the limit is as before, or as asked, or the rate and the burst of one is the new and of the
/// other the old; set it again.
/// Throws as Queue::open; Error{invalid_option} for a rate out of range, a burst without its rate, and a row in which no
/// producer is attached; Error{too_many_quotas} when 32 users (each_producer counts as one) have limits; Error{timed_out}.
IPCQ_EXPORT void set_quota(std::string_view name, QuotaScope scope, QuotaSource source, const Quota& quota,
                           const OpenOptions& options = {});
/// Takes away what `source` says of `scope`. As set_quota with a quota that limits nothing.
IPCQ_EXPORT void clear_quota(std::string_view name, QuotaScope scope, QuotaSource source,
                             const OpenOptions& options = {});
/// The limits of one scope; those of nobody limit nothing. Needs read permission only, locks nothing. Throws as Queue::open,
/// and Error{invalid_option} for a row that there is not. QueueInfo::quotas has all scopes with limits.
[[nodiscard]] IPCQ_EXPORT QuotaInfo get_quota(std::string_view name, QuotaScope scope = QuotaScope::queue(),
                                              const OpenOptions& options = {});

}  // namespace ipcq
