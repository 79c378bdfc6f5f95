#include "os/life_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdio>
#include <utility>

#include "os/robust_mutex.hpp"

namespace ipcq::os {

std::atomic<std::uint32_t> g_fork_generation{1};

namespace {

// The registry of life descriptors, for the child handler of fork(). No lock, which another thread might hold at the fork:
// a slot is taken and given back by one store of its descriptor's number.
struct Slot {
  std::atomic<int> fd{0};  // + 1; 0: free; -1: being filled
  std::atomic<std::uint64_t> dev{0};
  std::atomic<std::uint64_t> ino{0};
};
constexpr std::size_t kSlots = 4096;
Slot g_slots[kSlots];

bool is_file(int fd, std::uint64_t dev, std::uint64_t ino) noexcept {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && info.st_dev == dev && info.st_ino == ino;
}

void close_life_descriptors_in_child() {
  // relaxed, all of it: the child has one thread.
  g_fork_generation.fetch_add(1, std::memory_order_relaxed);
  for (Slot& slot : g_slots) {
    const int fd = slot.fd.exchange(0, std::memory_order_relaxed) - 1;
    // A foreign close may have given the number to another file, which is not ours to close.
    if (fd >= 0 && is_file(fd, slot.dev.load(std::memory_order_relaxed), slot.ino.load(std::memory_order_relaxed)))
      ::close(fd);
  }
}

void remember(int fd, std::uint64_t dev, std::uint64_t ino) noexcept {
  watch_forks();
  for (Slot& slot : g_slots) {
    int expected = 0;
    if (!slot.fd.compare_exchange_strong(expected, -1, std::memory_order_relaxed)) continue;  // relaxed: see R:slot
    slot.dev.store(dev, std::memory_order_relaxed);
    slot.ino.store(ino, std::memory_order_relaxed);
    slot.fd.store(fd + 1, std::memory_order_release);  // R:slot, with A:slot: fork() copies what came before
    return;
  }
}

void forget(int fd) noexcept {
  for (Slot& slot : g_slots) {
    int expected = fd + 1;
    if (slot.fd.compare_exchange_strong(expected, 0, std::memory_order_acquire)) return;  // A:slot, with R:slot
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
  static const int kRegistered = on_fork_in_child(&close_life_descriptors_in_child);
  (void)kRegistered;
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

LifeDescriptor::LifeDescriptor(UniqueFd fd) : generation_(fork_generation()) {
  struct stat info {};
  if (::fstat(fd.get(), &info) == 0) {
    dev_ = info.st_dev;
    ino_ = info.st_ino;
  }
  fd_ = fd.release();
  remember(fd_, dev_, ino_);
}

LifeDescriptor::LifeDescriptor(LifeDescriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), generation_(other.generation_), dev_(other.dev_), ino_(other.ino_) {}

LifeDescriptor& LifeDescriptor::operator=(LifeDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    generation_ = other.generation_;
    dev_ = other.dev_;
    ino_ = other.ino_;
  }
  return *this;
}

bool LifeDescriptor::is_ours() const noexcept { return fd_ >= 0 && is_file(fd_, dev_, ino_); }

void LifeDescriptor::close() noexcept {
  if (fd_ < 0) return;
  // An inherited one was closed at the fork; its number may be the child's own life descriptor by now.
  if (generation_ == fork_generation()) {
    forget(fd_);
    if (is_ours()) ::close(fd_);
  }
  fd_ = -1;
}

}  // namespace ipcq::os
