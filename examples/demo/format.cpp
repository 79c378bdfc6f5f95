#include "format.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace demo {

std::string grouped(std::uint64_t value) {
  std::string text = std::to_string(value);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string grouped(double value) { return grouped(static_cast<std::uint64_t>(std::llround(std::max(value, 0.0)))); }

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

std::string megabytes(double bytes) { return fixed(bytes * 1e-6, 1) + " MB"; }

std::string duration(std::uint64_t nanoseconds) {
  const auto value = static_cast<double>(nanoseconds);
  if (nanoseconds < 1'000) return std::to_string(nanoseconds) + " ns";
  if (nanoseconds < 1'000'000) return fixed(value * 1e-3, 1) + " us";
  if (nanoseconds < 1'000'000'000) return fixed(value * 1e-6, 1) + " ms";
  return fixed(value * 1e-9, 2) + " s";
}

}  // namespace demo
