// What wakes a wait set: everything that wakes a single waiter, out of any number of queues, on kernels that can wait for
// several words at once and on those that cannot.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <random>

#include "wait_set_contract.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using support::Background;

class WakingASet : public WaitSetContract {
 protected:
  /// A set that waits for messages of the first queue and for room in the second, and is woken by `event`.
  void expect_woken(Kernel kernel, WaitStrategy strategy, const std::function<void(Side& messages, Side& room)>& event,
                    bool by_messages) {
    SCOPED_TRACE(kernel_name(kernel));
    const std::size_t number = queues_++;
    CreateOptions wanted = options();
    wanted.groups = {{.name = "default"}, {.name = "slow", .start = Start::newest}};
    if (by_messages) wanted.groups.resize(1);
    Side messages{create_numbered(2 * number, wanted), {}, {}};
    Side room{create_numbered(2 * number + 1, wanted), {}, {}};
    messages.consumer = messages.queue.consumer();
    room.producer = room.queue.producer();
    fill(room.producer, 1000);
    WaitSet set(strategy);
    messages.token = set.add(messages.consumer);
    room.token = set.add(room.producer, {.messages = 1, .bytes = 1000});
    SetWaiter waiter(set, kernel);
    if (strategy != WaitStrategy::spin) waiter.wait_until_asleep();
    EXPECT_FALSE(waiter.finished());
    event(messages, room);
    EXPECT_EQ(waiter.tokens(), Tokens{by_messages ? messages.token : room.token});
    EXPECT_EQ(waiter.outcome(), Outcome::ok);
  }
  void expect_woken_everywhere(const std::function<void(Side& messages, Side& room)>& event, bool by_messages) {
    for (const Kernel kernel : kKernels) expect_woken(kernel, WaitStrategy::sleep, event, by_messages);
  }
  void expect_messages(const std::function<void(Side& messages, Side& room)>& event) {
    expect_woken_everywhere(event, true);
  }
  void expect_room(const std::function<void(Side& messages, Side& room)>& event) {
    expect_woken_everywhere(event, false);
  }

 private:
  std::size_t queues_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Modes, WakingASet, every_mode(), name_of);

TEST_P(WakingASet, ACommitWhateverTheStrategy) {
  for (const WaitStrategy strategy : kAllStrategies) {
    expect_woken(
        Kernel::waits_for_several, strategy,
        [](Side& messages, Side&) {
          messages.producer = messages.queue.producer();
          put(messages.producer, {"a"});
        },
        true);
  }
}

TEST_P(WakingASet, ACommit) {
  expect_messages([](Side& messages, Side&) {
    messages.producer = messages.queue.producer();
    put(messages.producer, {"a"});
  });
}

TEST_P(WakingASet, AnAckWhateverTheStrategy) {
  for (const WaitStrategy strategy : kAllStrategies) {
    expect_woken(
        Kernel::waits_for_several, strategy,
        [](Side&, Side& room) {
          room.queue.remove_group("slow");
          room.consumer = room.queue.consumer();
          take(room.consumer, 1).ack();
        },
        false);
  }
}

TEST_P(WakingASet, AnAck) {
  expect_room([](Side&, Side& room) {
    room.queue.remove_group("slow");
    room.consumer = room.queue.consumer();
    take(room.consumer, 1).ack();
  });
}

TEST_P(WakingASet, TheRemovalOfTheSlowestGroup) {
  expect_room([](Side&, Side& room) {
    room.consumer = room.queue.consumer();
    drain(room.consumer);
    room.queue.remove_group("slow");
  });
}

TEST_P(WakingASet, ACloseOfAnEmptyQueue) {
  expect_messages([](Side& messages, Side&) { messages.queue.close(); });
}

TEST_P(WakingASet, ACloseOfAFullQueue) {
  expect_room([](Side&, Side& room) { room.queue.close(); });
}

TEST_P(WakingASet, ARemoval) {
  expect_messages([this](Side& messages, Side&) {
    remove(messages.queue.name(), {.force = true, .directory = directory(), .trusted_owners = {}});
  });
  expect_room([this](Side&, Side& room) {
    remove(room.queue.name(), {.force = true, .directory = directory(), .trusted_owners = {}});
  });
}

TEST_P(WakingASet, ACancelOfAnEndpoint) {
  expect_messages([](Side& messages, Side&) { messages.consumer.cancel(); });
  expect_room([](Side&, Side& room) { room.producer.cancel(); });
}

TEST_P(WakingASet, ARevocation) {
  expect_room([this](Side&, Side& room) {
    const auto info = endpoint_info(room.queue, room.producer.row());
    ASSERT_TRUE(info);
    ASSERT_TRUE(revoke(room.queue.name(), room.producer.row(), info->incarnation, where()));
  });
}

