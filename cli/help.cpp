// ipcq help: the help of the program, or of one verb.
#include <string>

#include "arguments.hpp"
#include "output.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

Exit run(const Arguments& arguments) {
  if (arguments.names().empty()) {
    print(overview_text());
    return Exit::done;
  }
  const std::string& name = arguments.names().front();
  const Verb* verb = find_verb(name);
  if (verb == nullptr) throw unknown_verb(name);
  print(help_text(*verb));
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 99,
    .name = "help",
    .usage = "[VERB]",
    .summary = "tell how to use the program, or a verb",
    .details = "",
    .example = "  ipcq help put\n",
    .names_min = 0,
    .names_max = 1,
    .options = {},
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
