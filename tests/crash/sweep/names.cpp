#include "crash/sweep/names.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "api/names.hpp"
#include "crash/sweep/messages.hpp"
#include "crash/sweep/places.hpp"

namespace ipcq::sweep {
namespace {

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

  for (const Place& place : chosen(places, sampling.points, sampling.seed)) {
    fresh();
    Tracee victim(prepare);
    go_to(victim, place);
    const bool returned = victim.reached() > 0;
    victim.kill();
    ++row.points;
    ++row.kills;
    try {
      in_a_process([&] { check(at, what, returned); }, std::string(name_of(what)) + ", killed after " + text(place));
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
