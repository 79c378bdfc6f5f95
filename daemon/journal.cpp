#include "journal.hpp"

#include <unistd.h>

#include <array>
#include <cstddef>

namespace ipcq::daemon {
namespace {

bool g_verbose = false;

}  // namespace

void set_verbose(bool verbose) noexcept { g_verbose = verbose; }

void say(Level level, std::string_view text) noexcept {
  if (level == Level::debug && !g_verbose) return;
  static const bool kTerminal = ::isatty(STDERR_FILENO) == 1;
  std::array<char, 2048> line;  // no allocation: also said when memory is short
  std::size_t used = 0;
  const auto add = [&](std::string_view part) {
    for (const char c : part) {
      if (used + 1 < line.size()) line[used++] = static_cast<unsigned char>(c) < ' ' || c == 127 ? '?' : c;
    }
  };
  if (kTerminal) {
    add("ipcqd: ");
  } else {
    const char mark[] = {'<', static_cast<char>('0' + static_cast<int>(level)), '>'};
    add({mark, sizeof mark});
  }
  add(text);
  line[used++] = '\n';
  if (::write(STDERR_FILENO, line.data(), used) < 0) return;  // nobody listens: nothing to be done about it
}

}  // namespace ipcq::daemon
