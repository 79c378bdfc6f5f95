// Storm: processes that send and take are killed and stopped at random and started again, for seconds; at the end every
// committed message has been acked by every group, and nothing else has been seen.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ipcq/ipcq.hpp>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "history.hpp"
#include "support/scratch_directory.hpp"
#include "support/waiting.hpp"
#include "workers.hpp"

namespace ipcq::stress {
namespace {

struct Modes {
  const char* name;
  ProducerMode producers;
  ConsumerMode solo;  ///< of the group with one consumer at a time
};

std::ostream& operator<<(std::ostream& out, const Modes& modes) { return out << modes.name; }

/// One of the processes: which role it plays, again and again.
class Worker {
 public:
  static Worker producer(const std::string& log, std::uint32_t number) { return {log, kProducer, number, true, false}; }
  static Worker consumer(const std::string& log, std::uint32_t group, bool exclusive) {
    return {log, kConsumer, group, false, exclusive};
  }

  void start(std::uint64_t seed) {
    process_ =
        ChildProcess(*role_, {log_, std::to_string(number_), std::to_string(seed), exclusive_ ? "exclusive" : "shared"});
  }
  [[nodiscard]] bool is_producer() const noexcept { return is_producer_; }
  [[nodiscard]] std::uint32_t number() const noexcept { return number_; }
  ChildProcess& process() noexcept { return process_; }

 private:
  Worker(std::string log, const ChildRole& role, std::uint32_t number, bool is_producer, bool exclusive)
      : log_(std::move(log)), role_(&role), number_(number), is_producer_(is_producer), exclusive_(exclusive) {}

  std::string log_;
  const ChildRole* role_;
  std::uint32_t number_;
  bool is_producer_;
  bool exclusive_;
  ChildProcess process_;
};

class Stress : public testing::TestWithParam<Modes> {
 protected:
  static constexpr std::uint32_t kTeam = 3;

  Stress() : random_(support::seed()) { ::setenv("IPCQ_DIR", scratch_.path().c_str(), 1); }
  ~Stress() override { ::unsetenv("IPCQ_DIR"); }

  /// The queue, a history for `limit` messages a producer, and the workers, started.
  void begin(std::uint64_t limit) {
    const std::string log = scratch_.path() + "/history";
    history_ = std::make_unique<History>(log, limit);
    queue_ = std::make_unique<Queue>(Queue::create(
        kQueue, {.capacity_bytes = kCapacity,
                 .producers = GetParam().producers,
                 .groups = {{.name = kGroupNames[0], .consumers = GetParam().solo}, {.name = kGroupNames[1]}},
                 .ledger_entries = 32}));
    const std::uint32_t producers = GetParam().producers == ProducerMode::exclusive ? 1 : History::kProducers;
    for (std::uint32_t number = 0; number < producers; ++number) workers_.push_back(Worker::producer(log, number));
    workers_.push_back(Worker::consumer(log, 0, GetParam().solo == ConsumerMode::exclusive));
    for (std::uint32_t i = 0; i < kTeam; ++i) workers_.push_back(Worker::consumer(log, 1, false));
    for (Worker& worker : workers_) worker.start(random_());
  }

  /// Waits until the producers have finished, ends the stream, and waits until the consumers have drained it.
  void end() {
    wait_for(true);
    queue_->close();
    wait_for(false);
  }

  History::Totals judge() {
    History::Totals totals;
    EXPECT_NO_THROW(totals = history_->judge());
    for (const GroupInfo& group : queue_->inspect().groups) {
      EXPECT_EQ(group.depth_messages, 0U) << group.name;
      EXPECT_TRUE(group.leases.empty()) << group.name;
    }
    EXPECT_FALSE(queue_->inspect().poisoned);
    return totals;
  }

  /// Nothing has been lost of the ring either.
  void fill_and_drain() {
    queue_->reopen();
    Producer producer = queue_->producer();
    std::vector<Consumer> consumers;
    for (const char* group : kGroupNames) consumers.push_back(queue_->consumer(group));
    const std::string payload(1024 - 16, 'x');
    for (int round = 0; round < 2; ++round) {
      for (int message = 0; message < 63; ++message) {
        ASSERT_EQ(producer.send(payload, 0, now), Outcome::ok) << "message " << message << " of an empty ring";
      }
      EXPECT_EQ(producer.send(payload, 0, now), Outcome::full);
      for (Consumer& consumer : consumers) {
        std::string got;
        for (int message = 0; message < 63; ++message) ASSERT_EQ(consumer.receive(got, now), Outcome::ok) << message;
        ASSERT_EQ(consumer.receive(got, now), Outcome::empty);
      }
    }
  }

