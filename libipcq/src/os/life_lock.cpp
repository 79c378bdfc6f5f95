#include "os/life_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <span>
#include <utility>

#include "os/robust_mutex.hpp"

namespace ipcq::os {

std::atomic<std::uint32_t> g_fork_generation{1};

namespace {

// The registry of life descriptors, for the child handler of fork(), and for who owns a number. No lock, which another thread
// might hold at the fork: a slot is taken and given back by one store of its name.
using Name = LifeDescriptor::Name;
constexpr Name kFree = 0;
constexpr Name kFilling = 1;
struct Slot {
  std::atomic<Name> name{kFree};  // serial << 32 | number + 2: the same number, given to us again, is another name
  std::atomic<std::uint64_t> dev{0};
  std::atomic<std::uint64_t> ino{0};
};
constexpr std::size_t kSlots = 4096;
Slot g_slots[kSlots];
std::atomic<std::size_t> g_slots_used{0};  // none behind it has ever been taken
std::atomic<std::uint32_t> g_serial{0};

constexpr int number_of(Name name) { return static_cast<int>(name & 0xFFFFFFFF) - 2; }

bool is_file(int fd, std::uint64_t dev, std::uint64_t ino) noexcept {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && info.st_dev == dev && info.st_ino == ino;
}

std::span<Slot> used_slots() noexcept {
  return {g_slots, g_slots_used.load(std::memory_order_relaxed)};  // relaxed: a slot taken just now names a new number
}

void close_life_descriptors_in_child() {
  // relaxed, all of it: the child has one thread.
  g_fork_generation.fetch_add(1, std::memory_order_relaxed);
  for (Slot& slot : used_slots()) {
    const int fd = number_of(slot.name.exchange(kFree, std::memory_order_relaxed));
    // A foreign close may have given the number to another file, which is not ours to close.
    if (fd >= 0 && is_file(fd, slot.dev.load(std::memory_order_relaxed), slot.ino.load(std::memory_order_relaxed)))
      ::close(fd);
  }
}

struct Entry {
  std::uint32_t slot = 0;
  Name name = kFree;
};

Entry remember(int fd, std::uint64_t dev, std::uint64_t ino) noexcept {
  watch_forks();
  disown_number(fd);
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    Slot& slot = g_slots[i];
    Name expected = kFree;
    // relaxed: see R:slot.
    if (!slot.name.compare_exchange_strong(expected, kFilling, std::memory_order_relaxed)) continue;
    // relaxed, both counters: the slot's name comes behind, and a serial need only be new.
    std::size_t used = g_slots_used.load(std::memory_order_relaxed);
    while (used < i + 1 && !g_slots_used.compare_exchange_weak(used, i + 1, std::memory_order_relaxed)) continue;
    const Name serial = g_serial.fetch_add(1, std::memory_order_relaxed) + Name{1};
    const Name name = serial << 32 | (static_cast<Name>(fd) + 2);
    slot.dev.store(dev, std::memory_order_relaxed);
    slot.ino.store(ino, std::memory_order_relaxed);
    slot.name.store(name, std::memory_order_release);  // R:slot, with A:slot: fork() copies what came before
    return {i, name};
  }
  return {};
}

void forget(const Entry& entry) noexcept {
  Name expected = entry.name;
  if (entry.name == kFree) return;
  g_slots[entry.slot].name.compare_exchange_strong(expected, kFree, std::memory_order_acquire);  // A:slot, with R:slot
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

void disown_number(int fd) noexcept {
  for (Slot& slot : used_slots()) {
    // relaxed: who had the number lost it before the kernel gave it to us.
    Name name = slot.name.load(std::memory_order_relaxed);
    if (number_of(name) == fd) slot.name.compare_exchange_strong(name, kFree, std::memory_order_relaxed);
  }
}

bool is_life_descriptor(int fd) noexcept {
  return std::ranges::any_of(used_slots(), [fd](const Slot& slot) {
    return number_of(slot.name.load(std::memory_order_relaxed)) == fd;  // relaxed: as above
  });
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
  const Entry entry = remember(fd_, dev_, ino_);
  slot_ = entry.slot;
  name_ = entry.name;
}

LifeDescriptor::LifeDescriptor(LifeDescriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      generation_(other.generation_),
      dev_(other.dev_),
      ino_(other.ino_),
      slot_(other.slot_),
      name_(other.name_) {}

LifeDescriptor& LifeDescriptor::operator=(LifeDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    generation_ = other.generation_;
    dev_ = other.dev_;
    ino_ = other.ino_;
    slot_ = other.slot_;
    name_ = other.name_;
  }
  return *this;
}

bool LifeDescriptor::is_ours() const noexcept {
  return fd_ >= 0 &&
         (name_ == kFree || g_slots[slot_].name.load(std::memory_order_acquire) == name_) &&  // A:slot, with R:slot
         is_file(fd_, dev_, ino_);
}

void LifeDescriptor::close() noexcept {
  if (fd_ < 0) return;
  // An inherited one was closed at the fork; its number may be the child's own life descriptor by now.
  if (generation_ == fork_generation()) {
    const bool ours = is_ours();
    forget({slot_, name_});  // before the close: from then on the number may be another's
    if (ours) ::close(fd_);
  }
  fd_ = -1;
}

}  // namespace ipcq::os
