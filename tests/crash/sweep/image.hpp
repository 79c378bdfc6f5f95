// SegmentImage: a queue's whole segment as bytes, put into files and taken from them; and what the kernel does to it when
// one of its processes dies.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <memory>
#include <string>
#include <vector>

#include "api/segment.hpp"

namespace ipcq::sweep {

using Image = std::vector<std::byte>;

/// Where a queue of the sweep is.
struct QueueAt {
  std::string directory;
  std::string name;

  [[nodiscard]] std::string path() const { return directory + "/ipcq." + name; }
  [[nodiscard]] Queue open() const { return Queue::open(name, {.directory = directory}); }
  /// The inside of the same.
  [[nodiscard]] std::shared_ptr<detail::Segment> segment() const;
};

[[nodiscard]] Image read_image(const QueueAt& at);
/// Writes the bytes into the queue's file, which nobody has open, and makes the file if there is none.
void write_image(const QueueAt& at, const Image& image);

/// The bytes of a queue's file while others write them.
class LiveImage {
 public:
  explicit LiveImage(const QueueAt& at);
  LiveImage(const LiveImage&) = delete;
  LiveImage& operator=(const LiveImage&) = delete;
  ~LiveImage();

  [[nodiscard]] bool equals(const Image& image) const noexcept;
  [[nodiscard]] Image copy() const;
  [[nodiscard]] ino_t inode() const noexcept { return inode_; }

 private:
  std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
  ino_t inode_ = 0;
};

/// What a traced, stopped process would leave: walks its list of robust mutexes as the kernel does at its death
/// (kernel/futex/core.c, exit_robust_list) and marks those of them that stand in the queue's file.
class DeathRule {
 public:
  /// `pid` has the file `inode` mapped from its beginning on.
  DeathRule(pid_t pid, ino_t inode);
  /// Marks `image`, a copy of the file taken since the process stopped. Throws std::runtime_error if its list is not to
  /// be read.
  void apply(Image& image) const;

 private:
  pid_t pid_;
  std::uintptr_t control_ = 0;  // where the child has the control area
};

/// A number that is equal for states that differ only in who and when: process and thread numbers, times, statistics.
[[nodiscard]] std::uint64_t class_of(const Image& image);

/// Moves an empty, unused queue so that its next claim is at `position`.
void move_to(Image& image, std::uint64_t position);
/// As if somebody slept on both event counts.
void pretend_waiters(Image& image);
/// A view of the bytes: for looking at and changing words, no more.
[[nodiscard]] core::View view_of(Image& image);

}  // namespace ipcq::sweep