  std::vector<Worker>& workers() noexcept { return workers_; }
  [[nodiscard]] History& history() noexcept { return *history_; }
  Random& random() noexcept { return random_; }

 private:
  // Of producers or of consumers. A worker that has failed leaves others waiting for it: they are told to stop.
  void wait_for(bool producers) {
    const auto runs = [&](Worker& worker) { return worker.is_producer() == producers && worker.process().running(); };
    const auto last = std::chrono::steady_clock::now() + ChildProcess::kLong;
    while (std::any_of(workers_.begin(), workers_.end(), runs)) {
      const bool hangs = std::chrono::steady_clock::now() > last;
      for (Worker& worker : workers_) {
        if (!worker.process().running()) continue;
        if (hangs && runs(worker)) {
          worker.process().kill();  // reported like any other failure
        } else if (!worker.process().wait(std::chrono::milliseconds(5)).in_time()) {
          continue;
        }
        if (testing::AssertionResult success = worker.process().succeeds(); !success) {
          ADD_FAILURE() << success.message();
          history_->stop();
        }
      }
    }
    for (Worker& worker : workers_) {
      if (producers && worker.is_producer()) history_->producer_died(worker.number());
    }
  }

  support::ScratchDirectory scratch_;
  Random random_;
  std::unique_ptr<History> history_;
  std::unique_ptr<Queue> queue_;
  std::vector<Worker> workers_;
};

class Storm : public Stress {};

TEST_P(Storm, every_committed_message_is_acked_by_every_group_and_nothing_else_is_seen) {
  using Clock = std::chrono::steady_clock;
  const std::uint32_t milliseconds = support::scaled(2500);
  begin(std::uint64_t{milliseconds} * 1000);
  int kills = 0;
  int stops = 0;
  const auto last = Clock::now() + std::chrono::milliseconds(milliseconds);
  while (Clock::now() < last) {
    std::this_thread::sleep_for(std::chrono::microseconds(random()() % 4000));
    Worker& worker = workers()[random()() % workers().size()];
    ASSERT_TRUE(worker.process().running());
    if (random()() % 4 == 0) {
      worker.process().signal(SIGSTOP);
      std::this_thread::sleep_for(std::chrono::microseconds(random()() % 10'000));
      worker.process().signal(SIGCONT);
      ++stops;
      continue;
    }
    const Ending ending = worker.process().kill();
    if (ending.exited_with(0) && worker.is_producer()) {  // it had used up its numbers; it will find so again
      worker.start(random()());
      continue;
    }
    if (!ending.killed_by(SIGKILL)) {
      ADD_FAILURE() << "a worker ended by itself: " << ending.text();
      for (const std::string& line : worker.process().rest_of_reports()) ADD_FAILURE() << line;
      break;
    }
    ++kills;
    if (worker.is_producer()) history().producer_died(worker.number());
    worker.start(random()());
  }
  history().stop();
  const auto stopped = Clock::now();
  end();
  const auto drained = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - stopped);
  const History::Totals totals = judge();
  fill_and_drain();
  std::printf(
      "%d killed, %d stopped, drained in %lld ms; %llu messages, %llu batches whose producer died in the commit, "
      "%llu acks in doubt\n",
      kills, stops, static_cast<long long>(drained.count()), static_cast<unsigned long long>(totals.committed),
      static_cast<unsigned long long>(totals.doubtful_batches), static_cast<unsigned long long>(totals.in_doubt_acked));
  EXPECT_GT(totals.committed, 0U);
}

class ProcessStress : public Stress {};

TEST_P(ProcessStress, without_deaths_every_group_acks_every_message_once) {
  begin(support::scaled(150'000));
  end();
  const History::Totals totals = judge();
  fill_and_drain();
  const std::uint64_t producers = GetParam().producers == ProducerMode::exclusive ? 1 : History::kProducers;
  EXPECT_EQ(totals.committed, producers * history().limit());
  EXPECT_EQ(totals.doubtful_batches, 0U);
  EXPECT_EQ(totals.in_doubt_acked, 0U);
}

constexpr Modes kModes[] = {
    {"shared_producers_shared_groups", ProducerMode::shared, ConsumerMode::shared},
    {"shared_producers_one_exclusive_group", ProducerMode::shared, ConsumerMode::exclusive},
    {"exclusive_producer_shared_groups", ProducerMode::exclusive, ConsumerMode::shared},
    {"exclusive_producer_one_exclusive_group", ProducerMode::exclusive, ConsumerMode::exclusive},
};
std::string name_of(const testing::TestParamInfo<Modes>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(AllModes, Storm, testing::ValuesIn(kModes), name_of);
INSTANTIATE_TEST_SUITE_P(AllModes, ProcessStress, testing::ValuesIn(kModes), name_of);

}  // namespace
}  // namespace ipcq::stress
