// Each kind of damage, made in a queue's file: verify names it, a dry run changes nothing, repair mends it or says what is
// given up, and the queue works again.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <ipcq/ipcq.hpp>
#include <string>
#include <vector>

#include "image.hpp"

namespace ipcq::hostile {
namespace {

// A queue is used, all leave, and its file is damaged.
class Repair : public HostileTest {
 protected:
  void SetUp() override {
    const Queue queue = Queue::create(kQueue, Image::options());
    Producer producer = queue.producer();
    for (int i = 0; i < 10; ++i) require(producer.send(text(i)) == Outcome::ok, "send");
  }
  static std::string text(int number) { return "message " + std::to_string(number) + std::string(40, '.'); }
  static constexpr std::uint64_t kRecord = 16 + 64;  // of each: 49 bytes of payload, padded

  [[nodiscard]] Image image() const { return Image(path_of(kQueue)); }

  static bool names(const std::vector<Finding>& findings, const std::string& invariant, std::uint64_t offset) {
    return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
      return finding.invariant == invariant && finding.offset == offset;
    });
  }
  static std::string shown(const std::vector<Finding>& findings) {
    std::string all;
    for (const Finding& finding : findings)
      all += "\n  " + finding.invariant + " " + std::to_string(finding.offset) + ": " + finding.text;
    return all;
  }
  static std::string shown(const std::vector<RepairStep>& steps) {
    std::string all;
    for (const RepairStep& step : steps)
      all += "\n  " + step.invariant + " " + std::to_string(step.offset) + (step.given_up ? " given up: " : ": ") +
             step.text;
    return all;
  }

  /// The whole way, from a finding to a queue that works. What the repair came to.
  RepairReport mend(const std::string& invariant, std::uint64_t offset, bool counts) {
    const Verification before = ipcq::verify(kQueue);
    EXPECT_TRUE(names(before.findings, invariant, offset))
        << invariant << " at " << offset << " is not in" << shown(before.findings);
    EXPECT_EQ(before.sound(), !counts) << shown(before.findings);
    const std::string bytes = read_file(path_of(kQueue));
    const RepairReport plan = ipcq::repair(kQueue, {.dry_run = true});
    EXPECT_TRUE(read_file(path_of(kQueue)) == bytes) << "a dry run changes nothing";
    RepairReport report = ipcq::repair(kQueue);
    EXPECT_EQ(shown(plan.steps), shown(report.steps)) << "the plan is what is done";
    EXPECT_EQ(plan.whole(), report.whole());
    EXPECT_EQ(report.in_use_by, "");
    EXPECT_FALSE(report.steps.empty());
    const Verification after = ipcq::verify(kQueue);
    EXPECT_TRUE(after.sound()) << shown(after.findings) << "\nafter" << shown(report.steps);
    EXPECT_EQ(ipcq::repair(kQueue).steps.size(), 0U) << "done again, nothing is to do";
    return report;
  }

  /// What a group still gets, acked.
  static std::vector<std::string> drain(const std::string& group) {
    Consumer consumer = Queue::open(kQueue).consumer(group);
    std::vector<std::string> all;
    std::string one;
    while (consumer.receive(one, now) == Outcome::ok) all.push_back(one);
    return all;
  }
  static std::vector<std::string> texts(int first, int last) {
    std::vector<std::string> all;
    for (int i = first; i <= last; ++i) all.push_back(text(i));
    return all;
  }
  static void expect_all_messages() {
    EXPECT_EQ(drain("first"), texts(0, 9));
    EXPECT_EQ(drain("second"), texts(0, 9));
    Queue queue = Queue::open(kQueue);
    ASSERT_EQ(queue.producer().send(text(10)), Outcome::ok);
    EXPECT_EQ(drain("first"), texts(10, 10));
    EXPECT_EQ(drain("second"), texts(10, 10));
  }
};

TEST_F(Repair, a_sound_queue_has_nothing_to_mend) {
  EXPECT_EQ(ipcq::verify(kQueue).findings.size(), 0U) << shown(ipcq::verify(kQueue).findings);
  const std::string bytes = read_file(path_of(kQueue));
  const RepairReport report = ipcq::repair(kQueue);
  EXPECT_TRUE(report.whole());
  EXPECT_EQ(report.steps.size(), 0U);
  EXPECT_TRUE(read_file(path_of(kQueue)) == bytes);
}

