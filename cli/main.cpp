// ipcq: the command line. Finds the verb, runs it, and turns whatever ended it into an exit code and a line of words.
#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "exit_code.hpp"
#include "ipcq/error.hpp"
#include "output.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

void tell(const Failure& failure) {
  if (*failure.what() != '\0') complain(failure.what());
  for (const std::string& hint : failure.hints()) complain("  " + hint);
}

/// Usage errors end with the help that is nearest: of the verb, if there is one.
void tell_usage(const UsageError& error, const Verb* verb) {
  tell(error);
  if (verb == nullptr) {
    complain("usage: ipcq VERB [QUEUE] [options]");
    complain("'ipcq --help' lists the verbs");
    return;
  }
  complain(std::string("usage: ipcq ") + verb->name + " " + verb->usage);
  complain(std::string("'ipcq ") + verb->name + " --help' tells all about it");
}

Exit run(const std::vector<std::string>& words) {
  const Verb* verb = nullptr;
  try {
    const CommandLine line = split_command_line(words);
    if (line.version) {  // IPCQ_VERSION comes from the build: the project's one version number
      print("ipcq " IPCQ_VERSION "\n");
      return Exit::done;
    }
    if (line.verb.empty()) {
      if (!line.help) throw UsageError("which verb?");
      print(overview_text());
      return Exit::done;
    }
    verb = find_verb(line.verb);
    if (verb == nullptr) throw unknown_verb(line.verb);
    const Arguments arguments(*verb, line.words);
    if (arguments.help()) {
      print(help_text(*verb));
      return Exit::done;
    }
    return verb->run(arguments);
  } catch (const UsageError& error) {
    tell_usage(error, verb);
    return error.exit();
  } catch (const Failure& failure) {
    tell(failure);
    return failure.exit();
  } catch (const Error& error) {
    complain(error.what());
    return exit_of(error.errc());
  } catch (const std::bad_alloc&) {
    complain("out of memory");
    return Exit::error;
  } catch (const std::exception& error) {
    complain(error.what());
    return Exit::error;
  }
}

}  // namespace
}  // namespace ipcq::cli

int main(int argc, char** argv) {
  ipcq::cli::occupy_standard_descriptors();
  // Both are then errors of the write: EPIPE, and EFBIG beyond the shell's limit of file sizes.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  return static_cast<int>(ipcq::cli::run(words));
}
