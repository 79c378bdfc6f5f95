// Ledgers that no death can leave: the repair says so instead of guessing, everybody is told, nobody hangs.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "core/lease.hpp"
#include "core/ledger.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::Ledger;

class ImpossibleLedger : public LedgerBench {
 protected:
  void expect_no_repair() { EXPECT_FALSE(Ledger(view(), group_.row).repair()); }

  const Owner owner_ = segment_.attach(0, layout::RowKind::consumer);
};

TEST_F(ImpossibleLedger, AGapBetweenTwoRanges) {
  write(0, {0, 16, EntryState::leased, 0, owner_});
  write(1, {32, 48, EntryState::leased, 0, owner_});
  expect_no_repair();
}

TEST_F(ImpossibleLedger, AGapBeforeTheFirstRange) {
  write(0, {16, 32, EntryState::leased, 0, owner_});
  expect_no_repair();
}

TEST_F(ImpossibleLedger, ALeasedRangeThatIsRetired) {
  row().retired.store(64);
  write(0, {0, 64, EntryState::leased, 0, owner_});
  expect_no_repair();
}

TEST_F(ImpossibleLedger, ALeasedRangeThatIsRetiredInPart) {
  row().retired.store(32);
  write(0, {0, 64, EntryState::leased, 0, owner_});
  expect_no_repair();
}

TEST_F(ImpossibleLedger, AParkedRangeThatIsRetired) {
  row().retired.store(64);
  write(0, {0, 32, EntryState::parked, 3, 0});
  expect_no_repair();
}

TEST_F(ImpossibleLedger, TwoRangesWithOneBegin) {
  write(0, {0, 32, EntryState::leased, 0, owner_});
  write(1, {0, 32, EntryState::redeliverable, 0, 0});
  expect_no_repair();
}

TEST_F(ImpossibleLedger, ARangeThatEndsBeforeItBegins) {
  write(0, {32, 16, EntryState::leased, 0, owner_});
  expect_no_repair();
}

TEST_F(ImpossibleLedger, RangesThatAreLongerThanTheRing) {
  write(0, {0, kCapacity, EntryState::leased, 0, owner_});
  write(1, {kCapacity, kCapacity + 16, EntryState::leased, 0, owner_});
  expect_no_repair();
}

TEST_F(ImpossibleLedger, AStateThatThereIsNot) {
  entry(0).begin.store(0);
  entry(0).end.store(16);
  entry(0).word.store(core::make_word(static_cast<EntryState>(6), 0, 0, 0));
  expect_no_repair();
}

TEST_F(ImpossibleLedger, PoisonsTheQueueForGoodWithoutAHang) {
  write(0, {16, 32, EntryState::leased, 0, owner_});
  die_holding(row().mutex);
  bool moved = false;
  EXPECT_EQ(core::lock_group(view(), group_.row, os::kNoDeadline, moved), core::Locked::poisoned);
  EXPECT_TRUE(segment_.poisoned());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(core::lock_group(view(), group_.row, os::kNoDeadline, moved), core::Locked::poisoned)
        << "again, and at once";
  }
  EXPECT_EQ(core::lease(view(), group_.row, group_.incarnation, owner_, {}, os::kNoDeadline).step,
            core::LeaseStep::poisoned);
  // A producer meets the flag where it looks anyway.
  core::ProducerState producer = segment_.producer(1);
  core::ClaimTaken taken;
  EXPECT_EQ(core::claim(view(), producer, 16, 0, taken), Outcome::poisoned);
}

TEST_F(ImpossibleLedger, OfRandomBytesIsRepairedOrRefusedAndNeverLeftBroken) {
  std::mt19937_64 random = random_numbers();
  for (std::uint32_t trial = 0; trial < scaled(20'000); ++trial) {
    row().retired.store(16 * pick(random, 0, 3));
    for (std::uint32_t i = 0; i < kEntries; ++i) {
      // Small numbers, so that some of it makes sense; now and then a large one.
      const auto position = [&] { return pick(random, 0, 50) == 0 ? random() : 16 * pick(random, 0, 8); };
      entry(i).begin.store(position());
      entry(i).end.store(position());
      entry(i).word.store(pick(random, 0, 1) == 0 ? 0 : random());
      view().index(group_.row)[i] = static_cast<std::uint16_t>(random());
    }
    row().index_first.store(static_cast<std::uint32_t>(random()));
    row().index_count.store(static_cast<std::uint32_t>(random()));
    if (Ledger(view(), group_.row).repair()) {
      ASSERT_TRUE(is_whole());
    }
  }
}

}  // namespace
}  // namespace ipcq::unit
