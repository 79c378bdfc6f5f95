// ipcq verify: proves a queue sound, or names what is broken.
#include <string>

#include "arguments.hpp"
#include "findings.hpp"
#include "ipcq/repair.hpp"
#include "output.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  Arguments::check_name("queue", name);
  Verification result;
  try {
    result = ipcq::verify(name, open_options(arguments));
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
  const Exit exit = result.sound() ? Exit::done : Exit::damaged;
  if (arguments.json()) {
    Json json;
    json["version"] = kJsonVersion;
    json["name"] = name;
    json["sound"] = result.sound();
    json["findings"] = findings_json(result.findings);
    print_json(json);
    return exit;
  }
  print(findings_text(result.findings));
  print(name +
        (result.sound() ? ": sound\n" : ": damaged; 'ipcq repair --dry-run " + name + "' says what can be mended\n"));
  return exit;
}

constexpr Verb kVerb{
    .rank = 9,
    .name = "verify",
    .usage = "NAME",
    .summary = "prove a queue sound, or name what is broken",
    .details =
        "Looks at the header, every table, every position, every record's header and every mutex. Takes no lock\n"
        "and disturbs nobody; read permission is enough. 'broken' is what no death of a process can leave: it\n"
        "counts, and the exit code is then 6. 'noted' is what a death leaves and whoever comes next mends by\n"
        "itself. Each line has the invariant's name and the offset of the word in the queue's file.\n",
    .example =
        "  ipcq verify orders\n"
        "  ipcq verify orders --json\n",
    .names_min = 1,
    .names_max = 1,
    .options = {},
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
