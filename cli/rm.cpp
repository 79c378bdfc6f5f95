// ipcq rm: removes queues.
#include <array>
#include <limits>
#include <string>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "output.hpp"
#include "queues.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"force", nullptr, "although processes are attached: they keep their memory and are told that it is removed"},
    Option{"if-exists", nullptr, "a missing queue is no error"},
};

void remove_one(const Arguments& arguments, const std::string& name) {
  require_owner(queue_path(arguments, name), name, "remove it");
  try {
    ipcq::remove(name, {.force = arguments.has("force"),
                        .directory = arguments.directory(),
                        .trusted_owners = arguments.trusted_owners()});
  } catch (const Error& error) {
    const bool missing = error.errc() == Errc::no_such_queue || error.errc() == Errc::removed;
    if (missing && arguments.has("if-exists")) return;
    throw Failure(exit_of(error.errc()), error.what());
  }
}

Exit run(const Arguments& arguments) {
  for (const std::string& name : arguments.names()) Arguments::check_name("queue", name);
  Exit exit = Exit::done;
  for (const std::string& name : arguments.names()) {
    try {
      remove_one(arguments, name);
    } catch (const Failure& failure) {
      // The others shall go all the same; the first failure decides the exit code.
      complain(failure.what());
      for (const std::string& hint : failure.hints()) complain("  " + hint);
      if (exit == Exit::done) exit = failure.exit();
    }
  }
  return exit;
}

constexpr Verb kVerb{
    .rank = 8,
    .name = "rm",
    .usage = "NAME... [--force] [--if-exists]",
    .summary = "remove queues, with the messages in them",
    .details =
        "Refuses while producers or consumers are attached, and names them. A file that is no queue is never\n"
        "removed. For the queue's owner and root.\n",
    .example =
        "  ipcq rm orders\n"
        "  ipcq rm --if-exists orders invoices\n",
    .names_min = 1,
    .names_max = std::numeric_limits<std::size_t>::max(),
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
