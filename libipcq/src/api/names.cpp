#include "api/names.hpp"

#include <stdlib.h>

#include <cstdint>
#include <cstdio>

#include "ipcq/admin.hpp"
#include "layout/name.hpp"

namespace ipcq {

bool is_valid_name(std::string_view name) noexcept { return layout::is_name(name); }

std::string resolve_directory(const std::string& directory) {
  if (!directory.empty()) return directory;
  const char* variable = ::secure_getenv("IPCQ_DIR");
  return variable != nullptr && *variable != '\0' ? variable : "/dev/shm";
}

namespace detail {

std::string path_of(const std::string& directory, std::string_view name) {
  if (!is_valid_name(name)) {
    std::string shown;
    for (const char c : name.substr(0, 80)) shown += c >= ' ' && c < 127 ? c : '?';
    throw Error(Errc::invalid_name,
                "queue name '" + shown + "' is not valid; use 1 to 64 of A-Z a-z 0-9 _ . - with no dot or dash first");
  }
  std::string path = resolve_directory(directory);
  if (path.back() != '/') path += '/';
  path += kFilePrefix;
  path += name;
  return path;
}

void fail(Errc code, std::string_view name, std::string_view path, std::string_view what, std::string_view to_do,
          int system_errno) {
  std::string message = "queue '" + std::string(name) + "'";
  if (!path.empty()) message += " (" + std::string(path) + ")";
  message += ": " + std::string(what);
  if (!to_do.empty()) message += "; " + std::string(to_do);
  throw Error(code, message, system_errno);
}

std::string size_text(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[48];
  std::snprintf(text, sizeof text,
                value == static_cast<double>(static_cast<std::uint64_t>(value)) ? "%.0f %s" : "%.1f %s", value,
                kUnits[unit]);
  return text;
}

}  // namespace detail
}  // namespace ipcq
