// Image: a queue's file as bytes, damaged at known places. The places are those of docs/layout.md for a queue of
// 16 endpoints, 2 groups and 8 ledger entries, whatever the library thinks of itself.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "hostile_test.hpp"

namespace ipcq::hostile {

class Image {
 public:
  static constexpr std::uint64_t kFlags = 12;
  static constexpr std::uint64_t kProducerMutex = 512;
  static constexpr std::uint64_t kClaimPosition = 576;
  static constexpr std::uint64_t kLastTime = 584;
  static constexpr std::uint64_t kLeastRetired = 592;
  static constexpr std::uint64_t kClosedAt = 640;
  static constexpr std::uint64_t kRows = 896;
  static constexpr std::uint64_t kRowBytes = 320;
  static constexpr std::uint64_t kGroups = kRows + 16 * kRowBytes;
  static constexpr std::uint64_t kLedger = 384;
  static constexpr std::uint64_t kGroupBytes = kLedger + 320 + 10496;  // 8 entries and their index, in whole lines
  static constexpr std::uint64_t kRing = 36864;  // the quota buckets behind the groups, in whole pages

  static CreateOptions options() {
    return {.capacity_bytes = kCapacity,
            .groups = {{.name = "first"}, {.name = "second"}},
            .endpoints_max = 16,
            .groups_max = 2,
            .ledger_entries = 8};
  }

  explicit Image(std::string path) : fd_(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    require(fd_ >= 0, "open " + path);
  }
  ~Image() { ::close(fd_); }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  template <class Word>
  void put(std::uint64_t offset, Word word) const {
    require(::pwrite(fd_, &word, sizeof word, static_cast<off_t>(offset)) == sizeof word, "pwrite");
  }
  template <class Word>
  [[nodiscard]] Word get(std::uint64_t offset) const {
    Word word{};
    require(::pread(fd_, &word, sizeof word, static_cast<off_t>(offset)) == sizeof word, "pread");
    return word;
  }

  static std::uint64_t row(std::uint64_t number) { return kRows + number * kRowBytes; }
  static std::uint64_t group(std::uint64_t number) { return kGroups + number * kGroupBytes; }
  static std::uint64_t entry(std::uint64_t of_group, std::uint64_t number) {
    return group(of_group) + kLedger + 32 * number;
  }

  /// A mutex whose repair was given up, as glibc marks it.
  void give_up(std::uint64_t mutex) const { put<std::int32_t>(mutex + 8, 0x7ffffffe); }
  void poison() const { put<std::uint32_t>(kFlags, get<std::uint32_t>(kFlags) | 4U); }
  /// The row of a process that is not there: no process has this number.
  void add_dead(std::uint64_t number, std::uint32_t kind, std::uint32_t incarnation) const {
    put<std::uint32_t>(row(number) + 4, incarnation);
    put<std::uint32_t>(row(number) + 8, 0x3ffffff0);
    put<std::uint64_t>(row(number) + 16, 12345);
    put<std::uint32_t>(row(number) + 24, kind);
    put<std::uint32_t>(row(number) + 28, 0);
    put<std::uint32_t>(row(number) + 32, 1);
    put<std::uint64_t>(row(number) + 64, UINT64_MAX);
    put<std::uint32_t>(row(number), 1);
  }
  static constexpr std::uint64_t owner(std::uint64_t number, std::uint64_t incarnation) {
    return number | incarnation << 8;
  }

 private:
  int fd_;
};

}  // namespace ipcq::hostile
