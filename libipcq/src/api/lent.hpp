// Lent: which parts of the ring the user may touch, for AddressSanitizer. A span that is used after its claim or lease has
// ended is reported where it is used, instead of meeting somebody else's message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <mutex>

#include "os/address_sanitizer.hpp"

namespace ipcq::detail {

/// Of the consumers that read through one view. Costs a load where the program has no AddressSanitizer.
class LentReads {
 public:
  /// One consumer, as long as it lives.
  class Reader {
   public:
    explicit Reader(LentReads& reads) : reads_(reads) { reads_.count(1); }
    ~Reader() { reads_.count(-1); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

   private:
    LentReads& reads_;
  };

  /// The lease of the ring's bytes [begin, begin + bytes) begins: they may be read. `ring` is the view, mapped twice.
  void lend(const std::byte* ring, std::uint64_t capacity, std::uint64_t begin, std::uint64_t bytes) noexcept {
    if (!os::address_sanitizer()) return;
    const std::lock_guard lock(mutex_);
    in_both_copies(ring, capacity, begin, bytes, &os::unpoison);
  }
  /// It ends. Before others are told: the next lease of the same memory may be in another thread. With several consumers on
  /// one view another group's lease may still cover the range: it stays readable.
  void take_back(const std::byte* ring, std::uint64_t capacity, std::uint64_t begin, std::uint64_t bytes) noexcept {
    if (!os::address_sanitizer()) return;
    const std::lock_guard lock(mutex_);
    if (readers_ == 1) in_both_copies(ring, capacity, begin, bytes, &os::poison);
  }

  /// What the library itself reads of a range that no lease of the user's covers.
  class Loan {
   public:
    Loan(LentReads& reads, const std::byte* ring, std::uint64_t capacity, std::uint64_t begin, std::uint64_t bytes) noexcept
        : reads_(reads), ring_(ring), capacity_(capacity), begin_(begin), bytes_(bytes) {
      reads_.lend(ring_, capacity_, begin_, bytes_);
    }
    ~Loan() { reads_.take_back(ring_, capacity_, begin_, bytes_); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

   private:
    LentReads& reads_;
    const std::byte* ring_;
    std::uint64_t capacity_;
    std::uint64_t begin_;
    std::uint64_t bytes_;
  };

 private:
  // A record is addressed by its offset, so behind the ring's end the first copy is used again; its payload runs on into the
  // second.
  static void in_both_copies(const std::byte* ring, std::uint64_t capacity, std::uint64_t begin, std::uint64_t bytes,
                             void (*change)(const volatile void*, std::size_t) noexcept) noexcept {
    const std::uint64_t offset = begin & (capacity - 1);
    const std::uint64_t to_end = bytes < capacity - offset ? bytes : capacity - offset;
    for (const std::byte* copy : {ring, ring + capacity}) {
      change(copy + offset, to_end);
      change(copy, bytes - to_end);
    }
  }
  void count(int by) {
    const std::lock_guard lock(mutex_);
    readers_ += by;
  }

  std::mutex mutex_;
  int readers_ = 0;
};

}  // namespace ipcq::detail