TEST_F(Repair, a_poisoned_mutex) {
  image().give_up(Image::group(0) + 64);
  image().poison();
  EXPECT_TRUE(names(ipcq::verify(kQueue).findings, "flags.poisoned", Image::kFlags));
  EXPECT_THROW(static_cast<void>(Queue::open(kQueue).consumer("first")), Error);
  EXPECT_TRUE(mend("mutex.poisoned", Image::group(0) + 64, true).whole());
  expect_all_messages();
}

TEST_F(Repair, a_message_that_speaks_of_more_than_follow) {
  const Image file = image();
  const std::uint64_t ring = inspect(kQueue).segment_bytes - inspect(kQueue).capacity_bytes;
  file.put<std::uint16_t>(ring + 7 * kRecord + 6, 5 << 4);  // two more follow
  EXPECT_TRUE(mend("ring.run", ring + 7 * kRecord, true).whole());
  expect_all_messages();
}

TEST_F(Repair, every_mutex_poisoned) {
  for (const std::uint64_t mutex :
       {Image::kProducerMutex, std::uint64_t{832}, Image::group(0) + 64, Image::group(1) + 64})
    image().give_up(mutex);
  image().poison();
  EXPECT_TRUE(mend("mutex.poisoned", Image::kProducerMutex, true).whole());
  expect_all_messages();
}

TEST_F(Repair, a_mutex_held_by_a_thread_that_is_not_there) {
  image().put<std::uint32_t>(Image::kProducerMutex, 0x3ffffff0);
  EXPECT_TRUE(mend("mutex.holder", Image::kProducerMutex, true).whole());
  expect_all_messages();
}

TEST_F(Repair, a_mutex_held_by_the_thread_that_repairs_which_took_none) {
  for (const std::uint64_t mutex :
       {Image::kProducerMutex, std::uint64_t{832}, Image::group(0) + 64, Image::group(1) + 64})
    image().put<std::uint32_t>(mutex, static_cast<std::uint32_t>(::gettid()));
  EXPECT_TRUE(mend("mutex.holder", Image::kProducerMutex, true).whole());
  expect_all_messages();
}

TEST_F(Repair, a_mutex_held_by_the_thread_that_repairs_while_others_are_attached) {
  const Consumer attached = Queue::open(kQueue).consumer("second");
  image().put<std::uint32_t>(Image::group(0) + 64, static_cast<std::uint32_t>(::gettid()));
  EXPECT_FALSE(ipcq::repair(kQueue).in_use_by.empty());
  const Verification after = ipcq::verify(kQueue);
  EXPECT_TRUE(after.sound()) << shown(after.findings);
  EXPECT_EQ(drain("first"), texts(0, 9));
}

TEST_F(Repair, a_mutex_whose_holder_died) {
  image().put<std::uint32_t>(Image::group(1) + 64, 0x40000000);
  EXPECT_TRUE(mend("mutex.holder_died", Image::group(1) + 64, false).whole());
  expect_all_messages();
}

TEST_F(Repair, memory_where_a_mutex_was) {
  for (std::uint64_t at = 0; at < 40; at += 8)
    image().put<std::uint64_t>(Image::kProducerMutex + at, 0x0101010101010101U * at);
  EXPECT_TRUE(mend("mutex.kind", Image::kProducerMutex, true).whole());
  expect_all_messages();
}

// Range and word of a lease of a dead process, and nothing in the index.
TEST_F(Repair, half_a_ledger_entry) {
  image().put<std::uint64_t>(Image::entry(0, 3), 0);
  image().put<std::uint64_t>(Image::entry(0, 3) + 8, 2 * kRecord);
  image().put<std::uint64_t>(Image::entry(0, 3) + 16, 1 | Image::owner(4, 9) << 32);
  mend("ledger.index", Image::group(0) + 132, true);
  expect_all_messages();
}

TEST_F(Repair, a_torn_ledger_entry_comes_again) {
  image().put<std::uint64_t>(Image::entry(0, 3), 2 * kRecord);
  image().put<std::uint64_t>(Image::entry(0, 3) + 8, 3 * kRecord);
  image().put<std::uint64_t>(Image::entry(0, 3) + 16, 2);  // finished, but what is before it is nowhere
  image().put<std::uint32_t>(Image::group(0) + 132, 1);
  image().put<std::uint16_t>(Image::entry(0, 8), 3);
  image().put<std::uint16_t>(Image::entry(0, 8) + 6, 0);
  const RepairReport report = mend("ledger.tiles", Image::entry(0, 3), true);
  EXPECT_FALSE(report.whole()) << "how often they were delivered is given up";
  std::vector<std::string> expected = texts(0, 1);
  for (const std::string& one : texts(3, 9)) expected.push_back(one);
  EXPECT_EQ(drain("first"), expected);
  EXPECT_EQ(drain("second"), texts(0, 9));
}

