#include "os/life_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdio>
#include <utility>

#include "os/robust_mutex.hpp"

namespace ipcq::os {
namespace {

// The registry of life descriptors, for the child handler of fork(). No lock, which another thread might hold at the fork:
// each slot changes by one store.
constexpr std::size_t kSlots = 4096;
std::atomic<int> g_life_fds[kSlots];  // fd + 1; 0: free slot
std::atomic<std::uint32_t> g_fork_generation{1};

void close_life_descriptors_in_child() {
  g_fork_generation.fetch_add(1, std::memory_order_relaxed);  // relaxed: the child has one thread
  for (auto& slot : g_life_fds) {
    const int fd = slot.exchange(0, std::memory_order_relaxed) - 1;
    if (fd >= 0) ::close(fd);
  }
}

void remember(int fd) noexcept {
  watch_forks();
  for (auto& slot : g_life_fds) {
    int expected = 0;
    if (slot.compare_exchange_strong(expected, fd + 1, std::memory_order_relaxed)) return;
  }
}

void forget(int fd) noexcept {
  for (auto& slot : g_life_fds) {
    int expected = fd + 1;
    if (slot.compare_exchange_strong(expected, 0, std::memory_order_relaxed)) return;
  }
}

struct flock whole(short type, std::uint64_t offset, std::uint64_t count) noexcept {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(offset);
  lock.l_len = static_cast<off_t>(count);
  return lock;
}

}  // namespace

void watch_forks() noexcept {
  static const int registered = on_fork_in_child(&close_life_descriptors_in_child);
  (void)registered;
}

bool lock_bytes(int fd, std::uint64_t offset, std::uint64_t count) noexcept {
  struct flock lock = whole(F_WRLCK, offset, count);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

void unlock_bytes(int fd, std::uint64_t offset, std::uint64_t count) noexcept {
  struct flock lock = whole(F_UNLCK, offset, count);
  ::fcntl(fd, F_OFD_SETLK, &lock);
}

ByteState probe_byte(int fd, std::uint64_t offset) noexcept {
  struct flock lock = whole(F_WRLCK, offset, 1);
  if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) return ByteState::unknown;
  return lock.l_type == F_UNLCK ? ByteState::free : ByteState::held;
}

UniqueFd reopen(int fd, int flags) noexcept {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return UniqueFd(::open(path, flags | O_CLOEXEC | O_NONBLOCK));
}

LifeDescriptor::LifeDescriptor(UniqueFd fd) {
  struct stat info {};
  if (::fstat(fd.get(), &info) == 0) {
    dev_ = info.st_dev;
    ino_ = info.st_ino;
  }
  fd_ = fd.release();
  remember(fd_);
}

LifeDescriptor::LifeDescriptor(LifeDescriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), dev_(other.dev_), ino_(other.ino_) {}

LifeDescriptor& LifeDescriptor::operator=(LifeDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    dev_ = other.dev_;
    ino_ = other.ino_;
  }
  return *this;
}

bool LifeDescriptor::is_ours() const noexcept {
  struct stat info {};
  return fd_ >= 0 && ::fstat(fd_, &info) == 0 && info.st_dev == dev_ && info.st_ino == ino_;
}

void LifeDescriptor::close() noexcept {
  if (fd_ < 0) return;
  forget(fd_);
  if (is_ours()) ::close(fd_);
  fd_ = -1;
}

std::uint32_t fork_generation() noexcept { return g_fork_generation.load(std::memory_order_relaxed); }

}  // namespace ipcq::os
