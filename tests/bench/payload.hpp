// What every benchmark message carries: 8-byte words, word k of message s being s + k. The sender writes all of them; the
// receiver reads all of them, checks word 0 against the sequence it expects and the sum of all words against what it
// must be. So a message lost, repeated, reordered or torn is seen, and no row is fast by not touching its payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace ipcq::bench {

/// The sequence of the last message, which ends a run.
inline constexpr std::uint64_t kEndOfRun = ~std::uint64_t{0} - 0xffff;

/// A message was not what was sent.
class PayloadError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Sizes are template parameters, as a user's message type would be; memcpy of a word compiles to a move.
template <std::size_t Bytes>
void write_payload(std::byte* to, std::uint64_t sequence) noexcept {
  static_assert(Bytes % 8 == 0 && Bytes > 0);
  for (std::size_t k = 0; k < Bytes / 8; ++k) {
    const std::uint64_t word = sequence + k;
    std::memcpy(to + 8 * k, &word, 8);
  }
}

template <std::size_t Bytes>
[[nodiscard]] bool payload_is(const std::byte* from, std::uint64_t sequence) noexcept {
  constexpr std::uint64_t kWords = Bytes / 8;
  constexpr std::uint64_t kSumOfOffsets = kWords * (kWords - 1) / 2;
  std::uint64_t first = 0;
  std::memcpy(&first, from, 8);
  std::uint64_t sum = 0;
  for (std::size_t k = 0; k < kWords; ++k) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + 8 * k, 8);
    sum += word;
  }
  return first == sequence && sum == kWords * sequence + kSumOfOffsets;
}

/// Of a message that is not `expected`: whether it ends the run. Throws PayloadError if it is neither.
template <std::size_t Bytes>
[[nodiscard]] bool is_end_of_run(const std::byte* from, std::uint64_t expected) {
  if (payload_is<Bytes>(from, kEndOfRun)) return true;
  std::uint64_t first = 0;
  std::memcpy(&first, from, 8);
  throw PayloadError("message " + std::to_string(expected) + " of " + std::to_string(Bytes) + " bytes: " +
                     (first == expected
                          ? "a word behind the first is wrong"
                          : "word 0 is " + std::to_string(first) + " instead of " + std::to_string(expected)));
}

/// A message that does not even have the size it was sent with.
[[noreturn]] inline void wrong_size(std::uint64_t expected, std::size_t bytes, std::size_t size) {
  throw PayloadError("message " + std::to_string(expected) + " has " + std::to_string(size) + " bytes instead of " +
                     std::to_string(bytes));
}

}  // namespace ipcq::bench
