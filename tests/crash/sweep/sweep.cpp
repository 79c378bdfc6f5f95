#include "crash/sweep/sweep.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <stdexcept>

namespace ipcq::sweep {
namespace {

// Evenly over [0, count), from a random beginning.
std::vector<std::uint64_t> sample(std::uint64_t count, const Sampling& sampling, std::mt19937_64& random) {
  std::vector<std::uint64_t> chosen;
  const std::uint64_t wanted = sampling.points == 0 ? count : std::min(count, sampling.points);
  if (wanted == 0) return chosen;
  const double stride = static_cast<double>(count) / static_cast<double>(wanted);
  const double offset = sampling.points == 0 ? 0 : std::uniform_real_distribution<>(0, stride)(random);
  for (std::uint64_t i = 0; i < wanted; ++i) {
    chosen.push_back(std::min(count - 1, static_cast<std::uint64_t>(offset + static_cast<double>(i) * stride)));
  }
  return chosen;
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Bench::Bench(std::string directory) : queue_{directory, "queue"}, warm_{directory, "warm"}, copy_{directory, "copy"} {}

void Bench::set_up(std::uint32_t operation) {
  number_ = operation;
  const Operation& what = operations()[operation];
  ::unlink(queue_.path().c_str());
  const pid_t pid = ::fork();
  if (pid == 0) {
    try {
      CreateOptions options = what.queue;
      options.directory = queue_.directory;
      (void)Queue::create(queue_.name, options);
      what.set_up(queue_);
      ::_exit(0);
    } catch (const std::exception& error) {
      report("set-up of '" + what.name + "': " + error.what());
      ::_exit(1);
    }
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error("the set-up of '" + what.name + "' failed");
  template_ = read_image(queue_);
  what.touch_up(template_);
}

std::unique_ptr<Tracee> Bench::child() const {
  write_image(queue_, template_);
  write_image(warm_, template_);
  const auto& prepare = operations()[number_].prepare;
  return std::make_unique<Tracee>([&] {
    // Once in another queue: the stepped operation then finds every symbol bound, page touched and static made.
    Progress unused;
    prepare(warm_)(unused);
    return prepare(queue_);
  });
}

std::vector<State> Bench::step_through(const QueueAt& at, const Image& image, const Prepare& prepare) {
  write_image(at, image);
  Tracee child(prepare);
  const LiveImage live(at);
  const DeathRule rule(child.pid(), live.inode());
  std::vector<State> states;
  Image last;
  for (std::uint64_t done = 0;; ++done) {
    if (states.empty() || states.back().reached != child.reached() || !live.equals(last)) {
      last = live.copy();
      states.push_back({done, 1, child.reached(), last});
      rule.apply(states.back().image);
    } else {
      ++states.back().points;
    }
    if (child.done() || !child.step()) {
      if (!child.failure().empty()) throw std::runtime_error(child.failure());
      if (child.pid() < 0) throw std::runtime_error("the child ended inside its operation");
      if (!live.equals(last) || states.back().reached != child.reached()) {
        last = live.copy();
        states.push_back({done + 1, 1, child.reached(), last});
        rule.apply(states.back().image);
      }
      break;
    }
  }
  child.kill();
  return states;
}

std::vector<State> Bench::step_through() const {
  const auto& prepare = operations()[number_].prepare;
  write_image(warm_, template_);
  return step_through(queue_, template_, [&] {
    Progress unused;
    prepare(warm_)(unused);
    return prepare(queue_);
  });
}

Row Bench::begin_row(const std::string& modes) const {
  Row row;
  row.operation = operations()[number_].name;
  row.modes = modes;
  row.seconds = -seconds();
  return row;
}

Answer Bench::survive_copy(const Job& job, const Image& image) { return worker_.run(job, copy_, &image); }

void Bench::tell(const Answer& answer, const std::string& mode, std::uint64_t at) {
  if (answer.verdict == Verdict::ok) return;
  report("'" + operations()[number_].name + "' (operation " + std::to_string(number_) + "), mode " + mode +
         ", at instruction " + std::to_string(at) + ": " + answer.text);
}

Answer Bench::kill_for_real(Job& job, std::uint64_t at, std::uint64_t& left) {
  const std::unique_ptr<Tracee> victim = child();
  for (std::uint64_t i = 0; i < at && victim->step(); ++i) {
  }
  job.reached = victim->reached();
  victim->kill();
  left = class_of(read_image(queue_));
  return worker_.run(job, queue_, nullptr);
}

Row Bench::sweep_killed(const std::vector<Mode>& modes, const Sampling& sampling) {
  std::string names;
  for (const Mode mode : modes) names += name_of(mode);
  Row row = begin_row(names);
  std::mt19937_64 random(sampling.seed + number_);
  const std::vector<State> states = step_through();
  const std::uint64_t points = states.back().first + states.back().points;
  row.instructions = points - 1;
  Job job;
  job.operation = number_;

  // What each kind of state came to, by mode: a real death that leaves the same must come to the same.
  std::map<std::pair<std::uint64_t, Mode>, Ids> known;
  for (const std::uint64_t number : sample(states.size(), sampling, random)) {
    const State& state = states[number];
    row.points += state.points;
    ++row.states;
    job.reached = state.reached;
    for (const Mode mode : modes) {
      job.mode = mode;
      const Answer answer = survive_copy(job, state.image);
      row.count(answer.verdict, state.points);
      tell(answer, name_of(mode), state.first);
      known[{class_of(state.image), mode}] = answer.got;
    }
  }

  Sampling of_kills = sampling;
  if (of_kills.points == 0) of_kills.points = (points + sampling.kill_every - 1) / sampling.kill_every;
  std::size_t turn = random();
  for (const std::uint64_t at : sample(points, of_kills, random)) {
    job.mode = modes[turn++ % modes.size()];
    std::uint64_t left = 0;
    Answer answer = kill_for_real(job, at, left);
    ++row.kills;
    const auto picture = known.find({left, job.mode});
    if (answer.verdict == Verdict::ok && picture != known.end() && picture->second != answer.got) {
      answer.verdict = Verdict::wrong;
      answer.text = "a real death left " + text(answer.got) + ", its picture " + text(picture->second);
    }
    row.count(answer.verdict);
    tell(answer, name_of(job.mode), at);
  }
  row.seconds += seconds();
  return row;
}

Row Bench::sweep_stopped(Mode mode, const Sampling& sampling) {
  Row row = begin_row(name_of(mode));
  std::mt19937_64 random(sampling.seed + number_);
  const std::unique_ptr<Tracee> first = child();
  while (first->step()) ++row.instructions;
  if (!first->failure().empty()) throw std::runtime_error(first->failure());
  first->kill();
  for (const std::uint64_t at : sample(row.instructions + 1, sampling, random)) {
    const std::unique_ptr<Tracee> stopped = child();
    for (std::uint64_t i = 0; i < at && stopped->step(); ++i) {
    }
    ++row.points;
    ++row.kills;
    Job job;
    job.operation = number_;
    job.mode = mode;
    job.kind = Job::Kind::work_beside;
    Answer answer = worker_.run(job, queue_, nullptr);
    if (answer.verdict == Verdict::ok) {
      const Interlude before{answer.got, answer.sent};
      if (mode == Mode::proceed) {
        if (!stopped->finish())
          answer = {Verdict::wrong, "gone on, the child failed: " + stopped->failure(), {}, false};
      }
      job.reached = stopped->reached();
      stopped->kill();
      job.kind = Job::Kind::settle;
      if (answer.verdict == Verdict::ok) answer = worker_.run(job, queue_, nullptr, &before);
    }
    row.count(answer.verdict);
    tell(answer, name_of(mode), at);
  }
  row.seconds += seconds();
  return row;
}

}  // namespace ipcq::sweep
