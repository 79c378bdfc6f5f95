#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "format.hpp"

namespace demo {
namespace {

constexpr std::size_t kFiguresColumns =
    60;  // room kept for the figures, so that the bar does not change its length with them
constexpr std::size_t kBarColumnsMax = 40;

// A bar and the space behind it in at most so many columns; nothing where they do not make one.
std::string bar(double share, std::size_t columns) {
  if (columns < 10) return {};
  std::string text(std::min(columns, kBarColumnsMax) - 3, '-');
  const auto full = std::min(static_cast<std::size_t>(share * static_cast<double>(text.size())), text.size());
  text.replace(0, full, full, '#');
  return std::string("[").append(text).append("] ");
}

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

Progress::Progress(std::uint64_t bytes) : bytes_(bytes), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::update(const Tally& tally, const ipcq::Queue& queue) {
  using namespace std::chrono_literals;
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - shown_at_).count();
  if (now - shown_at_ < (terminal_ ? 100ms : 1000ms)) return;

  const std::uint64_t messages = tally.total().messages;
  const std::uint64_t bytes = tally.total().counts.bytes;
  const double share = static_cast<double>(bytes) / static_cast<double>(bytes_);
  const ipcq::QueueInfo info = queue.inspect();
  std::uint64_t depth = 0;
  for (const ipcq::GroupInfo& group : info.groups) depth = std::max(depth, group.depth_messages);

  std::string line = fixed(share * 100, 0) + " %  " + grouped(static_cast<double>(messages - shown_messages_) / seconds) +
                     " messages/s  " + megabytes(static_cast<double>(bytes - shown_bytes_) / seconds) + "/s  depth " +
                     grouped(depth) + " messages";
  if (terminal_) {
    const std::size_t columns = terminal_columns() - 1;  // a full line would scroll
    line.resize(std::min(line.size(), columns));
    line.insert(0, bar(share, columns - std::min(columns, std::max(line.size(), kFiguresColumns))));
  }
  note(line.c_str());
  shown_at_ = now;
  shown_messages_ = messages;
  shown_bytes_ = bytes;
}

void Progress::note(const char* text) const { std::fprintf(stderr, terminal_ ? "\r%s\033[K" : "%s\n", text); }

}  // namespace demo
