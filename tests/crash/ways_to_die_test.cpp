// However a process ends in the middle of a claim or a lease, it is a death: kill, exit, abort, a fault, exec.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ipcq/ipcq.hpp>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "crash_test.hpp"
#include "os/life_lock.hpp"

namespace ipcq::crash {
namespace {

/// What a process that called exec(2) goes on as: something else that knows no queue.
const ChildRole kSomethingElse("something else", [](Child& self) {
  self.report("became something else");
  return self.hold();
});

/// What goes on as another image of the same program: it attaches, in the same process.
const ChildRole kReborn("reborn", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  Producer producer = queue.producer();
  send(producer, ids("11-12"));
  self.report("sent");
  return self.hold();
});

void no_core_file() {
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

/// Opens a claim and a lease, and ends in the way it is told.
const ChildRole kEnds("ends", [](Child& self) -> int {
  const Queue queue = Queue::open(kQueue);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const Lease lease = consumer.lease({.max_messages = 4, .deadline = kBound});
  require(lease.size() == 4, "no lease");
  const Claim open = claim(producer, ids("101-103"));
  require(static_cast<bool>(open), "no claim");
  self.report("holding");
  self.await("end");
  const std::string& way = self.argument(0);
  if (way == "exit") ::exit(0);  // runs no destructor of this frame
  if (way == "quick_exit") ::_exit(0);
  no_core_file();
  if (way == "abort") ::abort();
  if (way == "fault") ::raise(SIGSEGV);
  if (way == "terminated") ::raise(SIGTERM);
  if (way == "exec") self.become(kSomethingElse, {});
  if (way == "exec_and_attach") self.become(kReborn, {});
  return self.hold();  // "killed"
});

class WaysToDie : public CrashTest, public testing::WithParamInterface<const char*> {};

TEST_P(WaysToDie, its_claim_is_skipped_and_its_lease_comes_again) {
  const Queue queue = create({.endpoints_max = 4});
  Producer producer = queue.producer();
  send(producer, ids("1-4"));
  ChildProcess process(kEnds, {GetParam()});
  ASSERT_EQ(process.next_report(), "holding");
  send(producer, ids("5-6"));
  const std::string way = GetParam();
  process.tell("end");
  if (way == "killed") process.kill();
  if (way.starts_with("exec")) {
    // The process is there, under the same number; what it held as another program is given back.
    ASSERT_EQ(process.next_report(), way == "exec" ? "became something else" : "sent");
  } else {
    ASSERT_TRUE(process.wait().in_time());
  }
  const std::string wanted = way == "exec_and_attach" ? "1-6 11-12" : "1-6";
  Consumer consumer = queue.consumer();
  std::this_thread::sleep_for(kProbePause);
  EXPECT_EQ(receive(consumer, ids(wanted).size()).ids(), ids(wanted));
  EXPECT_EQ(consumer.lease({.deadline = now}).outcome(), Outcome::empty);
  EXPECT_EQ(queue.inspect().abandoned_claims, 1U);
}

INSTANTIATE_TEST_SUITE_P(AProcessEnds, WaysToDie,
                         testing::Values("killed", "exit", "quick_exit", "abort", "fault", "terminated", "exec",
                                         "exec_and_attach"),
                         [](const auto& way) { return std::string(way.param); });

/// Closes every descriptor it does not know, as daemons do, with a claim open.
const ChildRole kClosesAll("closes all descriptors", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  Claim open = claim(producer, ids("1-3"));
  require(static_cast<bool>(open), "no claim");
  self.close_other_descriptors();
  self.report("closed all");
  self.await("commit");
  require(open.commit() == Outcome::ok, "commit");
  send(producer, ids("4-5"));
  self.report("committed");
  return self.hold();
});

class LifeLock : public CrashTest {};

TEST_F(LifeLock, a_process_that_closed_its_life_lock_is_reported_and_not_robbed) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  Producer producer = queue.producer();
  ChildProcess process(kClosesAll, {});
  ASSERT_EQ(process.next_report(), "closed all");
  send(producer, ids("6-7"));
  const Lease blocked = consumer.lease({.deadline = 5 * kProbePause});
  EXPECT_EQ(blocked.outcome(), Outcome::blocked);
  ASSERT_TRUE(blocked.blocked_by().has_value());
  EXPECT_EQ(blocked.blocked_by()->pid, static_cast<std::uint32_t>(process.pid()));
  bool reported = false;
  for (const EndpointInfo& endpoint : queue.inspect().endpoints) {
    if (endpoint.pid == static_cast<std::uint32_t>(process.pid())) reported = endpoint.life == Life::lost_life_lock;
  }
  EXPECT_TRUE(reported);
  process.tell("commit");
  ASSERT_EQ(process.next_report(), "committed");
  EXPECT_EQ(receive(consumer, 7).ids(), ids("1-3 6-7 4-5"));
  process.kill();
}

