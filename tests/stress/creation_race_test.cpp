// Processes that open or create the same name at the same moment: one creates, the others open what it made.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <ipcq/ipcq.hpp>
#include <set>
#include <string>
#include <vector>

#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"
#include "support/waiting.hpp"

namespace ipcq::stress {
namespace {

using support::Child;
using support::ChildProcess;
using support::ChildRole;

constexpr const char* kRaced = "raced";

const ChildRole kOpener("opener or creator", [](Child& self) {
  self.report("ready");
  self.await("go");
  const Queue queue = Queue::open_or_create(kRaced, {.capacity_bytes = 65536});
  Producer producer = queue.producer();
  support::require(producer.send(self.argument(0)) == Outcome::ok, "send");
  self.report(queue.created() ? "created" : "opened");
  return 0;
});

TEST(CreationRace, one_process_creates_and_all_are_in_the_same_queue) {
  const support::ScratchDirectory scratch;
  ::setenv("IPCQ_DIR", scratch.path().c_str(), 1);
  const std::uint32_t rounds = support::scaled(10);
  for (std::uint32_t round = 0; round < rounds; ++round) {
    constexpr int kProcesses = 6;
    std::vector<ChildProcess> processes;
    for (int i = 0; i < kProcesses; ++i) processes.emplace_back(kOpener, std::vector<std::string>{std::to_string(i)});
    for (ChildProcess& process : processes) ASSERT_EQ(process.next_report(), "ready");
    for (const ChildProcess& process : processes) process.tell("go");
    int created = 0;
    for (ChildProcess& process : processes) {
      const std::string report = process.next_report();
      ASSERT_TRUE(report == "created" || report == "opened") << report;
      if (report == "created") ++created;
      ASSERT_TRUE(process.succeeds());
    }
    EXPECT_EQ(created, 1);
    std::set<std::string> names;
    Consumer consumer = Queue::open(kRaced).consumer();
    for (std::string name; consumer.receive(name, now) == Outcome::ok;) names.insert(name);
    EXPECT_EQ(names.size(), static_cast<std::size_t>(kProcesses));
    remove(kRaced, {.force = true});
  }
  ::unsetenv("IPCQ_DIR");
}

}  // namespace
}  // namespace ipcq::stress
