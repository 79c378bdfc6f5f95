// Numbers in the texts of findings and of repairs.
#pragma once

#include <cstdint>
#include <string>

namespace ipcq::core {

/// Decimal, for states and kinds too, whose types are narrower than what to_string tells apart.
[[nodiscard]] inline std::string number(std::uint64_t value) { return std::to_string(value); }

}  // namespace ipcq::core
