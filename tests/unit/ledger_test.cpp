// The ledger while nobody dies: every operation keeps the entries in use tiling what is neither retired nor unleased, and
// the index a permutation in order of begin.
#include "core/ledger.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using core::Ledger;

class LedgerOperations : public LedgerBench {
 protected:
  Ledger ledger_{view(), group_.row};
  Owner owner_ = segment_.attach(0, layout::RowKind::consumer);

  /// A range behind the last.
  std::uint32_t append(std::uint64_t bytes, EntryState state, std::uint32_t deliveries = 0) {
    const std::uint64_t begin = ledger_.lease_position();
    return ledger_.insert(ledger_.in_use(), begin, begin + bytes, state, deliveries,
                          state == EntryState::leased ? owner_ : 0, 0);
  }
  void finish(std::uint32_t number) const {
    const std::uint64_t word = entry(number).word.load();
    entry(number).word.store(core::make_word(EntryState::done, core::word_deliveries(word), core::word_sequence(word), 0));
  }
};

TEST_F(LedgerOperations, AnEmptyLedgerLeasesFromRetiredOn) {
  row().retired.store(4096);
  EXPECT_EQ(ledger_.in_use(), 0U);
  EXPECT_EQ(ledger_.lease_position(), 4096U);
  EXPECT_FALSE(ledger_.full());
  EXPECT_FALSE(ledger_.retire());
  EXPECT_FALSE(ledger_.merge());
}

TEST_F(LedgerOperations, InsertedRangesAreKeptInOrderAndMoveTheLeasePosition) {
  append(64, EntryState::leased);
  append(32, EntryState::leased);
  EXPECT_EQ(ledger_.lease_position(), 96U);
  EXPECT_EQ(ranges(),
            (std::vector<Range>{{0, 64, EntryState::leased, 0, owner_}, {64, 96, EntryState::leased, 0, owner_}}));
  EXPECT_TRUE(is_whole());
}

TEST_F(LedgerOperations, ARangeInsertedInTheMiddleMovesThoseBehindItInTheIndexOnly) {
  const std::uint32_t first = append(64, EntryState::redeliverable, 1);
  const std::uint32_t last = append(32, EntryState::leased);
  entry(first).end.store(16);
  const std::uint32_t rest = ledger_.insert(1, 16, 64, EntryState::redeliverable, 1, 0, 0);
  EXPECT_EQ(ledger_.at(0), first);
  EXPECT_EQ(ledger_.at(1), rest);
  EXPECT_EQ(ledger_.at(2), last);
  EXPECT_TRUE(is_whole());
}

TEST_F(LedgerOperations, TheSequenceRisesWheneverAWordBecomesLeasedAndStaysWhenTheEntryIsFree) {
  const std::uint32_t number = append(16, EntryState::leased);
  const std::uint64_t first = ledger_.word(number);
  entry(number).word.store(core::given_back(first, 0));
  const std::uint64_t second = ledger_.lease(number, owner_, 0);
  EXPECT_EQ(core::word_sequence(second), core::word_sequence(first) + 1);
  EXPECT_EQ(core::word_deliveries(second), 1U);
  finish(number);
  ledger_.retire();
  EXPECT_EQ(read(number).state, EntryState::free);
  // The index hands the entries out in turn: go round until it is this one's.
  std::uint32_t again = append(16, EntryState::leased);
  while (again != number) {
    finish(again);
    ledger_.retire();
    again = append(16, EntryState::leased);
  }
  EXPECT_EQ(core::word_sequence(ledger_.word(number)), core::word_sequence(second) + 1);
}

TEST_F(LedgerOperations, RetireStopsAtTheFirstRangeThatIsNotDone) {
  const std::uint32_t a = append(16, EntryState::leased);
  const std::uint32_t b = append(16, EntryState::leased);
  append(16, EntryState::leased);
  finish(b);
  EXPECT_FALSE(ledger_.retire()) << "an older range is open";
  EXPECT_EQ(retired(), 0U);
  finish(a);
  EXPECT_TRUE(ledger_.retire());
  EXPECT_EQ(retired(), 32U);
  EXPECT_EQ(ledger_.in_use(), 1U);
  EXPECT_TRUE(is_whole());
}

