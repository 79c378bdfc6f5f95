#include "api/wait_descriptor.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include "api/endpoint.hpp"
#include "core/recovery.hpp"
#include "ipcq/error.hpp"
#include "os/clock.hpp"
#include "os/helper_thread.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::detail {
namespace {

bool any_changed(const std::vector<os::FutexWait>& waits) noexcept {
  for (const os::FutexWait& wait : waits) {
    if (wait.word->load(std::memory_order_seq_cst) != wait.value) return true;  // A:wake, with R:wake
  }
  return false;
}

}  // namespace

WaitDescriptor::WaitDescriptor() {
  if (!event_)
    throw Error(Errc::system, "no descriptor for a wait set (eventfd): raise the limit of open files (ulimit -n)", errno);
  event_.signal();
}

WaitDescriptor::~WaitDescriptor() {
  if (thread_ == nullptr) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  tell_changed();
  thread_->join();
}

void WaitDescriptor::tell_changed() noexcept {
  control_.fetch_add(1, std::memory_order_seq_cst);  // R:wake, with A:wake: behind what changed, before the wake
  os::futex_wake_all(control_);
}

void WaitDescriptor::watch(Watch watch) {
  if (thread_ == nullptr) {
    try {
      thread_ = std::make_unique<std::thread>(os::start_helper("ipcq-wait", [this] { run(); }));
    } catch (const std::system_error& error) {
      throw Error(Errc::system, "no thread for a wait set's descriptor: raise the limit of threads (ulimit -u)",
                  error.code().value());
    }
  }
  {
    const std::lock_guard lock(mutex_);
    next_ = std::move(watch);
    watching_ = true;
    ++generation_;
    event_.clear();
  }
  tell_changed();
}

void WaitDescriptor::stand_down() noexcept {
  Watch dropped;  // goes after the mutex: it may be the last to hold a queue
  {
    const std::lock_guard lock(mutex_);
    if (!watching_) return;  // readable since
    watching_ = false;
    std::swap(dropped, next_);
    ++generation_;
    event_.signal();
  }
  tell_changed();
}

// False: the thread is to end.
bool WaitDescriptor::take_over(std::uint64_t& seen, Watch& watch, std::uint32_t& control) {
  Watch before;  // goes after the mutex
  const std::lock_guard lock(mutex_);
  control = control_.load(std::memory_order_seq_cst);  // A:wake, with R:wake: before what is read here
  if (seen != generation_) {
    seen = generation_;
    std::swap(before, watch);
    std::swap(watch, next_);
  }
  return !stop_;
}

void WaitDescriptor::run() {
  const bool may_recover = os::robust_mutexes_work();  // in this thread
  std::uint64_t seen = 0;
  std::uint32_t control = 0;
  Watch watch;
  std::vector<os::FutexWait> waits;
  std::int64_t backstop_ns = 0;
  while (take_over(seen, watch, control)) {
    waits.assign(1, {&control_, control});
    waits.insert(waits.end(), watch.waits.begin(), watch.waits.end());
    if (watch.waits.empty()) {
      os::futex_wait_any(waits, os::kNoDeadline);
      continue;
    }
    os::futex_wait_any(waits, std::min(watch.look_ns, backstop_ns));
    const std::int64_t now_ns = os::monotonic_ns();
    if (now_ns >= watch.look_ns || any_changed(watch.waits)) {
      {
        const std::lock_guard lock(mutex_);
        if (seen == generation_) {
          watching_ = false;
          event_.signal();
        }
      }
      watch = {};
    } else if (now_ns >= backstop_ns) {
      backstop_ns = now_ns + kBackstop_ns;
      // Whose control descriptor was closed by somebody else has its probes mended at the next arm().
      for (const Queue& queue : watch.queues) {
        if (may_recover && queue.segment->is_this_file(queue.view.fd)) core::recover(queue.view);
      }
    }
  }
}

}  // namespace ipcq::detail
