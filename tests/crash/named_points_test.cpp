// Every named point of the library is visited by a test, and told in docs/recovery.md.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "crash_case.hpp"
#include "interleaving.hpp"
#include "other_worlds.hpp"

namespace ipcq::crash {
namespace {

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Every NAME of `before`NAME" in the sources.
void collect(std::set<std::string>& names, const std::string& text, std::string_view before) {
  for (std::size_t at = text.find(before); at != std::string::npos; at = text.find(before, at)) {
    at += before.size();
    names.insert(text.substr(at, text.find_first_of("\":", at) - at));
  }
}

std::set<std::string> named() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(IPCQ_SOURCE_DIR "/libipcq/src")) {
    if (entry.is_regular_file()) collect(names, contents(entry.path()), "IPCQ_CRASH_POINT(\"");
  }
  return names;
}

TEST(NamedPoints, are_all_visited_by_the_tests) {
  std::set<std::string> missing = named();
  ASSERT_GT(missing.size(), 50U);
  // Processes of their own die at those of creating, removing, cleaning, purging and repairing a queue, of waiting, of
  // quotas, and of dead letters.
  for (const char* file :
       {"clean_test.cpp", "interrupted_administration_test.cpp", "max_deliveries_test.cpp", "purge_death_test.cpp",
        "quota_death_test.cpp", "repair_death_test.cpp", "requeue_death_test.cpp"}) {
    const std::string text = contents(std::string(IPCQ_SOURCE_DIR "/tests/crash/") + file);
    for (const std::string& name : named()) {
      if (text.find('"' + name) != std::string::npos) missing.erase(name);
    }
  }
  for (const CrashCase& crash : crash_cases()) {
    const std::string point = crash.point;
    missing.erase(point.substr(0, point.find(':')));
  }
  // The others are those of interleavings: of an operation, and of whoever comes after one that died.
  std::vector<OtherWorld> worlds = other_worlds();
  worlds.push_back({"shared", {}, operations()});
  for (const OtherWorld& world : worlds) {
    const auto then = [&](const Operation& dead, std::uint32_t at, const Operation& next) {
      const Told told = run({world.world, {&dead, at}, &next, HaltingThread::kNever, Ends::goes_on, nullptr});
      EXPECT_EQ(told.failure, "") << dead.name << " died at its point " << at << ", then " << next.name;
      for (const std::string& name : told.visited) missing.erase(name);
    };
    for (const Operation& operation : world.operations) {
      const std::vector<std::string> points = points_of(operation, world.world);
      for (const std::string& name : points) missing.erase(name);
      for (const std::uint32_t at : to_halt_at(points)) then(operation, at, world.operations.back());
    }
    for (const Operation& dead : world.operations) {
      for (const Operation& next : world.operations) {
        if (!missing.empty()) then(dead, HaltingThread::kNever, next);
      }
    }
  }
  EXPECT_TRUE(missing.empty()) << "no test comes to " << ::testing::PrintToString(missing);
}

TEST(NamedPoints, are_all_told_in_the_tables_of_recovery) {
  const std::string document = contents(IPCQ_SOURCE_DIR "/docs/recovery.md");
  for (const std::string& name : named()) {
    EXPECT_NE(document.find('`' + name + '`'), std::string::npos) << name << " is not in docs/recovery.md";
  }
}

}  // namespace
}  // namespace ipcq::crash
