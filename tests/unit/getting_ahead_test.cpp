// When a consumer pauses before it looks again: only behind a producer that is faster for it, or sends much in any case.
#include "api/getting_ahead.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace ipcq::unit {
namespace {

using detail::GettingAhead;

constexpr std::uint64_t kMessageBytes = 32;
constexpr std::uint64_t kPause_ticks = 1'500;
constexpr std::uint64_t kLook_ticks = 100;
constexpr std::uint32_t kBegin = GettingAhead::kCloseLooks + GettingAhead::kLooks;  // looks from the first to a pause
constexpr std::uint32_t kTrial = GettingAhead::kFirstPauses + GettingAhead::kPauses;

// A consumer and the time that its looks take.
struct Consumer {
  GettingAhead rule;
  std::uint64_t ticks = 1'000;
  std::uint32_t clock_reads = 0;

  bool look(std::uint32_t messages, bool soon, std::uint64_t takes_ticks, std::uint64_t bytes_each = kMessageBytes) {
    ticks += takes_ticks;
    return rule.took_all(messages, messages * bytes_each, soon, [this] {
      ++clock_reads;
      return ticks;
    });
  }
  // Looks behind a producer that is held up, two messages each, until one pauses; at most `most`.
  std::uint32_t looks_until_it_pauses(std::uint32_t most, std::uint64_t takes_ticks = kLook_ticks) {
    std::uint32_t looks = 1;
    while (!look(2, true, takes_ticks) && looks < most) ++looks;
    return looks;
  }
  // Pauses that bring so many messages each, until one was the last; at most `most`.
  std::uint32_t pauses_until_it_stops(std::uint32_t messages, std::uint32_t most) {
    std::uint32_t pauses = 1;
    while (!look(messages, true, kPause_ticks) && pauses < most) ++pauses;
    return pauses;
  }
};

// Without a pause 2 messages in 100 ticks; so many in a pause of 1,500 are as fast.
constexpr std::uint32_t kAsFast = 2 * kPause_ticks / kLook_ticks;

TEST(GettingAheadRule, NeitherPausesNorReadsTheClockInARoundTrip) {
  Consumer consumer;
  for (int trip = 0; trip < 100'000; ++trip) {
    ASSERT_FALSE(consumer.look(1, false, kLook_ticks, 1 << 20));
    ASSERT_FALSE(consumer.look(0, false, kLook_ticks));
    ASSERT_FALSE(consumer.rule.streaming());
  }
  EXPECT_EQ(consumer.clock_reads, 0U);
}

TEST(GettingAheadRule, DoesNotBeginWhereHalfOfTheLooksFindOneMessage) {
  Consumer consumer;
  for (int look = 0; look < 10'000; ++look) {
    ASSERT_FALSE(consumer.look(2, false, kLook_ticks));
    ASSERT_FALSE(consumer.look(1, false, kLook_ticks));
  }
}

TEST(GettingAheadRule, TriesAPauseWhereLookAfterLookFindsSeveral) {
  Consumer consumer;
  EXPECT_EQ(consumer.looks_until_it_pauses(10 * kBegin), kBegin);
  EXPECT_TRUE(consumer.rule.streaming());
}

TEST(GettingAheadRule, TriesAPauseWhereLookAfterLookFindsOneAtOnce) {
  Consumer consumer;
  for (std::uint32_t look = 1; look < kBegin; ++look) ASSERT_FALSE(consumer.look(1, true, kLook_ticks)) << look;
  EXPECT_TRUE(consumer.look(1, true, kLook_ticks));
}

TEST(GettingAheadRule, TriesAPauseSoonerBehindManyMessagesOrLargeOnes) {
  for (const bool large : {false, true}) {
    Consumer consumer;
    const auto look = [&] {
      return large ? consumer.look(2, false, kLook_ticks, 1024) : consumer.look(8, false, kLook_ticks);
    };
    for (std::uint32_t i = 0; i < GettingAhead::kLooks; ++i) ASSERT_FALSE(look()) << large << " " << i;
    EXPECT_TRUE(look()) << large;
  }
}

TEST(GettingAheadRule, GoesOnBehindAProducerThatIsFasterForIt) {
  Consumer consumer;
  consumer.looks_until_it_pauses(kBegin);
  ASSERT_TRUE(consumer.rule.streaming());
  EXPECT_EQ(consumer.pauses_until_it_stops(kAsFast * 9 / 8 + 1, 200), 200U);
}

TEST(GettingAheadRule, StopsBehindAProducerThatIsNoFasterForIt) {
  // Neither many nor much, or it would pay in any case.
  for (const std::uint32_t messages : {kAsFast, kAsFast * 9 / 8 - 2}) {
    ASSERT_LT(messages, GettingAhead::kMuch);
    Consumer consumer;
    consumer.looks_until_it_pauses(kBegin);
    EXPECT_EQ(consumer.pauses_until_it_stops(messages, 200), kTrial) << messages;
    EXPECT_FALSE(consumer.rule.streaming());
  }
}

TEST(GettingAheadRule, CountsWhatWasTakenWhileMoreWasThere) {
  Consumer consumer;
  consumer.looks_until_it_pauses(kBegin);
  for (std::uint32_t pause = 0; pause < 50; ++pause) {
    consumer.rule.took_some(kAsFast, kAsFast * kMessageBytes);
    ASSERT_FALSE(consumer.look(kAsFast / 2, true, kPause_ticks)) << pause;
  }
  EXPECT_TRUE(consumer.rule.streaming());
}

TEST(GettingAheadRule, GoesOnWhereAPauseBringsMuchThoughNobodyIsFaster) {
  constexpr std::uint64_t kFast_ticks = 1;  // so fast without that nothing is faster
  for (const bool bytes : {false, true}) {
    Consumer consumer;
    consumer.looks_until_it_pauses(kBegin, kFast_ticks);
    const std::uint32_t messages = bytes ? 2U : std::uint32_t{GettingAhead::kMuch};
    const std::uint64_t each = bytes ? GettingAhead::kMuchBytes / 2 : 1;
    for (std::uint32_t pause = 0; pause < 200; ++pause)
      ASSERT_FALSE(consumer.look(messages, true, kPause_ticks, each)) << bytes << " " << pause;
    EXPECT_FALSE(consumer.look(messages, true, kPause_ticks, each));
  }
}

TEST(GettingAheadRule, StopsAtOnceWhereAPauseBringsHardlyAnything) {
  for (const std::uint32_t messages : {0U, GettingAhead::kFew}) {
    Consumer consumer;
    consumer.looks_until_it_pauses(kBegin);
    EXPECT_TRUE(consumer.look(messages, false, kPause_ticks)) << messages;
    EXPECT_FALSE(consumer.rule.streaming());
  }
}

TEST(GettingAheadRule, TriesAgainLaterAndLaterWhereItDoesNotPay) {
  Consumer consumer;
  std::uint32_t before = 0;
  for (std::uint32_t rounds = 0; rounds < GettingAhead::kRoundsMost; rounds = rounds == 0 ? 1 : 2 * rounds) {
    const std::uint32_t looks = consumer.looks_until_it_pauses(1'000'000);
    EXPECT_EQ(looks, kBegin + rounds * GettingAhead::kCloseLooks);
    EXPECT_GT(looks, before);
    before = looks;
    EXPECT_EQ(consumer.pauses_until_it_stops(kAsFast, 200), kTrial);
  }
  for (int attempt = 0; attempt < 3; ++attempt) {
    EXPECT_EQ(consumer.looks_until_it_pauses(1'000'000), kBegin + GettingAhead::kRoundsMost * GettingAhead::kCloseLooks);
    consumer.pauses_until_it_stops(kAsFast, 200);
  }
}

TEST(GettingAheadRule, TriesSoonAgainAfterItHasPaid) {
  Consumer consumer;
  for (int attempt = 0; attempt < 6; ++attempt) {
    consumer.looks_until_it_pauses(1'000'000);
    consumer.pauses_until_it_stops(kAsFast, 200);
  }
  consumer.looks_until_it_pauses(1'000'000);
  EXPECT_EQ(consumer.pauses_until_it_stops(2 * kAsFast, kTrial), kTrial);
  ASSERT_TRUE(consumer.rule.streaming());
  consumer.look(0, false, kPause_ticks);
  EXPECT_EQ(consumer.looks_until_it_pauses(1'000'000), kBegin + GettingAhead::kCloseLooks);
}

TEST(GettingAheadRule, MeasuresAnewWhatThePaceWithoutPausesIs) {
  Consumer consumer;
  consumer.looks_until_it_pauses(kBegin);
  EXPECT_EQ(consumer.pauses_until_it_stops(2 * kAsFast, 1'000'000),
            GettingAhead::kFirstPauses + GettingAhead::kTimings * GettingAhead::kPauses);
  EXPECT_EQ(consumer.looks_until_it_pauses(1'000'000), kBegin) << "at once, not after rounds without";
}

TEST(GettingAheadRule, TakesNothingFromATimeInWhichNothingHappened) {
  Consumer consumer;
  consumer.looks_until_it_pauses(kBegin - 1);
  ASSERT_TRUE(consumer.look(2, true, std::uint64_t{1} << 40)) << "an hour for one look";
  EXPECT_EQ(consumer.pauses_until_it_stops(kAsFast, 200), kTrial) << "anything would be faster than that";
}

}  // namespace
}  // namespace ipcq::unit
