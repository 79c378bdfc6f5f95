// Which of a bucket's words hold, and which change it.
#include <gtest/gtest.h>

#include <cstdint>

#include "core/quota.hpp"
#include "core/quota_table.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

class QuotaWords : public ::testing::Test {
 protected:
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  void set(QuotaSource source, const Quota& quota) const {
    ASSERT_EQ(core::set_quota(view(), QuotaScope::queue(), source, quota), core::SetQuota::ok);
  }
  [[nodiscard]] QuotaInfo info() const { return core::quota_info(view(), core::kQueueBucket, QuotaScope::queue()); }
  [[nodiscard]] std::uint32_t changes() const {
    return core::quota_bucket(view(), core::kQueueBucket).change.load() / 2;
  }
  static constexpr auto kFirst = static_cast<QuotaSource>(0);
  static constexpr auto kSecond = static_cast<QuotaSource>(1);

  CoreSegment segment_;
};

TEST_F(QuotaWords, of_a_row_that_there_is_not_are_nowhere) {
  EXPECT_EQ(core::find_bucket(view(), QuotaScope::producer(view().endpoints_max)), core::quota_buckets(view()));
  EXPECT_EQ(core::find_bucket(view(), QuotaScope::producer(0)), core::row_bucket(0));
}

TEST_F(QuotaWords, that_hold_are_of_the_source_whose_burst_is_the_lower_too) {
  const Quota loose{.messages_per_second = 10, .bytes_per_second = 1000, .burst_messages = 50, .burst_bytes = 9000};
  Quota tight = loose;
  tight.burst_messages = 5;
  tight.burst_bytes = 900;
  set(kFirst, loose);
  set(kSecond, tight);
  EXPECT_EQ(info().messages_by, kSecond);
  EXPECT_EQ(info().bytes_by, kSecond);
  EXPECT_EQ(info().holds.burst_messages, 5U);
  EXPECT_EQ(info().holds.burst_bytes, 900U);
  set(kFirst, tight);
  EXPECT_EQ(info().messages_by, kFirst) << "of equals the first";
  EXPECT_EQ(info().bytes_by, kFirst);
}

TEST_F(QuotaWords, are_another_quota_if_any_one_of_them_differs) {
  Quota quota{.messages_per_second = 10, .bytes_per_second = 1000, .burst_messages = 50, .burst_bytes = 9000};
  set(kFirst, quota);
  const std::uint32_t before = changes();
  quota.burst_bytes += 1;
  set(kFirst, quota);
  quota.burst_messages += 1;
  set(kFirst, quota);
  quota.bytes_per_second += 1;
  set(kFirst, quota);
  quota.messages_per_second += 1;
  set(kFirst, quota);
  EXPECT_EQ(changes(), before + 4);
  set(kFirst, quota);
  EXPECT_EQ(changes(), before + 4) << "the same again is no change";
}

}  // namespace
}  // namespace ipcq::unit
