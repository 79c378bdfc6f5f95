// A process dies at every named step of every operation; whoever survives must find the queue whole.
//
// Each case (crash_case.hpp) is run with three kinds of survivor: one that opens the queue anew and only reads, one that
// opens it anew and takes the row of the dead before anybody looked for it, and one that was asleep in the queue.
// Afterwards the whole ring must be there: filled to the last byte and drained, twice. Every call of a survivor has a
// deadline that only a hang reaches.
#include <gtest/gtest.h>

#include <ipcq/ipcq.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "actor.hpp"
#include "crash_case.hpp"
#include "survivors.hpp"

namespace ipcq::crash {
namespace {

enum class Survivor { consumer_first, producer_first, waiting };

struct MatrixEntry {
  const CrashCase* crash;
  Survivor survivor;
};

std::ostream& operator<<(std::ostream& out, const MatrixEntry& entry) { return out << *entry.crash; }

std::vector<MatrixEntry> matrix() {
  std::vector<MatrixEntry> entries;
  for (const CrashCase& crash : crash_cases()) {
    if (!crash.only_with_waiter) {
      entries.push_back({&crash, Survivor::consumer_first});
      // A producer would drop more of a ring that is full of messages.
      if (crash.overflow != Overflow::drop_oldest) entries.push_back({&crash, Survivor::producer_first});
    }
    if (crash.waiter != Waiter::none) entries.push_back({&crash, Survivor::waiting});
  }
  return entries;
}

std::string name_of(const testing::TestParamInfo<MatrixEntry>& info) {
  const std::string name = info.param.crash->name;
  switch (info.param.survivor) {
    case Survivor::consumer_first:
      return name + "_then_a_consumer_comes";
    case Survivor::producer_first:
      return name + "_then_a_producer_comes";
    case Survivor::waiting:
      return name +
             (info.param.crash->waiter == Waiter::consumer ? "_while_a_consumer_sleeps" : "_while_a_producer_sleeps");
  }
  return name;
}

class CrashMatrix : public CrashTest, public testing::WithParamInterface<MatrixEntry> {
 protected:
  [[nodiscard]] const CrashCase& crash() const { return *GetParam().crash; }
  [[nodiscard]] Expectation expectation() const {
    return {crash().expected, crash().redelivered, crash().may_miss_first, crash().aftermath == Aftermath::closed};
  }

  void another_dies_first() const {
    if (crash().first_operation == nullptr) return;
    if (crash().first_point != nullptr) {
      ASSERT_TRUE(dies_at(crash().first_point, crash().first_operation));
      return;
    }
    ChildProcess holder(kActor, {crash().first_operation});
    ASSERT_EQ(holder.next_report(), "holding");
    ASSERT_TRUE(holder.kill().killed_by(SIGKILL));
  }

  ChildProcess start_waiter() const {
    if (crash().waiter == Waiter::producer) return {kWaitingProducer, {}};
    std::vector<std::string> arguments = expectation().arguments();
    arguments.push_back(std::to_string(crash().before));
    arguments.emplace_back(crash().aftermath == Aftermath::closed ? "" : kAfter);
    return {kWaitingConsumer, arguments};
  }

  void finish_waiter(ChildProcess& waiter) const {
    if (crash().waiter == Waiter::producer) {
      EXPECT_TRUE(ChildProcess(kReader, expectation().arguments()).succeeds());
    } else {
      // Nobody but the dead has done anything yet: what it committed is there all the same.
      EXPECT_EQ(waiter.next_report(), "has them");
      if (crash().aftermath != Aftermath::closed) {
        EXPECT_TRUE(ChildProcess(kSender, {kAfter}).succeeds());
      }
    }
    EXPECT_TRUE(waiter.succeeds());
  }
};

TEST_P(CrashMatrix, the_others_find_the_queue_whole) {
  create_queue_of(crash());
  ASSERT_NO_FATAL_FAILURE(another_dies_first());

  ChildProcess waiter;
  if (GetParam().survivor == Survivor::waiting) {
    waiter = start_waiter();
    ASSERT_EQ(waiter.next_report(), "waiting");
    ASSERT_TRUE(waiter.wait_until_asleep());
  }

  ASSERT_TRUE(dies_at(crash().point, crash().operation));

  switch (GetParam().survivor) {
    case Survivor::consumer_first:
      EXPECT_TRUE(ChildProcess(kConsumerFirst, expectation().arguments()).succeeds());
      break;
    case Survivor::producer_first:
      EXPECT_TRUE(ChildProcess(kProducerFirst, expectation().arguments()).succeeds());
      break;
    case Survivor::waiting:
      finish_waiter(waiter);
      break;
  }
  EXPECT_TRUE(ChildProcess(kWholeRing, {}).succeeds());
}

INSTANTIATE_TEST_SUITE_P(AProcessDies, CrashMatrix, testing::ValuesIn(matrix()), name_of);

}  // namespace
}  // namespace ipcq::crash
