#include "crash/sweep/image.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "core/event_count.hpp"
#include "os/unique_fd.hpp"

namespace ipcq::sweep {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

// As the kernel and glibc share it: set_robust_list(2), and struct __pthread_mutex_s.
struct RobustList {
  std::uintptr_t first = 0;
  std::int64_t futex_offset = 0;
  std::uintptr_t pending = 0;
};
constexpr std::uint32_t kOwnerDied = 0x40000000U;
constexpr std::uint32_t kWaiters = 0x80000000U;
constexpr std::uint32_t kThreadId = 0x3fffffffU;
constexpr std::uintptr_t kPriorityInheritance = 1;  // the lowest bit of an entry's address
constexpr int kListMax = 2048;                      // ROBUST_LIST_LIMIT

template <class T>
T peek(pid_t pid, std::uintptr_t address) {
  T value{};
  const iovec here{&value, sizeof value};
  const iovec there{reinterpret_cast<void*>(address), sizeof value};
  if (::process_vm_readv(pid, &here, 1, &there, 1, 0) != static_cast<ssize_t>(sizeof value)) fail("process_vm_readv");
  return value;
}

// Where a process has the beginning of a file mapped; 0: nowhere.
std::uintptr_t mapped_at(pid_t pid, os::FileId file) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0;
    unsigned long offset = 0;
    unsigned major = 0;
    unsigned minor = 0;
    unsigned long long number = 0;
    if (std::sscanf(line.c_str(), "%lx-%*x %*s %lx %x:%x %llu", &from, &offset, &major, &minor, &number) == 5 &&
        offset == 0 && number == file.ino && makedev(major, minor) == file.dev)
      return from;
  }
  return 0;
}

// What the death of a stopped process makes of a file's bytes: walks its list of robust mutexes as the kernel does
// (kernel/futex/core.c, exit_robust_list) and marks those of them that stand in the file.
void apply_death(Image& image, pid_t pid, os::FileId file) {
  const std::uintptr_t control = mapped_at(pid, file);
  if (control == 0) return;  // none of its mutexes is held
  std::uintptr_t at = 0;
  std::size_t length = 0;
  if (::syscall(SYS_get_robust_list, pid, &at, &length) != 0 || length != sizeof(RobustList)) fail("get_robust_list");
  const auto list = peek<RobustList>(pid, at);
  const auto died = [&](std::uintptr_t entry) {
    const std::uintptr_t futex = (entry & ~kPriorityInheritance) + static_cast<std::uintptr_t>(list.futex_offset);
    if (futex < control || futex - control > image.size() - sizeof(std::uint32_t)) return;  // another file's
    std::uint32_t word = 0;
    std::memcpy(&word, &image[futex - control], sizeof word);
    if ((word & kThreadId) != static_cast<std::uint32_t>(pid)) return;
    word = (word & kWaiters) | kOwnerDied;
    std::memcpy(&image[futex - control], &word, sizeof word);
  };
  int entries = 0;
  for (std::uintptr_t entry = list.first; (entry & ~kPriorityInheritance) != at && ++entries <= kListMax;
       entry = peek<std::uintptr_t>(pid, entry & ~kPriorityInheritance)) {
    if (entry != list.pending) died(entry);
  }
  if (list.pending != 0) died(list.pending);
}

