// A repair dies, at each of its steps: nobody can use the queue half mended, and the next repair comes to the same.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <ipcq/ipcq.hpp>
#include <iterator>
#include <string>
#include <vector>

#include "actor.hpp"
#include "crash_test.hpp"

namespace ipcq::crash {
namespace {

const ChildRole kRepairer("repairer", [](Child&) {
  static_cast<void>(ipcq::repair(kQueue));
  return kDone;
});

class RepairDeath : public CrashTest {
 protected:
  // Places: docs/layout.md, 16 endpoints and 8 ledger entries.
  static constexpr std::uint64_t kGroups = 896 + 16 * 320;
  static constexpr std::uint64_t kLedger = 384;
  static constexpr std::uint64_t kGroupBytes = kLedger + 320 + 10496;

  [[nodiscard]] std::string path() const { return directory() + "/ipcq." + kQueue; }
  template <class Word>
  void put(std::uint64_t offset, Word word) const {
    const int fd = ::open(path().c_str(), O_RDWR | O_CLOEXEC);
    require(fd >= 0 && ::pwrite(fd, &word, sizeof word, static_cast<off_t>(offset)) == sizeof word, "pwrite");
    ::close(fd);
  }

  /// A queue of which nearly every step of a repair has something to mend.
  void make_damaged() {
    {
      const Queue queue = create({.groups = {{.name = "default"}, {.name = "extra"}},
                                  .endpoints_max = 16,
                                  .groups_max = 2,
                                  .ledger_entries = 8,
                                  .max_deliveries = 3,
                                  .dead_letter = "dead"});
      Producer producer = queue.producer();
      send(producer, ids("1-12"));
    }
    const std::uint64_t ring = inspect(kQueue).segment_bytes - inspect(kQueue).capacity_bytes;
    const std::uint64_t end = inspect(kQueue).claim_position;
    const std::uint64_t record = end / 12;
    put<std::uint64_t>(ring + 2 * record, 60000 | 2U << 30);     // a record that cannot be
    put<std::uint64_t>(kGroups + kGroupBytes, 4 * record + 16);  // "extra" finished what is before, within a record
    put<std::uint64_t>(ring + 7 * record + 8, 1);                // a time that goes back
    put<std::uint16_t>(ring + 8 * record + 6, 5 << 4);           // a run of five more, where three follow
    put<std::uint64_t>(kGroups + kLedger + 64 + 8, record);      // a finished range of "default", the first
    put<std::uint64_t>(kGroups + kLedger, 5 * record);           // a finished range of "default", and nothing before
    put<std::uint64_t>(kGroups + kLedger + 8, 6 * record);
    put<std::uint64_t>(kGroups + kLedger + 16, 2);
    put<std::uint64_t>(kGroups + kLedger + 64 + 16, 2);
    put<std::uint64_t>(kGroups + kLedger + 32 + 16, 7);               // an entry of no state
    put<std::uint64_t>(kGroups + kGroupBytes + kLedger, 4 * record);  // a range of "extra" that is parked
    put<std::uint64_t>(kGroups + kGroupBytes + kLedger + 8, 5 * record);
    put<std::uint64_t>(kGroups + kGroupBytes + kLedger + 16, 4 | 3U << 3 | std::uint64_t{3} << 32);
    put<std::uint64_t>(kGroups + 112, 5);                           // drops that nobody counted
    put<std::uint64_t>(ring + end, 64 | 1U << 30);                  // a head at the end
    put<std::uint64_t>(592, 11 * record);                           // the least retired
    put<std::uint64_t>(584, UINT64_MAX / 2);                        // the newest time
    put<std::uint64_t>(640, 16);                                    // the end of a stream that is not closed
    put<std::uint32_t>(648, 77);                                    // an exclusive producer of shared ones
    put<std::uint32_t>(896 + 9 * 320, 5);                           // a row's state
    put<std::uint8_t>(kGroups + kGroupBytes + 329, 9);              // "extra"'s overflow
    put<std::uint64_t>(kGroups + 2 * kGroupBytes + 24, 7);          // the creator's rate of messages
    put<std::uint64_t>(kGroups + 2 * kGroupBytes + 128 + 72, 9);    // a burst of bytes without a rate
    put<std::uint64_t>(kGroups + 2 * kGroupBytes + 8, UINT64_MAX);  // what the queue's quota is owed
    put<std::int32_t>(512 + 8, 0x7ffffffe);                         // the producer side's mutex, given up
    put<std::int32_t>(kGroups + 64 + 8, 0x7ffffffe);
  }

