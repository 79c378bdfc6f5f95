#include "crash/sweep/names.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "api/names.hpp"
#include "crash/sweep/messages.hpp"

namespace ipcq::sweep {
namespace {

// A place to die: so many system calls after the beginning, and so many instructions after the last of these.
struct Place {
  std::uint64_t system_calls = 0;
  std::uint64_t instructions = 0;
};

CreateOptions options_in(const std::string& directory) {
  CreateOptions options;
  options.capacity_bytes = kCapacity;
  options.endpoints_max = 16;
  options.groups_max = 2;
  options.ledger_entries = 8;
  options.directory = directory;
  return options;
}

Step naming(Naming what, const QueueAt& at) {
  return [what, at](Progress& progress) {
    switch (what) {
      case Naming::create:
      case Naming::create_by_rename:
        (void)Queue::create(at.name, options_in(at.directory));
        break;
      case Naming::open_or_create:
        (void)Queue::open_or_create(at.name, options_in(at.directory));
        break;
      case Naming::open:
        (void)at.open();
        break;
      case Naming::remove:
        ipcq::remove(std::string_view(at.name), {.directory = at.directory});
        break;
      case Naming::clean:
      case Naming::clean_full:
      case Naming::clean_removed:
        (void)ipcq::clean({.grace = std::chrono::nanoseconds(0), .directory = at.directory});
        break;
    }
    progress.reached = 1;
  };
}

// From here on this process's file systems have no O_TMPFILE.
void refuse_unnamed_files() {
  constexpr std::uint32_t kUnnamed = O_TMPFILE & ~O_DIRECTORY;  // the bit that is its own
  constexpr auto number = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
  constexpr auto flags = static_cast<std::uint32_t>(offsetof(seccomp_data, args[2]));  // low half: little-endian
  std::array<sock_filter, 6> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kUnnamed, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{filter.size(), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    throw std::system_error(errno, std::generic_category(), "seccomp");
}

bool exists_before(Naming what) noexcept { return what >= Naming::open; }
bool removes(Naming what) noexcept {
  return what == Naming::remove || what == Naming::clean || what == Naming::clean_removed;
}
// Messages that whoever finds the queue finds in it.
bool holds_messages(Naming what) noexcept { return exists_before(what) && what != Naming::clean; }

void make(const QueueAt& at, Naming what) {
  CreateOptions options = options_in(at.directory);
  if (what == Naming::clean || what == Naming::clean_full) options.lifetime = Lifetime::ephemeral;
  (void)Queue::create(at.name, options);
  send_eight(at);
  if (what == Naming::clean) {
    const auto consumer = keep(at.open().consumer());  // attached when this process ends
    ok(lease(*consumer, 8).ack(), "ack");
  }
  if (what == Naming::clean_removed) {
    std::fstream file(at.path(), std::ios::in | std::ios::out | std::ios::binary);
    const std::uint32_t flags = layout::flag::kRemoved;
    file.seekp(offsetof(layout::FrozenHeader, flags));
    file.write(reinterpret_cast<const char*>(&flags), sizeof flags);
  }
}

// In a process of its own, so that a child that forks later inherits no mapping.
void in_a_process(const std::function<void()>& work, const char* what) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    try {
      work();
      ::_exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", what, error.what());
      ::_exit(1);
    }
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error(std::string(what) + " failed");
}

// The shared pages of a queue's file as a traced process has them, named or not.
class SharedPages {
 public:
  SharedPages(pid_t pid, std::string directory) : pid_(pid), directory_(std::move(directory)) {}

  void find() {
    std::vector<Range> found;
    std::ifstream maps("/proc/" + std::to_string(pid_) + "/maps");
    for (std::string line; std::getline(maps, line);) {
      unsigned long from = 0;
      unsigned long to = 0;
      char access[8] = {};
      if (line.find(directory_) == std::string::npos) continue;
      if (std::sscanf(line.c_str(), "%lx-%lx %7s", &from, &to, access) == 3 && access[1] == 'w')
        found.push_back({from, to});
    }
    if (found == ranges_) return;
    ranges_ = found;
    (void)changed();
  }
  // Whether their bytes are others than at the last look.
  bool changed() {
    std::size_t size = 0;
    for (const Range& range : ranges_) size += range.second - range.first;
    next_.resize(size);
    std::size_t at = 0;
    for (const Range& range : ranges_) {
      const iovec here{&next_[at], range.second - range.first};
      const iovec there{reinterpret_cast<void*>(range.first), range.second - range.first};
      if (::process_vm_readv(pid_, &here, 1, &there, 1, 0) != static_cast<ssize_t>(here.iov_len)) return false;
      at += here.iov_len;
    }
    const bool differs = next_ != last_;
    last_.swap(next_);
    return differs;
  }