Image read_image(const QueueAt& at) {
  const os::UniqueFd fd(::open(at.path().c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) fail(at.path());
  Image image(static_cast<std::size_t>(info.st_size));
  if (::pread(fd.get(), image.data(), image.size(), 0) != info.st_size) fail("pread " + at.path());
  return image;
}

void write_image(const QueueAt& at, const Image& image) {
  const os::UniqueFd fd(::open(at.path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) fail(at.path());
  const auto size = static_cast<ssize_t>(image.size());
  if (::ftruncate(fd.get(), size) != 0 || ::pwrite(fd.get(), image.data(), image.size(), 0) != size) {
    fail("pwrite " + at.path());
  }
}

void mix(std::uint64_t& hash, std::uint64_t value) noexcept {
  hash ^= value + 0x9e3779b97f4a7c15ULL + (hash << 6) + (hash >> 2);
  hash *= 0xff51afd7ed558ccdULL;
}

}  // namespace

std::shared_ptr<detail::Segment> QueueAt::segment() const {
  const detail::Place place = detail::place_of(name, directory);
  return detail::Segment::map(place, detail::open_file(place, detail::Access::read_write, detail::Depth::whole, {}),
                              detail::Access::read_write);
}

Images read_images(const QueueAt& at) {
  const bool with_dead_letters = ::access(at.dead_letters().path().c_str(), F_OK) == 0;
  return {read_image(at), with_dead_letters ? read_image(at.dead_letters()) : Image()};
}

void write_images(const QueueAt& at, const Images& images) {
  write_image(at, images.queue);
  if (!images.dead_letters.empty()) write_image(at.dead_letters(), images.dead_letters);
}

LiveImage::LiveImage(const QueueAt& at) {
  const os::UniqueFd fd(::open(at.path().c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) fail(at.path());
  size_ = static_cast<std::size_t>(info.st_size);
  file_ = {info.st_dev, info.st_ino};
  void* memory = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) fail("mmap " + at.path());
  bytes_ = static_cast<std::byte*>(memory);
  ::madvise(memory, size_, MADV_DONTFORK);  // the child's own mapping is the one that counts
}

LiveImage::~LiveImage() { ::munmap(bytes_, size_); }

bool LiveImage::equals(const Image& image) const noexcept {
  return image.size() == size_ && std::memcmp(image.data(), bytes_, size_) == 0;
}

Image LiveImage::copy() const { return {bytes_, bytes_ + size_}; }

LiveImages::LiveImages(const QueueAt& at, bool with_dead_letters, pid_t pid) : queue_(at), pid_(pid) {
  if (with_dead_letters) dead_letters_.emplace(at.dead_letters());
}

bool LiveImages::equals(const Images& images) const noexcept {
  return queue_.equals(images.queue) && (!dead_letters_ || dead_letters_->equals(images.dead_letters));
}

Images LiveImages::copy() const { return {queue_.copy(), dead_letters_ ? dead_letters_->copy() : Image()}; }

void LiveImages::die(Images& images) const {
  apply_death(images.queue, pid_, queue_.file());
  if (dead_letters_) apply_death(images.dead_letters, pid_, dead_letters_->file());
}

core::View view_of(Image& image) {
  core::View view;
  view.control = image.data();
  const layout::Header& header = view.header();
  view.set_ring(header.capacity, header.alignment);
  view.control_bytes = header.control_bytes;
  view.rows_offset = header.rows_offset;
  view.groups_offset = header.groups_offset;
  view.group_stride = header.group_stride;
  view.life_begin = view.frozen().life_begin;
  view.endpoints_max = header.endpoints_max;
  view.groups_max = header.groups_max;
  view.ledger_entries = header.ledger_entries;
  view.producers = static_cast<ProducerMode>(header.producers);
  view.data = image.data() + header.control_bytes;
  return view;
}

namespace {

// Whether the word is a wall clock's time of these years, in nanoseconds: dead letters say when they were moved. No head of
// the sweep's has so large a number in its upper half.
bool is_time(std::uint64_t word) noexcept { return word > 1'700'000'000ULL * 1'000'000'000 && word < UINT64_MAX / 4; }

std::uint64_t class_of_one(const Image& image) {
  Image copy = image;
  const core::View view = view_of(copy);
  const auto clear_mutex = [](os::RobustMutex& mutex) {
    const bool died = mutex.holder_died();
    std::memset(static_cast<void*>(&mutex), died ? 1 : 0, sizeof mutex);
  };
  auto& side = view.side();
  clear_mutex(side.producer_lock.mutex);
  clear_mutex(side.table_lock.mutex);
  side.claim.last_time.store(0);
  side.close.recoveries.store(0);
  side.close.abandoned_claims.store(0);
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    auto& row = view.row(i);
    row.pid.store(0);
    row.start_time.store(0);
    row.attached_ns.store(0);
    row.image.store(0);
    std::memset(static_cast<void*>(&row.produced), 0, 3 * sizeof(layout::Counters));
  }
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    auto& group = view.group(i);
    clear_mutex(group.mutex);
    if (group.parked_tried_ns.load() != 0) group.parked_tried_ns.store(1);
    for (auto* statistic :
         {&group.leased_messages, &group.redelivered_messages, &group.dropped_messages, &group.recovered_leases}) {
      statistic->store(0);
    }
    for (std::uint32_t number = 0; number < view.ledger_entries; ++number) view.entries(i)[number].leased_at.store(0);
    std::memset(static_cast<void*>(&view.histograms(i)), 0, sizeof(layout::Histograms));
  }
  // Times in the ring: every second word of a record's header. Payloads are message numbers, so hashing heads and payload
  // words without their neighbours in a header of 16 bytes would need a walk; the ring is hashed by its heads alone.
  std::uint64_t hash = 0;
  std::uint64_t word = 0;
  for (std::size_t at = 0; at + sizeof word <= view.control_bytes; at += sizeof word) {
    std::memcpy(&word, &copy[at], sizeof word);
    mix(hash, word);
  }
  for (std::size_t at = view.control_bytes; at + sizeof word <= copy.size(); at += 2 * sizeof word) {
    std::memcpy(&word, &copy[at], sizeof word);
    mix(hash, is_time(word) ? 0 : word);
  }
  return hash;
}

}  // namespace

std::uint64_t class_of(const Images& images) {
  std::uint64_t hash = class_of_one(images.queue);
  if (!images.dead_letters.empty()) mix(hash, class_of_one(images.dead_letters));
  return hash;
}

void move_to(Image& image, std::uint64_t position) {
  const core::View view = view_of(image);
  auto& claim = view.side().claim;
  claim.claim_position.store(position);
  claim.least_retired.store(position);
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    view.group(i).retired.store(position);
    view.group(i).leased_to.store(position);
  }
}

void pretend_waiters(Image& image) {
  const core::View view = view_of(image);
  for (layout::EventLine* event : {&view.side().data, &view.side().space}) {
    event->word.store(event->word.load() | core::kWaiterBit);
  }
}

}  // namespace ipcq::sweep
