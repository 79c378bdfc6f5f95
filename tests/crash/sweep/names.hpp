// Making, opening and removing a queue, killed at every system call and at every store to shared memory: for real, since
// what a death leaves is in the directory as much as in the segment.
#pragma once

#include "crash/sweep/sweep.hpp"

namespace ipcq::sweep {

enum class Naming : std::uint8_t {
  create,
  create_by_rename,  ///< where the file system has no O_TMPFILE
  open_or_create,
  open,
  remove,
  clean,          ///< an ephemeral queue that is drained, and whose consumer died attached
  clean_full,     ///< one that is not drained: it stays
  clean_removed,  ///< a queue whose remover died
};
inline constexpr Naming kNamings[] = {Naming::create,     Naming::create_by_rename, Naming::open_or_create,
                                      Naming::open,       Naming::remove,           Naming::clean,
                                      Naming::clean_full, Naming::clean_removed};
[[nodiscard]] const char* name_of(Naming what) noexcept;

[[nodiscard]] Row sweep_naming(const std::string& directory, Naming what, const Sampling& sampling,
                               const std::function<void(const std::string&)>& report);

}  // namespace ipcq::sweep
