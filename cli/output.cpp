#include "output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "exit_code.hpp"

namespace ipcq::cli {
namespace {

bool g_color = false;
bool g_quiet = false;

bool terminal_takes_color() noexcept {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  if (terminal == nullptr || std::strcmp(terminal, "dumb") == 0) return false;
  return ::isatty(STDOUT_FILENO) == 1;
}

bool is_printable(char c) noexcept { return c >= ' ' && c <= '~'; }
bool is_control(char c) noexcept { return (c >= 0 && c < ' ') || c == '\x7f'; }

/// One write(2) loop for both descriptors. 0, or the errno that ended it.
int write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {  // the caller made the descriptor non-blocking
        pollfd ready{fd, POLLOUT, 0};
        ::poll(&ready, 1, -1);
        continue;
      }
      return errno;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace

void occupy_standard_descriptors() noexcept {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open() takes the lowest free number, which is `fd`. The wrong direction makes every use fail with EBADF.
    const int opened = ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != fd) std::_Exit(static_cast<int>(Exit::error));
  }
}

void set_color(Color color) noexcept {
  g_color = color == Color::always || (color == Color::automatic && terminal_takes_color());
}
void set_quiet(bool quiet) noexcept { g_quiet = quiet; }
bool is_quiet() noexcept { return g_quiet; }

void print(std::string_view text) {
  const int error = write_all(STDOUT_FILENO, text);
  if (error == 0) return;
  if (error == EPIPE) throw Failure(Exit::broken_pipe, "");
  throw Failure(Exit::error, std::string("cannot write to standard output: ") + std::strerror(error));
}

void complain(std::string_view line) noexcept {
  try {
    std::string text = "ipcq: ";
    for (const char c : line) text += is_control(c) ? '?' : c;
    text += '\n';
    write_all(STDERR_FILENO, text);
  } catch (...) {  // no memory for the line: the exit code still tells
  }
}

void note(std::string_view line) noexcept {
  if (!g_quiet) complain(line);
}

std::string printable(std::string_view text) {
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return !is_printable(c); }, '?');
  return clean;
}

std::string styled(Style style, const std::string& text) {
  if (!g_color || style == Style::plain) return text;
  const char* code = "";
  switch (style) {
    case Style::plain:
      break;
    case Style::bold:
      code = "\033[1m";
      break;
    case Style::good:
      code = "\033[32m";
      break;
    case Style::warning:
      code = "\033[33m";
      break;
    case Style::bad:
      code = "\033[31m";
      break;
  }
  return code + text + "\033[0m";
}

Table::Table(std::vector<Column> columns, std::string indent)
    : columns_(std::move(columns)), indent_(std::move(indent)) {}

void Table::add(std::vector<std::string> cells, Style style) {
  for (std::string& cell : cells) cell = printable(cell);
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), style});
}

std::string Table::line(const Row& row, const std::vector<std::size_t>& widths) const {
  std::string text = indent_;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::string padding(widths[i] - row.cells[i].size(), ' ');
    if (i != 0) text += "  ";
    text += columns_[i].align == Align::right ? padding + row.cells[i] : row.cells[i] + padding;
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return styled(row.style, text) + "\n";
}

std::string Table::text() const {
  Row titles{{}, Style::bold};
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    titles.cells.emplace_back(columns_[i].title);
    std::size_t width = titles.cells[i].size();
    for (const Row& row : rows_) width = std::max(width, row.cells[i].size());
    widths.push_back(width);
  }
  std::string text = line(titles, widths);
  for (const Row& row : rows_) text += line(row, widths);
  return text;
}

std::string labelled(const std::vector<std::pair<std::string, std::string>>& lines, const std::string& indent) {
  std::size_t width = 0;
  for (const auto& [label, value] : lines) width = std::max(width, label.size());
  std::string text;
  for (const auto& [label, value] : lines) {
    text += indent;
    text += label;
    text.append(width - label.size() + 2, ' ');
    text += value;
    text += '\n';
  }
  return text;
}

}  // namespace ipcq::cli
