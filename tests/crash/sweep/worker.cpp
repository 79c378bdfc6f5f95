#include "crash/sweep/worker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <new>
#include <system_error>

#include "crash/sweep/operation.hpp"

namespace ipcq::sweep {
namespace {

// A survivor's calls have deadlines far below it. In slices, so that time in which the whole sweep was stopped or its
// machine frozen is no more than one of them.
constexpr int kHung_slices = 60;
constexpr int kSlice_ms = 1000;
std::string first_line_of(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

// Whether it sleeps, and where, or runs or would like to: the CPU time it had tells a busy machine from a loop.
std::string state_of(pid_t pid) {
  const std::string directory = "/proc/" + std::to_string(pid) + "/";
  return "in the kernel " + first_line_of(directory + "wchan") + " (" + first_line_of(directory + "syscall") +
         "), so far " + first_line_of(directory + "schedstat") + " (ns run, ns waited for a processor, times run)";
}

}  // namespace

struct Worker::Desk {
  static constexpr std::size_t kIdsMax = 256;

  struct IdList {
    std::uint32_t count = 0;
    std::uint64_t ids[kIdsMax] = {};

    void set(const Ids& list) noexcept {
      count = static_cast<std::uint32_t>(std::min(list.size(), kIdsMax));
      std::copy_n(list.begin(), count, ids);
    }
    [[nodiscard]] Ids get() const { return {ids, ids + count}; }
  };

  Doing doing{""};
  Job job;
  char directory[256] = {};
  char name[64] = {};
  IdList before_acked;
  bool before_sent = false;
  Verdict verdict = Verdict::ok;
  char text[1024] = {};
  IdList got;
  bool sent = false;

  void work() noexcept {
    const QueueAt at{directory, name};
    got.count = 0;
    sent = false;
    text[0] = '\0';
    try {
      verdict = Verdict::ok;
      switch (job.kind) {
        case Job::Kind::survive:
          got.set(survive(at, job.mode, expectation_of(job)));
          break;
        case Job::Kind::work_beside: {
          const bool with_dead_letters = !expectation_of(job).dead_letters.empty();
          const Interlude done = sweep::work_beside(at, with_dead_letters);
          got.set(done.acked);
          sent = done.sent;
          break;
        }
        case Job::Kind::settle:
          sweep::settle(at, {before_acked.get(), before_sent}, expectation_of(job));
          break;
      }
    } catch (const std::exception& error) {
      verdict = Verdict::wrong;
      std::strncpy(text, error.what(), sizeof text - 1);
    }
  }
};

Expectation expectation_of(const Job& job) {
  Expectation expected = operations()[job.operation].expected(job.reached);
  std::uint64_t number = 0;
  for (const Death& death : job.later) {
    // He may have died of moving what was to be moved already.
    if (death.recoverer != Recoverer::none && !expected.dead_letters.empty()) {
      expected.dead_letters.push_back({expected.dead_letters.back().ids, Presence::may, Handed::never});
    }
    for (GroupExpectation& group : expected.groups) {
      if (death.recoverer == Recoverer::attach) {
        group.items.push_back({{kMiddle + number}, death.reached > 0 ? Presence::must : Presence::may, Handed::never});
      }
      if (death.recoverer == Recoverer::consumer && group.group == "default") {
        for (Item& item : group.items) {
          if (item.handed == Handed::never) item.handed = Handed::either;
        }
      }
    }
    ++number;
  }
  return expected;
}

Worker::Worker() {
  void* memory = ::mmap(nullptr, sizeof(Desk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  desk_ = new (memory) Desk;
  start();
}

Worker::~Worker() {
  stop();
  ::munmap(desk_, sizeof *desk_);
}

void Worker::start() {
  int to[2];
  int from[2];
  if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "pipe");
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    say_doing_to(&desk_->doing);
    ::close(to[1]);
    ::close(from[0]);
    char byte = 0;
    while (::read(to[0], &byte, 1) == 1) {
      desk_->work();
      if (::write(from[1], &byte, 1) != 1) break;
    }
    ::_exit(0);
  }
  ::close(to[0]);
  ::close(from[1]);
  to_worker_ = to[1];
  from_worker_ = from[0];
}

void Worker::stop() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::close(to_worker_);
  ::close(from_worker_);
}

bool Worker::await_answer() const {
  for (int slice = 0; slice < kHung_slices; ++slice) {
    pollfd poller{from_worker_, POLLIN, 0};
    char byte = 0;
    const int ready = ::poll(&poller, 1, kSlice_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    return ready == 1 && ::read(from_worker_, &byte, 1) == 1;  // else it has crashed
  }
  return false;
}

Answer Worker::run(const Job& job, const QueueAt& at, const Images* images, const Interlude* before) {
  if (images != nullptr) write_images(at, *images);
  desk_->job = job;
  std::strncpy(desk_->directory, at.directory.c_str(), sizeof desk_->directory - 1);
  std::strncpy(desk_->name, at.name.c_str(), sizeof desk_->name - 1);
  if (before != nullptr) {
    desk_->before_acked.set(before->acked);
    desk_->before_sent = before->sent;
  }
  const char byte = 1;
  if (::write(to_worker_, &byte, 1) == 1 && await_answer())
    return {desk_->verdict, desk_->text, desk_->got.get(), desk_->sent};
  // Its end of the pipe is closed as it dies, a moment before it is a zombie: that is waited for. Else it hangs.
  pollfd closed{from_worker_, POLLIN, 0};
  siginfo_t info{};
  const bool crashed = ::poll(&closed, 1, 0) == 1 && (closed.revents & POLLHUP) != 0 &&
                       ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) == 0;
  const std::string where = std::string(desk_->doing.load()) + (crashed ? "" : "; " + state_of(pid_));
  stop();
  start();
  if (crashed)
    return {
        Verdict::wrong, "the survivor crashed with signal " + std::to_string(info.si_status) + ", " + where, {}, false};
  return {Verdict::hung, "the survivor hangs, " + where, {}, false};
}

}  // namespace ipcq::sweep
