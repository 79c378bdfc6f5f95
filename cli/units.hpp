// Sizes, durations, numbers and choices: from the command line and to the screen.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "exit_code.hpp"

namespace ipcq::cli {

// Every parser takes the option it reads for ("--capacity"), and throws a UsageError that names it.

/// Bytes: a whole number with K, M, G or T (2^10 each), lower case too; "iB" and "B" may follow. "64K", "8MiB", "4096".
[[nodiscard]] std::uint64_t parse_size(std::string_view option, std::string_view text);

/// A duration: numbers with ns, us, ms, s, m, h or d, added up: "250ms", "1m30s", "0.5s". "0" needs no unit.
[[nodiscard]] std::chrono::nanoseconds parse_duration(std::string_view option, std::string_view text);

/// A whole number in [least, most].
[[nodiscard]] std::uint64_t parse_number(std::string_view option, std::string_view text, std::uint64_t least,
                                         std::uint64_t most);

/// A rate of messages: "1000/s", "0.5/s", "90/min" or "90/m", "1/h"; without a unit a second. As many a second.
[[nodiscard]] double parse_rate(std::string_view option, std::string_view text);
/// A rate of bytes: the same with K, M, G or T: "10M/s".
[[nodiscard]] double parse_byte_rate(std::string_view option, std::string_view text);

/// Permission bits in octal: "0600".
[[nodiscard]] mode_t parse_mode(std::string_view option, std::string_view text);

/// "on" or "off".
[[nodiscard]] bool parse_switch(std::string_view option, std::string_view text);

[[noreturn]] void throw_bad_choice(std::string_view option, std::string_view text, const std::string& choices);

/// One of a few words.
template <class T>
[[nodiscard]] T parse_choice(std::string_view option, std::string_view text,
                             std::initializer_list<std::pair<const char*, T>> choices) {
  std::string words;
  for (const auto& [word, value] : choices) {
    if (text == word) return value;
    if (!words.empty()) words += ", ";
    words += word;
  }
  throw_bad_choice(option, text, words);
}

/// "0B", "512B", "64K", "1.3M": whole numbers exactly, else one decimal.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

/// "412ns", "1.2us", "35ms", "2.1s", "3m12s", "2h5m", "4d3h".
[[nodiscard]] std::string format_duration(std::uint64_t ns);

/// "1000/s", "0.5/s", "90/min", "1/h": whichever is a whole number.
[[nodiscard]] std::string format_rate(double per_second);
/// "10M/s".
[[nodiscard]] std::string format_byte_rate(double per_second);
/// "1 message", "2 messages", "0 messages".
[[nodiscard]] std::string format_count(std::uint64_t count, const char* thing);

/// "0640".
[[nodiscard]] std::string format_mode(mode_t mode);

/// A moment of the wall clock in UTC: "2026-01-31T09:05:00Z".
[[nodiscard]] std::string format_time(std::uint64_t unix_ns);

}  // namespace ipcq::cli
