// Recoverers are killed too: two and three deep.
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <stdexcept>

#include "core/endpoints.hpp"
#include "core/recovery.hpp"
#include "crash/sweep/messages.hpp"
#include "crash/sweep/sweep.hpp"

namespace ipcq::sweep {
namespace {

constexpr Mode kModes[] = {Mode::recover, Mode::attach, Mode::consumer};

// Takes all rows but the dead's, so that the next to attach gets one of those: unless the table itself is torn, which the
// first to attach mends.
std::vector<Producer> take_free_rows(const Queue& queue, const core::View& view) {
  std::vector<Producer> taken;
  if (view.exclusive() || queue.closed() || view.side().table_lock.mutex.holder_died()) return taken;
  std::uint32_t free = 0;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) free += core::row_attached(view, i) ? 0U : 1U;
  if (free == view.endpoints_max) return taken;
  for (; free > 0; --free) taken.push_back(queue.producer());
  return taken;
}

Step recovering(Recoverer recoverer, const QueueAt& at, std::uint64_t id) {
  const auto segment = at.segment();
  if (recoverer == Recoverer::recover) {
    return [segment](Progress& progress) {
      core::recover(segment->view());
      progress.reached = 1;
    };
  }
  const auto queue = keep(at.open());
  if (recoverer == Recoverer::attach) {
    const auto rows = keep(take_free_rows(*queue, segment->view()));
    const auto producer = keep(Producer());
    return [queue, rows, producer, id](Progress& progress) {
      try {
        *producer = queue->producer();
      } catch (const Error& error) {
        if (error.errc() == Errc::closed) return;
        throw;
      }
      Claim claim = producer->claim({.messages = 1, .bytes = kPayload}, now);
      if (claim.outcome() == Outcome::full) return;
      append(claim, id);
      ok(claim.commit(), "commit");
      progress.reached = 1;
    };
  }
  const auto consumer = keep(Consumer());
  const auto leased = keep(Lease());
  return [queue, consumer, leased](Progress& progress) {
    *consumer = queue->consumer();
    *leased = consumer->lease({.max_messages = 4, .deadline = now});
    progress.reached = 1;
  };
}

}  // namespace

// The recoverer of `images`, who sends `id` if he sends; he has recovered from the same before, elsewhere.
Prepare Bench::recoverer_of(Recoverer recoverer, const Images& images, std::uint64_t id) const {
  return [this, recoverer, &images, id] {
    Progress unused;
    write_images(warm_, images);
    recovering(recoverer, warm_, id)(unused);
    return recovering(recoverer, queue_, id);
  };
}

Row Bench::sweep_recoverers(Recoverer recoverer, const Sampling& sampling) {
  Row row = begin_row(recoverer == Recoverer::recover ? "R+" : recoverer == Recoverer::attach ? "A+" : "C+");
  std::mt19937_64 random(sampling.seed + number_);
  const std::vector<State> all = step_through();
  std::vector<const State*> torn;
  std::set<std::pair<std::uint64_t, std::uint32_t>> seen;
  for (const State& state : all) {
    if (seen.insert({class_of(state.images), state.reached}).second) torn.push_back(&state);
  }
  std::shuffle(torn.begin(), torn.end(), random);
  if (sampling.points != 0 && torn.size() > sampling.points) torn.resize(sampling.points);
  std::size_t turn = random();
  for (const State* state : torn) {
    Job job;
    job.operation = number_;
    job.reached = state->reached;
    job.later[0].recoverer = recoverer;
    const Prepare prepare = recoverer_of(recoverer, state->images, kMiddle);
    Path path;
    const std::vector<State> left = step_through(queue_, state->images, prepare, path);
    const std::uint64_t points = left.back().first + left.back().points;
    row.instructions += points - 1;
    for (const State& one : left) {
      row.points += one.points;
      ++row.states;
      job.later[0].reached = one.reached;
      job.mode = kModes[turn++ % std::size(kModes)];
      const Answer answer = survive_copy(job, one.images);
      row.count(answer.verdict, one.points);
      tell(answer, row.modes + name_of(job.mode) + " on the state at " + std::to_string(state->first), one.first);
    }
    // And one real death.
    const std::uint64_t at = random() % points;
    write_images(queue_, state->images);
    Tracee victim(prepare);
    (void)path.lead(victim, at);  // gone astray, it dies where it is
    job.later[0].reached = victim.reached();
    victim.kill();
    const Answer answer = worker_.run(job, queue_, nullptr);
    ++row.kills;
    row.count(answer.verdict);
    tell(answer, row.modes + name_of(job.mode) + " for real on the state at " + std::to_string(state->first), at);
  }
  row.seconds += clock_seconds();
  return row;
}

Row Bench::sweep_recoverers_of_recoverers(std::uint64_t samples, std::uint64_t seed) {
  constexpr std::uint64_t kEach = 40;  // of each third death's instructions
  constexpr Recoverer kRecoverers[] = {Recoverer::recover, Recoverer::attach, Recoverer::consumer};
  Row row = begin_row("+++");
  std::mt19937_64 random(seed + number_);
  const std::vector<State> first = step_through();
  while (row.points < samples) {
    Path unused;
    const State& torn = first[random() % first.size()];
    Job job;
    job.operation = number_;
    job.reached = torn.reached;
    job.later[0].recoverer = kRecoverers[random() % std::size(kRecoverers)];
    const std::vector<State> second =
        step_through(queue_, torn.images, recoverer_of(job.later[0].recoverer, torn.images, kMiddle), unused);
    const State& torn_again = second[random() % second.size()];
    job.later[0].reached = torn_again.reached;
    job.later[1].recoverer = kRecoverers[random() % std::size(kRecoverers)];
    const std::vector<State> third = step_through(
        queue_, torn_again.images, recoverer_of(job.later[1].recoverer, torn_again.images, kMiddle + 1), unused);
    const std::uint64_t points = third.back().first + third.back().points;
    row.instructions += points - 1;
    std::map<std::size_t, std::uint64_t> drawn;
    for (std::uint64_t i = 0; i < kEach; ++i) {
      const std::uint64_t at = random() % points;
      const auto state = std::find_if(third.rbegin(), third.rend(), [&](const State& one) { return one.first <= at; });
      ++drawn[static_cast<std::size_t>(third.rend() - state - 1)];
    }
    for (const auto& [number, times] : drawn) {
      job.later[1].reached = third[number].reached;
      job.mode = kModes[random() % std::size(kModes)];
      const Answer answer = survive_copy(job, third[number].images);
      row.points += times;
      ++row.states;
      row.count(answer.verdict, times);
      tell(answer,
           std::string("three deep, ") + name_of(job.mode) + ", states at " + std::to_string(torn.first) + " (" +
               std::to_string(static_cast<int>(job.later[0].recoverer)) + "), " + std::to_string(torn_again.first) +
               " (" + std::to_string(static_cast<int>(job.later[1].recoverer)) + ")",
           third[number].first);
    }
  }
  row.seconds += clock_seconds();
  return row;
}

}  // namespace ipcq::sweep