 private:
  using Range = std::pair<unsigned long, unsigned long>;
  pid_t pid_;
  std::string directory_;
  std::vector<Range> ranges_;
  Image last_;
  Image next_;
};

bool before_system_call(pid_t pid) {
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) return false;
  const long text = ::ptrace(PTRACE_PEEKTEXT, pid, registers.rip, nullptr);
  return (text & 0xffff) == 0x050f;  // syscall
}

// Steps through it once: a place before each system call, after it, and after each store that changes shared memory.
std::vector<Place> places_of(Tracee& child, const std::string& directory, std::uint64_t& instructions) {
  std::vector<Place> places{{0, 0}};
  SharedPages pages(child.pid(), directory);
  Place now_at;
  for (bool more = true; more; ++instructions) {
    const bool call = before_system_call(child.pid());
    if (call && (places.back().system_calls != now_at.system_calls || places.back().instructions != now_at.instructions))
      places.push_back(now_at);
    more = child.step();
    now_at = call ? Place{now_at.system_calls + 1, 0} : Place{now_at.system_calls, now_at.instructions + 1};
    if (call) pages.find();
    if ((call || pages.changed()) && more) places.push_back(now_at);
  }
  if (!child.failure().empty()) throw std::runtime_error(child.failure());
  return places;
}

void go_to(Tracee& child, const Place& place) {
  // Each system call stops at its entry and at its exit.
  for (std::uint64_t stops = 0; stops < 2 * place.system_calls; ++stops) {
    if (!child.step_to_system_call()) return;
  }
  for (std::uint64_t i = 0; i < place.instructions; ++i) {
    if (!child.step()) return;
  }
}

// No file is left but the queue's; where it has a name from the beginning, that one, until it is the queue's.
void check_directory(const std::string& directory, Naming what) {
  std::size_t named = 0;
  std::size_t unfinished = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    ++(entry.path().filename().string().rfind(detail::kLeftoverPrefix, 0) == 0 ? unfinished : named);
  require(named + unfinished <= 1, "a file was left behind");
  require(unfinished == 0 || what == Naming::create_by_rename, "an unfinished file was left behind");
  if (unfinished == 0) return;
  const std::vector<QueueSummary> all = list({.directory = directory});
  require(all.size() == 1 && all[0].leftover, "an unfinished file is not listed as one");
}

// What others find: a whole queue, or none, or a removal that they finish.
void check(const QueueAt& at, Naming what, bool returned) {
  check_directory(at.directory, what);
  bool there = true;
  try {
    (void)at.open();
  } catch (const Error& error) {
    require(error.errc() == Errc::no_such_queue, error.what());
    there = false;
    struct stat info {};
    require(::lstat(at.path().c_str(), &info) != 0, "there is no such queue, and its name is taken");
  }
  if (what == Naming::open) require(there, "opening removed it");
  if (what == Naming::clean_full) require(there, "cleaning removed messages");
  if (returned) require(there == !removes(what), "what had returned had not happened");
  const Items items = there && holds_messages(what) ? Items{must("1-8")} : Items{};
  if (!there) (void)Queue::open_or_create(at.name, options_in(at.directory));
  (void)survive(at, Mode::recover, {{{"default", items, false, 0, false}}, Closed::no});
}

}  // namespace

const char* name_of(Naming what) noexcept {
  constexpr const char* kNames[] = {"create",
                                    "create where O_TMPFILE is missing",
                                    "open_or_create of a new queue",
                                    "open",
                                    "remove",
                                    "clean of a drained ephemeral queue",
                                    "clean of an ephemeral queue with messages",
                                    "clean of a removal broken off"};
  return kNames[static_cast<std::size_t>(what)];
}

Row sweep_naming(const std::string& parent, Naming what, const Sampling& sampling,
                 const std::function<void(const std::string&)>& report) {
  const auto began = std::chrono::steady_clock::now();
  const QueueAt at{parent + "/names", "named"};
  const QueueAt warm{parent + "/names-warm", "warm"};
  ::mkdir(at.directory.c_str(), 0700);
  ::mkdir(warm.directory.c_str(), 0700);
  const auto fresh = [&] {
    for (const QueueAt& one : {at, warm}) {
      for (const auto& entry : std::filesystem::directory_iterator(one.directory)) std::filesystem::remove(entry);
      if (exists_before(what)) in_a_process([&] { make(one, what); }, "the set-up");
    }
  };
  const Prepare prepare = [&]() -> Step {
    Progress unused;
    if (what == Naming::create_by_rename) refuse_unnamed_files();
    naming(what, warm)(unused);
    return naming(what, at);
  };
  Row row;
  row.operation = name_of(what);
  row.modes = "R";
  fresh();
  Tracee first(prepare);
  const std::vector<Place> places = places_of(first, at.directory, row.instructions);
  first.kill();

  std::mt19937_64 random(sampling.seed);
  std::vector<Place> chosen = places;
  std::shuffle(chosen.begin(), chosen.end(), random);
  if (sampling.points != 0 && chosen.size() > sampling.points) chosen.resize(sampling.points);
  for (const Place& place : chosen) {
    fresh();
    Tracee victim(prepare);
    go_to(victim, place);
    const bool returned = victim.reached() > 0;
    victim.kill();
    ++row.points;
    ++row.kills;
    try {
      in_a_process([&] { check(at, what, returned); },
                   (std::string(name_of(what)) + ", killed after " + std::to_string(place.system_calls) +
                    " system calls and " + std::to_string(place.instructions) + " instructions")
                       .c_str());
      row.count(Verdict::ok);
    } catch (const std::exception& error) {
      row.count(Verdict::wrong);
      report(error.what());
    }
  }
  row.states = places.size();
  row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return row;
}

}  // namespace ipcq::sweep
