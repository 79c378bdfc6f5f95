// The descriptor of a wait set: readable whenever the set is to be looked at, in any event loop.
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <utility>

#include "wait_set_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using support::Background;

bool readable(int fd, milliseconds within = milliseconds(0)) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, static_cast<int>(within.count())) == 1 && (one.revents & POLLIN) != 0;
}
bool becomes_readable(int fd) { return readable(fd, kPatience); }

/// The threads of this process that watch for wait sets, and what the kernel says of their blocked signals.
std::vector<std::string> masks_of_helpers() {
  std::vector<std::string> masks;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "status");
    std::string line;
    bool helper = false;
    while (std::getline(file, line)) {
      if (line.starts_with("Name:")) helper = contains(line, "ipcq-wait");
      if (helper && line.starts_with("SigBlk:")) masks.push_back(line);
    }
  }
  return masks;
}

class ADescriptor : public WaitSetContract {
 protected:
  /// A set that is armed for messages of one queue and for room in another becomes readable by `event`, and the set then
  /// tells of one of them.
  void expect_readable(const std::function<void(Side& messages, Side& room)>& event, bool by_messages) {
    for (const Kernel kernel : kKernels) {
      SCOPED_TRACE(kernel_name(kernel));
      // In a thread of its own, whose kernel is that of the helper that it starts too.
      Background([&] {
        run_on(kernel);
        const std::size_t number = queues_++;
        Side messages{create_numbered(2 * number), {}, {}};
        Side room{create_numbered(2 * number + 1), {}, {}};
        messages.consumer = messages.queue.consumer();
        room.producer = room.queue.producer();
        fill(room.producer, 1000);
        WaitSet set;
        messages.token = set.add(messages.consumer);
        room.token = set.add(room.producer, {.messages = 1, .bytes = 1000});
        ASSERT_TRUE(set.arm());
        ASSERT_FALSE(readable(set.descriptor(), milliseconds(2)));
        event(messages, room);
        EXPECT_TRUE(becomes_readable(set.descriptor()));
        EXPECT_EQ(ready_now(set), Tokens{by_messages ? messages.token : room.token});
        EXPECT_FALSE(set.arm());
        EXPECT_TRUE(readable(set.descriptor()));
      }).join();
    }
  }

 private:
  std::size_t queues_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Modes, ADescriptor, every_mode(), name_of);

TEST_P(ADescriptor, IsReadableUntilItIsArmedAndNobodyIsReady) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const int fd = set.descriptor();
  EXPECT_EQ(set.descriptor(), fd);
  EXPECT_TRUE(readable(fd)) << "so that a loop looks first";
  EXPECT_FALSE(set.arm()) << "an empty set";
  const Token token = set.add(consumer);
  EXPECT_TRUE(readable(fd));
  EXPECT_TRUE(set.arm());
  EXPECT_FALSE(readable(fd, milliseconds(2)));
  put(producer, {"a"});
  EXPECT_TRUE(becomes_readable(fd));
  EXPECT_EQ(ready_now(set), Tokens{token});
  EXPECT_TRUE(readable(fd)) << "level-triggered";
  EXPECT_FALSE(set.arm()) << "a message is there";
  EXPECT_TRUE(readable(fd)) << "and nobody has to heed the answer";
  EXPECT_EQ(drain(consumer), Texts{"a"});
  EXPECT_TRUE(set.arm());
  EXPECT_FALSE(readable(fd, milliseconds(2)));
}

TEST_P(ADescriptor, MayBeArmedAgainAndAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  set.add(consumer);
  for (int i = 0; i < 5; ++i) {
    for (int again = 0; again <= i; ++again) EXPECT_TRUE(set.arm());
    EXPECT_FALSE(readable(set.descriptor(), milliseconds(1)));
    put(producer, {"a"});
    EXPECT_TRUE(becomes_readable(set.descriptor()));
    drain(consumer);
  }
}

TEST_P(ADescriptor, BecomesReadableByACommit) {
  expect_readable(
      [](Side& messages, Side&) {
        messages.producer = messages.queue.producer();
        put(messages.producer, {"a"});
      },
      true);
}

TEST_P(ADescriptor, BecomesReadableByAnAck) {
  expect_readable(
      [](Side&, Side& room) {
        room.consumer = room.queue.consumer();
        take(room.consumer, 1).ack();
      },
      false);
}

TEST_P(ADescriptor, BecomesReadableByAClose) {
  expect_readable([](Side& messages, Side&) { messages.queue.close(); }, true);
  expect_readable([](Side&, Side& room) { room.queue.close(); }, false);
}

TEST_P(ADescriptor, BecomesReadableByARemoval) {
  expect_readable(
      [this](Side& messages, Side&) {
        remove(messages.queue.name(), {.force = true, .directory = directory(), .trusted_owners = {}});
      },
      true);
}

