// Storm: processes that send and take are killed and stopped at random, end themselves in all sorts of ways, and are
// started again, for seconds; at the end every committed message has been acked by every group or is among those that a
// group says it dropped, moved to the dead-letter queue or parked, and nothing else has been seen. tests/stress/storm.py does it for as many kills as one likes.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <ipcq/ipcq.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "history.hpp"
#include "scenario.hpp"
#include "support/scratch_directory.hpp"
#include "support/waiting.hpp"
#include "visitor.hpp"
#include "workers.hpp"

namespace ipcq::stress {
namespace {

/// One of the processes: which role it plays, again and again.
class Worker {
 public:
  enum class Kind : std::uint8_t { producer, consumer, visitor, letter_reader };

  Worker(Kind kind, std::uint32_t number) : kind_(kind), number_(number) {}

  void start(const std::string& log, std::uint64_t seed, const Scenario& scenario, bool disturbed) {
    const ChildRole& role = kind_ == Kind::producer   ? kProducer
                            : kind_ == Kind::consumer ? kConsumer
                            : kind_ == Kind::visitor  ? kVisitor
                                                      : kLetterReader;
    process_ = ChildProcess(role, {log, std::to_string(number_), std::to_string(seed), scenario.name,
                                   disturbed ? "disturbed" : "undisturbed"});
  }
  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] std::uint32_t number() const noexcept { return number_; }
  ChildProcess& process() noexcept { return process_; }

 private:
  Kind kind_;
  std::uint32_t number_;
  ChildProcess process_;
};

class Stress : public testing::TestWithParam<Scenario> {
 protected:
  Stress() : random_(support::seed()) {
    ::setenv("IPCQ_DIR", scratch_.path().c_str(), 1);
    // What dead workers leave behind comes to this process, which reaps it.
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) throw std::runtime_error("no subreaper");
  }
  ~Stress() override { ::unsetenv("IPCQ_DIR"); }

  /// The queue, a history for `limit` messages a producer, and the workers, started.
  void begin(std::uint64_t limit, bool disturbed) {
    disturbed_ = disturbed;
    history_ = std::make_unique<History>(log_, limit);
    queue_ = std::make_unique<Queue>(Queue::create(kQueue, GetParam().create_options()));
    if (GetParam().poison) dead_ = std::make_unique<Queue>(Queue::create(kDead, {.capacity_bytes = kCapacity}));
    const auto add = [this](Worker::Kind kind, std::uint32_t number) { workers_.emplace_back(kind, number); };
    for (std::uint32_t number = 0; number < GetParam().producer_count(); ++number) add(Worker::Kind::producer, number);
    add(Worker::Kind::consumer, kSolo);
    for (std::uint32_t i = 0; i < kTeamMembers; ++i) add(Worker::Kind::consumer, kTeam);
    if (GetParam().lossy) add(Worker::Kind::consumer, kLossy);
    for (std::uint32_t number = 0; number < GetParam().visitors; ++number) add(Worker::Kind::visitor, number);
    if (GetParam().poison) add(Worker::Kind::letter_reader, 0);
    for (Worker& worker : workers_) start(worker);
  }

  void start(Worker& worker) { worker.start(log_, random_(), GetParam(), disturbed_); }

  /// A worker has ended. Whether that was in order: then it may be started again.
  bool is_in_order(Worker& worker, const Ending& ending) {
    if (worker.kind() == Worker::Kind::producer) history_->producer_died(worker.number());
    if (ending.killed_by(SIGKILL) || ending.exited_with(kEndedByItself)) return true;
    if (worker.kind() == Worker::Kind::producer && ending.exited_with(0)) return true;  // it had used up its numbers
    report(worker, ending);
    return false;
  }

  /// Waits until the producers have nothing left to send.
  void wait_until_used_up() {
    support::wait_until("all is sent", [this] {
      return std::none_of(workers_.begin(), workers_.end(), [](Worker& worker) {
        return worker.kind() == Worker::Kind::producer && !worker.process().wait(std::chrono::milliseconds(5)).in_time();
      });
    });
  }

  /// Waits until the producers and visitors have finished, ends the stream, and waits until the consumers have drained it.
  void end() {
    history_->stop();
    wait_for({Worker::Kind::producer, Worker::Kind::visitor});
    queue_->close();
    wait_for({Worker::Kind::consumer});
    if (!GetParam().poison || HasFailure()) return;
    wait_until_no_letter_is_left();
    expect_that_what_is_open_is_parked();
    move_what_is_parked();
    dead_->close();
    wait_for({Worker::Kind::letter_reader});
  }

