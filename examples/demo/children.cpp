#include "children.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace demo {
namespace {

std::string name_of(Part part, unsigned index, pid_t pid) {
  return std::string(part == Part::producer ? "producer " : "consumer ") + std::to_string(index) + " (pid " +
         std::to_string(pid) + ")";
}

// In the child, between fork and exec: system calls only.
[[noreturn]] void become(const char* program, char* const* argv, pid_t parent) {
  signal(SIGINT, SIG_IGN);  // Ctrl-C reaches the whole terminal; the parent answers it for all
  signal(SIGHUP, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);     // the parent killed: so are its children
  if (getppid() != parent) _exit(127);  // it died before that took effect
  execv(program, argv);
  _exit(127);
}

}  // namespace

Children::Children(const Options& options, const Queues& queues, const std::vector<File>& files, std::uint64_t items)
    : program_(std::filesystem::read_symlink("/proc/self/exe")) {
  const UniqueFd list = write_list(files);
  const std::vector<std::string> arguments{"--text-queue=" + queues.text(),
                                           "--report-queue=" + queues.reports(),
                                           "--producers=" + std::to_string(options.producers),
                                           "--batch=" + std::to_string(options.batch),
                                           "--message=" + std::to_string(options.message_bytes),
                                           "--list-fd=" + std::to_string(list.get()),
                                           "--items=" + std::to_string(items)};
  try {
    for (unsigned i = 0; i < options.consumers; ++i) start(Part::consumer, i, arguments);
    for (unsigned i = 0; i < options.producers; ++i) start(Part::producer, i, arguments);
  } catch (...) {
    end_all();
    throw;
  }
}

Children::~Children() { end_all(); }

void Children::start(Part part, unsigned index, const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"ipcq-demo", std::string("--part=") + (part == Part::producer ? "producer" : "consumer"),
                                 "--index=" + std::to_string(index)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  children_.reserve(children_.size() + 1);  // nothing may fail between fork and the note of its pid
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid == 0) become(program_.c_str(), argv.data(), parent);
  children_.push_back({.pid = pid, .part = part, .index = index});
}

void Children::collect() {
  for (Child& child : children_) {
    int status = 0;
    if (!child.running || waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
    child.running = false;
    if (status == 0 || (child.killed && WIFSIGNALED(status))) continue;
    throw std::runtime_error(name_of(child.part, child.index, child.pid) +
                             (WIFSIGNALED(status) ? " was ended by signal " + std::to_string(WTERMSIG(status))
                                                  : " failed with status " + std::to_string(WEXITSTATUS(status))));
  }
}

pid_t Children::kill_consumer(unsigned index) {
  for (Child& child : children_) {
    if (child.part != Part::consumer || child.index != index || !child.running) continue;
    child.killed = true;
    kill(child.pid, SIGKILL);
    return child.pid;
  }
  return 0;
}

void Children::end_all() noexcept {
  for (const Child& child : children_) {
    if (child.running) kill(child.pid, SIGKILL);
  }
  for (Child& child : children_) {
    if (!child.running) continue;
    while (waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    child.running = false;
  }
}

bool Children::ended(Part part) const noexcept {
  return std::none_of(children_.begin(), children_.end(),
                      [part](const Child& child) { return child.part == part && child.running; });
}

}  // namespace demo
