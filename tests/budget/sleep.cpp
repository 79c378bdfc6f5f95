#include <time.h>
#include <unistd.h>

#include <memory>

#include "operation.hpp"
#include "partner.hpp"
#include "traffic.hpp"

namespace ipcq::budget {
namespace {

void take_one_by_one(Turns& turns) {
  Consumer consumer = Queue::open(kQueue).consumer({.wait = WaitStrategy::sleep});
  for (;;) {
    consume(consumer, 1, forever);
    turns.done.fetch_add(1);
  }
}

void wake_whenever_asleep(Turns& turns) {
  Producer producer = Queue::open(kQueue).producer();
  for (std::uint64_t sent = 0;; ++sent) {
    while (turns.begun.load() == sent) ::nanosleep(&kBetweenLooks, nullptr);
    await_asleep(::getppid());
    produce(producer, 1);
  }
}

// A commit that wakes a consumer of another process.
Operation commit_wakes() {
  struct State {
    OwnQueue queue;
    Partner partner{take_one_by_one};
    Producer producer = queue->producer();
    std::uint64_t sent = 0;
  };
  auto state = std::make_shared<State>();
  return {.before = [state] { state->partner.await_asleep(state->sent); },
          .once =
              [state] {
                produce(state->producer, 1);
                ++state->sent;
              }};
}

// A lease that sleeps until another process commits.
Operation lease_sleeps() {
  struct State {
    OwnQueue queue;
    Partner partner{wake_whenever_asleep};
    Consumer consumer = queue->consumer({.wait = WaitStrategy::sleep});
  };
  auto state = std::make_shared<State>();
  return {.before = [state] { state->partner.turns().begun.fetch_add(1); },
          .once = [state] { consume(state->consumer, 1, forever); }};
}

}  // namespace

std::vector<Row> rows_of_sleep() {
  return {{"commit-wakes-sleeper", 32, commit_wakes}, {"lease-sleeps-and-is-woken", 32, lease_sleeps}};
}

}  // namespace ipcq::budget
