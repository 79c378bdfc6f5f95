// Life locks: one byte of the segment's lock space per endpoint, held as long as its process lives.
//
// Open-file-description locks (fcntl(2), F_OFD_SETLK): they end with the description, not with the process, so the
// description is never mapped (a mapping keeps it), never shared with a probe (a probe through the holder sees itself as
// free), and closed in the child at fork.
#pragma once

#include <atomic>
#include <cstdint>

#include "os/unique_fd.hpp"

namespace ipcq::os {

enum class ByteState : std::uint8_t { free, held, unknown };

/// Write-locks `count` bytes at `offset` on `fd`'s description, without waiting. True if the lock is ours now.
bool lock_bytes(int fd, std::uint64_t offset, std::uint64_t count) noexcept;
void unlock_bytes(int fd, std::uint64_t offset, std::uint64_t count) noexcept;
/// Whether another description holds the byte. `fd` must carry no lock itself. About 0.3 us.
ByteState probe_byte(int fd, std::uint64_t offset) noexcept;

/// Opens the file behind `fd` again: a description of its own. -1 and errno on failure (needs /proc).
UniqueFd reopen(int fd, int flags) noexcept;

/// A life descriptor, remembered so that a forked child closes its copy (else the child would keep the dead alive).
class LifeDescriptor {
 public:
  LifeDescriptor() noexcept = default;
  /// Takes over `fd`.
  explicit LifeDescriptor(UniqueFd fd);
  LifeDescriptor(LifeDescriptor&& other) noexcept;
  LifeDescriptor& operator=(LifeDescriptor&& other) noexcept;
  LifeDescriptor(const LifeDescriptor&) = delete;
  LifeDescriptor& operator=(const LifeDescriptor&) = delete;
  ~LifeDescriptor() { close(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  /// Whether the descriptor is still the file it was (a foreign close, closefrom(3), may have put another there), and the number
  /// has not become another life descriptor's of this process, which is the same file.
  [[nodiscard]] bool is_ours() const noexcept;
  /// Closes it, if it is still ours; a foreign descriptor is left alone.
  void close() noexcept;

  using Name = std::uint64_t;  ///< of a descriptor in the registry; 0: none, when that is full

 private:
  int fd_ = -1;
  std::uint32_t generation_ = 0;  // of the process that opened it
  std::uint64_t dev_ = 0;
  std::uint64_t ino_ = 0;
  std::uint32_t slot_ = 0;  // in the registry
  Name name_ = 0;
};

/// `fd` was opened just now by somebody who is no life descriptor: one that had the number has lost it.
void disown_number(int fd) noexcept;
/// Whether a life descriptor of this process owns that number.
[[nodiscard]] bool is_life_descriptor(int fd) noexcept;

/// From here on children of fork() are told apart. Before the first mapping.
void watch_forks() noexcept;

/// Raised in every child of fork(): a handle made under another number was inherited. One load: every call looks.
extern std::atomic<std::uint32_t> g_fork_generation;
[[nodiscard]] inline std::uint32_t fork_generation() noexcept {
  return g_fork_generation.load(std::memory_order_relaxed);  // relaxed: the child has one thread
}

}  // namespace ipcq::os
