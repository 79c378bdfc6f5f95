// What a wait set asks of a consumer.
#include "api/consumer_impl.hpp"
#include "api/wait_set_impl.hpp"
#include "core/ready.hpp"
#include "core/ring.hpp"

namespace ipcq::detail {
namespace {

// As for a lease that waits for a ledger entry: acks publish no data.
constexpr std::int64_t kFreeEntryLook_ns = 1'000'000;

}  // namespace

core::LeaseTaken ConsumerImpl::look_ahead() {
  const core::View& view = endpoint_.view();
  if (!exclusive_) return core::look_for_messages(view, group_.row, group_.incarnation);
  core::LeaseTaken look = core::look_for_messages_exclusive(view, group_.row, group_.incarnation, state_, open_.empty());
  if (look.step == core::LeaseStep::leased && open_.size() == kOpenExclusive)
    look.step = core::LeaseStep::too_many_leases;
  return look;
}

Readiness ConsumerImpl::readiness() {
  const core::View& view = endpoint_.view();
  Readiness readiness;
  readiness.event = &view.side().data.word;
  readiness.ready = true;
  // relaxed: removal wakes, and is looked for again after every wake.
  const std::uint32_t flags = view.frozen().flags.load(std::memory_order_relaxed);
  if (endpoint_.cancelled() || (flags & (layout::flag::kPoisoned | layout::flag::kRemoved)) != 0) return readiness;
  core::LeaseTaken look = look_ahead();
  if (look.step == core::LeaseStep::claimed && retry_after_step(look)) look = look_ahead();
  switch (look.step) {
    case core::LeaseStep::nothing:
    case core::LeaseStep::claimed:
      readiness.ready = false;
      readiness.stop = look.stop;
      readiness.head = look.head;
      readiness.only_by_event = !exclusive_;  // an exclusive consumer's own ack may be what ends its stream
      break;
    case core::LeaseStep::too_many_leases:
      readiness.ready = false;
      // Those of an exclusive consumer are its own: it looks again when it comes back from acking.
      if (!exclusive_) readiness.look_ns = os::monotonic_ns() + kFreeEntryLook_ns;
      break;
    case core::LeaseStep::lock_held:
    case core::LeaseStep::parked:
      readiness.ready = false;
      break;
    default:
      break;
  }
  return readiness;
}

bool ConsumerImpl::stirred(const Readiness& last) const noexcept {
  if (last.stop == layout::kNoPosition) return false;
  const std::uint64_t head = core::peek_head(endpoint_.view(), last.stop);
  return head != last.head && detail::head_state(head) != core::RecordState::claimed;
}

void ConsumerImpl::leave_set() noexcept { set_->left(this); }

}  // namespace ipcq::detail
