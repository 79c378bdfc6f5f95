// Operation: what has a budget.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ipcq::budget {

/// One operation on a queue of its own, which it makes and removes.
struct Operation {
  std::function<void()> before;  ///< not counted: puts in place what `once` finds; may be empty
  std::function<void()> once;    ///< counted
};

struct Row {
  std::string name;
  std::uint32_t calls;  ///< of `once`, counted, behind as many that are not
  std::function<Operation()> make;
};

/// One process, one thread.
[[nodiscard]] std::vector<Row> rows_of_one_process();
/// One thread here, and another process that sleeps or wakes it.
[[nodiscard]] std::vector<Row> rows_of_sleep();

}  // namespace ipcq::budget
