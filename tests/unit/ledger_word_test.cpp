// The ledger entry's word: state, deliveries, sequence and owner in 64 bits, each untouched by the others.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "core/ledger.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

constexpr std::array kEntryStates = {EntryState::free, EntryState::leased, EntryState::done, EntryState::redeliverable,
                                     EntryState::parked};

TEST(LedgerWord, EveryFieldComesBackWhateverTheOthersAre) {
  for (const EntryState state : kEntryStates) {
    for (const std::uint32_t deliveries : {0U, 1U, core::kDeliveriesMax}) {
      for (const std::uint32_t sequence : {0U, 1U, 0xffffU}) {
        for (const Owner owner : {Owner{0}, core::make_owner(255, 1), Owner{0xffff'ffffU}}) {
          const std::uint64_t word = core::make_word(state, deliveries, sequence, owner);
          EXPECT_EQ(core::word_state(word), state);
          EXPECT_EQ(core::word_deliveries(word), deliveries);
          EXPECT_EQ(core::word_sequence(word), sequence);
          EXPECT_EQ(core::word_owner(word), owner);
        }
      }
    }
  }
}

TEST(LedgerWord, OfZeroedMemoryIsFree) { EXPECT_EQ(core::word_state(0), EntryState::free); }

TEST(LedgerWord, TheSequenceStartsAgainWithoutTouchingItsNeighbours) {
  const std::uint64_t word = core::make_word(EntryState::leased, 3, 0x1'0000, 7);
  EXPECT_EQ(word, core::make_word(EntryState::leased, 3, 0, 7));
}

TEST(LedgerWord, GivenBackIsNobodysWithOneDeliveryMoreAndTheSameSequence) {
  const std::uint64_t back = core::given_back(core::make_word(EntryState::leased, 4, 9, core::make_owner(2, 5)), 0);
  EXPECT_EQ(back, core::make_word(EntryState::redeliverable, 5, 9, 0));
}

TEST(LedgerWord, DeliveriesSaturate) {
  std::uint64_t word = core::make_word(EntryState::leased, core::kDeliveriesMax - 1, 0, 7);
  for (int i = 0; i < 3; ++i) {
    word = core::given_back(word, 0);
    EXPECT_EQ(core::word_deliveries(word), core::kDeliveriesMax);
    EXPECT_EQ(core::word_state(word), EntryState::redeliverable);
  }
}

}  // namespace
}  // namespace ipcq::unit
