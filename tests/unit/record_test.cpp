// The record header: what is packed into a head comes out of it, and a record takes the bytes that it must.
#include "ipcq/detail/record.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "fixture.hpp"

namespace ipcq::unit {
namespace {

constexpr std::array kRecordStates = {RecordState::none, RecordState::claimed, RecordState::committed,
                                      RecordState::skipped};

TEST(Record, EveryFieldOfAHeadComesBackWhateverTheOthersAre) {
  for (const RecordState state : kRecordStates) {
    for (const std::uint32_t length : {0U, 1U, 16U, detail::kLengthMask - 1, detail::kLengthMask}) {
      for (const std::uint32_t high : {0U, 1U, 0x8000'0000U, 0xffff'ffffU}) {
        const std::uint64_t head = make_head(state, length, high);
        EXPECT_EQ(detail::head_state(head), state);
        EXPECT_EQ(detail::head_length(head), length);
        EXPECT_EQ(detail::head_high(head), high);
      }
    }
  }
}

TEST(Record, AHeadOfNothingIsZero) { EXPECT_EQ(make_head(RecordState::none, 0, 0), 0U); }

TEST(Record, TagFlagsAndRunShareTheHighHalf) {
  const std::uint64_t head = make_head(RecordState::committed, 5, 0xabcf'1234U);
  EXPECT_EQ(detail::head_tag(head), 0x1234U);
  EXPECT_EQ(detail::head_flags(head), 0xfU);
  EXPECT_EQ(detail::head_run(head), 0xabcU);
}

TEST(Record, ARunIsCutAtItsLargestAndChangesNothingElse) {
  const std::uint64_t head = make_head(RecordState::committed, 5, 0xabcf'1234U);
  for (const std::uint64_t run : {0U, 1U, 4095U, 4096U, 1'000'000U}) {
    const std::uint64_t with = detail::with_run(head, run);
    EXPECT_EQ(detail::head_run(with), run < 4095 ? run : 4095);
    EXPECT_EQ(detail::with_run(with, 0), detail::with_run(head, 0));
  }
}

TEST(Record, TakesItsHeaderAndItsPaddedPayloadAndNoMore) {
  for (std::uint64_t alignment = 16; alignment <= 4096; alignment *= 2) {
    for (const std::uint64_t payload :
         {std::uint64_t{0}, std::uint64_t{1}, alignment - 1, alignment, alignment + 1, 3 * alignment}) {
      const std::uint64_t bytes = detail::record_bytes(payload, alignment);
      EXPECT_EQ(bytes % alignment, 0U);
      EXPECT_GE(bytes, alignment + payload);
      EXPECT_LT(bytes, alignment + payload + alignment);
    }
  }
}

TEST(Record, AnOwnerNamesRowAndIncarnation) {
  for (const std::uint32_t row : {0U, 1U, 254U, 255U}) {
    for (const std::uint32_t incarnation : {1U, 2U, 0xffffffU}) {
      const Owner owner = core::make_owner(row, incarnation);
      EXPECT_EQ(core::owner_row(owner), row);
      EXPECT_EQ(core::owner_incarnation(owner), incarnation);
      EXPECT_NE(owner, 0U) << "0 is nobody";
    }
  }
}

}  // namespace
}  // namespace ipcq::unit
