// The child's side of a test with several processes: roles, and what a role can say and do.
//
// A role is a function that runs in a process of its own: the test program, executed again with `--child ROLE …`. Its
// main() (child_main.cpp) looks for that before googletest sees the arguments, so a child starts with nothing inherited
// but two channels to the test, and its death is the death of a whole process. ChildProcess (child_process.hpp) is the
// test's side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ipcq::support {

class Child;

/// A role. Define it at namespace scope: it enters itself in the list that main() looks through, under a name that is
/// unique in the program.
struct ChildRole {
  ChildRole(const char* role_name, int (*role_run)(Child&));
  const char* name;
  int (*run)(Child&);  ///< its result is the exit code; an exception is reported as "failed: …" and gives 1
};

/// Exit code of a process that made a system call after forbid_system_calls().
inline constexpr int kSystemCallMade = 43;
/// Exit code for "this host does not permit what the role needs"; the reason was reported before.
inline constexpr int kNotPermitted = 44;

class Child {
 public:
  Child(int report_fd, int command_fd, std::vector<std::string> arguments);

  /// Argument of the role, from 0. Throws if there are fewer.
  [[nodiscard]] const std::string& argument(std::size_t index) const;
  [[nodiscard]] std::uint64_t number(std::size_t index) const;

  /// One line for the test. One write(2), nothing allocated: works after forbid_system_calls() and in signal handlers.
  void report(std::string_view line) const;
  /// Waits for the test to say exactly this. If the test is gone, the process ends at once, with its handles open.
  void await(std::string_view command);
  /// Waits to be killed; ends at once, with its handles open, when the test is gone. Does not return: `return self.hold();`
  [[noreturn]] int hold() const;
  /// Ends the process at once: no destructor runs, so whatever is open stays as it is.
  [[noreturn]] void leave(int code) const;
  /// exec(2): this process goes on as another role, with the same channels.
  [[noreturn]] int become(const ChildRole& role, const std::vector<std::string>& arguments) const;

  /// closefrom(3) for all but standard input, output, error and the channels to the test.
  void close_other_descriptors() const;
  /// From here on any system call of this thread but report() and leave() ends the process with kSystemCallMade, after
  /// reporting "system call N". For good: there is no way back.
  void forbid_system_calls() const;

 private:
  int report_fd_;
  int command_fd_;
  std::string unread_;
  std::vector<std::string> arguments_;
};

/// Throws std::runtime_error{what} unless `condition`: a role's assertion.
void require(bool condition, const std::string& what);

}  // namespace ipcq::support