/// Closes every descriptor it does not know, and then takes what comes, alone.
const ChildRole kClosesAllAndReceives("closes all descriptors and receives", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  self.close_other_descriptors();
  self.report("closed all");
  const Ids got = receive(consumer, 2).ids();
  self.report(text(got));
  return 0;
});

/// Closes every descriptor it does not know, and then waits for what does not come.
const ChildRole kClosesAllAndWaits("closes all descriptors and waits", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer();
  self.close_other_descriptors();
  self.report("closed all");
  self.await("wait");
  require(consumer.lease({.deadline = 3 * kProbePause}).outcome() == Outcome::empty, "something came");
  self.report("waited");
  return self.hold();
});

TEST_F(LifeLock, that_was_closed_is_taken_again_while_its_process_waits) {
  const Queue queue = create();
  ChildProcess process(kClosesAllAndWaits, {});
  ASSERT_EQ(process.next_report(), "closed all");
  const auto life = [&] { return queue.inspect().endpoints.at(0).life; };
  EXPECT_EQ(life(), Life::lost_life_lock);
  process.tell("wait");
  ASSERT_EQ(process.next_report(), "waited");
  EXPECT_EQ(life(), Life::alive);
}

/// Closes every descriptor it does not know, opens some others, and the queue again or not, and then waits with each of two
/// consumers in turn: what one opens anew gets numbers that were the other's. Then it ends what it had first.
const ChildRole kClosesAllAndWaitsTwice("closes all descriptors and waits with two", [](Child& self) {
  auto queue = std::make_unique<Queue>(Queue::open(kQueue));
  Consumer first = queue->consumer();
  Consumer second = Queue::open(kQueue).consumer();
  self.close_other_descriptors();
  const int others = std::stoi(self.argument(0));
  for (int i = 0; i < others; ++i) require(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0, "open");
  std::unique_ptr<Queue> again;
  if (self.argument(1) == "again") again = std::make_unique<Queue>(Queue::open(kQueue));
  for (int turn = 0; turn < 2; ++turn) {
    for (Consumer* consumer : {&second, &first}) {
      require(consumer->lease({.deadline = 2 * kProbePause}).outcome() == Outcome::empty, "something came");
    }
  }
  self.report("waited");
  self.await("detach");
  first = Consumer();
  queue.reset();
  self.report("detached");
  return self.hold();
});

class NumbersOfTheSameFile : public CrashTest,
                             public testing::WithParamInterface<std::tuple<const char*, const char*>> {};

TEST_P(NumbersOfTheSameFile, mislead_no_endpoint_that_lost_its_life_lock) {
  const Queue queue = create();
  const auto& [others, again] = GetParam();
  ChildProcess process(kClosesAllAndWaitsTwice, {others, again});
  ASSERT_EQ(process.next_report(), "waited");
  const auto lives = [&] {
    std::vector<Life> found;
    for (const EndpointInfo& endpoint : queue.inspect().endpoints) found.push_back(endpoint.life);
    return found;
  };
  EXPECT_EQ(lives(), (std::vector{Life::alive, Life::alive}));
  process.tell("detach");
  ASSERT_EQ(process.next_report(), "detached");
  EXPECT_EQ(lives(), std::vector{Life::alive}) << "the first took the second's lock with it";
}

INSTANTIATE_TEST_SUITE_P(LifeLock, NumbersOfTheSameFile,
                         testing::Combine(testing::Values("0", "1", "2", "3", "4"), testing::Values("again", "once")),
                         [](const auto& test) {
                           return std::get<1>(test.param) + ("_" + std::string(std::get<0>(test.param)));
                         });

