#include "ipcq/error.hpp"

#include <string>

namespace ipcq {
namespace {

// One instance in the whole process: categories compare by address.
class Category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "ipcq"; }
  [[nodiscard]] std::string message(int value) const override { return to_string(static_cast<Errc>(value)); }
};

}  // namespace

const std::error_category& error_category() noexcept {
  static const Category kCategory;
  return kCategory;
}

Error::Error(Errc code, const std::string& message, int system_errno)
    : std::system_error(make_error_code(code)),
      message_(system_errno == 0 ? message : message + " (" + std::generic_category().message(system_errno) + ")"),
      system_errno_(system_errno) {}

Error::~Error() = default;

const char* to_string(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::empty:
      return "empty";
    case Outcome::blocked:
      return "blocked";
    case Outcome::full:
      return "full";
    case Outcome::over_quota:
      return "over_quota";
    case Outcome::too_many_leases:
      return "too_many_leases";
    case Outcome::closed:
      return "closed";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::revoked:
      return "revoked";
    case Outcome::disowned:
      return "disowned";
    case Outcome::group_removed:
      return "group_removed";
    case Outcome::removed:
      return "removed";
    case Outcome::poisoned:
      return "poisoned";
    case Outcome::damaged:
      return "damaged";
    case Outcome::timed_out:
      return "timed_out";
  }
  return "unknown";
}

const char* to_string(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_name:
      return "invalid_name";
    case Errc::invalid_option:
      return "invalid_option";
    case Errc::no_such_queue:
      return "no_such_queue";
    case Errc::exists:
      return "exists";
    case Errc::not_a_queue:
      return "not_a_queue";
    case Errc::damaged:
      return "damaged";
    case Errc::other_layout:
      return "other_layout";
    case Errc::other_machine:
      return "other_machine";
    case Errc::other_namespace:
      return "other_namespace";
    case Errc::permission_denied:
      return "permission_denied";
    case Errc::untrusted_owner:
      return "untrusted_owner";
    case Errc::no_space:
      return "no_space";
    case Errc::incompatible:
      return "incompatible";
    case Errc::too_many_endpoints:
      return "too_many_endpoints";
    case Errc::too_many_groups:
      return "too_many_groups";
    case Errc::no_such_group:
      return "no_such_group";
    case Errc::group_exists:
      return "group_exists";
    case Errc::last_group:
      return "last_group";
    case Errc::in_use:
      return "in_use";
    case Errc::too_big:
      return "too_big";
    case Errc::claim_overrun:
      return "claim_overrun";
    case Errc::claim_open:
      return "claim_open";
    case Errc::already_finished:
      return "already_finished";
    case Errc::not_open:
      return "not_open";
    case Errc::out_of_order:
      return "out_of_order";
    case Errc::forked:
      return "forked";
    case Errc::closed:
      return "closed";
    case Errc::removed:
      return "removed";
    case Errc::poisoned:
      return "poisoned";
    case Errc::no_robust_mutex:
      return "no_robust_mutex";
    case Errc::timed_out:
      return "timed_out";
    case Errc::system:
      return "system";
    case Errc::too_many_quotas:
      return "too_many_quotas";
  }
  return "unknown";
}

}  // namespace ipcq
