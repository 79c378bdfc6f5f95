#include "exit_code.hpp"

#include <utility>

namespace ipcq::cli {

Exit exit_of(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_name:
    case Errc::invalid_option:
      return Exit::usage;
    case Errc::no_such_queue:
    case Errc::no_such_group:
    case Errc::removed:
      return Exit::missing;
    case Errc::permission_denied:
    case Errc::untrusted_owner:
      return Exit::permission;
    case Errc::timed_out:
      return Exit::nothing;
    case Errc::not_a_queue:
    case Errc::damaged:
    case Errc::poisoned:
      return Exit::damaged;
    case Errc::other_layout:
    case Errc::other_machine:
    case Errc::other_namespace:
      return Exit::foreign;
    case Errc::exists:
    case Errc::incompatible:
    case Errc::group_exists:
    case Errc::in_use:
      return Exit::exists;
    case Errc::no_space:
    case Errc::too_many_endpoints:
    case Errc::too_many_groups:
    case Errc::too_many_quotas:
    case Errc::last_group:
    case Errc::too_big:
    case Errc::claim_overrun:
    case Errc::claim_open:
    case Errc::already_finished:
    case Errc::not_open:
    case Errc::out_of_order:
    case Errc::forked:
    case Errc::closed:
    case Errc::no_robust_mutex:
    case Errc::system:
      return Exit::error;
  }
  return Exit::error;
}

Exit exit_of(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::ok:
      return Exit::done;
    case Outcome::empty:
    case Outcome::blocked:
    case Outcome::full:
    case Outcome::over_quota:
    case Outcome::too_many_leases:
    case Outcome::timed_out:
      return Exit::nothing;
    case Outcome::cancelled:
      return Exit::interrupted;
    case Outcome::poisoned:
    case Outcome::damaged:
      return Exit::damaged;
    case Outcome::closed:
    case Outcome::revoked:
    case Outcome::disowned:
    case Outcome::group_removed:
    case Outcome::removed:
      return Exit::error;
  }
  return Exit::error;
}

const char* sentence(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::ok:
      return "done";
    case Outcome::empty:
      return "nothing came in time";
    case Outcome::blocked:
      return "another process holds what this one waits for";
    case Outcome::full:
      return "the queue is full";
    case Outcome::over_quota:
      return "a rate limit of the queue is reached";
    case Outcome::too_many_leases:
      return "the group has too many open leases";
    case Outcome::closed:
      return "the queue is closed";
    case Outcome::cancelled:
      return "interrupted";
    case Outcome::revoked:
      return "this producer's right to claim was taken";
    case Outcome::disowned:
      return "other processes judged this one dead and took its batch from it";
    case Outcome::group_removed:
      return "the group is removed";
    case Outcome::removed:
      return "the queue is removed";
    case Outcome::poisoned:
      return "a recovery met a state that it cannot mend: ipcq repair may, while nobody uses the queue";
    case Outcome::damaged:
      return "the queue is damaged: ipcq verify names what, and ipcq repair may mend it";
    case Outcome::timed_out:
      return "the group's lock was not to be had in time";
  }
  return "an unknown outcome";
}

Failure::Failure(Exit exit, std::string message, std::vector<std::string> hints)
    : exit_(exit), message_(std::move(message)), hints_(std::move(hints)) {}

}  // namespace ipcq::cli
