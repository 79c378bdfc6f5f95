// Users and groups of the host, by number and by name.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace ipcq::cli {

/// The user's name; the number if nobody has it.
[[nodiscard]] std::string user_name(uid_t uid);
/// The same for a group of users.
[[nodiscard]] std::string user_group_name(gid_t gid);
/// A uid from a number or a user's name. Throws UsageError, naming `option`.
[[nodiscard]] uid_t parse_user(std::string_view option, const std::string& text);

}  // namespace ipcq::cli