  [[nodiscard]] std::string bytes() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void restore(const std::string& bytes) const {
    std::ofstream file(path(), std::ios::binary | std::ios::in);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    require(static_cast<bool>(file), "restore");
  }

  /// What each group gets, and that the queue is sound.
  [[nodiscard]] static std::string outcome(const std::vector<std::string>& groups) {
    std::string all = verify(kQueue).sound() ? "sound:" : "damaged:";
    const Queue queue = Queue::open(kQueue);
    for (const std::string& group : groups) {
      Consumer consumer = queue.consumer(group);
      all += " " + group;
      for (const Delivery& one : receive(consumer, 100, now).all) {
        all += " " + std::to_string(one.id) + (one.deliveries > 0 ? "*" : "");
      }
    }
    return all;
  }

  /// Repairs die at each visit of each point; what the next one comes to is what one that does not die comes to.
  void expect_same_after_any_death(const std::vector<std::string>& groups, const std::vector<const char*>& points) {
    const std::string damaged = bytes();
    const RepairReport report = repair(kQueue);
    const std::string expected = outcome(groups);
    EXPECT_TRUE(expected.starts_with("sound:")) << expected;
    EXPECT_FALSE(report.whole());
    for (const char* point : points) {
      int deaths = 0;
      for (int visit = 1; visit < 50; ++visit) {
        restore(damaged);
        ChildProcess process(kRepairer, {}, {{"IPCQ_CRASH_AT", std::string(point) + ":" + std::to_string(visit)}});
        const Ending ending = process.wait();
        if (ending.exited_with(kDone)) break;  // not so many visits
        ASSERT_TRUE(ending.killed_by(SIGKILL)) << point << ": " << ending.text();
        ++deaths;
        if (std::string(point) != "mend.unflagged") {
          EXPECT_THROW(static_cast<void>(Queue::open(kQueue).producer()), Error) << point << " " << visit;
          EXPECT_FALSE(verify(kQueue).sound()) << point << " " << visit;
        }
        static_cast<void>(repair(kQueue));
        EXPECT_EQ(outcome(groups), expected) << point << " " << visit;
      }
      EXPECT_GT(deaths, 0) << point;
    }
  }
};

TEST_F(RepairDeath, at_any_step_leaves_a_queue_that_is_refused_by_name_and_the_next_repair_comes_to_the_same) {
  make_damaged();
  expect_same_after_any_death({"default", "extra"}, {"mend.flag",
                                                     "mend.mutex",
                                                     "mend.group",
                                                     "mend.retired",
                                                     "mend.skipped",
                                                     "mend.end_mark",
                                                     "mend.run",
                                                     "mend.time",
                                                     "mend.last_time",
                                                     "mend.closed_at",
                                                     "mend.exclusive_owner",
                                                     "mend.least_retired",
                                                     "mend.drop",
                                                     "mend.entry",
                                                     "mend.parked",
                                                     "mend.ledger",
                                                     "mend.quota",
                                                     "mend.row",
                                                     "repair.group",
                                                     "retire.retired",
                                                     "mend.unflagged"});
}

TEST_F(RepairDeath, of_a_group_with_one_consumer_and_of_positions_that_fit_nothing) {
  {
    const Queue queue = create({.groups = {{.name = "default", .consumers = ConsumerMode::exclusive}},
                                .endpoints_max = 16,
                                .groups_max = 1,
                                .ledger_entries = 8,
                                .max_deliveries = 3,
                                .dead_letter = "dead"});
    Producer producer = queue.producer();
    send(producer, ids("1-12"));
  }
  put<std::uint64_t>(576, std::uint64_t{1} << 40);         // claim_position
  put<std::uint64_t>(kGroups + 208, 16);                   // what was handed out
  put<std::uint64_t>(kGroups + 216, 1 << 30);              // what came back
  put<std::uint32_t>(kGroups + 196, 9000);                 // deliveries
  put<std::uint64_t>(kGroups + 224, 32);                   // what is parked
  put<std::uint64_t>(kGroups + kLedger + 2 * 32 + 16, 2);  // an entry of a ledger
  expect_same_after_any_death({"default"},
                              {"mend.claim_position", "mend.leased_to", "mend.count", "mend.parked", "mend.entry"});
}

TEST_F(RepairDeath, while_groups_that_are_nowhere_are_called_back) {
  make_damaged();
  put<std::uint32_t>(kGroups + 8, 0);
  put<std::uint32_t>(kGroups + kGroupBytes + 8, 0);
  expect_same_after_any_death({"default", "extra"}, {"mend.group"});
}

}  // namespace
}  // namespace ipcq::crash