TEST_F(LedgerOperations, NothingButADoneRangeIsRetired) {
  const std::uint32_t number = append(16, EntryState::leased);
  for (const EntryState state : {EntryState::leased, EntryState::redeliverable, EntryState::parked}) {
    write(number, {0, 16, state, 0, state == EntryState::leased ? owner_ : 0});
    EXPECT_FALSE(ledger_.retire());
    EXPECT_EQ(retired(), 0U);
  }
  write(number, {0, 16, EntryState::done, 0, 0});
  EXPECT_TRUE(ledger_.retire());
  EXPECT_EQ(retired(), 16U);
}

TEST_F(LedgerOperations, MergeMakesOneOfTwoNeighboursThatAreDone) {
  append(16, EntryState::leased);
  const std::uint32_t b = append(16, EntryState::leased);
  const std::uint32_t c = append(16, EntryState::leased);
  append(16, EntryState::leased);
  finish(b);
  EXPECT_FALSE(ledger_.merge());
  finish(c);
  EXPECT_TRUE(ledger_.merge());
  EXPECT_EQ(ledger_.in_use(), 3U);
  EXPECT_EQ(read(b).end, 48U);
  EXPECT_EQ(read(c).state, EntryState::free);
  EXPECT_TRUE(is_whole());
  EXPECT_FALSE(ledger_.merge());
}

TEST_F(LedgerOperations, AFullLedgerMergesUntilItHasAFreeEntry) {
  std::vector<std::uint32_t> numbers;
  while (!ledger_.full()) numbers.push_back(append(16, EntryState::leased));
  for (std::size_t i = 1; i < numbers.size(); ++i) finish(numbers[i]);
  for (std::uint32_t left = kEntries; left > 2; --left) {
    ASSERT_TRUE(ledger_.merge());
    ASSERT_EQ(ledger_.in_use(), left - 1);
    ASSERT_TRUE(is_whole());
  }
  EXPECT_FALSE(ledger_.merge()) << "what is left are the open lease and one done range";
}

TEST_F(LedgerOperations, AnEmptyLedgerPassesSkippedRecordsATurnAtATime) {
  for (std::uint64_t i = 0; i < 10; ++i) segment_.put_head(16 * i, RecordState::skipped, 16);
  view().side().claim.claim_position.store(160);
  EXPECT_TRUE(ledger_.pass_skipped(4).unfinished);
  EXPECT_EQ(retired(), 64U);
  EXPECT_FALSE(ledger_.pass_skipped(6).unfinished) << "exactly the last: nothing more may follow";
  EXPECT_EQ(retired(), 160U);
  EXPECT_EQ(ledger_.pass_skipped(4).end, 160U);
}

TEST_F(LedgerOperations, SkippedRecordsAreNotPassedWithARangeOpenNorInFrontOfAMessage) {
  segment_.put_head(0, RecordState::skipped, 16);
  view().side().claim.claim_position.store(segment_.put_messages(16, {8}));
  append(16, EntryState::leased);
  EXPECT_FALSE(ledger_.pass_skipped(100).unfinished);
  EXPECT_EQ(retired(), 0U);
  finish(ledger_.at(0));
  ledger_.retire();
  EXPECT_EQ(ledger_.pass_skipped(100).end, 16U) << "the next record is a message";
  EXPECT_EQ(retired(), 16U);
}

TEST_F(LedgerOperations, SkippedRecordsThatNobodyClaimedAreNotPassed) {
  segment_.put_head(0, RecordState::skipped, 16);
  EXPECT_TRUE(ledger_.pass_skipped(100).damaged);
  view().side().claim.claim_position.store(kCapacity);
  EXPECT_TRUE(ledger_.pass_skipped(100).damaged) << "nor where more is claimed than there is room for";
  EXPECT_EQ(retired(), 0U);
}