TEST_P(WakingASet, AReaderThatWantedMoreThanThereIsRoomFor) {
  for (const Kernel kernel : kKernels) {
    SCOPED_TRACE(kernel_name(kernel));
    const Queue queue = create_numbered(static_cast<std::size_t>(kernel));
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    fill(producer, 1000);
    Background reader([&] {
      ipcq::Lease lease = consumer.lease({.max_messages = 4096, .min_messages = 4096, .deadline = kPatience});
      EXPECT_GT(lease.size(), 0U);
      lease.ack();
    });
    reader.wait_until_asleep();
    WaitSet set;
    const Token token = set.add(producer, {.messages = 1, .bytes = 1000});
    SetWaiter waiter(set, kernel);
    EXPECT_EQ(waiter.tokens(), Tokens{token}) << "the reader was not told that somebody is short of room";
  }
}

class WakingASetOfSharedConsumers : public WakingASet {};
INSTANTIATE_TEST_SUITE_P(Modes, WakingASetOfSharedConsumers, modes_of_shared_consumers(), name_of);

TEST_P(WakingASetOfSharedConsumers, TheRemovalOfItsGroup) {
  expect_messages([](Side& messages, Side&) {
    messages.queue.add_group({.name = "another"});
    messages.queue.remove_group("default", true);
  });
}

TEST_P(WakingASetOfSharedConsumers, ARequeueByAnotherMember) {
  for (const Kernel kernel : kKernels) {
    SCOPED_TRACE(kernel_name(kernel));
    const Queue queue = create_numbered(static_cast<std::size_t>(kernel));
    Producer producer = queue.producer();
    Consumer one = queue.consumer();
    Consumer two = queue.consumer();
    put(producer, {"a"});
    ipcq::Lease lease = take(one);
    WaitSet set;
    const Token token = set.add(two);
    SetWaiter waiter(set, kernel);
    waiter.wait_until_asleep();
    EXPECT_EQ(lease.requeue(), Outcome::ok);
    EXPECT_EQ(waiter.tokens(), Tokens{token});
  }
}

class WakingASetBehindAClaim : public WakingASet {};
INSTANTIATE_TEST_SUITE_P(Modes, WakingASetBehindAClaim, modes_of_shared_producers(), name_of);

TEST_P(WakingASetBehindAClaim, AnAbortThatShowsWhatIsBehindIt) {
  const Queue queue = create();
  Producer one = queue.producer();
  Producer two = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = one.claim({.messages = 1, .bytes = 8}, now);
  put(two, {"behind"});
  WaitSet set;
  const Token token = set.add(consumer);
  EXPECT_EQ(ready_now(set), Tokens{});
  SetWaiter waiter(set);
  waiter.wait_until_asleep();
  EXPECT_FALSE(waiter.finished());
  claim.abort();
  EXPECT_EQ(waiter.tokens(), Tokens{token});
}

class ALimitedProducerInASet : public WaitSetContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ALimitedProducerInASet, every_mode(), name_of);

TEST_P(ALimitedProducerInASet, IsReadyWhenItsTurnHasCome) {
  CreateOptions wanted = options();
  wanted.quota = {.messages_per_second = 20, .burst_messages = 1};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  WaitSet set;
  const Token token = set.add(producer, {.messages = 1, .bytes = 8});
  EXPECT_EQ(ready_now(set), Tokens{token});
  EXPECT_EQ(ready_now(set), Tokens{token}) << "asking has paid nothing";
  const auto before = steady_clock::now();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(tokens_of(set.wait(kPatience)), Tokens{token});
    EXPECT_EQ(producer.send("x", 0, now), Outcome::ok);
  }
  EXPECT_GE(steady_clock::now() - before, milliseconds(99));
}

TEST_P(ALimitedProducerInASet, IsWokenByAChangeOfTheQuota) {
  for (const Kernel kernel : kKernels) {
    SCOPED_TRACE(kernel_name(kernel));
    CreateOptions wanted = options();
    wanted.quota = {.messages_per_second = 1.0 / 3600, .burst_messages = 1};
    const Queue queue = create_numbered(static_cast<std::size_t>(kernel), wanted);
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    EXPECT_EQ(producer.send("x", 0, now), Outcome::ok);
    drain(consumer);
    WaitSet set;
    const Token token = set.add(producer, {.messages = 1, .bytes = 8});
    set.add(consumer);
    SetWaiter waiter(set, kernel);
    waiter.wait_until_asleep();
    EXPECT_FALSE(waiter.finished());
    set_quota(queue.name(), QuotaScope::queue(), QuotaSource::creator, {.messages_per_second = 1000}, where());
    EXPECT_EQ(waiter.tokens(), Tokens{token});
  }
}

