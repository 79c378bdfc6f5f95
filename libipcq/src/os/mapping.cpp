#include "os/mapping.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <new>
#include <system_error>

#include "os/address_sanitizer.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::os {
namespace {

namespace bip = boost::interprocess;

// What mapped_region wants to see of a file.
struct Mappable {
  bip::mapping_handle_t handle;
  [[nodiscard]] bip::mapping_handle_t get_mapping_handle() const noexcept { return handle; }
};

// One thread has windows at a time, and at most three: who abandons a claim, who then locks for him, and the repair that
// this may find due; perhaps all of one page. The pages are closed together, with the last window.
constexpr std::size_t kWindowsMax = 3;
std::recursive_mutex g_window_mutex;
std::size_t g_windows = 0;
std::array<void*, kWindowsMax> g_window_pages{};

// In a forked child: another thread may have had a window open. Its pages are not there, and its lock is nobody's.
void forget_windows() {
  new (&g_window_mutex) std::recursive_mutex;
  g_windows = 0;
  g_window_pages = {};
}

}  // namespace

std::size_t page_bytes() noexcept {
  static const auto kBytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return kBytes;
}

Mapping::Mapping(std::size_t control_bytes, std::size_t data_bytes)
    : reserved_(control_bytes + 5 * data_bytes), control_bytes_(control_bytes), data_bytes_(data_bytes) {
  static const int kRegistered = on_fork_in_child(&forget_windows);
  (void)kRegistered;
  void* base = ::mmap(nullptr, reserved_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap of address space");
  base_ = static_cast<std::byte*>(base);
}

Mapping::~Mapping() {
  if (base_ == nullptr) return;
  unpoison(base_, reserved_);  // other mappings may come here
  ::munmap(base_, reserved_);
}

void Mapping::map_at(int fd, bool writable, std::size_t offset, std::size_t bytes, std::byte* at) {
  // The region object is made in raw storage and its destructor never runs: it would unmap its own part and leave a hole
  // in the reservation for other threads to fall into. It owns nothing but that address range.
  alignas(bip::mapped_region) std::byte storage[sizeof(bip::mapped_region)];
  Mappable file{};
  file.handle.handle = fd;
  file.handle.is_xsi = false;
  try {
    new (storage) bip::mapped_region(file, writable ? bip::read_write : bip::read_only,
                                     static_cast<bip::offset_t>(offset), bytes, at, MAP_SHARED | MAP_FIXED);
  } catch (const bip::interprocess_exception& error) {
    throw std::system_error(error.get_native_error(), std::generic_category(), "mmap of the segment");
  }
  ::madvise(at, bytes, MADV_DONTFORK);
  ::madvise(at, bytes, MADV_DONTDUMP);
}

std::byte* Mapping::map_control(int fd, bool writable) {
  map_at(fd, writable, 0, control_bytes_, base_);
  return base_;
}

const std::byte* Mapping::map_data_read_only(int fd) {
  std::byte* at = base_ + control_bytes_;
  map_at(fd, false, control_bytes_, data_bytes_, at);
  map_at(fd, false, control_bytes_, data_bytes_, at + data_bytes_);
  return at;
}

std::byte* Mapping::map_data_writable(int fd) {
  std::byte* at = base_ + control_bytes_ + 2 * data_bytes_;
  map_at(fd, true, control_bytes_, data_bytes_, at);
  map_at(fd, true, control_bytes_, data_bytes_, at + data_bytes_);
  return at;
}

std::byte* Mapping::map_data_dormant(int fd) {
  std::byte* at = base_ + control_bytes_ + 4 * data_bytes_;
  map_at(fd, true, control_bytes_, data_bytes_, at);
  if (::mprotect(at, data_bytes_, PROT_NONE) != 0) throw std::system_error(errno, std::generic_category(), "mprotect");
  return at;
}

PrivateCopy::PrivateCopy(int fd, std::size_t bytes) : at_(nullptr), bytes_(bytes) {
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  if (at == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap of a copy of the segment");
  at_ = static_cast<std::byte*>(at);
  ::madvise(at_, bytes_, MADV_DONTFORK);
}

PrivateCopy::~PrivateCopy() { ::munmap(at_, bytes_); }

PageWindow::PageWindow(std::byte* at) noexcept : at_(at) {
  if (at_ == nullptr) return;
  g_window_mutex.lock();
  void* page = at_ - (reinterpret_cast<std::uintptr_t>(at_) & (page_bytes() - 1));
  if (g_windows < kWindowsMax && ::mprotect(page, page_bytes(), PROT_READ | PROT_WRITE) == 0) {
    g_window_pages[g_windows++] = page;
    return;
  }
  g_window_mutex.unlock();
  at_ = nullptr;
}

PageWindow::~PageWindow() {
  if (at_ == nullptr) return;
  if (--g_windows == 0) {
    for (void*& page : g_window_pages) {
      if (page != nullptr) ::mprotect(page, page_bytes(), PROT_NONE);
      page = nullptr;
    }
  }
  g_window_mutex.unlock();
}

}  // namespace ipcq::os