TEST_F(Repair, a_row_of_the_dead) {
  image().add_dead(5, 1, 7);
  EXPECT_TRUE(mend("row.dead", Image::row(5), false).whole());
  expect_all_messages();
}

TEST_F(Repair, a_claim_of_the_dead) {
  image().add_dead(5, 1, 7);
  const auto position = image().get<std::uint64_t>(Image::kClaimPosition);
  ASSERT_EQ(position, 10 * kRecord);
  image().put<std::uint64_t>(Image::kRing + position, 64 | 1U << 30 | Image::owner(5, 7) << 32);
  image().put<std::uint64_t>(Image::kRing + position + 8, image().get<std::uint64_t>(Image::kLastTime));
  image().put<std::uint64_t>(Image::kClaimPosition, position + 64);
  image().put<std::uint64_t>(Image::row(5) + 64, position);
  EXPECT_TRUE(mend("ring.claim", Image::kRing + position, false).whole());
  expect_all_messages();
}

TEST_F(Repair, wrong_counters) {
  image().put<std::uint64_t>(Image::kLeastRetired, 4 * kRecord);
  image().put<std::uint64_t>(Image::kLastTime, UINT64_MAX / 2);
  image().put<std::uint32_t>(Image::group(0) + 132, 5);
  image().put<std::uint64_t>(Image::kClaimPosition, 10 * kRecord + (std::uint64_t{1} << 40));
  EXPECT_TRUE(mend("side.last_time", Image::kLastTime, true).whole());
  expect_all_messages();
}

TEST_F(Repair, a_record_that_cannot_be_walked_is_skipped_and_what_is_behind_it_in_the_group_stays) {
  // "second" has finished four: from there on its records are known, whatever stands before.
  {
    Consumer consumer = Queue::open(kQueue).consumer("second");
    Lease lease = consumer.lease({.max_messages = 4});
    ASSERT_EQ(lease.ack(), Outcome::ok);
    ASSERT_EQ(consumer.lease({.max_messages = 1}).requeue(), Outcome::ok);  // retires
  }
  image().put<std::uint64_t>(Image::kRing + 2 * kRecord, 60000 | 2U << 30);
  const RepairReport report = mend("ring.tiles", Image::kRing + 2 * kRecord, true);
  EXPECT_FALSE(report.whole());
  ASSERT_EQ(report.steps.size(), 1U) << shown(report.steps);
  EXPECT_TRUE(report.steps[0].given_up);
  EXPECT_NE(report.steps[0].text.find("from 160 to 320, 160 bytes"), std::string::npos) << report.steps[0].text;
  std::vector<std::string> expected = texts(0, 1);
  for (const std::string& one : texts(4, 9)) expected.push_back(one);
  EXPECT_EQ(drain("first"), expected);
  EXPECT_EQ(drain("second"), texts(4, 9));
}

TEST_F(Repair, an_interrupted_removal_is_finished) {
  image().put<std::uint32_t>(Image::kFlags, 2);
  const Verification before = ipcq::verify(kQueue);
  EXPECT_TRUE(before.sound());
  EXPECT_TRUE(names(before.findings, "flags.removed", Image::kFlags)) << shown(before.findings);
  const RepairReport plan = ipcq::repair(kQueue, {.dry_run = true});
  ASSERT_EQ(plan.steps.size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(path_of(kQueue)));
  EXPECT_TRUE(ipcq::repair(kQueue).whole());
  EXPECT_FALSE(std::filesystem::exists(path_of(kQueue)));
}

TEST_F(Repair, a_damaged_header_is_named_and_nothing_is_mended) {
  image().put<std::uint64_t>(128 + 48, 3 * kCapacity);
  const Verification before = ipcq::verify(kQueue);
  EXPECT_FALSE(before.sound());
  EXPECT_TRUE(names(before.findings, "header.valid", 128 + 48)) << shown(before.findings);
  const std::string bytes = read_file(path_of(kQueue));
  try {
    static_cast<void>(ipcq::repair(kQueue));
    FAIL() << "nothing can be mended";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::damaged);
    EXPECT_TRUE(is_helpful(error, path_of(kQueue)));
  }
  EXPECT_TRUE(read_file(path_of(kQueue)) == bytes);
}

