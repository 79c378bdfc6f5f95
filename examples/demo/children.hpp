// The parent's child processes: start, watch, end. Signals go to the pids started here and to nobody else.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "corpus.hpp"
#include "options.hpp"
#include "queues.hpp"

namespace demo {

class Children {
 public:
  /// Starts the consumers, then the producers, which share the first `items` of the files. No queue handle may exist in
  /// this process.
  Children(const Options& options, const Queues& queues, const std::vector<File>& files, std::uint64_t items);
  /// Ends those that still run, by SIGKILL: a queue has no need of more, and what they leave is removed with it.
  ~Children();
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  /// Collects those that have ended. Throws std::runtime_error naming the first that failed. Never blocks.
  void collect();
  [[nodiscard]] bool producers_ended() const noexcept { return ended(Part::producer); }
  [[nodiscard]] bool consumers_ended() const noexcept { return ended(Part::consumer); }
  /// SIGKILL. Returns the pid, or 0 if it had ended.
  pid_t kill_consumer(unsigned index);

 private:
  struct Child {
    pid_t pid = 0;
    Part part = Part::parent;
    unsigned index = 0;
    bool running = true;
    bool killed = false;  // on purpose
  };

  void start(Part part, unsigned index, const std::vector<std::string>& arguments);
  void end_all() noexcept;
  [[nodiscard]] bool ended(Part part) const noexcept;

  std::string program_;
  std::vector<Child> children_;
};

}  // namespace demo
