// What a consumer's call that brought no lease answers, and who held it up.
#include "api/consumer_impl.hpp"
#include "core/ring.hpp"

namespace ipcq::detail {

Outcome ConsumerImpl::outcome_of(const core::LeaseTaken& taken) const noexcept {
  if (endpoint_.cancelled()) return Outcome::cancelled;
  switch (taken.step) {
    case core::LeaseStep::leased:
      return Outcome::ok;
    case core::LeaseStep::claimed:
      return living_claimer_ != 0 && living_claimer_ == detail::head_high(taken.head) ? Outcome::blocked : Outcome::empty;
    case core::LeaseStep::lock_held:
    case core::LeaseStep::parked:
      return Outcome::blocked;
    case core::LeaseStep::drained:
      return Outcome::closed;
    case core::LeaseStep::too_many_leases:
      return Outcome::too_many_leases;
    case core::LeaseStep::group_removed:
      return Outcome::group_removed;
    case core::LeaseStep::disowned:
      return Outcome::disowned;
    case core::LeaseStep::removed:
      return Outcome::removed;
    case core::LeaseStep::poisoned:
      return Outcome::poisoned;
    case core::LeaseStep::damaged:
      return Outcome::damaged;
    default:
      return Outcome::empty;
  }
}

std::shared_ptr<const BlockedBy> ConsumerImpl::who_blocks(const core::LeaseTaken& taken) const {
  const core::View& view = endpoint_.view();
  switch (taken.step) {
    case core::LeaseStep::claimed:
      return describe(view, detail::head_high(taken.head), "claim",
                      view.stamp_difference_ns(core::peek_time(view, taken.stop), view.stamp()));
    case core::LeaseStep::too_many_leases:
      return describe(view, taken.front_owner, "lease", 0);
    case core::LeaseStep::lock_held: {
      auto by = std::make_shared<BlockedBy>();
      by->what = "group mutex";
      by->pid = view.group(group_.row).mutex.holder();
      by->command = os::command_of(by->pid);
      return by;
    }
    case core::LeaseStep::parked: {
      auto by = std::make_shared<BlockedBy>();
      by->what = "parked message";
      return by;
    }
    default:
      return nullptr;
  }
}

}  // namespace ipcq::detail
