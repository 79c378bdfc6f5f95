// Framings: how messages stand one after another in a stream of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arguments.hpp"

namespace ipcq::cli {

enum class Framing : std::uint8_t {
  lines,            ///< each message is followed by a newline
  null,             ///< each message is followed by a NUL
  length_prefixed,  ///< each message follows its length, 4 bytes little-endian
  whole,            ///< put: the input is one message; get: nothing between messages
};

inline constexpr std::size_t kLengthPrefixBytes = 4;

inline constexpr Option kNullOption{",0", nullptr, "messages are separated by NUL bytes instead of newlines"};
inline constexpr Option kLengthPrefixedOption{"length-prefixed", nullptr,
                                              "each message follows its length, 4 bytes little-endian"};
/// From the options above and "whole". Throws UsageError if more than one is given.
[[nodiscard]] Framing framing_of(const Arguments& arguments);

/// Takes a stream of bytes apart into messages, in a buffer of its own. Grows to the largest message, not to the input.
class Splitter {
 public:
  /// Where a message stands in the buffer. Valid until the next space().
  using Piece = std::span<const std::byte>;

  Splitter(Framing framing, std::size_t message_bytes_max);

  /// Where the next bytes of the input go: never empty. Ends all pieces' validity.
  [[nodiscard]] std::span<std::byte> space();
  /// `count` bytes were put there.
  void fill(std::size_t count);
  /// There are no more. What is left is the last message, where the framing allows that.
  void finish();

  /// The messages that are complete and not taken yet.
  [[nodiscard]] std::vector<Piece> pieces() const;
  /// The first `count` of them are done with.
  void take(std::size_t count);
  /// Bytes of input behind all messages taken.
  [[nodiscard]] std::uint64_t taken_bytes() const noexcept { return base_ + taken_end_; }

  /// Set: the input cannot go on after the pieces, and why (which message, at which byte).
  [[nodiscard]] const std::optional<std::string>& problem() const noexcept { return problem_; }

 private:
  struct Range {
    std::size_t begin;  ///< of the payload, in the buffer
    std::size_t size;
    std::size_t end;  ///< behind the separator
  };

  void split();
  void split_separated(std::byte separator);
  void split_prefixed();
  void add(Range range);
  void too_large(const char* at_least, std::size_t bytes);

  Framing framing_;
  std::size_t message_bytes_max_;
  std::vector<std::byte> buffer_;
  std::uint64_t base_ = 0;     ///< bytes of input before buffer_[0]
  std::size_t taken_end_ = 0;  ///< before it everything is done with
  std::size_t begin_ = 0;      ///< of the message that is not complete yet
  std::size_t scanned_ = 0;    ///< before it there is no separator behind begin_
  std::size_t end_ = 0;        ///< of the input read
  std::vector<Range> ranges_;  ///< complete and not taken, from first_ on
  std::size_t first_ = 0;
  std::uint64_t messages_ = 0;  ///< completed ever
  std::optional<std::string> problem_;
};

}  // namespace ipcq::cli
