// Removal: the steps by which a queue's file goes, for whoever removes one by name and for cleaning.
#pragma once

#include <memory>

#include "api/segment.hpp"
#include "api/segment_file.hpp"

namespace ipcq::detail {

/// The locks under which a queue is removed, on a description of their own: the remover's byte, so that two removers do not
/// mix, then the whole life range, so that nobody lives there and nobody attaches. Let go with the object.
class RemovalLocks {
 public:
  /// Throws Error{system}.
  RemovalLocks(const Place& place, const OpenedFile& file);

  /// Tries for `attempts` milliseconds. False: another process is removing or repairing the queue.
  [[nodiscard]] bool lock_out_removers(int attempts) const noexcept;
  /// One attempt. False: somebody lives there, or attaches just now.
  [[nodiscard]] bool lock_out_everybody() const noexcept;
  /// The description: probes through it see its own locks as free.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  os::UniqueFd fd_;
  std::uint64_t life_begin_;
  std::uint32_t life_count_;
};

/// Throws Error{permission_denied} if the modes say that this process may not unlink the queue's name: asked before the
/// mark, which cannot be taken back from those who have seen it.
void check_may_unlink(const Place& place, const OpenedFile& file);

/// Marks the queue as removed, unlinks its name if that still is this file, and wakes all. `segment`: of the same file, or
/// null where only the frozen header is usable. With the locks held; steps as in docs/recovery.md.
/// Throws Error{permission_denied} if the file is marked and may not be unlinked.
void mark_and_unlink(const Place& place, const OpenedFile& file, const Segment* segment);

}  // namespace ipcq::detail