  History::Totals judge() {
    History::Totals totals;
    EXPECT_NO_THROW(totals = history_->judge(GetParam().groups()));
    const QueueInfo info = queue_->inspect();
    EXPECT_FALSE(info.poisoned);
    EXPECT_EQ(info.groups.size(), GetParam().groups().count) << "only the groups that stay";
    for (const GroupInfo& group : info.groups) {
      EXPECT_EQ(group.depth_messages, 0U) << group.name;
      EXPECT_TRUE(group.leases.empty()) << group.name;
      letters_counted_ += group.dead_lettered_messages;
      if (group.overflow != Overflow::drop_oldest) {
        EXPECT_EQ(group.dropped_messages, 0U) << group.name;
        continue;
      }
      // The balance: what was not acked is what the group says that it dropped.
      EXPECT_GE(group.dropped_messages, totals.not_acked);
      EXPECT_LE(group.dropped_messages, totals.not_acked + totals.may_be_dropped);
      dropped_ = group.dropped_messages;
    }
    // A mover that died behind the copy has not counted it, and one that died before it was done has left it to be moved again.
    EXPECT_LE(letters_counted_, history_->letters());
    EXPECT_GE(history_->letters(), totals.dead_letters);
    return totals;
  }

  /// Nothing has been lost of the ring either.
  void fill_and_drain() {
    queue_->reopen();
    Producer producer = attach_patiently([this] { return queue_->producer(); });
    std::vector<Consumer> consumers;
    for (std::uint32_t group = 0; group < GetParam().groups().count; ++group) {
      consumers.push_back(attach_patiently([&] { return queue_->consumer(kGroupNames.at(group)); }));
    }
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

  /// Starts workers again that died by themselves.
  void restart_the_dead() {
    for (Worker& worker : workers_) {
      if (!worker.process().running() || !worker.process().wait(std::chrono::milliseconds(0)).in_time()) continue;
      const Ending ending = worker.process().wait();
      if (is_in_order(worker, ending)) start(worker);
    }
  }

  /// Reaps what dead workers have left behind.
  void reap_orphans() {
    std::ifstream children("/proc/thread-self/children");
    for (pid_t pid = 0; children >> pid;) {
      const auto is_it = [pid](Worker& worker) { return worker.process().pid() == pid; };
      if (std::none_of(workers_.begin(), workers_.end(), is_it)) waitpid(pid, nullptr, WNOHANG);
    }
  }

  std::vector<Worker>& workers() noexcept { return workers_; }
  [[nodiscard]] History& history() noexcept { return *history_; }
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }
  /// When all had drained the queue.
  [[nodiscard]] std::uint64_t parked() const noexcept { return parked_; }
  Random& random() noexcept { return random_; }

 private:
  static void report(Worker& worker, const Ending& ending) {
    ADD_FAILURE() << "a worker ended by itself: " << ending.text();
    for (const std::string& line : worker.process().rest_of_reports()) ADD_FAILURE() << line;
  }

  // Workers of these kinds. A worker that has failed leaves others waiting for it: they are told to stop.
  void wait_for(std::initializer_list<Worker::Kind> kinds) {
    const auto is_awaited = [&](Worker& worker) {
      return std::find(kinds.begin(), kinds.end(), worker.kind()) != kinds.end() && worker.process().running();
    };
    const auto last = std::chrono::steady_clock::now() + ChildProcess::kLong;
    while (std::any_of(workers_.begin(), workers_.end(), is_awaited)) {
      const bool hangs = std::chrono::steady_clock::now() > last;
      for (Worker& worker : workers_) {
        if (!worker.process().running()) continue;
        if (hangs && is_awaited(worker)) {
          ADD_FAILURE() << "a worker hangs: role " << static_cast<int>(worker.kind()) << ", number " << worker.number();
          worker.process().kill();
        } else if (!worker.process().wait(std::chrono::milliseconds(5)).in_time()) {
          continue;
        }
        const Ending ending = worker.process().wait();
        if (worker.kind() == Worker::Kind::producer) history_->producer_died(worker.number());
        if (ending.exited_with(0)) continue;
        if (ending.exited_with(kEndedByItself) || (!hangs && died_of_poison(worker, ending))) {
          start(worker);
        } else if (!hangs) {
          report(worker, ending);
        }
      }
    }
    reap_orphans();
  }

  bool died_of_poison(Worker& worker, const Ending& ending) const {
    return GetParam().poison && worker.kind() == Worker::Kind::consumer && ending.killed_by(SIGKILL);
  }

