// ipcqd_tick [--points N] [--seed S]: a watchdog is killed at each system call of a tick and at each of its stores to shared
// memory (or at N of these places), while two processes send and receive beside it. Afterwards their messages are all there;
// other queues' users find theirs; and the next watchdog does what is left. Exit code 1: something was wrong; 77: processes
// cannot be traced here.
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "crash/sweep/places.hpp"
#include "daemon/tick/scene.hpp"

namespace ipcq::daemon::tick {
namespace {

// What the watchdog says is no part of this, but that it says it is: each line is a system call.
void say_nothing() {
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null < 0 || ::dup2(null, STDERR_FILENO) < 0) throw std::runtime_error("no /dev/null");
  ::close(null);
}

sweep::Prepare tick_of(const Scene& scene, const Scene& warm) {
  return [&]() -> sweep::Step {
    say_nothing();
    warm.tick();  // every symbol is bound, every page of the program touched
    return [&scene](sweep::Progress& progress) {
      scene.tick();
      progress.reached = 1;
    };
  };
}

struct Scratch {
  Scratch() {
    if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("no directory in /dev/shm");
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string path = "/dev/shm/ipcqd-tick.XXXXXX";
};

// Where to die: there, or behind the first store from there on.
struct Target {
  sweep::Place place;
  bool next_store = false;
};

// `points` drawn ones; 0: every system call, and every store, for which the tick is stepped through once.
std::vector<Target> targets_of(const std::string& scratch, std::uint64_t points, std::mt19937_64& random) {
  const Scene scene(scratch, "queues");
  const Scene warm(scratch, "warm");
  Load load(scene);
  sweep::Tracee child(tick_of(scene, warm));
  std::vector<Target> targets;
  if (points == 0) {
    std::uint64_t instructions = 0;
    for (const sweep::Place& place : sweep::places_of(child, scene.directory(), instructions))
      targets.push_back({place});
    std::printf("a tick of %llu instructions has %zu places to die\n", static_cast<unsigned long long>(instructions),
                targets.size());
  } else {
    const std::uint64_t calls = sweep::system_calls_of(child);
    for (std::uint64_t i = 0; i < points; ++i) targets.push_back({{random() % (calls + 1), 0}, i % 2 == 1});
    std::printf("a tick makes %llu system calls\n", static_cast<unsigned long long>(calls));
  }
  load.finish();
  return targets;
}

void check(const Scene& scene, bool returned, bool tick_next) {
  sweep::in_a_process(
      [&] {
        const int words = ::dup(STDERR_FILENO);
        say_nothing();
        try {
          scene.check(returned, tick_next);
        } catch (...) {
          ::dup2(words, STDERR_FILENO);
          throw;
        }
      },
      std::string("then ") + (tick_next ? "another watchdog" : "a user"));
}

int run(std::uint64_t points, std::uint64_t seed) {
  std::string why_not;
  if (!sweep::tracing_permitted(why_not)) {
    std::printf("processes cannot be stepped here: %s\n", why_not.c_str());
    return 77;
  }
  const Scratch directory;
  const std::string& scratch = directory.path;
  std::mt19937_64 random(seed);
  const std::vector<Target> targets = targets_of(scratch, points, random);
  std::size_t tried = 0;
  std::size_t wrong = 0;
  for (const Target& target : targets) {
    sweep::Place place = target.place;
    try {
      const Scene scene(scratch, "queues");
      const Scene warm(scratch, "warm");
      Load load(scene);
      sweep::Tracee victim(tick_of(scene, warm));
      load.go();
      sweep::go_to(victim, place);
      if (target.next_store && !victim.done()) place.instructions += sweep::go_to_store(victim, scene.directory());
      const bool returned = victim.reached() > 0;
      victim.kill();
      load.finish();
      check(scene, returned, tried % 2 == 0);
    } catch (const std::exception& error) {
      ++wrong;
      std::printf("WRONG: killed after %s: %s\n", sweep::text(place).c_str(), error.what());
    }
    ++tried;
  }
  std::printf("killed at %zu places of a tick, %zu wrong (seed %llu)\n", tried, wrong,
              static_cast<unsigned long long>(seed));
  return wrong == 0 && tried != 0 ? 0 : 1;
}

}  // namespace
}  // namespace ipcq::daemon::tick

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // all places are some 20 minutes: what is wrong is told at once
  std::uint64_t points = 0;
  const char* given = std::getenv("IPCQ_TEST_SEED");
  std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : static_cast<std::uint64_t>(std::time(nullptr));
  const option options[] = {{"points", required_argument, nullptr, 'p'}, {"seed", required_argument, nullptr, 's'}, {}};
  for (int each; (each = ::getopt_long(count, arguments, "", options, nullptr)) != -1;) {
    if (each == 'p') {
      points = std::strtoull(optarg, nullptr, 10);
    } else if (each == 's') {
      seed = std::strtoull(optarg, nullptr, 10);
    } else {
      return 2;
    }
  }
  try {
    return ipcq::daemon::tick::run(points, seed);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ipcqd_tick: %s\n", error.what());
    return 1;
  }
}