class ManyQueuesInASet : public WaitSetContract {
 protected:
  // deque: a Side is moved nowhere while its endpoints are in the set.
  std::deque<Side> sides(std::size_t count) const {
    std::deque<Side> all;
    for (std::size_t i = 0; i < count; ++i) {
      Side side{create_numbered(i), {}, {}};
      side.producer = side.queue.producer();
      side.consumer = side.queue.consumer();
      all.push_back(std::move(side));
    }
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, ManyQueuesInASet, every_mode(), name_of);

TEST_P(ManyQueuesInASet, AnyOfThemWakesIt) {
  std::mt19937_64 random(support::seed());
  std::deque<Side> all = sides(WaitSet::kEndpointsMax);
  for (const Kernel kernel : kKernels) {
    SCOPED_TRACE(kernel_name(kernel));
    for (const std::size_t count : {1U, 8U, 64U, 128U}) {
      SCOPED_TRACE(count);
      WaitSet set;
      for (std::size_t i = 0; i < count; ++i) all[i].token = set.add(all[i].consumer);
      for (const std::size_t which : {std::size_t{0}, count - 1, random() % count, random() % count}) {
        SetWaiter waiter(set, kernel);
        waiter.wait_until_asleep();
        put(all[which].producer, {"a"});
        EXPECT_EQ(waiter.tokens(), Tokens{all[which].token});
        EXPECT_EQ(drain(all[which].consumer), Texts{"a"});
      }
    }
  }
}

TEST_P(ManyQueuesInASet, ProducersAndConsumersMixed) {
  std::deque<Side> all = sides(16);
  WaitSet set;
  for (std::size_t i = 0; i < all.size(); ++i) {
    Side& side = all[i];
    if (i % 2 == 0) {
      side.token = set.add(side.consumer);
    } else {
      fill(side.producer, 1000);
      side.token = set.add(side.producer, {.messages = 1, .bytes = 1000});
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    SetWaiter waiter(set);
    waiter.wait_until_asleep();
    if (i % 2 == 0) {
      put(all[i].producer, {"a"});
    } else {
      take(all[i].consumer, 1).ack();
    }
    EXPECT_EQ(waiter.tokens(), Tokens{all[i].token}) << i;
    if (i % 2 == 0) {
      drain(all[i].consumer);
    } else {
      fill(all[i].producer, 1000);
    }
  }
}

TEST_P(ManyQueuesInASet, AreOneHundredAndTwentyEightAtTheMost) {
  std::deque<Side> all = sides(WaitSet::kEndpointsMax + 1);
  WaitSet set;
  for (std::size_t i = 0; i < WaitSet::kEndpointsMax; ++i) set.add(all[i].consumer);
  EXPECT_EQ(errc_of([&] { set.add(all.back().consumer); }), Errc::invalid_option);
  EXPECT_TRUE(contains(text_of([&] { set.add(all.back().consumer); }), "128"));
  EXPECT_EQ(errc_of([&] { static_cast<void>(set.descriptor()); }), Errc::invalid_option) << "its thread needs one";
  EXPECT_EQ(set.size(), WaitSet::kEndpointsMax);
}

std::atomic<WaitSet*> g_set_of_signal;

extern "C" void on_set_signal(int) {
  if (WaitSet* set = g_set_of_signal.load()) set->cancel();
}

class CancellingASet : public WaitSetContract {
 protected:
  CancellingASet() {
    struct sigaction action {};
    action.sa_handler = on_set_signal;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGUSR1, &action, &before_);
  }
  ~CancellingASet() override {
    ::sigaction(SIGUSR1, &before_, nullptr);
    g_set_of_signal = nullptr;
  }

 private:
  struct sigaction before_ {};
};
INSTANTIATE_TEST_SUITE_P(Modes, CancellingASet, ::testing::Values(kSharedShared, kExclusiveExclusive), name_of);

TEST_P(CancellingASet, EndsItsWaitAndIsSticky) {
  const Queue one = create_numbered(1);
  const Queue two = create_numbered(2);
  Producer producer = two.producer();
  Consumer first = one.consumer();
  Consumer second = two.consumer();
  for (const WaitStrategy strategy : kAllStrategies) {
    for (const Kernel kernel : kKernels) {
      SCOPED_TRACE(kernel_name(kernel));
      WaitSet set(strategy);
      set.add(first);
      const Token token = set.add(second);
      SetWaiter waiter(set, kernel);
      if (strategy != WaitStrategy::spin) waiter.wait_until_asleep();
      set.cancel();
      EXPECT_EQ(waiter.outcome(), Outcome::cancelled);
      put(producer, {"a"});
      EXPECT_EQ(set.wait().outcome(), Outcome::cancelled) << "although somebody is ready";
      EXPECT_EQ(ready_now(set), Tokens{});
      set.reset();
      EXPECT_EQ(ready_now(set), Tokens{token}) << "the endpoints were not cancelled";
      EXPECT_EQ(drain(second), Texts{"a"});
    }
  }
}

TEST_P(CancellingASet, FromASignalHandlerOfTheWaitingThreadEndsItsWait) {
  const Queue one = create_numbered(1);
  const Queue two = create_numbered(2);
  Consumer first = one.consumer();
  Consumer second = two.consumer();
  for (const WaitStrategy strategy : kAllStrategies) {
    for (const Kernel kernel : kKernels) {
      SCOPED_TRACE(kernel_name(kernel));
      WaitSet set(strategy);
      set.add(first);
      set.add(second);
      g_set_of_signal = nullptr;
      SetWaiter waiter(set, kernel);
      waiter.wait_until_begun();
      if (strategy != WaitStrategy::spin) {
        waiter.wait_until_asleep();
        for (int i = 0; i < 5; ++i) {
          waiter.signal(SIGUSR1);
          waiter.wait_until_asleep();
        }
        EXPECT_FALSE(waiter.finished()) << "a signal alone ends no wait";
      }
      g_set_of_signal = &set;
      waiter.signal(SIGUSR1);
      EXPECT_EQ(waiter.outcome(), Outcome::cancelled);
    }
  }
}

TEST_P(CancellingASet, WhileItGoesToSleepAndWakesIsNeverLost) {
  // Cancelled at every moment of a wait, while queues come and go with it: cancel() touches no queue that is gone.
  std::mt19937_64 random(support::seed());
  const std::uint32_t rounds = scaled(300);
  for (std::uint32_t round = 0; round < rounds; ++round) {
    std::optional<Queue> queue = create();
    std::optional<Consumer> consumer = queue->consumer();
    WaitSet set(WaitStrategy::sleep);
    set.add(*consumer);
    std::atomic<bool> begun = false;
    Outcome outcome = Outcome::ok;
    {
      Background waiter([&] {
        begun = true;
        outcome = set.wait(kPatience).outcome();
        consumer.reset();
        remove("contract", {.force = true, .directory = directory(), .trusted_owners = {}});
        queue.reset();
      });
      support::wait_until("it runs", [&] { return begun.load(); });
      for (std::uint64_t i = random() % 2000; i > 0; --i) __builtin_ia32_pause();
      set.cancel();
    }
    ASSERT_EQ(outcome, Outcome::cancelled);
  }
}

// A lost wake-up costs a backstop, 50 ms: so count the trips that took nearly so long. On a busy machine some do; if wake-ups
// were lost, all would.
TEST_P(ManyQueuesInASet, NoWakeUpIsLostInManyShortWaits) {
  const std::uint32_t trips = scaled(400);
  constexpr std::size_t kQueues = 5;
  for (const Kernel kernel : {Kernel::waits_for_several, Kernel::has_no_such_call}) {
    SCOPED_TRACE(kernel_name(kernel));
    std::deque<Side> there;
    std::deque<Side> back;
    for (std::size_t i = 0; i < kQueues; ++i) {
      for (std::deque<Side>* sides : {&there, &back}) {
        const std::size_t number = 100 * static_cast<std::size_t>(kernel) + 10 * i + (sides == &there ? 0 : 1);
        Side side{create_numbered(number), {}, {}};
        side.producer = side.queue.producer();
        side.consumer = side.queue.consumer();
        sides->push_back(std::move(side));
      }
    }
    WaitSet answers;
    for (Side& side : back) side.token = answers.add(side.consumer);
    Background echo([&] {
      run_on(kernel);
      WaitSet questions(WaitStrategy::sleep);
      for (Side& side : there) side.token = questions.add(side.consumer);
      for (;;) {
        const WaitSet::Ready ready = questions.wait(kPatience);
        if (!ready) return;
        for (const Token token : tokens_of(ready)) {
          for (std::size_t i = 0; i < kQueues; ++i) {
            if (there[i].token != token) continue;
            for (const std::string& text : drain(there[i].consumer)) {
              if (text == "end") return;
              put(back[i].producer, {text});
            }
          }
        }
      }
    });
    std::mt19937_64 random(support::seed());
    std::uint32_t slow = 0;
    std::uint32_t failed = 0;
    for (std::uint32_t trip = 0; trip < trips && failed == 0; ++trip) {
      const std::size_t which = random() % kQueues;
      const auto before = steady_clock::now();
      put(there[which].producer, {std::to_string(trip)});
      if (tokens_of(answers.wait(kPatience)) != Tokens{back[which].token}) ++failed;
      if (drain(back[which].consumer) != Texts{std::to_string(trip)}) ++failed;
      if (steady_clock::now() - before > milliseconds(40)) ++slow;
    }
    put(there[0].producer, {"end"});
    echo.join();
    EXPECT_EQ(failed, 0U);
    EXPECT_LT(slow, trips / 4);
  }
}

}  // namespace
}  // namespace ipcq::contract