/// Closes every descriptor it does not know, opens others, which get the same numbers, and goes on using the queue and
/// being done with it: the others stay open, and nothing is read or written there.
const ChildRole kReusesNumbers("reuses the numbers of descriptors", [](Child& self) {
  std::string file = self.argument(0);
  auto queue = std::make_unique<Queue>(Queue::open(kQueue));
  auto consumer = std::make_unique<Consumer>(queue->consumer());
  self.close_other_descriptors();
  std::vector<int> others;
  for (int i = 0; i < 16; ++i) {
    others.push_back(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    require(others.back() >= 0, "open");
  }
  struct stat before {};
  require(ftruncate(others[0], 1 << 20) == 0 && fstat(others[0], &before) == 0, "ftruncate");
  {
    Producer producer = queue->producer();  // the first of this process: maps the ring writable
    send(producer, ids("1-3"));
    require(receive(*consumer, 3).ids() == ids("1-3"), "what was sent did not come");
  }
  std::this_thread::sleep_for(kProbePause);
  static_cast<void>(consumer->lease({.deadline = 2 * kProbePause}));  // backstops, which look after the life lock
  consumer.reset();
  queue.reset();
  for (const int other : others) {
    struct stat info {};
    require(fstat(other, &info) == 0 && info.st_ino == before.st_ino,
            "a descriptor was closed that is not the queue's");
  }
  std::string contents(1 << 20, 'x');
  require(pread(others[0], contents.data(), contents.size(), 0) == static_cast<ssize_t>(contents.size()), "pread");
  require(contents == std::string(1 << 20, '\0'), "the queue wrote to another file");
  return 0;
});

TEST_F(LifeLock, descriptors_that_got_the_queues_numbers_are_left_alone) {
  const Queue queue = create();
  EXPECT_TRUE(ChildProcess(kReusesNumbers, {directory() + "/another"}).succeeds());
}

/// Holds a claim.
const ChildRole kClaims("claims", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  const Claim open = claim(producer, ids("1-3"));
  require(static_cast<bool>(open), "no claim");
  self.report("holding");
  return self.hold();
});

TEST_F(LifeLock, a_process_that_closed_its_descriptors_finds_the_dead_all_the_same) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ChildProcess consumer(kClosesAllAndReceives, {});
  ASSERT_EQ(consumer.next_report(), "closed all");
  ChildProcess holder(kClaims, {});
  ASSERT_EQ(holder.next_report(), "holding");
  send(producer, ids("6-7"));
  holder.kill();
  EXPECT_EQ(consumer.next_report(), "6 7");  // nobody else looks
}

/// Closes every descriptor it does not know, opens a file as often as there were any, and then takes what comes, alone.
const ChildRole kReusesNumbersAndReceives("reuses the numbers of descriptors and receives", [](Child& self) {
  const std::string file = self.argument(0);
  Consumer consumer = Queue::open(kQueue).consumer();
  self.close_other_descriptors();
  for (int i = 0; i < 16; ++i) require(open(file.c_str(), O_RDWR | O_CLOEXEC) >= 0, "open");
  self.report("reused all");
  self.report(text(receive(consumer, 2).ids()));
  return 0;
});

// As another queue's file has them: a process that closed its descriptors and then opened that queue asks there, and the rows
// of the dead have namesakes that live.
TEST_F(LifeLock, a_process_whose_numbers_are_a_file_with_locks_now_finds_the_dead_all_the_same) {
  const Queue queue = create();
  Producer producer = queue.producer();
  const std::string file = directory() + "/locked";
  const os::UniqueFd locked(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(os::lock_bytes(locked.get(), 0, 0));
  ChildProcess consumer(kReusesNumbersAndReceives, {file});
  ASSERT_EQ(consumer.next_report(), "reused all");
  ChildProcess holder(kClaims, {});
  ASSERT_EQ(holder.next_report(), "holding");
  send(producer, ids("6-7"));
  holder.kill();
  EXPECT_EQ(consumer.next_report(), "6 7");  // nobody else looks
}

}  // namespace
}  // namespace ipcq::crash