/// Holds a lease and a claim.
const ChildRole kHolds("holds a lease and a claim", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  Consumer consumer = queue.consumer("first");
  const Lease lease = consumer.lease({.max_messages = 2});
  Producer producer = queue.producer();
  Claim claim = producer.claim({.messages = 1, .bytes = 8});
  require(static_cast<bool>(lease) && static_cast<bool>(claim), "lease and claim");
  self.report("holding");
  self.await("commit");
  static_cast<void>(claim.append(8));
  require(claim.commit() == Outcome::ok, "commit");
  self.report("committed");
  return self.hold();
});

TEST_F(Repair, what_the_living_hold_is_not_touched_and_they_are_named) {
  ChildProcess process(kHolds, {});
  ASSERT_EQ(process.next_report(), "holding");
  image().put<std::uint32_t>(Image::row(9), 77);
  const std::string bytes = read_file(path_of(kQueue));
  const RepairReport plan = ipcq::repair(kQueue, {.dry_run = true});
  EXPECT_TRUE(read_file(path_of(kQueue)) == bytes);
  const RepairReport report = ipcq::repair(kQueue);
  for (const RepairReport& one : {plan, report}) {
    EXPECT_FALSE(one.whole());
    EXPECT_NE(one.in_use_by.find("pid " + std::to_string(process.pid())), std::string::npos) << one.in_use_by;
    EXPECT_TRUE(names(one.left, "row.state", Image::row(9))) << shown(one.left);
    EXPECT_EQ(one.steps.size(), 0U) << shown(one.steps);
  }
  EXPECT_TRUE(read_file(path_of(kQueue)) == bytes) << "nothing of the living is touched";
  process.tell("commit");
  EXPECT_EQ(process.next_report(), "committed");
  process.kill();
  EXPECT_TRUE(mend("row.state", Image::row(9), true).whole());
}

TEST_F(Repair, an_index_and_the_least_retired_are_mended_under_their_locks_while_others_live) {
  ChildProcess process(kHolds, {});
  ASSERT_EQ(process.next_report(), "holding");
  image().put<std::uint32_t>(Image::group(0) + 128, 77);
  image().put<std::uint64_t>(Image::kLeastRetired, 5 * kRecord);
  EXPECT_FALSE(ipcq::verify(kQueue).sound());
  const RepairReport report = ipcq::repair(kQueue);
  EXPECT_TRUE(report.whole()) << shown(report.left);
  EXPECT_EQ(report.steps.size(), 2U) << shown(report.steps);
  EXPECT_TRUE(ipcq::verify(kQueue).sound());
  process.tell("commit");
  EXPECT_EQ(process.next_report(), "committed");
  process.kill();
}

/// Waits for messages without its life lock.
const ChildRole kWithoutLifeLock("without a life lock", [](Child& self) {
  Consumer consumer = Queue::open(kQueue).consumer({.group = "first", .wait = WaitStrategy::sleep});
  self.close_other_descriptors();
  self.report("closed all");
  self.await("wait");
  const Lease lease = consumer.lease({.max_messages = 100, .min_messages = 50});
  return self.hold();
});

TEST_F(Repair, a_lost_life_lock_is_taken_again_by_who_lost_it) {
  ChildProcess process(kWithoutLifeLock, {});
  ASSERT_EQ(process.next_report(), "closed all");
  // While it does nothing in the queue, it can only be told.
  EXPECT_TRUE(names(ipcq::verify(kQueue).findings, "row.lost_life_lock", Image::row(0)))
      << shown(ipcq::verify(kQueue).findings);
  const RepairReport told = ipcq::repair(kQueue);
  EXPECT_NE(told.in_use_by, "");
  EXPECT_TRUE(names(told.left, "row.lost_life_lock", Image::row(0))) << shown(told.left);
  process.tell("wait");
  ASSERT_TRUE(process.wait_until_asleep());
  static_cast<void>(ipcq::repair(kQueue));
  EXPECT_EQ(ipcq::verify(kQueue).findings.size(), 0U) << shown(ipcq::verify(kQueue).findings);
  process.kill();
}

}  // namespace
}  // namespace ipcq::hostile
