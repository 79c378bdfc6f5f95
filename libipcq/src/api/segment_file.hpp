// Segment files: made whole or not at all, opened with every check that a shared directory needs.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "layout/format.hpp"
#include "os/process.hpp"
#include "os/unique_fd.hpp"

namespace ipcq::detail {

/// Which queue; what every error names.
struct Place {
  std::string name;
  std::string directory;  // resolved
  std::string path;
};
/// Throws Error{invalid_name}.
[[nodiscard]] Place place_of(std::string_view name, const std::string& directory);

struct OpenedFile {
  os::UniqueFd fd;
  struct stat info {};
  layout::HeaderCopy header;
  layout::Validation validation;  // Depth::as_is: `ok` or `damaged`
};

enum class Access : std::uint8_t { read_only, read_write };
enum class Depth : std::uint8_t {
  whole,   // everything must fit this library
  frozen,  // the frozen header is enough (close and remove of other versions)
  as_is,   // as whole, but a removed queue is left alone, and damage of the header is told and not thrown
};

/// Opens the file of an existing queue and checks what it is: a regular file with one name, of a trusted owner, of the size
/// its header says, of this layout, machine and namespaces. Never blocks, follows no link, creates nothing.
/// Throws Error; a queue found half removed is finished off and answered with no_such_queue.
[[nodiscard]] OpenedFile open_file(const Place& place, Access access, Depth depth,
                                   const std::vector<uid_t>& trusted_owners);

/// An unnamed file of `bytes` reserved bytes in the directory, owned by this process. Throws Error{no_space | …}.
/// `temporary` is its name where O_TMPFILE does not exist, else empty.
[[nodiscard]] os::UniqueFd make_file(const Place& place, std::uint64_t bytes, std::string& temporary);

/// Locked by the creator of a file that has a temporary name.
inline constexpr std::uint64_t kCreatorByte = 0;

/// Gives the finished file its name. False if the name is taken. Throws Error.
[[nodiscard]] bool link_file(const Place& place, int fd, const std::string& temporary);

/// Unlinks the queue's name if it still is the file `id`. False if it is another's, or gone.
bool unlink_same(const Place& place, os::FileId id) noexcept;

[[nodiscard]] inline os::FileId file_id(const struct stat& info) noexcept { return {info.st_dev, info.st_ino}; }

/// Free bytes of the directory's file system, and of memory.
struct FreeSpace {
  std::uint64_t file_system = 0;
  std::uint64_t memory = 0;
};
[[nodiscard]] FreeSpace free_space(const std::string& directory) noexcept;

}  // namespace ipcq::detail
