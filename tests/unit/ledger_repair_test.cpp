// Ledgers as a process leaves them that dies between two steps, built by hand: the repair makes each whole, says the same
// whoever is interrupted in it how often, and loses no range. (The names of the steps are those in the code.)
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "core/ledger.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::Ledger;

constexpr EntryState kLeased = EntryState::leased;
constexpr EntryState kDone = EntryState::done;
constexpr EntryState kAgain = EntryState::redeliverable;

class LedgerRepair : public LedgerBench {
 protected:
  /// What a death in the middle of moving the index leaves.
  void scramble_index() {
    for (std::uint32_t i = 0; i < kEntries; ++i) view().index(group_.row)[i] = static_cast<std::uint16_t>(random_());
    row().index_first.store(static_cast<std::uint32_t>(random_()));
    row().index_count.store(static_cast<std::uint32_t>(random_()));
  }
  /// Repairs what was written, several times over: each time the index is as a repair leaves it that dies half way.
  void expect_after_repair(std::uint64_t expected_retired, const std::vector<Range>& expected) {
    for (int again = 0; again < 4; ++again) {
      scramble_index();
      ASSERT_TRUE(Ledger(view(), group_.row).repair()) << "repair " << again;
      EXPECT_EQ(retired(), expected_retired) << "repair " << again;
      EXPECT_EQ(ranges(), expected) << "repair " << again;
      EXPECT_TRUE(is_whole()) << "repair " << again;
    }
  }

  const Owner dead_ = core::make_owner(0, 1);
  const Owner living_ = segment_.attach(1, layout::RowKind::consumer);
  std::mt19937_64 random_ = random_numbers();
};

TEST_F(LedgerRepair, OfAnEmptyLedgerChangesNothing) {
  row().retired.store(4096);
  expect_after_repair(4096, {});
}

TEST_F(LedgerRepair, OfALedgerThatBeginsBetweenTwoRecordsIsRefused) {
  row().retired.store(24);
  EXPECT_FALSE(Ledger(view(), group_.row).repair());
}

TEST_F(LedgerRepair, OfAWholeLedgerRebuildsTheIndexInOrderOfBegin) {
  write(5, {0, 32, kLeased, 0, living_});
  write(2, {32, 48, kAgain, 3, 0});
  write(7, {48, 96, kDone, 0, 0});
  write(0, {96, 112, EntryState::parked, 9, 0});
  expect_after_repair(
      0,
      {{0, 32, kLeased, 0, living_}, {32, 48, kAgain, 3, 0}, {48, 96, kDone, 0, 0}, {96, 112, EntryState::parked, 9, 0}});
}

TEST_F(LedgerRepair, OfAFullLedgerRebuildsTheIndex) {
  for (std::uint32_t i = 0; i < kEntries; ++i) write((i * 3) % kEntries, {16 * i, 16 * i + 16, kLeased, i, living_});
  std::vector<Range> expected;
  for (std::uint32_t i = 0; i < kEntries; ++i) expected.push_back({16 * i, 16 * i + 16, kLeased, i, living_});
  expect_after_repair(0, expected);
}

// Lease of new records: begin and end (1), the word (2), the index (3).
TEST_F(LedgerRepair, ALeaseWhoseRangeIsWrittenWithoutItsWordIsAFreeEntry) {
  write(0, {0, 32, kLeased, 0, living_});
  write(1, {32, 64, EntryState::free, 0, 0});
  expect_after_repair(0, {{0, 32, kLeased, 0, living_}});
}

TEST_F(LedgerRepair, ALeaseWhoseWordIsWrittenIsHeldByItsDeadOwner) {
  write(0, {0, 32, kLeased, 0, living_});
  write(1, {32, 64, kLeased, 0, dead_});
  expect_after_repair(0, {{0, 32, kLeased, 0, living_}, {32, 64, kLeased, 0, dead_}});
}

