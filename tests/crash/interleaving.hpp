// Interleaving: one history of a World. Somebody may die first; then one process halts between two steps of its operation,
// another does its own to the end, and the first goes on, or dies.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <ostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "aftermath.hpp"
#include "halting_thread.hpp"
#include "operations.hpp"

namespace ipcq::crash {

enum class Ends : std::uint8_t {
  goes_on,       ///< it halts, the other acts, it goes on
  dies_after,    ///< it halts, the other acts, it dies
  dies_before,   ///< it dies, then the other acts
  half_dead,     ///< its mutex is marked, the other acts, then its life lock goes
  judged_dead,   ///< others take it for dead while it only halts; then it goes on
  goes_on_with,  ///< it goes on while the other acts
};
inline constexpr Ends kAllEnds[] = {Ends::goes_on,   Ends::dies_after,  Ends::dies_before,
                                    Ends::half_dead, Ends::judged_dead, Ends::goes_on_with};

inline const char* name_of(Ends ends) {
  constexpr const char* kNames[] = {"it goes on",      "it dies afterwards",   "it dies before",
                                    "it is half dead", "it is taken for dead", "both go on at once"};
  return kNames[static_cast<std::size_t>(ends)];
}

struct Death {
  const Operation* operation = nullptr;
  std::uint32_t at = 0;  ///< its how manieth point; HaltingThread::kNever: behind the last
};
struct History {
  World::Options world;
  Death first;  ///< somebody who dies before all others
  const Operation* halting = nullptr;
  std::uint32_t at = 0;
  Ends ends = Ends::goes_on;
  const Operation* other = nullptr;
};

inline std::ostream& operator<<(std::ostream& out, const History& history) {
  if (history.first.operation != nullptr) {
    out << history.first.operation->name << " dies at its point " << history.first.at << "; ";
  }
  out << history.halting->name << " halts at its point " << history.at << ", ";
  if (history.other != nullptr) out << history.other->name << ", ";
  return out << name_of(history.ends) << "; from position " << history.world.base;
}

/// What came of a history.
struct Told {
  std::string failure;               ///< empty: all promises were kept
  std::vector<std::string> visited;  ///< the points that the halting one came to
  std::vector<std::string> first_visited;
};

inline Told run(const History& history) {
  Told told;
  std::mutex failing;
  const auto note = [&](const char* who, const std::exception& error) {
    const std::lock_guard lock(failing);
    if (told.failure.empty()) told.failure = std::string(who) + ": " + error.what();
  };
  World world(history.world);
  const auto act = [&](const Operation& operation, Peer& peer, const char* who) {
    try {
      operation.act(world, peer);
      if (history.ends != Ends::goes_on_with) world.check_positions();
    } catch (const std::exception& error) {
      note(who, error);
    }
  };
  try {
    Peer first;
    Peer halting;
    Peer other;
    if (history.first.operation != nullptr) history.first.operation->prepare(world, first);
    history.halting->prepare(world, halting);
    if (history.other != nullptr) history.other->prepare(world, other);

    if (history.first.operation != nullptr) {
      HaltingThread thread([&] { act(*history.first.operation, first, "the first"); }, history.first.at);
      if (thread.halted()) {
        thread.die();
      } else {
        thread.finish();
      }
      told.first_visited = thread.visited();
      world.bury(first);
    }
    const auto act_other = [&] {
      if (history.other != nullptr) act(*history.other, other, "the other");
    };
    HaltingThread thread([&] { act(*history.halting, halting, "the halting one"); }, history.at);
    if (!thread.halted()) {
      thread.finish();
      act_other();
      world.leave(halting);
    } else {
      switch (history.ends) {
        case Ends::goes_on:
          act_other();
          thread.finish();
          world.leave(halting);
          break;
        case Ends::goes_on_with: {
          world.let_two_act();
          std::thread beside(act_other);
          thread.finish();
          beside.join();
          world.leave(halting);
          break;
        }
        case Ends::judged_dead:
          world.bury(halting);
          act_other();
          thread.finish();
          world.leave(halting);
          break;
        case Ends::dies_after:
          act_other();
          thread.die();
          world.bury(halting);
          break;
        case Ends::dies_before:
          thread.die();
          world.bury(halting);
          act_other();
          break;
        case Ends::half_dead:
          thread.die();
          act_other();
          world.bury(halting);
          break;
      }
    }
    told.visited = thread.visited();
    if (told.failure.empty()) {
      world.leave(other);
      check_aftermath(world);
    }
  } catch (const std::exception& error) {
    note("afterwards", error);
  }
  return told;
}

/// The points that an operation comes to when nobody is in its way but somebody who has died.
inline std::vector<std::string> points_of(const Operation& operation, const World::Options& world = {},
                                          const Death& first = {}) {
  return run({world, first, &operation, HaltingThread::kNever, Ends::goes_on, nullptr}).visited;
}

/// Of these points, counted from 1, the first and the second visit of each.
inline std::vector<std::uint32_t> to_halt_at(const std::vector<std::string>& points) {
  std::map<std::string, int> visits;
  std::vector<std::uint32_t> all;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (++visits[points[i]] <= 2) all.push_back(static_cast<std::uint32_t>(i + 1));
  }
  return all;
}

/// Runs histories side by side, since they mostly wait for mutexes that somebody stopped keeps. Fails the test with the
/// first few that break a promise.
inline void run_all(const std::vector<History>& histories) {
  std::atomic<std::size_t> next{0};
  std::mutex failing;
  std::vector<std::string> failures;
  const auto work = [&] {
    for (std::size_t i = next++; i < histories.size(); i = next++) {
      const Told told = run(histories[i]);
      if (told.failure.empty()) continue;
      std::ostringstream text;
      text << histories[i] << "\n    ";
      if (histories[i].at > 0 && told.visited.size() >= histories[i].at)
        text << "(" << told.visited[histories[i].at - 1] << ") ";
      text << told.failure;
      const std::lock_guard lock(failing);
      failures.push_back(text.str());
    }
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < 8; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  for (std::size_t i = 0; i < failures.size() && i < 10; ++i) ADD_FAILURE() << failures[i];
  EXPECT_EQ(failures.size(), 0U) << "of " << histories.size() << " histories";
}

}  // namespace ipcq::crash
