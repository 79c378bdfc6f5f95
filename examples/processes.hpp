// Child processes for the examples: each runs one function and exits with the status it returns.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <vector>

namespace example {

/// Start processes before the first queue handle exists: handles do not survive fork(), each child makes its own.
class Processes {
 public:
  template <class Function>
  void start(Function function) {
    const pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) _exit(run(function));
    pids_.push_back(pid);
  }

  /// Waits for them in the order they were started. True if each returned 0. After a failure the later ones are ended:
  /// they may be waiting for the one that failed.
  bool wait() {
    bool succeeded = true;
    for (const pid_t pid : pids_) {
      if (!succeeded) kill(pid, SIGKILL);
      int status = 0;
      if (waitpid(pid, &status, 0) != pid) fail("waitpid");
      succeeded = succeeded && status == 0;
    }
    pids_.clear();
    return succeeded;
  }

 private:
  template <class Function>
  static int run(Function function) {
    int status = 1;
    try {
      status = function();
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
    }
    std::cout.flush();  // _exit would not
    return status;
  }

  [[noreturn]] static void fail(const char* call) {
    std::perror(call);
    std::exit(1);
  }

  std::vector<pid_t> pids_;
};

}  // namespace example
