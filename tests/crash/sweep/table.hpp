// Table: the rows that are done, kept in a file so that a long run may be broken off and gone on with.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "crash/sweep/sweep.hpp"

namespace ipcq::sweep {

class Table {
 public:
  /// Reads what is in `file`, if it is of this program and this `kind` of run; else begins it anew. Several processes may
  /// add to one file.
  Table(std::string file, const std::string& kind);

  [[nodiscard]] bool has(const std::string& operation, const std::string& modes) const;
  void add(const Row& row);
  /// What all processes have added.
  [[nodiscard]] std::vector<Row> rows() const;

 private:
  std::string file_;
  std::string heading_;
  std::set<std::string> done_;
};

/// Markdown: a line for each operation and modes, the totals, the machine and the date. Returns how many outcomes were not
/// right.
std::uint64_t print(const std::vector<Row>& rows, const std::string& command);

}  // namespace ipcq::sweep
