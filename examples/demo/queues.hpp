// The demo's two queues, from before its first child until after its last.
#pragma once

#include <string>

#include "options.hpp"

namespace demo {

/// Creates the text queue and the report queue; removes them when it is destroyed, whatever happened. Holds names only:
/// children are forked while no handle exists. The names have the pid, so that several demos can run at once.
class Queues {
 public:
  /// Throws ipcq::Error.
  explicit Queues(const Options& options);
  ~Queues();
  Queues(const Queues&) = delete;
  Queues& operator=(const Queues&) = delete;

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] const std::string& reports() const noexcept { return reports_; }
  /// Leaves the text queue behind.
  void keep_text() noexcept { keep_text_ = true; }

 private:
  std::string text_;
  std::string reports_;
  bool keep_text_ = false;
};

/// Removes what demos left behind that were killed with SIGKILL. A queue that was kept on purpose is closed: it stays.
void remove_leftovers();

}  // namespace demo
