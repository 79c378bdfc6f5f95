// What the program writes: data on standard output, notes on standard error.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ipcq::cli {

enum class Color { automatic, always, never };

/// Before anything opens a file: takes the numbers 0, 1 and 2, where the caller closed them, so that no queue's file
/// gets one of them and is written to as if it were standard output. What stands there fails as a closed one would.
void occupy_standard_descriptors() noexcept;

void set_color(Color color) noexcept;
void set_quiet(bool quiet) noexcept;
[[nodiscard]] bool is_quiet() noexcept;

/// All of `text` to standard output. Throws a Failure: broken_pipe without words if nobody reads it, else the cause.
void print(std::string_view text);

/// "ipcq: <line>" on standard error; control characters are shown as '?'. Never fails.
void complain(std::string_view line) noexcept;
/// The same for what need not be known: nothing with --quiet.
void note(std::string_view line) noexcept;

/// Text of others (names, commands) made fit for a terminal and a column: anything but printable ASCII becomes '?'.
[[nodiscard]] std::string printable(std::string_view text);

enum class Style { plain, bold, good, warning, bad };
/// `text` in colour if standard output takes it.
[[nodiscard]] std::string styled(Style style, const std::string& text);

/// Rows in columns, two spaces apart. Cells are made printable.
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    const char* title;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns, std::string indent = "");
  /// A cell that is missing at the end of `cells` is empty.
  void add(std::vector<std::string> cells, Style style = Style::plain);
  [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }
  /// Titles and rows, each line ended by a newline and without spaces before it.
  [[nodiscard]] std::string text() const;

 private:
  struct Row {
    std::vector<std::string> cells;
    Style style;
  };
  [[nodiscard]] std::string line(const Row& row, const std::vector<std::size_t>& widths) const;

  std::vector<Column> columns_;
  std::string indent_;
  std::vector<Row> rows_;
};

/// Label and value, one pair a line, the values in one column.
[[nodiscard]] std::string labelled(const std::vector<std::pair<std::string, std::string>>& lines,
                                   const std::string& indent = "");

}  // namespace ipcq::cli
