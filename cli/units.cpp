#include "units.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <limits>

namespace ipcq::cli {
namespace {

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

[[noreturn]] void bad(std::string_view option, std::string_view text, const std::string& wanted) {
  throw UsageError(std::string(option) + ": " + quoted(text) + " " + wanted);
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Takes a decimal number off the front of `text`. False if there is none or it does not fit.
bool take_number(std::string_view& text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

struct DurationUnit {
  std::string_view name;
  std::uint64_t ns;
};
// Longer names before their prefixes: "ms" is not "m".
constexpr std::array<DurationUnit, 7> kDurationUnits{{{"ns", 1},
                                                      {"us", 1'000},
                                                      {"ms", 1'000'000},
                                                      {"s", 1'000'000'000},
                                                      {"m", 60'000'000'000},
                                                      {"h", 3'600'000'000'000},
                                                      {"d", 86'400'000'000'000}}};
constexpr auto kDurationMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

/// Takes the digits off the front of `text`.
std::string_view take_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

std::string with_decimal(double value, const char* unit) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 9.95 ? "%.1f%s" : "%.0f%s", value, unit);
  return text.data();
}

}  // namespace

std::uint64_t parse_size(std::string_view option, std::string_view text) {
  const std::string wanted = "is not a size: say a number of bytes, or 64K, 8M, 1G";
  std::string_view rest = text;
  std::uint64_t number = 0;
  if (rest.empty() || !is_digit(rest.front())) bad(option, text, wanted);
  if (!take_number(rest, number)) bad(option, text, "is too large");

  int shift = 0;
  if (!rest.empty()) {
    switch (std::tolower(static_cast<unsigned char>(rest.front()))) {
      case 'k':
        shift = 10;
        break;
      case 'm':
        shift = 20;
        break;
      case 'g':
        shift = 30;
        break;
      case 't':
        shift = 40;
        break;
      default:
        break;
    }
    if (shift != 0) rest.remove_prefix(1);
    if (!(rest.empty() || rest == "B" || (shift != 0 && rest == "iB"))) bad(option, text, wanted);
  }
  if (number > std::numeric_limits<std::uint64_t>::max() >> shift) bad(option, text, "is too large");
  return number << shift;
}

std::chrono::nanoseconds parse_duration(std::string_view option, std::string_view text) {
  const std::string wanted = "is not a duration: say 250ms, 5s, 1m30s or 2h";
  if (text == "0") return std::chrono::nanoseconds{0};
  if (text.empty()) bad(option, text, wanted);

  std::uint64_t total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::uint64_t number = 0;
    if (!is_digit(rest.front())) bad(option, text, wanted);
    if (!take_number(rest, number)) bad(option, text, "is too long");

    std::string_view fraction;
    if (!rest.empty() && rest.front() == '.') {
      rest.remove_prefix(1);
      fraction = take_digits(rest);
      if (fraction.empty()) bad(option, text, wanted);
    }

    const DurationUnit* unit = nullptr;
    for (const DurationUnit& candidate : kDurationUnits) {
      if (!rest.starts_with(candidate.name)) continue;
      unit = &candidate;
      break;
    }
    if (unit == nullptr) bad(option, text, wanted);
    rest.remove_prefix(unit->name.size());

    if (number > kDurationMax / unit->ns) bad(option, text, "is too long");
    std::uint64_t ns = number * unit->ns;
    std::uint64_t place = unit->ns;
    for (const char digit : fraction) {  // digits below a nanosecond fall away: place is 0 there
      place /= 10;
      ns += place * static_cast<std::uint64_t>(digit - '0');
    }
    if (ns > kDurationMax - total) bad(option, text, "is too long");
    total += ns;
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(total));
}

std::uint64_t parse_number(std::string_view option, std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t number = 0;
  std::string_view rest = text;
  const bool number_like = !text.empty() && is_digit(text.front());
  if (!number_like || !take_number(rest, number) || !rest.empty() || number < least || number > most) {
    bad(option, text, "is not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

namespace {

// The number and the unit of time of a rate; what stands between them, a suffix, is the caller's.
double parse_per_time(std::string_view option, std::string_view text, bool bytes) {
  const std::string wanted =
      bytes ? "is not a rate: say 10M/s, 64K/s or 1G/min" : "is not a rate: say 1000/s, 90/min or 1/h";
  const std::size_t slash = text.find('/');
  std::string_view number = text.substr(0, slash);
  double seconds = 1;
  if (slash != std::string_view::npos) {
    const std::string_view unit = text.substr(slash + 1);
    if (unit == "s") {
      seconds = 1;
    } else if (unit == "min" || unit == "m") {
      seconds = 60;
    } else if (unit == "h") {
      seconds = 3600;
    } else {
      bad(option, text, wanted);
    }
  }
  double factor = 1;
  if (bytes && !number.empty()) {
    constexpr std::string_view kSuffixes = "kmgt";
    if (number.ends_with("iB")) number.remove_suffix(2);
    if (number.ends_with("B")) number.remove_suffix(1);
    const std::size_t power =
        number.empty() ? std::string_view::npos
                       : kSuffixes.find(static_cast<char>(std::tolower(static_cast<unsigned char>(number.back()))));
    if (power != std::string_view::npos) {
      factor = static_cast<double>(std::uint64_t{1} << (10 * (power + 1)));
      number.remove_suffix(1);
    }
  }
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (number.empty() || !is_digit(number.front()) || error != std::errc{} || end != number.data() + number.size())
    bad(option, text, wanted);
  const double rate = value * factor / seconds;
  if (!(rate >= 1.0 / 3600 && rate <= 1e12)) bad(option, text, "is none from 1 an hour to 10^12 a second");
  return rate;
}

}  // namespace

double parse_rate(std::string_view option, std::string_view text) { return parse_per_time(option, text, false); }
double parse_byte_rate(std::string_view option, std::string_view text) { return parse_per_time(option, text, true); }

mode_t parse_mode(std::string_view option, std::string_view text) {
  unsigned mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc{} || end != text.data() + text.size() || mode > 0777) {
    bad(option, text, "is not a mode: say three octal digits, like 0600 or 0660");
  }
  return static_cast<mode_t>(mode);
}

bool parse_switch(std::string_view option, std::string_view text) {
  return parse_choice<bool>(option, text, {{"on", true}, {"off", false}});
}

void throw_bad_choice(std::string_view option, std::string_view text, const std::string& choices) {
  bad(option, text, "is none of: " + choices);
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 7> kSuffix{"B", "K", "M", "G", "T", "P", "E"};
  std::size_t unit = 0;
  std::uint64_t whole = bytes;
  while (whole != 0 && whole % 1024 == 0 && unit + 1 < kSuffix.size()) {
    whole /= 1024;
    ++unit;
  }
  if (whole < 1024) return std::to_string(whole) + kSuffix[unit];

  auto value = static_cast<double>(bytes);
  unit = 0;
  while (value >= 1023.5 && unit + 1 < kSuffix.size()) {
    value /= 1024;
    ++unit;
  }
  return with_decimal(value, kSuffix[unit]);
}

std::string format_duration(std::uint64_t ns) {
  if (ns < 1'000) return std::to_string(ns) + "ns";
  const auto value = static_cast<double>(ns);
  if (ns < 999'500) return with_decimal(value / 1e3, "us");
  if (ns < 999'500'000) return with_decimal(value / 1e6, "ms");
  if (ns < 59'500'000'000) return with_decimal(value / 1e9, "s");

  const std::uint64_t seconds = (ns + 500'000'000) / 1'000'000'000;
  const auto two = [](std::uint64_t large, const char* large_unit, std::uint64_t small, const char* small_unit) {
    std::string text = std::to_string(large) + large_unit;
    if (small != 0) text += std::to_string(small) + small_unit;
    return text;
  };
  if (seconds < 3'600) return two(seconds / 60, "m", seconds % 60, "s");
  if (seconds < 86'400) return two(seconds / 3'600, "h", seconds % 3'600 / 60, "m");
  return two(seconds / 86'400, "d", seconds % 86'400 / 3'600, "h");
}

std::string format_rate(double per_second) {
  std::array<char, 48> text{};
  const auto whole = [](double value) {
    return value >= 0.999'999 && std::abs(value - std::round(value)) < 1e-6 * value;
  };
  if (whole(per_second) || (!whole(per_second * 60) && !whole(per_second * 3600))) {
    std::snprintf(text.data(), text.size(), "%.9g/s", per_second);
  } else if (whole(per_second * 60)) {
    std::snprintf(text.data(), text.size(), "%.9g/min", std::round(per_second * 60));
  } else {
    std::snprintf(text.data(), text.size(), "%.9g/h", std::round(per_second * 3600));
  }
  return text.data();
}

std::string format_byte_rate(double per_second) {
  if (per_second < 1) return format_rate(per_second);
  return format_bytes(static_cast<std::uint64_t>(std::llround(per_second))) + "/s";
}

std::string format_count(std::uint64_t count, const char* thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

std::string format_mode(mode_t mode) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode) & 07777U);
  return text.data();
}

std::string format_time(std::uint64_t unix_ns) {
  const auto seconds = static_cast<std::time_t>(unix_ns / 1'000'000'000);
  std::tm utc{};
  std::array<char, 32> text{};
  if (::gmtime_r(&seconds, &utc) == nullptr) return "?";
  if (std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) return "?";
  return text.data();
}

}  // namespace ipcq::cli