TEST_P(ADescriptor, BecomesReadableByACancelOfAnEndpoint) {
  expect_readable([](Side& messages, Side&) { messages.consumer.cancel(); }, true);
  expect_readable([](Side&, Side& room) { room.producer.cancel(); }, false);
}

TEST_P(ADescriptor, BecomesReadableWhenAQuotasTurnComes) {
  CreateOptions wanted = options();
  wanted.quota = {.messages_per_second = 20, .burst_messages = 1};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  WaitSet set;
  const Token token = set.add(producer, {.messages = 1, .bytes = 8});
  EXPECT_EQ(producer.send("x", 0, now), Outcome::ok);
  const auto before = steady_clock::now();
  for (int i = 0; i < 2; ++i) {
    // A send within the time of the burst finds its turn only after it: armed, unless so much time has passed already.
    if (set.arm()) {
      EXPECT_TRUE(becomes_readable(set.descriptor()));
    }
    EXPECT_EQ(ready_now(set), Tokens{token});
    EXPECT_EQ(producer.send("x", 0, now), Outcome::ok);
  }
  EXPECT_GE(steady_clock::now() - before, milliseconds(90));
}

TEST_P(ADescriptor, IsReadableWhenWhoIsInTheSetChanges) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  fill(producer, 1000);
  ipcq::Lease lease = take(consumer, 4096);
  WaitSet set;
  set.add(consumer);
  EXPECT_TRUE(set.arm());
  const Token of_producer = set.add(producer, {.messages = 1, .bytes = 1000});
  EXPECT_TRUE(readable(set.descriptor())) << "the new one is to be armed";
  EXPECT_TRUE(set.arm());
  EXPECT_FALSE(readable(set.descriptor(), milliseconds(2)));
  set.remove(of_producer);
  EXPECT_TRUE(readable(set.descriptor()));
  EXPECT_TRUE(set.arm());
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_FALSE(readable(set.descriptor(), milliseconds(2))) << "who has left wakes nobody";
  consumer.detach();
  EXPECT_TRUE(readable(set.descriptor()));
  EXPECT_FALSE(set.arm()) << "the set is empty";
}

TEST_P(ADescriptor, WorksInSelectAndEpollAndBesideOthers) {
  const Queue one = create_numbered(1);
  const Queue two = create_numbered(2);
  Producer to_one = one.producer();
  Producer to_two = two.producer();
  Consumer first = one.consumer();
  Consumer second = two.consumer();
  WaitSet set_1;
  WaitSet set_2;
  set_1.add(first);
  set_2.add(second);
  ASSERT_TRUE(set_1.arm());
  ASSERT_TRUE(set_2.arm());
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  for (WaitSet* set : {&set_1, &set_2}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = set;
    ASSERT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, set->descriptor(), &event), 0);
  }
  epoll_event ready{};
  EXPECT_EQ(::epoll_wait(epoll, &ready, 1, 0), 0);
  for (WaitSet* set : {&set_2, &set_1, &set_2}) {
    put(set == &set_1 ? to_one : to_two, {"a"});
    ASSERT_EQ(::epoll_wait(epoll, &ready, 1, static_cast<int>(milliseconds(kPatience).count())), 1);
    EXPECT_EQ(ready.data.ptr, set);
    EXPECT_EQ(drain(set == &set_1 ? first : second), Texts{"a"});
    EXPECT_TRUE(set->arm());
  }
  ::close(epoll);
  put(to_one, {"b"});
  fd_set reads;
  FD_ZERO(&reads);
  FD_SET(set_1.descriptor(), &reads);
  timeval patience{};
  patience.tv_sec = kPatience.count();
  EXPECT_EQ(::select(set_1.descriptor() + 1, &reads, nullptr, nullptr, &patience), 1);
}

TEST_P(ADescriptor, AndAWaitMayTakeTurns) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  WaitSet set;
  const Token token = set.add(consumer);
  ASSERT_TRUE(set.arm());
  SetWaiter waiter(set);
  waiter.wait_until_asleep();
  put(producer, {"a"});
  EXPECT_EQ(waiter.tokens(), Tokens{token});
  EXPECT_TRUE(becomes_readable(set.descriptor()));
}

TEST_P(ADescriptor, IsReadableAfterCancelUntilReset) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  WaitSet set;
  set.add(consumer);
  ASSERT_TRUE(set.arm());
  set.cancel();
  EXPECT_TRUE(readable(set.descriptor()));
  EXPECT_FALSE(set.arm());
  EXPECT_TRUE(readable(set.descriptor()));
  set.reset();
  EXPECT_TRUE(set.arm());
  EXPECT_FALSE(readable(set.descriptor(), milliseconds(2)));
}

