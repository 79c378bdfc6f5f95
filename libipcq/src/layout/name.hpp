// The grammar of queue and group names: [A-Za-z0-9_][A-Za-z0-9_.-]{0,63}.
#pragma once

#include <algorithm>
#include <string_view>

namespace ipcq::layout {

[[nodiscard]] constexpr bool is_name(std::string_view name) noexcept {
  const auto letter = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name.size() <= 64 && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || c == '.' || c == '-'; });
}

}  // namespace ipcq::layout
