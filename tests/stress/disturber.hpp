// Disturber: what a worker does to itself now and then, in the middle of things.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <future>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "history.hpp"
#include "support/child_process.hpp"

namespace ipcq::stress {

using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::Ending;

using Random = std::mt19937_64;

/// Exit code of a worker that ended by itself and is to be started again.
inline constexpr int kEndedByItself = 46;

class Disturber {
 public:
  /// `role` and `arguments` are what the worker becomes by exec(2): itself.
  Disturber(Child& self, History& history, const ChildRole& role, std::vector<std::string> arguments, Random& random)
      : self_(self), history_(history), role_(role), arguments_(std::move(arguments)), random_(random) {
    // Nobody waits for the children that this makes.
    ::signal(SIGCHLD, SIG_IGN);
  }

  /// Call with a claim or a lease open. True: the calling thread is to end now, with what is open left open.
  bool disturb() {
    if (random_() % kRarity != 0) return false;
    const auto what = static_cast<Disturbance>(random_() % kDisturbanceNames.size());
    history_.count(what);
    switch (what) {
      case Disturbance::exit:
        std::exit(kEndedByItself);  // no destructor of what is open runs
      case Disturbance::quick_exit:
        ::_exit(kEndedByItself);
      case Disturbance::exec:
        arguments_[kSeed] = std::to_string(random_());
        self_.become(role_, arguments_);
      case Disturbance::fork:
        // The child has all handles and outlives its parent, perhaps.
        if (const auto pause = some_time(); ::fork() == 0) live_for(pause);
        break;
      case Disturbance::vfork:
        // The child keeps every descriptor open, the life locks too, and this thread waits for it; killed meanwhile, this
        // process looks alive for as long as the child is there.
        if (const auto pause = some_time(); ::vfork() == 0) live_for(pause);
        break;
      case Disturbance::closefrom:
        self_.close_other_descriptors();
        break;
      case Disturbance::thread_end:
        return true;
    }
    return false;
  }

  /// Calls `run` in a thread, and in another for as long as it returns false.
  template <class Run>
  static void in_threads(Run run) {
    while (!std::async(std::launch::async, run).get()) {
    }
  }

 private:
  static constexpr std::uint64_t kRarity = 1024;
  static constexpr std::size_t kSeed = 2;  // among the arguments

  useconds_t some_time() { return static_cast<useconds_t>(random_() % 10'000); }
  [[noreturn]] static void live_for(useconds_t pause) {
    ::usleep(pause);
    ::_exit(0);
  }

  Child& self_;
  History& history_;
  const ChildRole& role_;
  std::vector<std::string> arguments_;
  Random& random_;
};

}  // namespace ipcq::stress
