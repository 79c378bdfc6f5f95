// AddressSanitizer: poisons memory in a program that is built with it, and does nothing in any other.
#pragma once

#include <cstddef>

// Found at run time: the program may be built with the sanitizer although this library is not. Its own header declares them
// strong. (sanitizer/asan_interface.h, "Manual poisoning")
extern "C" {
__attribute__((weak)) void __asan_poison_memory_region(const volatile void* at, std::size_t bytes);    // NOLINT
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void* at, std::size_t bytes);  // NOLINT
}

/// Of functions that read or write the few words of the ring that may be poisoned: heads and stamps.
#define IPCQ_MAY_TOUCH_POISONED __attribute__((no_sanitize("address")))

namespace ipcq::os {

[[nodiscard]] inline bool address_sanitizer() noexcept { return &__asan_poison_memory_region != nullptr; }

/// From here on an access by the program is reported (use-after-poison). `at` and `bytes` are multiples of 8.
inline void poison(const volatile void* at, std::size_t bytes) noexcept {
  if (address_sanitizer()) __asan_poison_memory_region(at, bytes);
}
inline void unpoison(const volatile void* at, std::size_t bytes) noexcept {
  if (address_sanitizer()) __asan_unpoison_memory_region(at, bytes);
}

}  // namespace ipcq::os
