// ipcq_sweep: kills a process at every instruction of every operation, and lets others go on.
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <functional>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "crash/sweep/names.hpp"
#include "crash/sweep/sweep.hpp"
#include "crash/sweep/table.hpp"
#include "os/robust_mutex.hpp"

namespace {

using namespace ipcq::sweep;

constexpr const char* kHelp =
    R"(ipcq_sweep [options]: kill at every instruction

A child is stepped through each operation and dies, or stops, at instruction k; others go on, and must find every
committed message, no other, in order. Modes: R killed, a survivor recovers; A killed, survivors attach to the row of
the dead; C killed, consumers only; P stopped, others work, it goes on; Q stopped, others work, it is killed. P and Q stop where
somebody else could tell: at each instruction that touches shared memory, and at each system call.
Every state of the segment is kept and given to R, A and C; of the instructions, some die for real.
With depth 2 whoever recovers dies at every instruction too, with depth 3 whoever recovers from that.

  --exhaustive      every instruction (else some, evenly spread)
  --points N        of each operation and mode (default 4)
  --depth N         1 (default), 2 or 3
  --samples N       depth 3: of each operation
  --only TEXT       operations with TEXT in their name
  --at N            depth 1: at this instruction alone, as a failure names it
  --mode MODES      of RACPQ, and N for making, opening and removing a queue (default all)
  --part N/M        the N-th of M parts
  --jobs N          processes (default 1)
  --progress FILE   what is done; a run that was broken off goes on (a build of its own each). Parts may share it: the
                    table is of all that is done
  --seed N          of the samples (default: the time; printed)
  --list            operations
)";

// Of an operation that is stopped wherever somebody could tell: most of that is waiting for what the stopped one holds.
constexpr std::uint64_t kSlices = 4;

struct Options {
  bool exhaustive = false;
  bool list = false;
  std::uint64_t points = 4;
  std::uint64_t depth = 1;
  std::uint64_t samples = 3000;
  std::optional<std::uint64_t> at;
  std::string only;
  std::string modes = "RACPQN";
  std::uint64_t part = 1;
  std::uint64_t parts = 1;
  std::uint64_t jobs = 1;
  std::string progress;
  std::uint64_t seed = static_cast<std::uint64_t>(std::time(nullptr));
};

std::uint64_t number(const char* text) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text, &end, 10);
  if (end == text || (*end != '\0' && *end != '/')) throw std::invalid_argument(std::string("no number: ") + text);
  return value;
}

Options parse(int count, char** arguments) {
  Options options;
  if (const char* seed = std::getenv("IPCQ_TEST_SEED"); seed != nullptr) options.seed = number(seed);
  const option known[] = {{"exhaustive", no_argument, nullptr, 'x'},  {"points", required_argument, nullptr, 'n'},
                          {"depth", required_argument, nullptr, 'd'}, {"samples", required_argument, nullptr, 'c'},
                          {"only", required_argument, nullptr, 'o'},  {"at", required_argument, nullptr, 'a'},
                          {"mode", required_argument, nullptr, 'm'},  {"part", required_argument, nullptr, 'p'},
                          {"jobs", required_argument, nullptr, 'j'},  {"progress", required_argument, nullptr, 'f'},
                          {"seed", required_argument, nullptr, 's'},  {"list", no_argument, nullptr, 'l'},
                          {"help", no_argument, nullptr, 'h'},        {nullptr, 0, nullptr, 0}};
  for (int one = 0; (one = ::getopt_long(count, arguments, "h", known, nullptr)) != -1;) {
    switch (one) {
      case 'x':
        options.exhaustive = true;
        break;
      case 'n':
        options.points = number(optarg);
        break;
      case 'd':
        options.depth = number(optarg);
        break;
      case 'c':
        options.samples = number(optarg);
        break;
      case 'o':
        options.only = optarg;
        break;
      case 'a':
        options.at = number(optarg);
        break;
      case 'm':
        options.modes = optarg;
        break;
      case 'p': {
        options.part = number(optarg);
        const std::string text = optarg;
        if (text.find('/') == std::string::npos) throw std::invalid_argument("--part N/M");
        options.parts = number(text.c_str() + text.find('/') + 1);
        break;
      }
      case 'j':
        options.jobs = number(optarg);
        break;
      case 'f':
        options.progress = optarg;
        break;
      case 's':
        options.seed = number(optarg);
        break;
      case 'l':
        options.list = true;
        break;
      case 'h':
        std::fputs(kHelp, stdout);
        std::exit(0);
      default:
        throw std::invalid_argument("--help shows the options");
    }
  }
  if (options.part == 0 || options.part > options.parts || options.jobs == 0 || options.depth == 0 ||
      options.depth > 3 || options.points == 0)
    throw std::invalid_argument("a number out of its range; --help shows the options");
  return options;
}

struct Task {
  std::string operation;
  std::string modes;
  std::function<Row(Bench&, const std::string& directory)> run;
};

void report(const std::string& what) { std::fprintf(stderr, "WRONG: %s\n", what.c_str()); }

