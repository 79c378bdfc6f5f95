// Sweep: one operation, killed or stopped at every instruction of it, or at some.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "crash/sweep/operation.hpp"
#include "crash/sweep/path.hpp"
#include "crash/sweep/worker.hpp"

namespace ipcq::sweep {

/// Of a clock that only goes forward.
[[nodiscard]] inline double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A line of the table.
struct Row {
  std::string operation;
  std::string modes;               ///< " 1/4" behind them: a slice
  std::uint64_t instructions = 0;  ///< of the operation, when nobody else is there
  std::uint64_t points = 0;        ///< places to die or stop that were tried, each with each mode
  std::uint64_t states = 0;        ///< different segments among them
  std::uint64_t kills = 0;         ///< real SIGKILLs (P: stops)
  std::uint64_t ok = 0;
  std::uint64_t wrong = 0;
  std::uint64_t hung = 0;
  double seconds = 0;

  void count(Verdict verdict, std::uint64_t times = 1) noexcept {
    (verdict == Verdict::ok ? ok : verdict == Verdict::wrong ? wrong : hung) += times;
  }
  /// What was tried, and what came of it. Not `instructions`: slices of one operation have the same.
  void add(const Row& other) noexcept {
    points += other.points;
    states += other.states;
    kills += other.kills;
    ok += other.ok;
    wrong += other.wrong;
    hung += other.hung;
    seconds += other.seconds;
  }
};

struct Sampling {
  std::uint64_t points = 0;  ///< of each operation and mode; 0: all
  std::uint64_t seed = 1;
  std::optional<std::uint64_t> at;  ///< this one alone
  /// Of all points each `slices`-th, from `slice` on: an operation whose every point waits is done in several rows.
  std::uint64_t slice = 0;
  std::uint64_t slices = 1;
};

[[nodiscard]] std::string slice_text(const Sampling& sampling);

/// What the segment was between two instructions.
struct State {
  std::uint64_t first = 0;  ///< instructions done when it came to be
  std::uint64_t points = 1;
  std::uint32_t reached = 0;
  Images images;  ///< as the kernel leaves it when the child dies
};

/// Where the sweeps of one process work.
class Bench {
 public:
  explicit Bench(const std::string& directory);

  /// Makes the operation's queue and keeps its bytes.
  void set_up(std::uint32_t operation);
  /// A child that stands before the operation, in a fresh queue; it has done it before, in another.
  [[nodiscard]] std::unique_ptr<Tracee> child() const;
  /// The same, moved on to an instruction.
  [[nodiscard]] std::unique_ptr<Tracee> child_at(std::uint64_t instruction) const;
  /// Steps through the operation. All states it leaves, in order.
  [[nodiscard]] std::vector<State> step_through();
  /// The same of any child in a queue of these bytes. `path`: the way it took.
  [[nodiscard]] static std::vector<State> step_through(const QueueAt& at, const Images& images, const Prepare& prepare,
                                                       Path& path);

  Row sweep_killed(const std::vector<Mode>& modes, const Sampling& sampling);
  Row sweep_stopped(Mode mode, const Sampling& sampling);
  /// Depth 2: whoever recovers from each state dies at every instruction; `sampling.points` states, 0: all. Depth 3: of
  /// what he leaves, each with a further recoverer, at least `samples` instructions.
  Row sweep_recoverers(Recoverer recoverer, const Sampling& sampling);
  Row sweep_recoverers_of_recoverers(std::uint64_t samples, std::uint64_t seed);

  /// Told of every failure: what, and how to see it again.
  std::function<void(const std::string&)> report = [](const std::string&) {};

 private:
  [[nodiscard]] Row begin_row(const std::string& modes) const;
  [[nodiscard]] Prepare recoverer_of(Recoverer recoverer, const Images& images, std::uint64_t id) const;
  Answer survive_copy(const Job& job, const Images& images);
  /// A child dies at this instruction, others survive it. `left`: the class of what it left.
  Answer kill_for_real(Job& job, std::uint64_t at, std::uint64_t& left);
  void tell(const Answer& answer, const std::string& mode, std::uint64_t at);

  QueueAt queue_;
  QueueAt warm_;
  QueueAt copy_;
  Worker worker_;
  std::uint32_t number_ = 0;
  Images template_;
  Path path_;  ///< the operation's, since the last step_through()
};

}  // namespace ipcq::sweep
