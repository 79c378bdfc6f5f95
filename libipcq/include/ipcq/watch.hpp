// Watching queues for their dead: what ipcqd is made of. For programs that bring their own watchdog, and for tools.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ipcq/admin.hpp"
#include "ipcq/export.hpp"
#include "ipcq/options.hpp"

namespace ipcq {

namespace detail {
class Segment;
}

/// What a file of the directory is, by its name alone.
struct FileName {
  std::string name;       ///< of the queue; of a leftover, its file's
  bool leftover = false;  ///< the temporary file of a creator
};
/// Nothing: no queue's file. Opens nothing.
[[nodiscard]] IPCQ_EXPORT std::optional<FileName> parse_file_name(std::string_view file_name);
/// All such files of the directory, by name, none of them opened. Throws as list().
[[nodiscard]] IPCQ_EXPORT std::vector<FileName> file_names(const OpenOptions& options = {});

/// Who is attached in a row. A row that is used again has another incarnation.
struct Attached {
  std::uint32_t row = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t pid = 0;
  bool producer = false;  ///< else a consumer
  friend bool operator==(const Attached&, const Attached&) = default;
};

/// What a recovery came to. Counts are differences of the queue's own: what others recover at the same moment is in them.
struct Recovery {
  std::uint64_t claims = 0;   ///< of dead producers, skipped
  std::uint64_t leases = 0;   ///< of dead consumers, given back
  std::uint64_t mutexes = 0;  ///< that their holders died in, repaired
  std::uint32_t rows = 0;     ///< of dead endpoints, freed
  bool complete = true;       ///< false: a stopped process holds a lock that is needed; try again later
  [[nodiscard]] bool nothing() const noexcept { return claims + leases + mutexes + rows == 0; }
};

/// A queue kept open by a watchdog: it holds no row and no life lock, so it keeps nobody from anything; but the memory of a
/// queue that is removed goes only with it. One thread at a time.
class IPCQ_EXPORT Watch {
 public:
  /// Opens a queue that belongs to the caller's effective uid. Throws as Queue::open, and Error{untrusted_owner} for another
  /// uid's, since a recoverer takes locks in memory that its owner can write.
  explicit Watch(std::string_view name, const OpenOptions& options = {});
  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

  /// Who is attached, dead or alive, by row. Loads of shared memory only: no lock, no system call.
  [[nodiscard]] std::vector<Attached> attached() const;
  /// Whether it lives, or lived until a moment ago: `dead` is for good. 0.3 us for the living, more for the others.
  [[nodiscard]] Life life(const Attached& endpoint) const;
  /// Looks for what the dead left, and recovers it, as every sleeping call of a producer or consumer does 20 times a second:
  /// claims are skipped, leases given back, rows freed, mutexes repaired, removals of groups and closes finished. Takes one
  /// lock at a time, and gives each a few milliseconds, so a stopped process delays it and never blocks it. Dies the process
  /// in here, whoever comes next goes on.
  [[nodiscard]] Recovery recover() const;

  /// Lets go of the pages that were looked at, until the next look, so that a thousand queues that nobody uses take no room in
  /// this process. Two system calls; the queue's memory itself stays.
  void rest() const noexcept;

  [[nodiscard]] bool removed() const noexcept;
  [[nodiscard]] bool poisoned() const noexcept;
  [[nodiscard]] Lifetime lifetime() const noexcept;
  /// Whether any limit is set, of whatever scope and by whomever.
  [[nodiscard]] bool limited() const noexcept;
  /// Of the queue's file: a name may come to mean another.
  [[nodiscard]] ino_t inode() const noexcept;

 private:
  friend class Audit;
  std::shared_ptr<detail::Segment> segment_;
};

/// Takes a producer's right to claim: its next claim, also one that is waiting, is answered with `revoked`; a claim that is
/// open may still be committed. Attaching again gives a new right. False: no such producer is attached (any more).
/// Throws as Queue::open, Error{timed_out} if a stopped process holds the endpoint table, Error{poisoned}.
IPCQ_EXPORT bool revoke(std::string_view name, std::uint32_t row, std::uint32_t incarnation,
                        const OpenOptions& options = {});

}  // namespace ipcq
