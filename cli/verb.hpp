// The table of verbs. Each verb's file adds its own row, so a verb is one file and nothing else.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "exit_code.hpp"

namespace ipcq::cli {

class Arguments;

/// One option of a verb, or a global one.
struct Option {
  const char* name;   ///< "capacity", or with a short form "count,n", or only a short form ",0"
  const char* value;  ///< how the help calls its value; null: a switch
  const char* help;
  bool repeatable = false;

  /// How Arguments knows it: the long name, or the short one if there is no other.
  [[nodiscard]] std::string_view key() const noexcept {
    const std::string_view both = name;
    const std::size_t comma = both.find(',');
    if (comma == std::string_view::npos) return both;
    return comma == 0 ? both.substr(1) : both.substr(0, comma);
  }
};

struct Verb {
  int rank;  ///< place in the list of verbs
  const char* name;
  const char* usage;      ///< what follows the verb: "NAME [options]"
  const char* summary;    ///< one line
  const char* details;    ///< paragraphs of the help, lines at most 100 characters, ended by a newline; may be empty
  const char* example;    ///< command lines with what they do
  std::size_t names_min;  ///< how many words that are no options must stand there
  std::size_t names_max;
  std::span<const Option> options;
  Exit (*run)(const Arguments& arguments);
};

/// A static object of this type in a verb's file puts the verb into the table.
class Registration {
 public:
  explicit Registration(const Verb& verb) noexcept;

 private:
  friend std::vector<const Verb*> all_verbs();
  const Verb* verb_;
  const Registration* next_;
};

/// By rank.
[[nodiscard]] std::vector<const Verb*> all_verbs();
/// Null if there is none of that name.
[[nodiscard]] const Verb* find_verb(std::string_view name);
/// What to throw then: it names the verb that may have been meant, or all of them.
[[nodiscard]] UsageError unknown_verb(const std::string& name);

/// The word that is most like `word`, if one is like it at all; else empty. For "did you mean".
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> words);

}  // namespace ipcq::cli
