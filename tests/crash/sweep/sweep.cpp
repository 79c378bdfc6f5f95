#include "crash/sweep/sweep.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <stdexcept>

#include "crash/sweep/touches.hpp"

namespace ipcq::sweep {
namespace {

// Evenly over [0, count), from a random beginning.
std::vector<std::uint64_t> sample(std::uint64_t count, const Sampling& sampling, std::mt19937_64& random) {
  std::vector<std::uint64_t> chosen;
  if (sampling.at) return {std::min(*sampling.at, count - 1)};
  const std::uint64_t wanted = sampling.points == 0 ? count : std::min(count, sampling.points);
  if (wanted == 0) return chosen;
  const double stride = static_cast<double>(count) / static_cast<double>(wanted);
  const double offset = sampling.points == 0 ? 0 : std::uniform_real_distribution<>(0, stride)(random);
  for (std::uint64_t i = sampling.slice; i < wanted; i += sampling.slices) {
    chosen.push_back(std::min(count - 1, static_cast<std::uint64_t>(offset + static_cast<double>(i) * stride)));
  }
  return chosen;
}

// One place of an operation is one of its states.
Sampling of_states(const std::vector<State>& states, Sampling sampling) {
  if (!sampling.at) return sampling;
  std::uint64_t number = 0;
  while (number + 1 < states.size() && states[number + 1].first <= *sampling.at) ++number;
  sampling.at = number;
  return sampling;
}

// The one instruction that is wanted is the only place.
Sampling of_places(Sampling sampling) {
  if (sampling.at) sampling.at = 0;
  return sampling;
}

}  // namespace

std::string slice_text(const Sampling& sampling) {
  if (sampling.slices == 1) return {};
  return " " + std::to_string(sampling.slice + 1) + "/" + std::to_string(sampling.slices);
}

Bench::Bench(const std::string& directory)
    : queue_{directory + "/queue", "q"}, warm_{directory + "/warm", "q"}, copy_{directory + "/copy", "q"} {
  for (const QueueAt& at : {queue_, warm_, copy_}) std::filesystem::create_directories(at.directory);
}

void Bench::set_up(std::uint32_t operation) {
  number_ = operation;
  const Operation& what = operations()[operation];
  for (const QueueAt& at : {queue_, warm_, copy_}) {
    ::unlink(at.path().c_str());
    ::unlink(at.dead_letters().path().c_str());
  }
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
  template_ = read_images(queue_);
  what.touch_up(template_.queue);
}

std::unique_ptr<Tracee> Bench::child() const {
  write_images(queue_, template_);
  write_images(warm_, template_);
  const auto& prepare = operations()[number_].prepare;
  return std::make_unique<Tracee>([&] {
    // Once in another queue: the stepped operation then finds every symbol bound, page touched and static made.
    Progress unused;
    prepare(warm_)(unused);
    return prepare(queue_);
  });
}

std::unique_ptr<Tracee> Bench::child_at(std::uint64_t instruction) const {
  std::unique_ptr<Tracee> moved = child();
  if (path_.lead(*moved, instruction)) return moved;
  moved = child();
  for (std::uint64_t i = 0; i < instruction && moved->step(); ++i) {
  }
  return moved;
}

std::vector<State> Bench::step_through(const QueueAt& at, const Images& images, const Prepare& prepare, Path& path) {
  write_images(at, images);
  Tracee child(prepare);
  const LiveImages live(at, !images.dead_letters.empty(), child.pid());
  std::vector<State> states;
  Images last;
  for (std::uint64_t done = 0;; ++done) {
    if (states.empty() || states.back().reached != child.reached() || !live.equals(last)) {
      last = live.copy();
      states.push_back({done, 1, child.reached(), last});
      live.die(states.back().images);
    } else {
      ++states.back().points;
    }
    if (!child.done()) path.add(child.address());
    if (child.done() || !child.step()) {
      if (!child.failure().empty()) throw std::runtime_error(child.failure());
      if (child.pid() < 0) throw std::runtime_error("the child ended inside its operation");
      if (!live.equals(last) || states.back().reached != child.reached()) {
        last = live.copy();
        states.push_back({done + 1, 1, child.reached(), last});
        live.die(states.back().images);
      }
      break;
    }
  }
  child.kill();
  return states;
}

std::vector<State> Bench::step_through() {
  const auto& prepare = operations()[number_].prepare;
  write_images(warm_, template_);
  path_ = {};
  return step_through(
      queue_, template_,
      [&] {
        Progress unused;
        prepare(warm_)(unused);
        return prepare(queue_);
      },
      path_);
}

Row Bench::begin_row(const std::string& modes) const {
  Row row;
  row.operation = operations()[number_].name;
  row.modes = modes;
  row.seconds = -clock_seconds();
  return row;
}

Answer Bench::survive_copy(const Job& job, const Images& images) { return worker_.run(job, copy_, &images); }

void Bench::tell(const Answer& answer, const std::string& mode, std::uint64_t at) {
  if (answer.verdict == Verdict::ok) return;
  report("'" + operations()[number_].name + "' (operation " + std::to_string(number_) + "), mode " + mode +
         ", at instruction " + std::to_string(at) + ": " + answer.text);
}

Answer Bench::kill_for_real(Job& job, std::uint64_t at, std::uint64_t& left) {
  const std::unique_ptr<Tracee> victim = child_at(at);
  job.reached = victim->reached();
  victim->kill();
  left = class_of(read_images(queue_));
  return worker_.run(job, queue_, nullptr);
}

Row Bench::sweep_killed(const std::vector<Mode>& modes, const Sampling& sampling) {
  std::string names;
  for (const Mode mode : modes) names += name_of(mode);
  Row row = begin_row(names);
  std::mt19937_64 random(sampling.seed + number_);
  std::vector<State> states = step_through();
  const std::uint64_t points = states.back().first + states.back().points;
  row.instructions = points - 1;
  Job job;
  job.operation = number_;

  // What each kind of state came to, by mode: a real death that leaves the same must come to the same.
  std::map<std::pair<std::uint64_t, Mode>, Ids> known;
  for (const std::uint64_t number : sample(states.size(), of_states(states, sampling), random)) {
    const State& state = states[number];
    row.points += state.points;
    ++row.states;
    job.reached = state.reached;
    for (const Mode mode : modes) {
      job.mode = mode;
      const Answer answer = survive_copy(job, state.images);
      row.count(answer.verdict, state.points);
      tell(answer, name_of(mode), state.first);
      known[{class_of(state.images), mode}] = answer.got;
    }
  }

  states = {};  // each fork from here on would copy their page tables
  std::size_t turn = random();
  for (const std::uint64_t at : sample(points, sampling, random)) {
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
  row.seconds += clock_seconds();
  return row;
}

Row Bench::sweep_stopped(Mode mode, const Sampling& sampling) {
  Row row = begin_row(name_of(mode) + slice_text(sampling));
  std::mt19937_64 random(sampling.seed + number_);
  const std::unique_ptr<Tracee> first = child();
  path_ = {};
  std::vector<std::uint64_t> places = touches_of(*first, queue_.directory, path_);
  row.instructions = path_.size();
  first->kill();
  places.push_back(row.instructions);  // behind the last
  if (sampling.at) places = {std::min(*sampling.at, row.instructions)};
  for (const std::uint64_t number : sample(places.size(), of_places(sampling), random)) {
    const std::uint64_t at = places[number];
    const std::unique_ptr<Tracee> stopped = child_at(at);
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
  row.seconds += clock_seconds();
  return row;
}

}  // namespace ipcq::sweep
