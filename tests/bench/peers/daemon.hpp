// A server that a system needs beside its users: started by the parent before a run, ended after it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ipcq::bench {

class Daemon {
 public:
  /// Starts argv[0], looked up in PATH, with its output thrown away. It ends with this process, too.
  explicit Daemon(const std::vector<std::string>& argv);
  /// SIGTERM, and SIGKILL if it is still there after two seconds; by its pid.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  /// Throws if it has ended.
  void check();

 private:
  std::string name_;
  pid_t pid_;
};

}  // namespace ipcq::bench