// Retire: retired = the first one's end (1), the entry is free (2).
TEST_F(LedgerRepair, ARangeThatIsRetiredButNotFreedIsFreed) {
  row().retired.store(32);
  write(3, {0, 32, kDone, 0, 0}, 6);
  write(4, {32, 64, kLeased, 0, living_});
  expect_after_repair(32, {{32, 64, kLeased, 0, living_}});
  EXPECT_EQ(core::word_sequence(entry(3).word.load()), 6U) << "a stale handle's ack must go on missing";
}

TEST_F(LedgerRepair, GoesOnRetiringWhereTheDeadStopped) {
  row().retired.store(16);
  write(1, {0, 16, kDone, 0, 0});
  write(2, {16, 32, kDone, 0, 0});
  write(3, {32, 48, kDone, 0, 0});
  write(4, {48, 64, kLeased, 0, living_});
  write(5, {64, 80, kDone, 0, 0});
  expect_after_repair(48, {{48, 64, kLeased, 0, living_}, {64, 80, kDone, 0, 0}});
}

// Merge: the earlier's end (1), the later is free (2).
TEST_F(LedgerRepair, AMergeBrokenOffIsUndone) {
  write(0, {0, 16, kLeased, 0, living_});
  write(1, {16, 48, kDone, 0, 0});
  write(2, {32, 48, kDone, 0, 0});
  write(3, {48, 64, kLeased, 0, living_});
  expect_after_repair(
      0, {{0, 16, kLeased, 0, living_}, {16, 32, kDone, 0, 0}, {32, 48, kDone, 0, 0}, {48, 64, kLeased, 0, living_}});
}

TEST_F(LedgerRepair, AMergeWhoseLaterEntryIsFreeIsWhole) {
  write(0, {0, 16, kLeased, 0, living_});
  write(1, {16, 48, kDone, 0, 0});
  write(2, {32, 48, EntryState::free, 0, 0});
  write(3, {48, 64, kLeased, 0, living_});
  expect_after_repair(0, {{0, 16, kLeased, 0, living_}, {16, 48, kDone, 0, 0}, {48, 64, kLeased, 0, living_}});
}

// Split of a range that comes again: the rest into a free entry (1), the first one's end (2), the lease.
TEST_F(LedgerRepair, ASplitBrokenOffBeforeTheCutIsFinished) {
  write(0, {0, 64, kAgain, 2, 0});
  write(6, {16, 64, kAgain, 2, 0});
  write(1, {64, 80, kLeased, 0, living_});
  expect_after_repair(0, {{0, 16, kAgain, 2, 0}, {16, 64, kAgain, 2, 0}, {64, 80, kLeased, 0, living_}});
}

TEST_F(LedgerRepair, ASplitIsWholeAfterTheCutAndAfterTheLease) {
  write(0, {0, 16, kAgain, 2, 0});
  write(6, {16, 64, kAgain, 2, 0});
  expect_after_repair(0, {{0, 16, kAgain, 2, 0}, {16, 64, kAgain, 2, 0}});
  write(0, {0, 16, kLeased, 2, dead_});
  expect_after_repair(0, {{0, 16, kLeased, 2, dead_}, {16, 64, kAgain, 2, 0}});
}

// Ack of the first n: the rest, leased by the same (1), the first one's end (2), the first is done (3).
TEST_F(LedgerRepair, AnAckOfTheFirstMessagesBrokenOffBeforeTheCutIsTwoLeasesOfTheDead) {
  write(0, {0, 64, kLeased, 1, dead_});
  write(1, {32, 64, kLeased, 1, dead_});
  write(2, {64, 96, kLeased, 0, living_});
  expect_after_repair(0, {{0, 32, kLeased, 1, dead_}, {32, 64, kLeased, 1, dead_}, {64, 96, kLeased, 0, living_}});
}

