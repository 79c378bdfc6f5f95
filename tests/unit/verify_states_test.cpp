// What verify says of mutexes, flags, limits and an exclusive producer as a death, a removal or a given-up repair leaves them.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/quota_table.hpp"
#include "core/verify.hpp"
#include "damaged_queue.hpp"
#include "kept_mutex.hpp"

namespace ipcq::unit {
namespace {

class VerifyStates : public DamagedQueue {
 protected:
  [[nodiscard]] os::RobustMutex& table_mutex() const { return view().side().table_lock.mutex; }
};

TEST_F(VerifyStates, NamesALedgerThatNoRepairCanMend) {
  fill();
  die_holding(row().mutex);
  entry(first_.entry).word.store(core::make_word(static_cast<EntryState>(7), 0, 1, consumer_));
  expect_broken("ledger.repair", offset_of(&row().retired), false);
}

TEST_F(VerifyStates, NamesAMutexWhoseRepairWasGivenUp) {
  give_up_repair_of(table_mutex());
  expect_broken("mutex.poisoned", offset_of(&table_mutex()), false);
}

TEST_F(VerifyStates, NamesAMutexThatAThreadHoldsThatIsNotThere) {
  reinterpret_cast<std::atomic<std::uint32_t>&>(table_mutex()).store(0x3ffffff0);
  core::View live = view();  // who holds it is looked for among those that map this file
  struct stat info {};
  ASSERT_EQ(::fstat(segment_.fd(), &info), 0);
  live.file = {info.st_dev, info.st_ino};
  bool named = false;
  for (const core::Finding& finding : core::verify(live))
    named |= finding.invariant == std::string_view("mutex.holder") && finding.offset == offset_of(&table_mutex());
  EXPECT_TRUE(named);
}

TEST_F(VerifyStates, NotesARemovedQueue) {
  view().frozen().flags.fetch_or(layout::flag::kRemoved);
  expect_noted("flags.removed", offsetof(layout::FrozenHeader, flags), false);
}

TEST_F(VerifyStates, NotesARowThatAChangeOfLimitsWhichWasBrokenOffHasNotReached) {
  fill();
  view().row(core::owner_row(producer_.owner)).flags.fetch_or(layout::kLimited);
  die_holding(table_mutex());
  expect_noted("quota.row", offset_of(&view().row(core::owner_row(producer_.owner)).flags), false);
}

TEST(VerifyStatesOfOneProducer, NotesThatItIsDead) {
  const CoreSegment segment({.producers = ProducerMode::exclusive});
  segment.add_group();
  core::ProducerState producer = segment.producer(0);
  core::Owner holder = 0;
  ASSERT_EQ(core::take_over_producer(segment.view(), producer, holder), core::TakeOver::ok);
  segment.end(producer.owner);
  bool noted = false;
  for (const core::Finding& finding : core::verify(segment.view()))
    noted |= finding.recoverable && finding.invariant == std::string_view("side.exclusive_owner");
  EXPECT_TRUE(noted);
}

}  // namespace
}  // namespace ipcq::unit
