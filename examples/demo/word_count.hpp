// What the demo does with text: counts its bytes, lines and words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace demo {

/// Sums over any texts cut at spaces: the parts of a text add up to the whole, in any order.
struct Counts {
  std::uint64_t bytes = 0;
  std::uint64_t lines = 0;     ///< newlines
  std::uint64_t words = 0;     ///< runs of bytes that are not ASCII white space
  std::uint64_t checksum = 0;  ///< of the words as a multiset: equal if each word is there equally often

  Counts& operator+=(const Counts& other) noexcept;
  bool operator==(const Counts&) const = default;
};

[[nodiscard]] Counts count_words(std::string_view text) noexcept;

/// Whether a file is text that `message_bytes` can carry: no NUL, no word longer than that.
[[nodiscard]] bool is_text(std::string_view bytes, std::size_t message_bytes) noexcept;

/// Cuts the next message off `rest`: as many whole lines as `message_bytes` hold; whole words where one line is longer.
/// Throws std::invalid_argument at a word longer than that.
[[nodiscard]] std::string_view take_message(std::string_view& rest, std::size_t message_bytes);

}  // namespace demo