TEST_F(LedgerOperations, ADamagedLengthIsNotPassed) {
  segment_.put_head(0, RecordState::skipped, 0);
  view().side().claim.claim_position.store(160);
  EXPECT_TRUE(ledger_.pass_skipped(100).damaged);
  EXPECT_EQ(retired(), 0U);
}

TEST_F(LedgerOperations, ADroppedFrontIsFreeAndTheNextIsFirst) {
  append(16, EntryState::redeliverable, 1);
  const std::uint32_t next = append(16, EntryState::leased);
  row().retired.store(16);
  ledger_.drop_front();
  EXPECT_EQ(ledger_.at(0), next);
  EXPECT_TRUE(is_whole());
}

// All operations in any order, against the plainest model there is: a list of ranges.
TEST_F(LedgerOperations, AnyOrderOfOperationsAgreesWithAListOfRanges) {
  std::mt19937_64 random = random_numbers();
  std::vector<Range> model;
  std::uint64_t model_retired = 0;
  const auto retire_model = [&] {
    while (!model.empty() && model.front().state == EntryState::done) {
      model_retired = model.front().end;
      model.erase(model.begin());
    }
  };
  for (std::uint32_t step = 0; step < scaled(20'000); ++step) {
    const std::uint64_t what = pick(random, 0, 5);
    const std::uint64_t k = model.empty() ? 0 : pick(random, 0, model.size() - 1);
    if (what == 0 && !ledger_.full()) {
      const std::uint64_t bytes = 16 * pick(random, 1, 4);
      append(bytes, EntryState::leased);
      const std::uint64_t begin = model.empty() ? model_retired : model.back().end;
      model.push_back({begin, begin + bytes, EntryState::leased, 0, owner_});
    } else if (what == 1 && !model.empty() && model[k].state == EntryState::leased) {
      finish(ledger_.at(static_cast<std::uint32_t>(k)));
      model[k] = {model[k].begin, model[k].end, EntryState::done, model[k].deliveries, 0};
    } else if (what == 2 && !model.empty() && model[k].state == EntryState::leased) {
      auto& word = entry(ledger_.at(static_cast<std::uint32_t>(k))).word;
      word.store(core::given_back(word.load(), 0));
      model[k] = {model[k].begin, model[k].end, EntryState::redeliverable,
                  std::min(model[k].deliveries + 1, core::kDeliveriesMax), 0};
    } else if (what == 3 && !model.empty() && model[k].state == EntryState::redeliverable) {
      // Its first 16 bytes alone, where there is an entry for the rest.
      const std::uint32_t number = ledger_.at(static_cast<std::uint32_t>(k));
      if (model[k].end - model[k].begin > 16 && !ledger_.full()) {
        const std::uint64_t cut = model[k].begin + 16;
        ledger_.insert(static_cast<std::uint32_t>(k) + 1, cut, model[k].end, EntryState::redeliverable,
                       model[k].deliveries, 0, 0);
        entry(number).end.store(cut);
        model.insert(model.begin() + static_cast<std::ptrdiff_t>(k) + 1,
                     {cut, model[k].end, EntryState::redeliverable, model[k].deliveries, 0});
        model[k].end = cut;
      }
      ledger_.lease(number, owner_, 0);
      model[k].state = EntryState::leased;
      model[k].owner = owner_;
    } else if (what == 4) {
      ledger_.retire();
      retire_model();
    } else if (what == 5 && ledger_.merge()) {
      std::size_t i = 0;
      while (model[i].state != EntryState::done || model[i + 1].state != EntryState::done) ++i;
      model[i].end = model[i + 1].end;
      model.erase(model.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
    ASSERT_EQ(ranges(), model) << "after step " << step;
    ASSERT_EQ(retired(), model_retired);
    ASSERT_TRUE(is_whole());
  }
}

}  // namespace
}  // namespace ipcq::unit
