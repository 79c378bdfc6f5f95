#include "child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace ipcq::support {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPause{1};

[[noreturn]] void throw_errno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// The name and not /proc/self/exe is executed: what reports show of a process is the last part of that name.
std::string program_path() {
  std::array<char, 4096> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0) throw_errno("readlink /proc/self/exe");
  return {path.data(), static_cast<std::size_t>(length)};
}

// Everything that exec(2) wants, made before fork(2): between the two a child may not allocate.
class Image {
 public:
  Image(const ChildRole& role, int report_fd, int command_fd, const std::vector<std::string>& arguments,
        const ChildProcess::Environment& environment)
      : path_(program_path()),
        arguments_{path_, "--child", role.name, std::to_string(report_fd), std::to_string(command_fd)} {
    arguments_.insert(arguments_.end(), arguments.begin(), arguments.end());
    std::map<std::string, std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string text = *entry;
      const std::size_t equals = text.find('=');
      if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
    }
    for (const auto& [name, value] : environment) variables[name] = value;
    for (const auto& [name, value] : variables) environment_.push_back(name + "=" + value);
    for (std::string& argument : arguments_) argv_.push_back(argument.data());
    for (std::string& variable : environment_) envp_.push_back(variable.data());
    argv_.push_back(nullptr);
    envp_.push_back(nullptr);
  }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  void execute() const noexcept { execve(path_.c_str(), argv_.data(), envp_.data()); }

 private:
  std::string path_;
  std::vector<std::string> arguments_;
  std::vector<std::string> environment_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
};

// State of a process as /proc shows it: the letter after the command, which is in parentheses and may hold any character.
char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t at = line.rfind(") ");
  return at == std::string::npos || at + 2 >= line.size() ? '?' : line[at + 2];
}

}  // namespace

bool Ending::exited_with(int code) const noexcept {
  return status_ && WIFEXITED(*status_) && WEXITSTATUS(*status_) == code;
}

bool Ending::killed_by(int signal_number) const noexcept {
  return status_ && WIFSIGNALED(*status_) && WTERMSIG(*status_) == signal_number;
}

std::string Ending::text() const {
  if (!status_) return "still running";
  if (WIFEXITED(*status_)) return "exited with " + std::to_string(WEXITSTATUS(*status_));
  return "killed by signal " + std::to_string(WTERMSIG(*status_));
}

ChildProcess::ChildProcess(const ChildRole& role, const std::vector<std::string>& arguments,
                           const Environment& environment) {
  std::array<int, 2> reports{};
  std::array<int, 2> commands{};
  if (pipe2(reports.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
  // A socket and not a pipe: telling a dead child something must not end the test by SIGPIPE.
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, commands.data()) != 0) throw_errno("socketpair");
  report_fd_ = reports[0];
  command_fd_ = commands[1];
  const Image image(role, reports[1], commands[0], arguments, environment);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw_errno("fork");
  if (pid_ == 0) {
    // A test that is killed leaves nobody behind; it may have been killed before this line.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(127);
    if (fcntl(reports[1], F_SETFD, 0) != 0 || fcntl(commands[0], F_SETFD, 0) != 0) _exit(127);
    image.execute();
    _exit(127);
  }
  close(reports[1]);
  close(commands[0]);
}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  ChildProcess old(std::move(*this));
  swap(other);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (running()) kill();
  close_channels();
}

void ChildProcess::swap(ChildProcess& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(report_fd_, other.report_fd_);
  std::swap(command_fd_, other.command_fd_);
  std::swap(stopped_, other.stopped_);
  std::swap(unread_, other.unread_);
  std::swap(ending_, other.ending_);
}

void ChildProcess::close_channels() noexcept {
  if (report_fd_ >= 0) close(std::exchange(report_fd_, -1));
  if (command_fd_ >= 0) close(std::exchange(command_fd_, -1));
}

