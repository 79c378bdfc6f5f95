// Mapping: the views of one segment file inside one address-space reservation. The one user of Boost.Interprocess.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ipcq::os {

/// A reservation [control][data read-only, twice][data writable, twice][data dormant]; each part is mapped when asked for.
/// The control part is mapped once and never moves (it holds mutexes that glibc links by address). The whole is unmapped
/// in one step at destruction, so that no other thread can slip into a hole that we then unmap.
/// Mappings are not inherited by fork (MADV_DONTFORK) and not dumped (MADV_DONTDUMP).
class Mapping {
 public:
  /// Reserves address space. Sizes are multiples of the page size. Throws std::system_error.
  Mapping(std::size_t control_bytes, std::size_t data_bytes);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  /// Each throws std::system_error. `fd` must be open accordingly; it may be closed afterwards.
  std::byte* map_control(int fd, bool writable);
  const std::byte* map_data_read_only(int fd);
  std::byte* map_data_writable(int fd);
  /// Without any access, for PageWindow.
  std::byte* map_data_dormant(int fd);

  /// In a forked child the pages are not there and the addresses may be somebody else's: forget them.
  void disown() noexcept { base_ = nullptr; }

 private:
  void map_at(int fd, bool writable, std::size_t offset, std::size_t bytes, std::byte* at);

  std::byte* base_ = nullptr;
  std::size_t reserved_ = 0;
  std::size_t control_bytes_;
  std::size_t data_bytes_;
};

/// One page of a dormant mapping, writable for the moment. For repairs by processes whose standing view of the data is
/// read-only. Needs no descriptor: somebody may have closed ours (closefrom), and its number may be another file now.
/// One thread of the process at a time; it may hold three.
class PageWindow {
 public:
  explicit PageWindow(std::byte* at) noexcept;
  ~PageWindow();
  PageWindow(const PageWindow&) = delete;
  PageWindow& operator=(const PageWindow&) = delete;
  /// Null if the page could not be made writable.
  [[nodiscard]] std::byte* at() const noexcept { return at_; }

 private:
  std::byte* at_;
};

/// A whole file, copy on write: what is written there nobody else ever sees. Not inherited by fork.
class PrivateCopy {
 public:
  /// Throws std::system_error.
  PrivateCopy(int fd, std::size_t bytes);
  ~PrivateCopy();
  PrivateCopy(const PrivateCopy&) = delete;
  PrivateCopy& operator=(const PrivateCopy&) = delete;
  [[nodiscard]] std::byte* at() const noexcept { return at_; }

 private:
  std::byte* at_;
  std::size_t bytes_;
};

std::size_t page_bytes() noexcept;

}  // namespace ipcq::os
