#include "api/endpoint.hpp"

#include <algorithm>
#include <ctime>
#include <exception>

#include "core/event_count.hpp"
#include "core/quota.hpp"
#include "core/recovery.hpp"
#include "core/stats.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::detail {
namespace {

constexpr int kAttachTries = 20;

void nap_1ms() noexcept {
  const timespec nap{0, 1'000'000};
  ::nanosleep(&nap, nullptr);
}

std::string living_endpoints(const core::View& view) {
  std::string text;
  int shown = 0;
  for (std::uint32_t i = 0; i < view.endpoints_max && shown < 4; ++i) {
    if (!core::row_attached(view, i)) continue;
    text += (shown == 0 ? "" : ", ") + process_text(view, core::owner_of_row(view, i));
    ++shown;
  }
  return text;
}

}  // namespace

Endpoint::Endpoint(std::shared_ptr<Segment> segment, const core::View& view, const core::AttachRequest& request,
                   WaitStrategy wait)
    : segment_(std::move(segment)), view_(view), wait_(wait) {
  if (!os::robust_mutexes_work()) {  // in this thread, which need not be the one that opened the queue
    segment_->fail(Errc::no_robust_mutex, "robust mutexes do not work in this thread",
                   "a library replaced its robust list (set_robust_list): attach from another thread, or without it");
  }
  core::free_rows_of_earlier_images(view_);
  for (int attempt = 0; attempt < kAttachTries; ++attempt) {
    segment_->check_alive();
    life_ = segment_->open_life_descriptor();
    switch (core::attach(view_, life_.get(), request, owner_)) {
      case core::AttachResult::ok:
        attached_ = true;
        counters_ = request.kind == layout::RowKind::producer ? &row().produced : &row().consumed;
        break;
      case core::AttachResult::again:
        nap_1ms();
        continue;
      case core::AttachResult::full:
        core::recover(view_);
        if (attempt + 1 < kAttachTries && attempt < 2) continue;
        segment_->fail(Errc::too_many_endpoints,
                       "all " + std::to_string(view_.endpoints_max) + " endpoints are taken (by " +
                           living_endpoints(view_) + ", …)",
                       "detach some, or create the queue with more (--endpoints)");
      case core::AttachResult::timed_out:
        segment_->fail(Errc::timed_out, "a stopped process holds the endpoint table", "let it continue, or end it");
      case core::AttachResult::poisoned:
        segment_->fail(Errc::poisoned, "the endpoint table's mutex cannot be repaired", kHowToMend);
    }
    // Somebody may have removed the queue while we locked our byte: then we live in a file without a name.
    if ((view_.frozen().flags.load(std::memory_order_acquire) & layout::flag::kRemoved) == 0 &&  // A:flags, with R:flags
        segment_->still_named()) {
      return;
    }
    detach();
    segment_->fail(Errc::removed, "the queue is removed", "create it again");
  }
  segment_->fail(Errc::timed_out, "no row could be taken in 20 tries", "somebody is removing the queue: try again");
}

Endpoint::~Endpoint() { detach(); }

void Endpoint::detach() noexcept {
  if (attached_ && !segment_->forked()) core::detach(view_, owner_);
  attached_ = false;
  life_.close();
}

void Endpoint::cancel() noexcept {
  cancelled_.store(true, std::memory_order_seq_cst);  // R:wake, with A:wake
  core::kick(view_.side().data);
  core::kick(view_.side().space);
  core::kick(core::quota_event(view_));
}

void Endpoint::backstop() noexcept {
  if (!life_.is_ours()) {
    // Somebody closed our descriptor (closefrom): take the lock again; the foreign one is left alone.
    life_.close();
    try {
      life_ = segment_->open_life_descriptor();
      // Refused, another endpoint has the row: try again, and until then be without.
      if (!os::lock_bytes(life_.get(), view_.life_begin + core::owner_row(owner_), 1)) life_.close();
    } catch (const std::exception&) {
      // No descriptor to be had now: the next backstop tries again. Meanwhile others report us as `lost_life_lock`.
    }
  }
  if (!segment_->is_this_file(view_.fd)) {
    // Likewise the descriptor that probes go through: without one nobody would ever be found dead.
    probe_.close();
    try {
      probe_ = segment_->open_life_descriptor();
      view_.fd = probe_.get();
    } catch (const std::exception&) {
      // As above.
    }
  }
  core::recover(view_);
}

bool Endpoint::sleep_once(layout::AtomicU32& event, std::uint32_t armed, std::int64_t deadline_ns,
                          std::int64_t look_ns) noexcept {
  const bool woken = core::sleep(event, armed, std::min({deadline_ns, looked_ns_ + kBackstop_ns, look_ns}));
  look_if_due(os::monotonic_ns());
  return woken;
}

void Endpoint::look_if_due(std::int64_t now_ns) noexcept {
  if (now_ns - looked_ns_ < kBackstop_ns) return;
  looked_ns_ = now_ns;
  backstop();
}

std::int64_t Endpoint::spin_until(std::int64_t now_ns, std::int64_t deadline_ns, bool stirred) const noexcept {
  switch (wait_) {
    case WaitStrategy::spin:
      return deadline_ns;
    case WaitStrategy::adaptive:
      if (!stirred) return now_ns;
      return now_ns + kAdaptiveSpin_ns < deadline_ns ? now_ns + kAdaptiveSpin_ns : deadline_ns;
    case WaitStrategy::sleep:
      break;
  }
  return now_ns;
}

std::shared_ptr<const BlockedBy> describe(const core::View& view, core::Owner owner, const char* what,
                                          std::uint64_t age_ns) {
  auto by = std::make_shared<BlockedBy>();
  by->what = what;
  by->age = std::chrono::nanoseconds(age_ns);
  if (owner != 0 && core::owner_row(owner) < view.endpoints_max) {
    by->pid = view.row(core::owner_row(owner)).pid.load(std::memory_order_relaxed);  // relaxed: a report
    by->command = os::command_of(by->pid);
  }
  return by;
}

std::string process_text(const core::View& view, core::Owner owner) {
  if (core::owner_row(owner) >= view.endpoints_max) return "an unknown process";
  const std::uint32_t pid = view.row(core::owner_row(owner)).pid.load(std::memory_order_relaxed);  // relaxed: a report
  const std::string command = os::command_of(pid);
  return "pid " + std::to_string(pid) + (command.empty() ? "" : " (" + command + ")");
}

}  // namespace ipcq::detail