  void wait_until_no_letter_is_left() {
    support::wait_until("all dead letters are read", [this] {
      restart_the_dead();
      return dead_->inspect().depth_bytes == 0;
    });
  }
  // The balance, while nobody tries what is parked again.
  void expect_that_what_is_open_is_parked() {
    for (const GroupInfo& group : queue_->inspect().groups) {
      const auto number =
          static_cast<std::uint32_t>(std::find(kGroupNames.begin(), kGroupNames.end(), group.name) - kGroupNames.begin());
      const History::Open open = history_->open_messages(number);
      EXPECT_GE(group.parked_messages, open.least) << group.name;
      EXPECT_LE(group.parked_messages, open.most) << group.name;
      EXPECT_EQ(group.depth_messages, group.parked_messages) << group.name;
      parked_ += group.parked_messages;
    }
  }
  void move_what_is_parked() {
    support::wait_until("what is parked is moved", [this] {
      restart_the_dead();
      std::uint64_t parked = 0;
      for (const GroupInfo& group : queue_->inspect().groups) {
        if (group.parked_messages == 0) continue;
        parked += group.parked_messages;
        const Lease none = attach_patiently([&] { return queue_->consumer(group.name); }).lease({.deadline = now});
        EXPECT_FALSE(none) << "a message came behind the end of the stream";
      }
      return parked == 0 || HasFailure();
    });
  }

  support::ScratchDirectory scratch_;
  std::string log_ = scratch_.path() + "/history";
  Random random_;
  bool disturbed_ = false;
  std::unique_ptr<History> history_;
  std::unique_ptr<Queue> queue_;
  std::unique_ptr<Queue> dead_;
  std::vector<Worker> workers_;
  std::uint64_t dropped_ = 0;
  std::uint64_t parked_ = 0;
  std::uint64_t letters_counted_ = 0;
};

class Storm : public Stress {
 protected:
  /// Kills, stops and starts again for so long.
  void storm(std::chrono::milliseconds duration) {
    const auto last = Clock::now() + duration;
    while (Clock::now() < last && !HasFailure()) {
      std::this_thread::sleep_for(std::chrono::microseconds(random()() % 4000));
      if (GetParam().poison) restart_the_dead();
      Worker& worker = workers()[random()() % workers().size()];
      if (random()() % 4 == 0) {
        stop_for_a_while(worker);
      } else {
        kill_and_start_again(worker);
      }
    }
  }

  using Clock = std::chrono::steady_clock;
  int kills = 0;
  int stops = 0;

 private:
  void stop_for_a_while(Worker& worker) {
    worker.process().signal(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::microseconds(random()() % 10'000));
    worker.process().signal(SIGCONT);
    ++stops;
  }

  void kill_and_start_again(Worker& worker) {
    const Ending ending = worker.process().kill();
    if (!is_in_order(worker, ending)) return;
    if (ending.killed_by(SIGKILL)) ++kills;
    start(worker);
    if (kills % 64 == 0) reap_orphans();
  }
};

TEST_P(Storm, every_committed_message_is_acked_by_every_group_or_declared_and_nothing_else_is_seen) {
  const std::uint32_t milliseconds = support::scaled(1600);
  begin(std::uint64_t{milliseconds} * 1000, true);
  storm(std::chrono::milliseconds(milliseconds));
  const auto stopped = Clock::now();
  end();
  const auto drained = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - stopped);
  const History::Totals totals = judge();
  fill_and_drain();

  // For whoever runs this many times, and for who looks at one run.
  const auto record = [](const char* key, std::uint64_t value) {
    RecordProperty(key, std::to_string(value));
    std::printf("%s %llu  ", key, static_cast<unsigned long long>(value));
  };
  record("kills", static_cast<std::uint64_t>(kills));
  record("stops", static_cast<std::uint64_t>(stops));
  for (std::size_t i = 0; i < kDisturbanceNames.size(); ++i) record(kDisturbanceNames[i], history().disturbances(i));
  record("messages", totals.committed);
  record("doubtful_batches", totals.doubtful_batches);
  record("acks_in_doubt", totals.in_doubt_acked);
  record("dropped", dropped());
  record("dead_letters", totals.dead_letters);
  record("parked", parked());
  record("visits", history().visits());
  record("drained_ms", static_cast<std::uint64_t>(drained.count()));
  std::printf("\n");
  EXPECT_GT(totals.committed, 0U);
  EXPECT_EQ(totals.dead_letters > 0, GetParam().poison);
  EXPECT_EQ(dropped() > 0, GetParam().lossy) << "a slow group that drops the oldest, and nobody else, drops";
}

class ProcessStress : public Stress {};

TEST_P(ProcessStress, without_deaths_every_group_acks_every_message_once) {
  begin(support::scaled(150'000), false);
  wait_until_used_up();
  end();
  const History::Totals totals = judge();
  fill_and_drain();
  EXPECT_EQ(totals.committed, GetParam().producer_count() * history().limit());
  EXPECT_EQ(totals.doubtful_batches, 0U);
  EXPECT_EQ(totals.in_doubt_acked, 0U);
}

std::string name_of(const testing::TestParamInfo<Scenario>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(AllScenarios, Storm, testing::ValuesIn(kScenarios), name_of);
// Deaths apart, the other scenarios are the contract tests' business.
INSTANTIATE_TEST_SUITE_P(AllModes, ProcessStress, testing::ValuesIn(kScenarios.begin(), kScenarios.begin() + 4), name_of);

}  // namespace
}  // namespace ipcq::stress
