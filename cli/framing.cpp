#include "framing.hpp"

#include <algorithm>
#include <cstring>

#include "units.hpp"

namespace ipcq::cli {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{256} << 10;
constexpr std::size_t kReadBytesMin = std::size_t{64} << 10;  // a smaller rest of the buffer is not worth a system call

std::size_t length_at(const std::byte* at) noexcept {
  std::size_t length = 0;
  for (std::size_t i = kLengthPrefixBytes; i-- > 0;) length = length << 8 | std::to_integer<std::size_t>(at[i]);
  return length;
}

}  // namespace

Framing framing_of(const Arguments& arguments) {
  Framing framing = Framing::lines;
  int chosen = 0;
  const auto choose = [&](const char* option, Framing meant) {
    if (!arguments.has(option)) return;
    framing = meant;
    ++chosen;
  };
  choose("0", Framing::null);
  choose("length-prefixed", Framing::length_prefixed);
  choose("whole", Framing::whole);
  if (chosen > 1) throw UsageError("-0, --length-prefixed and --whole exclude each other");
  return framing;
}

Splitter::Splitter(Framing framing, std::size_t message_bytes_max)
    : framing_(framing), message_bytes_max_(message_bytes_max), buffer_(kBufferBytes) {}

std::span<std::byte> Splitter::space() {
  if (buffer_.size() - end_ < kReadBytesMin && taken_end_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + taken_end_, end_ - taken_end_);
    ranges_.erase(ranges_.begin(), ranges_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
    for (Range& range : ranges_) {
      range.begin -= taken_end_;
      range.end -= taken_end_;
    }
    base_ += taken_end_;
    begin_ -= taken_end_;
    scanned_ -= taken_end_;
    end_ -= taken_end_;
    taken_end_ = 0;
  }
  if (buffer_.size() - end_ < kReadBytesMin) buffer_.resize(buffer_.size() * 2);
  return std::span(buffer_).subspan(end_);
}

void Splitter::fill(std::size_t count) {
  end_ += count;
  split();
}

void Splitter::finish() {
  if (problem_) return;
  const std::size_t left = end_ - begin_;
  switch (framing_) {
    case Framing::lines:
    case Framing::null:
      if (left > 0) add({begin_, left, end_});
      break;
    case Framing::whole:
      add({begin_, left, end_});
      break;
    case Framing::length_prefixed:
      if (left == 0) break;
      problem_ = "the input ends at byte " + std::to_string(base_ + end_) + ", in the middle of message " +
                 std::to_string(messages_ + 1) + ", which begins at byte " + std::to_string(base_ + begin_);
      break;
  }
}

std::vector<Splitter::Piece> Splitter::pieces() const {
  std::vector<Piece> pieces;
  pieces.reserve(ranges_.size() - first_);
  for (std::size_t i = first_; i < ranges_.size(); ++i) {
    pieces.push_back(std::span(buffer_).subspan(ranges_[i].begin, ranges_[i].size));
  }
  return pieces;
}

void Splitter::take(std::size_t count) {
  if (count == 0) return;
  first_ += count;
  taken_end_ = ranges_[first_ - 1].end;
  if (first_ == ranges_.size()) {
    ranges_.clear();
    first_ = 0;
  }
}

void Splitter::split() {
  if (problem_) return;
  switch (framing_) {
    case Framing::lines:
      split_separated(std::byte{'\n'});
      break;
    case Framing::null:
      split_separated(std::byte{0});
      break;
    case Framing::length_prefixed:
      split_prefixed();
      break;
    case Framing::whole:
      if (end_ - begin_ > message_bytes_max_) too_large("at least ", end_ - begin_);
      break;
  }
}

void Splitter::split_separated(std::byte separator) {
  while (scanned_ < end_) {
    const void* found = std::memchr(buffer_.data() + scanned_, std::to_integer<int>(separator), end_ - scanned_);
    if (found == nullptr) {
      scanned_ = end_;
      break;
    }
    const auto at = static_cast<std::size_t>(static_cast<const std::byte*>(found) - buffer_.data());
    if (at - begin_ > message_bytes_max_) return too_large("", at - begin_);
    add({begin_, at - begin_, at + 1});
  }
  // Known before its end is seen; so the buffer never grows beyond the largest message and one read.
  if (end_ - begin_ > message_bytes_max_) too_large("at least ", end_ - begin_);
}

void Splitter::split_prefixed() {
  while (end_ - begin_ >= kLengthPrefixBytes) {
    const std::size_t length = length_at(buffer_.data() + begin_);
    if (length > message_bytes_max_) return too_large("", length);
    const std::size_t payload = begin_ + kLengthPrefixBytes;
    if (end_ - payload < length) return;
    add({payload, length, payload + length});
  }
}

void Splitter::add(Range range) {
  ranges_.push_back(range);
  ++messages_;
  begin_ = scanned_ = range.end;
}

void Splitter::too_large(const char* at_least, std::size_t bytes) {
  std::string what;
  switch (framing_) {
    case Framing::lines:
      what = "line " + std::to_string(messages_ + 1);
      break;
    case Framing::null:
    case Framing::length_prefixed:
      what =
          "message " + std::to_string(messages_ + 1) + ", which begins at byte " + std::to_string(base_ + begin_) + ",";
      break;
    case Framing::whole:
      what = "the input";
      break;
  }
  problem_ = what + " is too large: it has " + at_least + std::to_string(bytes) +
             " bytes; this queue takes messages up to " + std::to_string(message_bytes_max_) + " bytes (" +
             format_bytes(message_bytes_max_) + ")";
}

}  // namespace ipcq::cli