TEST_P(ADescriptor, KeepsItsThreadToItself) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  const std::size_t before = masks_of_helpers().size();
  {
    WaitSet set;
    set.add(consumer);
    static_cast<void>(set.wait(now));
    static_cast<void>(set.descriptor());
    EXPECT_EQ(masks_of_helpers().size(), before) << "none before it is needed";
    ASSERT_TRUE(set.arm());
    support::wait_until("the thread has its name", [&] { return masks_of_helpers().size() > before; });
    for (const std::string& mask : masks_of_helpers()) {
      // All but those that cannot be blocked (SIGKILL, SIGSTOP) and glibc's own two.
      const std::uint64_t bits = std::stoull(mask.substr(mask.find('\t') + 1), nullptr, 16);
      for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM, SIGPIPE, SIGHUP})
        EXPECT_NE(bits & (std::uint64_t{1} << (number - 1)), 0U) << mask << ", signal " << number;
    }
  }
  EXPECT_EQ(masks_of_helpers().size(), before) << "it has ended with the set";
}

TEST_P(ADescriptor, IsForOneLessThanASetHolds) {
  std::deque<Side> all;
  WaitSet set;
  for (std::size_t i = 0; i < WaitSet::kEndpointsMax; ++i) {
    Side side{create_numbered(i), {}, {}};
    side.producer = side.queue.producer();
    side.consumer = side.queue.consumer();
    all.push_back(std::move(side));
    if (i > 0) set.add(all[i].consumer);
  }
  EXPECT_TRUE(set.arm());
  EXPECT_EQ(errc_of([&] { set.add(all[0].consumer); }), Errc::invalid_option);
  EXPECT_TRUE(contains(text_of([&] { set.add(all[0].consumer); }), "127"));
  for (const std::size_t which : {1UL, 64UL, 127UL}) {
    put(all[which].producer, {"a"});
    EXPECT_TRUE(becomes_readable(set.descriptor()));
    drain(all[which].consumer);
    EXPECT_TRUE(set.arm());
  }
}

class TwoDescriptorsOfOneQueue : public WaitSetContract {};
INSTANTIATE_TEST_SUITE_P(Modes, TwoDescriptorsOfOneQueue, ::testing::Values(kSharedShared), name_of);

TEST_P(TwoDescriptorsOfOneQueue, DoNotWakeEachOtherByBeingShortOfRoom) {
  const Queue queue = create();
  Producer producers[] = {queue.producer(), queue.producer()};
  Consumer consumers[] = {queue.consumer(), queue.consumer()};
  fill(producers[0], 1000);
  ipcq::Lease all = take(consumers[0], 4096);
  WaitSet sets[2];
  for (int i = 0; i < 2; ++i) {
    sets[i].add(consumers[i]);
    sets[i].add(producers[i], {.messages = 1, .bytes = 1000});
    ASSERT_TRUE(sets[i].arm());
  }
  for (int turn = 0; turn < 4; ++turn) {
    EXPECT_FALSE(readable(sets[turn % 2].descriptor(), milliseconds(2))) << "at turn " << turn;
    EXPECT_TRUE(sets[turn % 2].arm());
  }
  EXPECT_EQ(all.ack(), Outcome::ok);
  EXPECT_TRUE(becomes_readable(sets[0].descriptor()));
  EXPECT_TRUE(becomes_readable(sets[1].descriptor()));
}

TEST_P(ADescriptor, ALoopOfManyTurnsMissesNothing) {
  for (const Kernel kernel : {Kernel::waits_for_several, Kernel::has_no_such_call}) {
    SCOPED_TRACE(kernel_name(kernel));
    constexpr std::size_t kQueues = 3;
    std::deque<Side> all;
    for (std::size_t i = 0; i < kQueues; ++i) {
      Side side{create_numbered(10 * static_cast<std::size_t>(kernel) + i), {}, {}};
      side.producer = side.queue.producer();
      side.consumer = side.queue.consumer();
      all.push_back(std::move(side));
    }
    const std::uint32_t messages = scaled(kernel == Kernel::waits_for_several ? 2000 : 300);
    std::uint32_t seen = 0;
    Background loop([&] {
      run_on(kernel);
      WaitSet set;
      for (Side& side : all) side.token = set.add(side.consumer);
      while (seen < messages) {
        ASSERT_TRUE(becomes_readable(set.descriptor())) << "after " << seen;
        do {
          for (const Token token : tokens_of(set.wait(now))) {
            for (Side& side : all) {
              if (side.token == token) seen += static_cast<std::uint32_t>(drain(side.consumer).size());
            }
          }
        } while (!set.arm());
      }
    });
    std::mt19937_64 random(support::seed());
    for (std::uint32_t sent = 0; sent < messages; ++sent) {
      EXPECT_EQ(all[random() % kQueues].producer.send("x", 0, kPatience), Outcome::ok);
      for (std::uint64_t i = random() % 3000; i > 0; --i) __builtin_ia32_pause();
    }
    loop.join();
    EXPECT_EQ(seen, messages);
  }
}

}  // namespace
}  // namespace ipcq::contract
