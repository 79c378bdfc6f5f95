// A process dies while it creates or removes a queue or a group: nothing half-made is ever seen, and whoever comes next
// finishes what was begun.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <ipcq/ipcq.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "actor.hpp"
#include "crash_test.hpp"
#include "support/waiting.hpp"
#include "survivors.hpp"

namespace ipcq::crash {
namespace {

const ChildRole kCreator("creator", [](Child& self) {
  self.report("creating");
  static_cast<void>(Queue::create(kQueue, {.capacity_bytes = kCapacity}));
  return kDone;
});

/// Arguments: "idle" or "force".
const ChildRole kRemover("remover", [](Child& self) {
  remove(kQueue, {.force = self.argument(0) == "force"});
  return kDone;
});

/// Sleeps for a message and gets `removed` instead.
const ChildRole kSeesRemoval("sees removal", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer({.wait = WaitStrategy::sleep});
  self.report("waiting");
  const Lease lease = consumer.lease({.deadline = kBound});
  require(lease.outcome() == Outcome::removed, to_string(lease.outcome()));
  return 0;
});

class InterruptedAdministration : public CrashTest {
 protected:
  /// File names in the directory.
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  static Errc error_of_open() {
    try {
      static_cast<void>(Queue::open(kQueue));
    } catch (const Error& error) {
      return error.errc();
    }
    return Errc{};
  }
};

TEST_F(InterruptedAdministration, a_creator_that_dies_before_the_queue_has_its_name_leaves_nothing) {
  ASSERT_TRUE(dies(kCreator, "create.formatted", {}));
  EXPECT_EQ(files(), std::vector<std::string>{});
  EXPECT_EQ(error_of_open(), Errc::no_such_queue);
  EXPECT_NO_THROW(static_cast<void>(create()));
}

TEST_F(InterruptedAdministration, a_creator_that_dies_when_the_queue_has_its_name_leaves_a_whole_queue) {
  ASSERT_TRUE(dies(kCreator, "create.linked", {}));
  EXPECT_EQ(files().size(), 1U);
  EXPECT_TRUE(ChildProcess(kWholeRing, {}).succeeds());
}

TEST_F(InterruptedAdministration, a_creator_killed_at_any_time_leaves_nothing_or_a_whole_queue) {
  std::mt19937_64 random(support::seed());
  int created = 0;
  int not_created = 0;
  const std::uint32_t rounds = support::scaled(60);
  for (std::uint32_t round = 0; round < rounds; ++round) {
    ChildProcess creator(kCreator, {});
    ASSERT_EQ(creator.next_report(), "creating");
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 1500));
    creator.kill();
    if (files().empty()) {
      ++not_created;
      ASSERT_EQ(error_of_open(), Errc::no_such_queue);
      continue;
    }
    ++created;
    ASSERT_EQ(files().size(), 1U);
    const Queue queue = Queue::open(kQueue);
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    send_each(producer, ids("1-63"));
    ASSERT_EQ(receive(consumer, kRingful).ids(), ids("1-63"));
    remove(kQueue, {.force = true});
  }
  std::printf("killed creators: %d had created, %d had not\n", created, not_created);
}

class InterruptedRemoval : public InterruptedAdministration, public testing::WithParamInterface<const char*> {};

TEST_P(InterruptedRemoval, who_opens_the_name_next_finishes_it_and_finds_no_queue) {
  static_cast<void>(create());
  ASSERT_TRUE(dies(kRemover, GetParam(), {"idle"}));
  EXPECT_EQ(error_of_open(), Errc::no_such_queue);
  EXPECT_EQ(files(), std::vector<std::string>{});
}

TEST_P(InterruptedRemoval, who_creates_the_name_next_finishes_it_and_has_a_new_queue) {
  {
    const Queue old = create();
    Producer producer = old.producer();
    send(producer, ids("1-3"));
  }
  ASSERT_TRUE(dies(kRemover, GetParam(), {"idle"}));
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::empty) << "messages of the removed queue";
}

TEST_P(InterruptedRemoval, open_or_create_finishes_it_and_creates) {
  static_cast<void>(create());
  ASSERT_TRUE(dies(kRemover, GetParam(), {"idle"}));
  EXPECT_TRUE(Queue::open_or_create(kQueue, {.capacity_bytes = kCapacity}).created());
}

TEST_P(InterruptedRemoval, who_sleeps_in_the_queue_is_told) {
  static_cast<void>(create());
  ChildProcess sleeper(kSeesRemoval, {});
  ASSERT_EQ(sleeper.next_report(), "waiting");
  ASSERT_TRUE(sleeper.wait_until_asleep());
  ASSERT_TRUE(dies(kRemover, GetParam(), {"force"}));
  EXPECT_TRUE(sleeper.succeeds());
}

INSTANTIATE_TEST_SUITE_P(ARemoverDies, InterruptedRemoval, testing::Values("remove.marked", "remove.unlinked"),
                         [](const auto& point) {
                           return std::string(point.index == 0 ? "after_marking" : "after_unlinking");
                         });

TEST_F(InterruptedAdministration, a_group_whose_removal_was_begun_is_gone_and_its_name_is_free) {
  for (const char* point : {"group.marked", "group.freed"}) {
    SCOPED_TRACE(point);
    const Queue queue =
        Queue::open_or_create(kQueue, {.capacity_bytes = kCapacity, .groups = {{.name = "default"}, {.name = "extra"}}});
    ASSERT_TRUE(dies_at(point, "remove a group"));
    try {
      static_cast<void>(queue.consumer("extra"));
      ADD_FAILURE() << "joined a group that was being removed";
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::no_such_group) << error.what();
    }
    EXPECT_NO_THROW(queue.add_group({.name = "extra"}));
    EXPECT_NO_THROW(static_cast<void>(queue.consumer("extra")));
  }
}

TEST_F(InterruptedAdministration, a_group_whose_removal_was_begun_holds_no_room) {
  const Queue queue = create({.groups = {{.name = "default"}, {.name = "extra"}}});
  Producer producer = queue.producer();
  send_each(producer, ids("1-63"));
  {
    Consumer consumer = queue.consumer();
    ASSERT_EQ(receive(consumer, kRingful).ids(), ids("1-63"));
  }
  EXPECT_EQ(claim(producer, {101}, now).outcome(), Outcome::full) << "group extra has read nothing";
  ASSERT_TRUE(dies_at("group.marked", "remove a group"));
  // Nobody but this producer is there, and it does not wait.
  for (std::uint64_t id = 101; id < 101 + kRingful; ++id) ASSERT_NO_THROW(send(producer, {id}, now)) << id;
}

TEST_F(InterruptedAdministration, a_group_whose_adding_was_begun_is_there_or_can_be_added) {
  for (const char* point : {"group.added_retired", "group.added"}) {
    SCOPED_TRACE(point);
    const Queue queue = create();
    ASSERT_TRUE(dies_at(point, "add a group"));
    bool added = true;
    try {
      queue.add_group({.name = "late"});
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::group_exists) << error.what();
      added = false;
    }
    EXPECT_EQ(added, std::string(point) == "group.added_retired");
    EXPECT_NO_THROW(static_cast<void>(queue.consumer("late")));
    remove(kQueue, {.force = true});
  }
}

}  // namespace
}  // namespace ipcq::crash