// Reads what there is, waiting for it; false: nothing came in time, or nothing will.
bool ChildProcess::read_reports(Milliseconds within) {
  pollfd poll_for = {report_fd_, POLLIN, 0};
  const int ready = poll(&poll_for, 1, static_cast<int>(within.count()));
  if (ready <= 0) return false;
  std::array<char, 4096> buffer{};
  const ssize_t got = read(report_fd_, buffer.data(), buffer.size());
  if (got <= 0) return false;
  unread_.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

std::string ChildProcess::next_report(Milliseconds within) {
  const auto last = Clock::now() + within;
  std::size_t end = 0;
  while ((end = unread_.find('\n')) == std::string::npos) {
    const auto left = std::chrono::duration_cast<Milliseconds>(last - Clock::now());
    if (read_reports(std::max(left, Milliseconds(0)))) continue;
    if (Clock::now() >= last) return "<nothing reported in time>";
    // The end of the pipe comes a moment before the end of the process.
    return "<" + wait(within).text() + ">";
  }
  const std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return line;
}

std::vector<std::string> ChildProcess::rest_of_reports() {
  while (read_reports(Milliseconds(0))) {
  }
  std::vector<std::string> lines;
  std::size_t end = 0;
  while ((end = unread_.find('\n')) != std::string::npos) {
    lines.push_back(unread_.substr(0, end));
    unread_.erase(0, end + 1);
  }
  return lines;
}

void ChildProcess::tell(std::string_view line) const {
  const std::string text = std::string(line) + "\n";
  const ssize_t sent = send(command_fd_, text.data(), text.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(text.size())) throw_errno("tell a child");
}

void ChildProcess::signal(int number) const {
  if (!running()) throw std::logic_error("signal to a child that has been reaped");
  if (::kill(pid_, number) != 0) throw_errno("kill");
}

Ending ChildProcess::kill() {
  if (running()) ::kill(pid_, SIGKILL);
  return wait();
}

void ChildProcess::kill_without_reaping() {
  signal(SIGKILL);
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0) {
    if (errno != EINTR) throw_errno("waitid");
  }
}

void ChildProcess::stop() {
  signal(SIGSTOP);
  if (!wait_until_stopped()) throw std::runtime_error("a child does not stop");
}

bool ChildProcess::wait_until_stopped(Milliseconds within) {
  stopped_ = false;
  const auto last = Clock::now() + within;
  while (running() && Clock::now() < last) {
    reap(WNOHANG | WUNTRACED);
    if (std::exchange(stopped_, false)) return true;
    std::this_thread::sleep_for(kPause);
  }
  return false;
}

bool ChildProcess::wait_until_asleep(Milliseconds within) {
  constexpr int kLooks = 4;  // a process that is about to sleep is seen asleep for a moment elsewhere, in a page fault say
  const auto last = Clock::now() + within;
  int looks = 0;
  while (running() && Clock::now() < last) {
    looks = state_of(pid_) == 'S' ? looks + 1 : 0;
    if (looks == kLooks) return true;
    std::this_thread::sleep_for(kPause);
  }
  return false;
}

// One waitpid(2): keeps the ending, or notes a stop.
std::optional<int> ChildProcess::reap(int options) {
  int status = 0;
  const pid_t got = waitpid(pid_, &status, options);
  if (got < 0 && errno != EINTR) throw_errno("waitpid");
  if (got != pid_) return std::nullopt;
  if (WIFSTOPPED(status)) {
    stopped_ = true;
    return std::nullopt;
  }
  ending_ = Ending(status);
  return status;
}

Ending ChildProcess::wait(Milliseconds within) {
  if (pid_ <= 0) throw std::logic_error("wait for no child");
  const auto last = Clock::now() + within;
  while (!ending_ && !reap(WNOHANG)) {
    if (Clock::now() >= last) return Ending(std::nullopt);
    // A child that reports more than a pipe holds would wait for us for ever.
    if (!read_reports(Milliseconds(0))) std::this_thread::sleep_for(kPause);
  }
  return *ending_;
}

testing::AssertionResult ChildProcess::succeeds(Milliseconds within) {
  const Ending ending = wait(within);
  if (ending.exited_with(0)) return testing::AssertionSuccess();
  testing::AssertionResult result = testing::AssertionFailure() << "a child process: " << ending.text();
  for (const std::string& line : rest_of_reports()) result << "\n  " << line;
  return result;
}

void ChildProcess::execute(const ChildRole& role, int report_fd, int command_fd,
                           const std::vector<std::string>& arguments, const Environment& environment) {
  const Image image(role, report_fd, command_fd, arguments, environment);
  image.execute();
  throw_errno("execve");
}

}  // namespace ipcq::support