TEST_F(LedgerRepair, AnAckOfTheFirstMessagesBrokenOffAfterItIsDoneIsRetired) {
  write(0, {0, 32, kDone, 1, 0});
  write(1, {32, 64, kLeased, 1, dead_});
  expect_after_repair(32, {{32, 64, kLeased, 1, dead_}});
}

// drop-oldest in a redeliverable front: retired (1), the entry's begin, or the entry is free (2).
TEST_F(LedgerRepair, ADropBrokenOffBeforeTheBeginMovesIt) {
  row().retired.store(16);
  write(0, {0, 64, kAgain, 1, 0});
  write(1, {64, 96, kLeased, 0, living_});
  expect_after_repair(16, {{16, 64, kAgain, 1, 0}, {64, 96, kLeased, 0, living_}});
}

TEST_F(LedgerRepair, ADropOfAWholeRangeBrokenOffBeforeItIsFreeFreesIt) {
  row().retired.store(64);
  write(0, {0, 64, kAgain, 1, 0});
  write(1, {64, 96, kLeased, 0, living_});
  expect_after_repair(64, {{64, 96, kLeased, 0, living_}});
}

TEST_F(LedgerRepair, IsWhatTheNextLockerDoesAfterADeathAndSaysThatRoomMayHaveMoved) {
  write(0, {0, 32, kDone, 0, 0});
  scramble_index();
  die_holding(row().mutex);
  bool moved = false;
  ASSERT_EQ(core::lock_group(view(), group_.row, 0, moved), core::Locked::yes);
  EXPECT_TRUE(moved);
  EXPECT_EQ(retired(), 32U);
  EXPECT_TRUE(is_whole());
  core::unlock_group(view(), group_.row);
  EXPECT_FALSE(segment_.poisoned());
  moved = false;
  ASSERT_EQ(core::lock_group(view(), group_.row, 0, moved), core::Locked::yes);
  EXPECT_FALSE(moved) << "it was consistent";
  core::unlock_group(view(), group_.row);
}

// The repair's own stores, in every prefix: from any ledger that one operation can leave torn, of any shape.
TEST_F(LedgerRepair, OfAnyLedgerTornByOneOperationKeepsEveryRangeThatWasNotFinished) {
  for (std::uint32_t trial = 0; trial < scaled(5'000); ++trial) {
    for (std::uint32_t i = 0; i < kEntries; ++i) entry(i).word.store(0);
    const std::uint64_t origin = 16 * pick(random_, 0, 1 << 20);
    row().retired.store(origin);
    // A whole ledger with at least one free entry.
    std::vector<Range> whole;
    std::uint64_t at = origin;
    const std::uint64_t count = pick(random_, 1, kEntries - 1);
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto state = static_cast<EntryState>(pick(random_, 1, 3));
      const std::uint64_t bytes = 16 * pick(random_, 2, 5);
      whole.push_back({at, at + bytes, state, 1, state == kLeased ? living_ : 0});
      write(static_cast<std::uint32_t>(i), whole.back());
      at += bytes;
    }
    // One range torn: a copy of its second half, with its end not yet cut.
    const std::uint64_t torn = pick(random_, 0, count - 1);
    Range rest = whole[torn];
    rest.begin += 16;
    if (rest.state != kDone) write(kEntries - 1, rest);
    scramble_index();
    ASSERT_TRUE(Ledger(view(), group_.row).repair());
    ASSERT_TRUE(is_whole());
    // Every byte that was not done is in a range of the same state; the lease position is where it was.
    for (const Range& before : whole) {
      if (before.state == kDone) continue;
      for (std::uint64_t byte = before.begin; byte < before.end; byte += 16) {
        bool found = false;
        for (const Range& after : ranges())
          found |= after.begin <= byte && byte < after.end && after.state == before.state;
        ASSERT_TRUE(found) << ::testing::PrintToString(before) << " at " << byte;
      }
    }
    ASSERT_EQ(Ledger(view(), group_.row).lease_position(), at);
  }
}

}  // namespace
}  // namespace ipcq::unit
