// WaitDescriptor: what makes a wait set known to an event loop. A futex has no descriptor, so a thread sleeps on the set's
// words, and makes an eventfd readable.
//
// The thread touches no endpoint: these belong to the set's thread. It knows words and the values that were armed; a word
// that has another is what it looks for. At each backstop it looks for the dead of the set's queues: what that changes it
// sees as a changed word too.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "api/segment.hpp"
#include "core/view.hpp"
#include "os/event_descriptor.hpp"
#include "os/futex.hpp"

namespace ipcq::detail {

class WaitDescriptor {
 public:
  struct Queue {
    std::shared_ptr<Segment> segment;  // keeps the words there
    core::View view;
  };
  /// What the thread is to sleep for.
  struct Watch {
    std::vector<os::FutexWait> waits;
    std::int64_t look_ns = os::kNoDeadline;  // CLOCK_MONOTONIC: readable then in any case
    std::vector<Queue> queues;
  };

  /// Readable. Throws Error{system}.
  WaitDescriptor();
  /// Ends the thread.
  ~WaitDescriptor();
  WaitDescriptor(const WaitDescriptor&) = delete;
  WaitDescriptor& operator=(const WaitDescriptor&) = delete;

  [[nodiscard]] int get() const noexcept { return event_.get(); }
  /// Not readable, until a word changes or the time comes. Starts the thread at the first call. Throws Error{system}.
  void watch(Watch watch);
  /// Readable; the thread forgets what it watches, soon.
  void stand_down() noexcept;
  /// Readable. Async-signal-safe.
  void ring() noexcept { event_.signal(); }
  /// In a forked child: there is no thread here.
  void disown() noexcept { static_cast<void>(thread_.release()); }

 private:
  void run();
  [[nodiscard]] bool take_over(std::uint64_t& seen, Watch& watch, std::uint32_t& control);
  void tell_changed() noexcept;

  os::EventDescriptor event_;
  std::mutex mutex_;  // of the next four
  Watch next_;
  std::uint64_t generation_ = 0;  // raised by each watch() and stand_down()
  bool watching_ = false;
  bool stop_ = false;
  std::atomic<std::uint32_t> control_{0};  // the thread sleeps on it too
  std::unique_ptr<std::thread> thread_;    // last: it uses the others
};

}  // namespace ipcq::detail