std::vector<Task> tasks_of(const Options& options) {
  std::vector<Task> tasks;
  const auto chosen = [&](const std::string& name) { return name.find(options.only) != std::string::npos; };
  const auto has = [&](char mode) { return options.modes.find(mode) != std::string::npos; };
  Sampling sampling;
  sampling.points = options.exhaustive ? 0 : options.points;
  sampling.seed = options.seed;
  sampling.at = options.at;
  std::vector<Mode> killed;
  std::string killed_names;
  for (const Mode mode : {Mode::recover, Mode::attach, Mode::consumer}) {
    if (!has(*name_of(mode))) continue;
    killed.push_back(mode);
    killed_names += name_of(mode);
  }
  for (std::uint32_t i = 0; i < operations().size(); ++i) {
    const Operation& operation = operations()[i];
    if (!chosen(operation.name)) continue;
    const auto add = [&](const std::string& modes, std::function<Row(Bench&)> run) {
      tasks.push_back({operation.name, modes, [i, run](Bench& bench, const std::string&) {
                         bench.set_up(i);
                         return run(bench);
                       }});
    };
    if (options.depth == 1) {
      if (!killed.empty())
        add(killed_names, [killed, sampling](Bench& bench) { return bench.sweep_killed(killed, sampling); });
      for (const Mode mode : {Mode::proceed, Mode::quit}) {
        if (operation.beside == Beside::no || !has(*name_of(mode))) continue;
        Sampling slice = sampling;
        slice.slices = options.exhaustive ? kSlices : 1;
        for (; slice.slice < slice.slices; ++slice.slice) {
          add(name_of(mode) + slice_text(slice),
              [mode, slice](Bench& bench) { return bench.sweep_stopped(mode, slice); });
        }
      }
    } else if (options.depth == 2) {
      const std::pair<Recoverer, const char*> recoverers[] = {
          {Recoverer::recover, "R+"}, {Recoverer::attach, "A+"}, {Recoverer::consumer, "C+"}};
      for (const auto& [recoverer, name] : recoverers) {
        if (!has(*name)) continue;
        add(name,
            [recoverer = recoverer, sampling](Bench& bench) { return bench.sweep_recoverers(recoverer, sampling); });
      }
    } else {
      add("+++", [samples = options.samples, seed = options.seed](Bench& bench) {
        return bench.sweep_recoverers_of_recoverers(samples, seed);
      });
    }
  }
  if (options.depth == 1 && has('N') && !options.at) {
    for (const Naming what : kNamings) {
      if (!chosen(name_of(what))) continue;
      tasks.push_back({name_of(what), "R", [what, sampling](Bench&, const std::string& directory) {
                         return sweep_naming(directory, what, sampling, report);
                       }});
    }
  }
  std::vector<Task> part;
  for (std::size_t i = options.part - 1; i < tasks.size(); i += options.parts) part.push_back(tasks[i]);
  return part;
}

// Takes tasks until there are none. Returns 1 if one could not be done at all.
int work(const std::vector<Task>& tasks, std::atomic<std::size_t>& next, Table& table, const std::string& directory) {
  int result = 0;
  std::filesystem::create_directory(directory);
  Bench bench(directory);
  bench.report = report;
  for (;;) {
    const std::size_t number = next.fetch_add(1);
    if (number >= tasks.size()) return result;
    const Task& task = tasks[number];
    if (table.has(task.operation, task.modes)) continue;
    try {
      table.add(task.run(bench, directory));
    } catch (const std::exception& error) {
      report("'" + task.operation + "', " + task.modes + " could not be swept: " + error.what());
      result = 1;
    }
  }
}

int run(const Options& options, const std::string& command) {
  const std::vector<Task> tasks = tasks_of(options);
  if (options.list) {
    for (const Task& task : tasks) std::printf("%-4s %s\n", task.modes.c_str(), task.operation.c_str());
    return 0;
  }
  if (tasks.empty()) throw std::invalid_argument("no operation is called that");
  std::string why_not;
  if (!tracing_permitted(why_not)) {
    std::printf("processes cannot be stepped here: %s\n", why_not.c_str());
    return 77;
  }
  if (!ipcq::os::robust_mutexes_work()) throw std::runtime_error("robust mutexes do not work here");
  std::fprintf(stderr, "seed %llu (--seed, IPCQ_TEST_SEED)\n", static_cast<unsigned long long>(options.seed));

  std::string scratch = "/dev/shm/ipcq-sweep.XXXXXX";
  if (::mkdtemp(scratch.data()) == nullptr) throw std::runtime_error("no directory in /dev/shm");
  const std::string file = options.progress.empty() ? scratch + "/progress" : options.progress;
  const std::string kind =
      "depth " + std::to_string(options.depth) +
      (options.exhaustive ? " exhaustive"
                          : " points " + std::to_string(options.points) + " seed " + std::to_string(options.seed)) +
      " samples " + std::to_string(options.samples);
  Table table(file, kind);
  void* memory =
      ::mmap(nullptr, sizeof(std::atomic<std::size_t>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
  auto& next = *new (memory) std::atomic<std::size_t>(0);
  bool failed = false;
  std::vector<pid_t> jobs;
  for (std::uint64_t job = 0; job < options.jobs; ++job) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::_exit(work(tasks, next, table, scratch + "/" + std::to_string(job)));
    }
    jobs.push_back(pid);
  }
  struct sigaction end {};
  end.sa_handler = [](int) {};  // without SA_RESTART: waitpid() returns
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &end, nullptr);
  for (const pid_t pid : jobs) {
    int status = 0;
    // Told to end: the jobs end first. What they have done is in the table.
    while (pid > 0 && ::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
      for (const pid_t other : jobs) {
        if (other > 0) ::kill(other, SIGKILL);
      }
    }
    failed |= pid < 0 || status != 0;
  }
  const std::uint64_t wrong = print(table.rows(), command);
  std::filesystem::remove_all(scratch);
  return wrong != 0 || failed ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  // Images of queues go back to the kernel when they are freed, so that a fork has little to copy.
  ::mallopt(M_MMAP_THRESHOLD, 32 * 1024);
  try {
    std::string command = "ipcq_sweep";
    for (int i = 1; i < count; ++i) command += std::string(" ") + arguments[i];
    return run(parse(count, arguments), command);
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "ipcq_sweep: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ipcq_sweep: %s\n", error.what());
    return 1;
  }
}
