#include "word_count.hpp"

#include <array>
#include <stdexcept>

namespace demo {
namespace {

constexpr std::string_view kSpaces = " \t\n\v\f\r";

constexpr std::array<bool, 256> make_space_table() noexcept {
  std::array<bool, 256> table{};
  for (const char space : kSpaces) table[static_cast<unsigned char>(space)] = true;
  return table;
}
constexpr std::array<bool, 256> kIsSpace = make_space_table();

// FNV-1a over the bytes of a word.
constexpr std::uint64_t kHashStart = 0xcbf29ce484222325;
constexpr std::uint64_t kHashPrime = 0x100000001b3;

// Words are summed, so each hash is spread over all bits first: else similar words would cancel out.
constexpr std::uint64_t spread(std::uint64_t hash) noexcept {
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccd;
  return hash ^ (hash >> 33);
}

}  // namespace

Counts& Counts::operator+=(const Counts& other) noexcept {
  bytes += other.bytes;
  lines += other.lines;
  words += other.words;
  checksum += other.checksum;
  return *this;
}

Counts count_words(std::string_view text) noexcept {
  Counts counts;
  counts.bytes = text.size();
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const auto first = static_cast<unsigned char>(*at);
    if (kIsSpace[first]) {
      if (first == '\n') ++counts.lines;
      ++at;
      continue;
    }
    std::uint64_t hash = kHashStart;
    do {
      hash = (hash ^ static_cast<unsigned char>(*at)) * kHashPrime;
      ++at;
    } while (at != end && !kIsSpace[static_cast<unsigned char>(*at)]);
    ++counts.words;
    counts.checksum += spread(hash);
  }
  return counts;
}

bool is_text(std::string_view bytes, std::size_t message_bytes) noexcept {
  std::size_t word = 0;
  for (const char c : bytes) {
    if (c == '\0') return false;
    word = kIsSpace[static_cast<unsigned char>(c)] ? 0 : word + 1;
    if (word > message_bytes) return false;
  }
  return true;
}

std::string_view take_message(std::string_view& rest, std::size_t message_bytes) {
  std::size_t size = rest.size();
  if (size > message_bytes) {
    const std::string_view window = rest.substr(0, message_bytes);
    std::size_t cut = window.rfind('\n');
    if (cut == std::string_view::npos) cut = window.find_last_of(kSpaces);
    if (cut != std::string_view::npos) {
      size = cut + 1;
    } else if (kIsSpace[static_cast<unsigned char>(rest[message_bytes])]) {
      size = message_bytes;  // one word fills the message to its last byte
    } else {
      throw std::invalid_argument("a word is longer than a message");
    }
  }
  const std::string_view message = rest.substr(0, size);
  rest.remove_prefix(size);
  return message;
}

}  // namespace demo
