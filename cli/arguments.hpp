// The words of a command line, taken apart.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verb.hpp"

namespace ipcq::cli {

/// What stands before the verb and after it. Global options may stand on either side.
struct CommandLine {
  bool help = false;  ///< asked for before any verb
  bool version = false;
  std::string verb;                ///< empty: none
  std::vector<std::string> words;  ///< everything else: global options before the verb, then all that follows it
};
/// Throws UsageError for an option before the verb that is not a global one.
[[nodiscard]] CommandLine split_command_line(const std::vector<std::string>& words);

/// The options and names given to one verb.
class Arguments {
 public:
  /// Throws UsageError for anything the verb does not know, that lacks its value, or that is given once too often.
  Arguments(const Verb& verb, const std::vector<std::string>& words);

  [[nodiscard]] bool help() const { return has("help"); }
  [[nodiscard]] bool json() const { return has("json"); }
  /// --dir; empty: as the library chooses.
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  /// --trust
  [[nodiscard]] const std::vector<uid_t>& trusted_owners() const noexcept { return trusted_owners_; }

  /// The words that are no options.
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  [[nodiscard]] bool has(std::string_view option) const { return values_.find(option) != values_.end(); }
  /// The value of an option that takes one; nothing if it was not given.
  [[nodiscard]] std::optional<std::string> value(std::string_view option) const;
  /// Every value of a repeatable option, in the order given.
  [[nodiscard]] std::vector<std::string> values(std::string_view option) const;

  /// Throws UsageError unless `name` is in the grammar of queue and group names. `what`: "queue", "group".
  static void check_name(std::string_view what, const std::string& name);

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> names_;
  std::string directory_;
  std::vector<uid_t> trusted_owners_;
};

/// The help of one verb.
[[nodiscard]] std::string help_text(const Verb& verb);
/// The help of the whole program.
[[nodiscard]] std::string overview_text();

}  // namespace ipcq::cli
