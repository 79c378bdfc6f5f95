// One process halts between any two steps of any operation, another does any operation to the end, and the first goes on
// or dies. Whatever was promised of a message is kept, and the whole queue is usable afterwards.
//
// Each test runs a sample of its histories, another at each run (the seed is printed); all of them are run when
// IPCQ_TEST_SCALE is large enough.
#include "interleaving.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "other_worlds.hpp"
#include "support/waiting.hpp"

namespace ipcq::crash {
namespace {

class Sample {
 public:
  /// Of `all`, `count` times IPCQ_TEST_SCALE.
  explicit Sample(std::vector<History> all, std::uint32_t count) : histories_(std::move(all)) {
    std::shuffle(histories_.begin(), histories_.end(), random_);
    if (histories_.size() > support::scaled(count)) histories_.resize(support::scaled(count));
    for (History& history : histories_) history.world.base = 16 * unit::pick(random_, 0, 100'000);
  }
  /// Where to halt depends on what the first has left behind: at any of the points that there are then.
  Sample& halt_anywhere() {
    for (History& history : histories_) {
      const std::vector<std::uint32_t> at = to_halt_at(points_of(*history.halting, history.world, history.first));
      if (!at.empty()) history.at = at[unit::pick(random_, 0, at.size() - 1)];
    }
    return *this;
  }
  void run() const { run_all(histories_); }

 private:
  std::mt19937_64 random_ = unit::random_numbers();
  std::vector<History> histories_;
};

/// Every death in that world: at any point of any operation, or behind the last, with whatever is open then.
std::vector<Death> deaths(const World::Options& world, const std::vector<Operation>& of) {
  std::vector<Death> all;
  for (const Operation& operation : of) {
    all.push_back({&operation, HaltingThread::kNever});
    for (const std::uint32_t at : to_halt_at(points_of(operation, world))) all.push_back({&operation, at});
  }
  return all;
}

TEST(Interleaving, of_two_processes_one_of_which_halts_at_any_point_breaks_no_promise) {
  std::vector<History> all;
  for (const Operation& halting : operations()) {
    for (const std::uint32_t at : to_halt_at(points_of(halting))) {
      for (const Ends ends : kAllEnds) {
        for (const Operation& other : operations()) all.push_back({{}, {}, &halting, at, ends, &other});
      }
    }
  }
  Sample(std::move(all), 1200).run();
}

TEST(Interleaving, of_recoverers_that_meet_and_die_breaks_no_promise) {
  const Operation& recoverer = operations().back();
  std::vector<History> all;
  for (const Death& first : deaths({}, operations())) {
    for (const std::uint32_t at : to_halt_at(points_of(recoverer, {}, first))) {
      for (const Ends ends : {Ends::goes_on, Ends::dies_after, Ends::dies_before, Ends::goes_on_with}) {
        all.push_back({{}, first, &recoverer, at, ends, &recoverer});
      }
    }
  }
  Sample(std::move(all), 600).run();
}

TEST(Interleaving, of_any_two_behind_a_death_breaks_no_promise) {
  std::vector<History> all;
  for (const Death& first : deaths({}, operations())) {
    for (const Operation& halting : operations()) {
      for (const Ends ends : kAllEnds) {
        for (const Operation& other : operations()) all.push_back({{}, first, &halting, 0, ends, &other});
      }
    }
  }
  Sample(std::move(all), 600).halt_anywhere().run();
}

class InterleavingElsewhere : public ::testing::TestWithParam<OtherWorld> {};

TEST_P(InterleavingElsewhere, of_any_two_behind_a_death_breaks_no_promise) {
  const OtherWorld& elsewhere = GetParam();
  const bool only_one = elsewhere.world.overflow == Overflow::block;
  std::vector<History> all;
  for (const Death& first : deaths(elsewhere.world, elsewhere.operations)) {
    for (const Operation& halting : elsewhere.operations) {
      for (const Ends ends : kAllEnds) {
        // Who is the only one, and taken for dead while it writes, has no fence against its successor.
        if (ends == Ends::judged_dead && only_one) continue;
        for (const Operation& other : elsewhere.operations) {
          all.push_back({elsewhere.world, first, &halting, 0, ends, &other});
        }
      }
    }
  }
  Sample(std::move(all), 300).halt_anywhere().run();
}

INSTANTIATE_TEST_SUITE_P(Where, InterleavingElsewhere, ::testing::ValuesIn(other_worlds()),
                         [](const auto& elsewhere) { return std::string(elsewhere.param.name); });

}  // namespace
}  // namespace ipcq::crash
