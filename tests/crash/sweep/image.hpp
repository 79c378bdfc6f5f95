// SegmentImage: a queue's whole segment as bytes, put into files and taken from them; and what the kernel does to it when
// one of its processes dies.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/segment.hpp"
#include "os/process.hpp"

namespace ipcq::sweep {

using Image = std::vector<std::byte>;

/// Where a queue of the sweep is.
struct QueueAt {
  std::string directory;
  std::string name;

  [[nodiscard]] std::string path() const { return directory + "/ipcq." + name; }
  /// The dead-letter queue beside it, of operations that have one.
  [[nodiscard]] QueueAt dead_letters() const { return {directory, "dead"}; }
  [[nodiscard]] Queue open() const { return Queue::open(name, {.directory = directory}); }
  /// The inside of the same.
  [[nodiscard]] std::shared_ptr<detail::Segment> segment() const;
};

/// All that an operation works on.
struct Images {
  Image queue;
  Image dead_letters;  ///< empty: there is no such queue

  bool operator==(const Images&) const = default;
};

[[nodiscard]] Images read_images(const QueueAt& at);
/// Writes the bytes into the queues' files, which nobody has open, and makes the files if there are none.
void write_images(const QueueAt& at, const Images& images);

/// The bytes of a queue's file while others write them.
class LiveImage {
 public:
  explicit LiveImage(const QueueAt& at);
  LiveImage(const LiveImage&) = delete;
  LiveImage& operator=(const LiveImage&) = delete;
  ~LiveImage();

  [[nodiscard]] bool equals(const Image& image) const noexcept;
  [[nodiscard]] Image copy() const;
  [[nodiscard]] os::FileId file() const noexcept { return file_; }

 private:
  std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
  os::FileId file_;
};

/// Of both queues, as one traced process sees them.
class LiveImages {
 public:
  LiveImages(const QueueAt& at, bool with_dead_letters, pid_t pid);

  [[nodiscard]] bool equals(const Images& images) const noexcept;
  [[nodiscard]] Images copy() const;
  /// Changes `images`, copies taken since the process stopped, as its death would. Throws std::runtime_error if that
  /// cannot be told.
  void die(Images& images) const;

 private:
  LiveImage queue_;
  std::optional<LiveImage> dead_letters_;
  pid_t pid_;
};

/// A number that is equal for states that differ only in who and when: process and thread numbers, times, statistics.
[[nodiscard]] std::uint64_t class_of(const Images& images);

/// Moves an empty, unused queue so that its next claim is at `position`.
void move_to(Image& image, std::uint64_t position);
/// As if somebody slept on both event counts.
void pretend_waiters(Image& image);
/// A view of the bytes: for looking at and changing words, no more.
[[nodiscard]] core::View view_of(Image& image);

}  // namespace ipcq::sweep
