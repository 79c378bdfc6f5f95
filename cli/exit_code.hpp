// How a run of the program ends: the exit codes, and the exceptions that carry them up to main.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "ipcq/error.hpp"

namespace ipcq::cli {

/// The program's exit codes: part of its interface, listed in docs/command-line.md.
enum class Exit : int {
  done = 0,
  error = 1,          ///< at run time
  usage = 2,          ///< options, names, sizes
  missing = 3,        ///< no such queue or group
  permission = 4,     ///< not allowed, or the owner is not trusted
  nothing = 5,        ///< nothing came, or full, or over quota, in the time given
  damaged = 6,        ///< damaged, or no queue at all
  foreign = 7,        ///< another layout, C library, machine or namespace
  exists = 8,         ///< exists, or in use
  interrupted = 130,  ///< Ctrl-C
  broken_pipe = 141,  ///< nobody reads standard output any more
};

[[nodiscard]] Exit exit_of(Errc code) noexcept;
[[nodiscard]] Exit exit_of(Outcome outcome) noexcept;

/// An outcome that ended the work, in words: "the queue is closed".
[[nodiscard]] const char* sentence(Outcome outcome) noexcept;

/// Ends the run: main prints the message and the hints, each on a line of its own, and exits with the code.
class Failure : public std::exception {
 public:
  Failure(Exit exit, std::string message, std::vector<std::string> hints = {});

  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }
  [[nodiscard]] Exit exit() const noexcept { return exit_; }
  [[nodiscard]] const std::vector<std::string>& hints() const noexcept { return hints_; }
  void add_hint(std::string hint) { hints_.push_back(std::move(hint)); }

 private:
  Exit exit_;
  std::string message_;
  std::vector<std::string> hints_;
};

/// A mistake on the command line: main adds the usage line of the verb.
class UsageError : public Failure {
 public:
  explicit UsageError(std::string message, std::vector<std::string> hints = {})
      : Failure(Exit::usage, std::move(message), std::move(hints)) {}
};

}  // namespace ipcq::cli
