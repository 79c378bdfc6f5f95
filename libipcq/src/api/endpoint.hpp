// Endpoint: what a producer and a consumer share: the segment, the row, the life lock, cancel, waiting.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "api/segment.hpp"
#include "core/endpoints.hpp"
#include "core/view.hpp"
#include "ipcq/deadline.hpp"
#include "ipcq/options.hpp"
#include "ipcq/producer.hpp"
#include "os/futex.hpp"

namespace ipcq::detail {

inline constexpr std::int64_t kBackstop_ns = 50'000'000;  // a sleeper looks for the dead so often
inline constexpr std::int64_t kAdaptiveSpin_ns = 20'000;  // about one wake's latency: never worse than twice the best

/// A call's deadline on CLOCK_MONOTONIC; a duration counts from the first time it is asked for, which is in the call.
class CallDeadline {
 public:
  explicit CallDeadline(Deadline deadline) noexcept : kind_(deadline.kind()), ns_(deadline.ns()) {
    if (kind_ == Deadline::Kind::forever) ns_ = os::kNoDeadline;
  }
  [[nodiscard]] bool is_now() const noexcept { return kind_ == Deadline::Kind::now; }
  [[nodiscard]] std::int64_t ns() noexcept {
    if (kind_ == Deadline::Kind::after) {
      ns_ += os::monotonic_ns();
      kind_ = Deadline::Kind::at;
    }
    return ns_;
  }

 private:
  Deadline::Kind kind_;
  std::int64_t ns_;
};

class Endpoint {
 public:
  /// Takes a row. Throws Error{too_many_endpoints | removed | poisoned | timed_out | system}.
  Endpoint(std::shared_ptr<Segment> segment, const core::View& view, const core::AttachRequest& request,
           WaitStrategy wait);
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  [[nodiscard]] const core::View& view() const noexcept { return view_; }
  [[nodiscard]] core::Owner owner() const noexcept { return owner_; }
  [[nodiscard]] layout::EndpointRow& row() const noexcept { return view_.row(core::owner_row(owner_)); }
  /// This endpoint's own.
  [[nodiscard]] layout::Counters& counters() const noexcept { return *counters_; }
  [[nodiscard]] Segment& segment() const noexcept { return *segment_; }
  [[nodiscard]] const std::shared_ptr<Segment>& shared_segment() const noexcept { return segment_; }

  /// Frees the row. Nothing is open.
  void detach() noexcept;

  /// All events move: a thread of this endpoint may be between arm() and sleep(). Async-signal-safe.
  void cancel() noexcept;
  void reset() noexcept { cancelled_.store(false, std::memory_order_relaxed); }  // relaxed: the owner's thread
  [[nodiscard]] bool cancelled() const noexcept {
    return cancelled_.load(std::memory_order_seq_cst);  // A:wake, with R:wake
  }

  /// Sleeps on `event`, whose armed value is `armed`, until a wake, the deadline or the backstop, at which it looks for
  /// the dead and after its own life lock.
  /// At most until `look_ns`, which delays no backstop. True: somebody woke it; false: it was time.
  bool sleep_once(layout::AtomicU32& event, std::uint32_t armed, std::int64_t deadline_ns,
                  std::int64_t look_ns = os::kNoDeadline) noexcept;
  bool sleep_once(layout::EventLine& event, std::uint32_t armed, std::int64_t deadline_ns,
                  std::int64_t look_ns = os::kNoDeadline) noexcept {
    return sleep_once(event.word, armed, deadline_ns, look_ns);
  }
  /// The look for the dead, if the last one of this endpoint is a backstop ago: for every call that found nothing, however
  /// short it waits.
  void look_if_due(std::int64_t now_ns) noexcept;
  /// CLOCK_MONOTONIC from which on it is due.
  [[nodiscard]] std::int64_t look_due_ns() const noexcept { return looked_ns_ + kBackstop_ns; }
  /// Looks, due or not.
  void look_now(std::int64_t now_ns) noexcept {
    looked_ns_ = now_ns;
    backstop();
  }
  /// Up to when a call spins from `now_ns` on. `stirred`: it has just begun, or was woken; else its last sleep ended by
  /// itself, and to spin would be most of what it costs to wait long for something rare.
  [[nodiscard]] std::int64_t spin_until(std::int64_t now_ns, std::int64_t deadline_ns, bool stirred) const noexcept;
  [[nodiscard]] WaitStrategy strategy() const noexcept { return wait_; }

 private:
  void backstop() noexcept;

  std::shared_ptr<Segment> segment_;
  core::View view_;
  os::LifeDescriptor life_;
  os::LifeDescriptor probe_;  ///< carries no lock; in use once the segment's own descriptor is closed by somebody
  core::Owner owner_ = 0;
  WaitStrategy wait_;
  std::atomic<bool> cancelled_{false};
  std::int64_t looked_ns_ = 0;
  layout::Counters* counters_ = nullptr;  // of the row, once it is taken
  bool attached_ = false;
};

/// Who `owner` is, for a report.
[[nodiscard]] std::shared_ptr<const BlockedBy> describe(const core::View& view, core::Owner owner, const char* what,
                                                        std::uint64_t age_ns);
/// "pid 123 (cat)".
[[nodiscard]] std::string process_text(const core::View& view, core::Owner owner);

}  // namespace ipcq::detail
