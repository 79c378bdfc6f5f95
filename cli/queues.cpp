#include "queues.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "output.hpp"
#include "people.hpp"
#include "units.hpp"

namespace ipcq::cli {
namespace {

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

/// `text` as one word of a shell.
std::string shell_word(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-+").find(c) != std::string_view::npos;
  });
  if (plain) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::string group_names(const Arguments& arguments, const std::string& name) {
  try {
    std::string names;
    for (const GroupInfo& group : ipcq::inspect(name, open_options(arguments)).groups) {
      names += (names.empty() ? "" : ", ") + group.name;
    }
    return names;
  } catch (const Error&) {
    return {};  // only a hint: the error that led here is the one to tell
  }
}

}  // namespace

OpenOptions open_options(const Arguments& arguments) {
  return {.directory = arguments.directory(), .trusted_owners = arguments.trusted_owners()};
}

std::string queue_path(const Arguments& arguments, const std::string& name) {
  return resolve_directory(arguments.directory()) + "/ipcq." + name;
}

Queue open_queue(const Arguments& arguments, const std::string& name) {
  Arguments::check_name("queue", name);
  try {
    return Queue::open(name, open_options(arguments));
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
}

QueueInfo inspect_queue(const Arguments& arguments, const std::string& name) {
  Arguments::check_name("queue", name);
  try {
    return ipcq::inspect(name, open_options(arguments));
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
}

Failure to_failure(const Error& error, const Arguments& arguments, const std::string& name) {
  Failure failure(exit_of(error.errc()), error.what());
  switch (error.errc()) {
    // The library's words give the command for the directory that is meant without --dir.
    case Errc::no_such_queue:
    case Errc::removed: {
      const std::string directory = resolve_directory(arguments.directory());
      if (!is_directory(directory)) {
        failure.add_hint("there is no directory " + directory);
      } else if (!arguments.directory().empty()) {
        failure.add_hint("in that directory: ipcq create --dir " + shell_word(directory) + " " + name);
      }
      break;
    }
    case Errc::no_such_group: {
      const std::string names = group_names(arguments, name);
      if (!names.empty()) failure.add_hint("its groups: " + names);
      break;
    }
    default:
      break;
  }
  return failure;
}

void require_owner(const std::string& path, const std::string& name, const char* deed) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;  // gone: what follows says so
  const uid_t me = ::geteuid();
  if (me == 0 || me == status.st_uid) return;
  throw Failure(Exit::permission,
                "queue '" + name + "' belongs to " + user_name(status.st_uid) + ": only its owner or root may " + deed);
}

std::string describe_process(std::uint32_t pid, std::string_view command) {
  if (pid == 0) return "an unknown process";
  std::string text = "process " + std::to_string(pid);
  if (!command.empty()) text += " (" + printable(command) + ")";
  return text;
}

std::string describe(const std::optional<BlockedBy>& blocked_by) {
  if (!blocked_by) return {};
  std::string text = describe_process(blocked_by->pid, blocked_by->command) + " holds the " + blocked_by->what;
  if (blocked_by->age.count() > 0) {
    text += " that is waited for, since " + format_duration(static_cast<std::uint64_t>(blocked_by->age.count()));
  }
  return text;
}

}  // namespace ipcq::cli
