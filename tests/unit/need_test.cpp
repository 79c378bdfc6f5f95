// Room → need: whatever way the bytes of a claim are split over its messages, they fit; equal messages fit exactly.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "core/producer_side.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

// Only the sizes of a view are asked for: no memory behind it.
core::View view_of(std::uint64_t capacity, std::uint64_t alignment) {
  core::View view;
  view.set_ring(capacity, alignment);
  return view;
}

std::uint64_t bytes_of(const std::vector<std::uint64_t>& sizes, std::uint64_t alignment) {
  std::uint64_t bytes = 0;
  for (const std::uint64_t size : sizes) bytes += detail::record_bytes(size, alignment);
  return bytes;
}

TEST(Need, CoversEverySplitOfTheBytesOverTheMessages) {
  std::mt19937_64 random = random_numbers();
  for (std::uint32_t trial = 0; trial < scaled(20'000); ++trial) {
    const std::uint64_t alignment = std::uint64_t{16} << pick(random, 0, 8);
    const core::View view = view_of(std::uint64_t{1} << 30, alignment);
    const std::uint64_t messages = pick(random, 1, 40);
    const std::uint64_t bytes = pick(random, 0, 3 * messages * alignment);
    const std::uint64_t need = core::need_of(view, messages, bytes, 0);
    ASSERT_EQ(need % alignment, 0U);
    // Cut the bytes at random places.
    std::vector<std::uint64_t> cuts = {0, bytes};
    while (cuts.size() <= messages) cuts.push_back(pick(random, 0, bytes));
    std::sort(cuts.begin(), cuts.end());
    std::vector<std::uint64_t> sizes;
    for (std::size_t i = 1; i < cuts.size(); ++i) sizes.push_back(cuts[i] - cuts[i - 1]);
    ASSERT_EQ(sizes.size(), messages);
    ASSERT_LE(bytes_of(sizes, alignment), need)
        << messages << " messages, " << bytes << " bytes, alignment " << alignment;
  }
}

TEST(Need, IsTightForTheSplitThatWastesTheMost) {
  for (std::uint64_t alignment = 16; alignment <= 4096; alignment *= 2) {
    const core::View view = view_of(std::uint64_t{1} << 30, alignment);
    for (const std::uint64_t messages : {1U, 2U, 7U, 64U}) {
      // One byte over a multiple of the alignment in each message pads the most.
      const std::vector<std::uint64_t> sizes(messages, 2 * alignment + 1);
      const std::uint64_t bytes = messages * (2 * alignment + 1);
      EXPECT_EQ(core::need_of(view, messages, bytes, 0), bytes_of(sizes, alignment));
    }
  }
}

TEST(Need, IsExactForEqualMessages) {
  for (std::uint64_t alignment = 16; alignment <= 4096; alignment *= 2) {
    const core::View view = view_of(std::uint64_t{1} << 30, alignment);
    for (const std::uint64_t messages : {1U, 2U, 64U, 4096U}) {
      for (const std::uint64_t size :
           {std::uint64_t{1}, std::uint64_t{8}, alignment, alignment + 1, std::uint64_t{1000}}) {
        EXPECT_EQ(core::need_of(view, messages, messages * size, size), messages * detail::record_bytes(size, alignment));
      }
    }
  }
}

TEST(Need, OfWhatCanNeverFitIsMoreThanAnyClaimMayHave) {
  const core::View view = view_of(layout::kCapacityMax, 16);
  constexpr std::uint64_t kAll = UINT64_MAX;
  EXPECT_GT(core::need_of(view, 1, kAll, 0), view.need_max);
  EXPECT_GT(core::need_of(view, kAll, 0, 0), view.need_max);
  EXPECT_GT(core::need_of(view, UINT32_MAX, 0, 0), view.need_max);
  EXPECT_GT(core::need_of(view, 1, 1, kAll), view.need_max);
  EXPECT_GT(core::need_of(view, UINT32_MAX, 8, detail::kClaimBytesMax), view.need_max);
  EXPECT_GT(core::need_of(view, 1, detail::kClaimBytesMax, 0), view.need_max);
}

TEST(Need, OfAClaimLeavesRoomForTheEndMarkAndFitsALength) {
  for (std::uint64_t capacity = kCapacity; capacity <= layout::kCapacityMax; capacity *= 2) {
    for (const std::uint64_t alignment : {16U, 64U, 4096U}) {
      const core::View view = view_of(capacity, alignment);
      EXPECT_LE(view.need_max + alignment, capacity);
      EXPECT_LE(view.need_max, detail::kLengthMask);
      EXPECT_EQ(view.need_max % alignment, 0U);
    }
  }
}

TEST(Need, OfTheLargestMessageAQueuePromisesFitsAClaim) {
  for (std::uint64_t capacity = kCapacity; capacity <= layout::kCapacityMax; capacity *= 2) {
    for (const std::uint64_t alignment : {16U, 64U, 4096U}) {
      const core::View view = view_of(capacity, alignment);
      ASSERT_LE(core::need_of(view, 1, view.message_bytes_max, 0), view.need_max) << "capacity " << capacity;
      ASSERT_LE(view.message_bytes_max, detail::kLengthMask) << "capacity " << capacity;
    }
  }
}

}  // namespace
}  // namespace ipcq::unit
