// Figures as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace demo {

[[nodiscard]] std::string grouped(std::uint64_t value);         ///< 1,234,567
[[nodiscard]] std::string grouped(double value);                ///< rounded
[[nodiscard]] std::string fixed(double value, int decimals);    ///< 12.3
[[nodiscard]] std::string megabytes(double bytes);              ///< 12.3 MB, of 10^6 bytes
[[nodiscard]] std::string duration(std::uint64_t nanoseconds);  ///< 850 ns, 12.3 us, 4.5 ms, 1.2 s

}  // namespace demo
