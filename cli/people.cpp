#include "people.hpp"

#include <grp.h>
#include <pwd.h>

#include <limits>

#include "units.hpp"

namespace ipcq::cli {

std::string user_name(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);
  return entry != nullptr ? entry->pw_name : std::to_string(uid);
}

std::string user_group_name(gid_t gid) {
  const group* entry = ::getgrgid(gid);
  return entry != nullptr ? entry->gr_name : std::to_string(gid);
}

uid_t parse_user(std::string_view option, const std::string& text) {
  const bool number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  // The largest uid is (uid_t)-1, which means "no user" everywhere.
  if (number) return static_cast<uid_t>(parse_number(option, text, 0, std::numeric_limits<uid_t>::max() - 1));
  const passwd* entry = ::getpwnam(text.c_str());
  if (entry == nullptr) throw UsageError(std::string(option) + ": there is no user '" + text + "'");
  return entry->pw_uid;
}

}  // namespace ipcq::cli
