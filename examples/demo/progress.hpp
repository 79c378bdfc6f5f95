// How far the demo is: a line that moves on a terminal, a line a second elsewhere. On stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <ipcq/ipcq.hpp>

#include "tally.hpp"

namespace demo {

class Progress {
 public:
  explicit Progress(std::uint64_t bytes);
  ~Progress();  ///< the moving line goes
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows the state of things if it is time to. Looks at the queue as an observer does: no lock, no row.
  void update(const Tally& tally, const ipcq::Queue& queue);
  /// Says what is being done now.
  void note(const char* text) const;

 private:
  using Clock = std::chrono::steady_clock;

  const std::uint64_t bytes_;
  const bool terminal_;
  Clock::time_point shown_at_ = Clock::now();
  std::uint64_t shown_messages_ = 0;
  std::uint64_t shown_bytes_ = 0;
};

}  // namespace demo
