// When a consumer pauses before it looks again: only while that pays.
#include "api/getting_ahead.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace ipcq::unit {
namespace {

using detail::GettingAhead;

constexpr std::uint64_t kPlenty = GettingAhead::kBytesPerUnit * GettingAhead::kMostUnits;
constexpr std::uint32_t kTooMany = 2 * (GettingAhead::kMostLooks + 1);

// Looks, each of which found what may begin pauses, until one did; at most kTooMany.
std::uint32_t looks_until_it_pauses(GettingAhead& rule) {
  std::uint32_t looks = 1;
  while (!rule.took_all(8, 128, false) && looks < kTooMany) ++looks;
  return looks;
}

// A pause in which less came than makes it pay.
bool too_little(GettingAhead& rule) {
  return rule.took_all(GettingAhead::kFirstUnits / GettingAhead::kUnitsPerMessage - 1,
                       GettingAhead::kBytesPerUnit * GettingAhead::kFirstUnits - 1, false);
}

TEST(GettingAheadRule, NeverPausesInARoundTrip) {
  GettingAhead rule;
  for (int trip = 0; trip < 100'000; ++trip) {
    ASSERT_FALSE(rule.took_all(1, 1 << 20, false));
    ASSERT_FALSE(rule.took_all(0, 0, false));
    ASSERT_EQ(rule.units(), 0U);
  }
}

TEST(GettingAheadRule, BeginsWithEightMessagesOrTwoLargeOnes) {
  EXPECT_FALSE(GettingAhead{}.took_all(7, 2047, false));
  EXPECT_TRUE(GettingAhead{}.took_all(8, 8 * 16, false));
  EXPECT_TRUE(GettingAhead{}.took_all(2, 2048, false));
}

TEST(GettingAheadRule, PausesLongerWhileItPaysAndNoLongerThanItsMost) {
  GettingAhead rule;
  EXPECT_TRUE(rule.took_all(8, kPlenty, false));
  EXPECT_EQ(rule.units(), GettingAhead::kFirstUnits);
  EXPECT_FALSE(rule.took_all(64, GettingAhead::kBytesPerUnit * GettingAhead::kFirstUnits, false));
  EXPECT_EQ(rule.units(), 2 * GettingAhead::kFirstUnits);
  for (int look = 0; look < 100; ++look) rule.took_all(64, kPlenty, false);
  EXPECT_EQ(rule.units(), GettingAhead::kMostUnits);
}

TEST(GettingAheadRule, BeginsWhereLookAfterLookFindsSeveral) {
  GettingAhead rule;
  for (std::uint32_t look = 1; look < GettingAhead::kCloseLooks; ++look)
    EXPECT_FALSE(rule.took_all(2, 64, false)) << look;
  EXPECT_TRUE(rule.took_all(2, 64, false));
}

TEST(GettingAheadRule, BeginsWhereLookAfterLookFindsOneAtOnce) {
  GettingAhead rule;
  for (std::uint32_t look = 1; look < GettingAhead::kCloseLooks; ++look)
    EXPECT_FALSE(rule.took_all(1, 32, true)) << look;
  EXPECT_TRUE(rule.took_all(1, 32, true));
}

TEST(GettingAheadRule, DoesNotBeginWhereHalfOfTheLooksFindOneMessage) {
  GettingAhead rule;
  for (int look = 0; look < 10'000; ++look) {
    ASSERT_FALSE(rule.took_all(2, 64, false));
    ASSERT_FALSE(rule.took_all(1, 32, false));
  }
}

TEST(GettingAheadRule, TakesManySmallMessagesForAsGoodAsManyBytes) {
  GettingAhead rule;
  EXPECT_TRUE(rule.took_all(8, 8 * 32, false));
  rule.took_all(GettingAhead::kFirstUnits / GettingAhead::kUnitsPerMessage, 8 * 32, false);
  EXPECT_EQ(rule.units(), 2 * GettingAhead::kFirstUnits);
}

TEST(GettingAheadRule, StopsWhereItsFirstPausesDoNotPayAndTriesAgainLaterAndLater) {
  GettingAhead rule;
  std::uint32_t wait = 0;
  std::uint32_t longest = 0;
  for (int attempt = 0; attempt < 12; ++attempt) {
    const std::uint32_t looks = looks_until_it_pauses(rule);
    EXPECT_GE(looks, wait) << attempt;
    EXPECT_LE(looks, GettingAhead::kMostLooks + 1) << attempt;
    wait = looks;
    longest = looks;
    EXPECT_TRUE(rule.streaming());
    for (std::uint32_t pause = 0; pause < GettingAhead::kFirstPauses; ++pause) {
      EXPECT_FALSE(too_little(rule)) << pause;
      EXPECT_EQ(rule.units(), GettingAhead::kFirstUnits);
    }
    EXPECT_TRUE(too_little(rule));
    EXPECT_EQ(rule.units(), 0U);
  }
  EXPECT_EQ(longest, GettingAhead::kMostLooks + 1);
}

TEST(GettingAheadRule, StopsAtOnceWhereItHasPaidAndDoesNoMore) {
  GettingAhead rule;
  EXPECT_TRUE(rule.took_all(8, kPlenty, false));
  rule.took_all(64, kPlenty, false);
  EXPECT_TRUE(too_little(rule));
  EXPECT_EQ(rule.units(), 0U);
}

TEST(GettingAheadRule, TriesSoonAgainAfterItHasPaid) {
  GettingAhead rule;
  for (int attempt = 0; attempt < 6; ++attempt) {
    ASSERT_LT(looks_until_it_pauses(rule), kTooMany);
    while (rule.streaming()) too_little(rule);
  }
  ASSERT_LT(looks_until_it_pauses(rule), kTooMany);
  rule.took_all(64, kPlenty, false);
  too_little(rule);  // no more
  EXPECT_EQ(looks_until_it_pauses(rule), 3U) << "two looks without, then it is tried again";
}

}  // namespace
}  // namespace ipcq::unit
