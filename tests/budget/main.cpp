// ipcq_budget: does each operation so often as says its row, and says where each begins and ends, for callgrind and strace to
// count. See README.md.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operation.hpp"

// callgrind counts inside the first, and writes what it has counted to a file of its own before it enters the second
// (--toggle-collect, --dump-before): by name, so not in an unnamed namespace and not inlined.
extern "C" {
[[gnu::noinline]] void ipcq_budget_once(const std::function<void()>& once) {
  once();
  asm volatile("");  // not the caller's last jump: callgrind would see no return
}
[[gnu::noinline]] void ipcq_budget_next() { asm volatile(""); }
}

namespace ipcq::budget {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

// strace finds in its log what was called between two marks, which are written to a file that nobody reads.
class Marks {
 public:
  explicit Marks(const char* path) : fd_(path == nullptr ? -1 : ::open(path, O_WRONLY | O_CLOEXEC)) {
    if (path != nullptr && fd_ == -1) throw std::runtime_error(std::string("cannot write to ") + path);
  }
  void begin(const std::string& name) const { put("budget:begin " + name); }
  void end() const { put("budget:end"); }

 private:
  void put(const std::string& text) const {
    if (fd_ != -1 && ::write(fd_, text.data(), text.size()) == -1) throw std::runtime_error("cannot write marks");
  }
  int fd_;
};

void run(const Row& row, const Marks& marks) {
  const Operation operation = row.make();
  const std::string& name = row.name;
  for (std::uint32_t call = 0; call < 2 * row.calls; ++call) {
    if (operation.before) operation.before();
    if (call < row.calls) {
      operation.once();
      continue;
    }
    marks.begin(name);
    ipcq_budget_once(operation.once);
    marks.end();
  }
  ipcq_budget_next();
  std::printf("%s %u\n", name.c_str(), row.calls);
}

int usage() {
  std::fputs("usage: ipcq_budget [--list] [--marks FILE] [OPERATION...]\n", stderr);
  return kUsage;
}

int main(const std::vector<std::string_view>& arguments) {
  const char* marks_path = nullptr;
  bool list = false;
  std::vector<std::string_view> only;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--list") {
      list = true;
    } else if (arguments[i] == "--marks" && i + 1 < arguments.size()) {
      marks_path = arguments[++i].data();
    } else if (arguments[i].starts_with("-")) {
      return usage();
    } else {
      only.push_back(arguments[i]);
    }
  }
  std::vector<Row> rows = rows_of_one_process();
  for (Row& row : rows_of_sleep()) rows.push_back(std::move(row));
  for (const std::string_view name : only) {
    if (std::none_of(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; })) return usage();
  }
  const Marks marks(marks_path);
  for (const Row& row : rows) {
    if (!only.empty() && std::find(only.begin(), only.end(), row.name) == only.end()) continue;
    if (list) {
      std::puts(row.name.c_str());
    } else {
      run(row, marks);
    }
  }
  return 0;
}

}  // namespace
}  // namespace ipcq::budget

int main(int count, char** arguments) {
  try {
    return ipcq::budget::main({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ipcq_budget: %s\n", error.what());
    return ipcq::budget::kFailed;
  }
}
