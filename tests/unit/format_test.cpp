// A formatted segment: its tables lie one behind the other and stay small, its words say "nothing yet", and it is valid.
#include "layout/format.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/producer_side.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

using layout::HeaderCopy;
using layout::Plan;

TEST(Format, TheControlAreaOfDefaultOptionsIsAtMostAMebibyte) {
  const Plan plan;
  EXPECT_LE(layout::control_bytes(plan.endpoints_max, plan.groups_max, plan.ledger_entries), std::uint64_t{1} << 20);
}

TEST(Format, TheControlAreaIsWholePagesAndEndsWhereTheDataBegins) {
  for (const std::uint32_t endpoints : {2U, 3U, 128U, 255U}) {
    for (const std::uint32_t groups : {1U, 64U}) {
      for (const std::uint32_t entries : {4U, 5U, 256U, 4096U}) {
        const std::uint64_t bytes = layout::control_bytes(endpoints, groups, entries);
        EXPECT_EQ(bytes % os::page_bytes(), 0U);
        const std::uint64_t tables = layout::kRowsOffset + endpoints * sizeof(layout::EndpointRow) +
                                     groups * layout::group_bytes(entries) +
                                     (1 + layout::kUidBuckets + endpoints) * sizeof(layout::QuotaBucket);
        EXPECT_GE(bytes, tables);
        EXPECT_LT(bytes, tables + os::page_bytes());
      }
    }
  }
}

TEST(Format, EveryTableIsAlignedToACacheLine) {
  for (const std::uint32_t entries : {4U, 5U, 7U, 256U}) {
    const CoreSegment segment({.endpoints_max = 3, .groups_max = 3, .ledger_entries = entries});
    const layout::Header& header = segment.view().header();
    EXPECT_EQ(header.rows_offset % layout::kCacheLine, 0U);
    EXPECT_EQ(header.groups_offset % layout::kCacheLine, 0U);
    EXPECT_EQ(header.group_stride % layout::kCacheLine, 0U);
    EXPECT_EQ(header.quota_offset % layout::kCacheLine, 0U);
  }
}

TEST(Format, TheTablesOfAGroupDoNotOverlap) {
  for (const std::uint32_t entries : {4U, 5U, 4096U}) {
    const CoreSegment segment({.ledger_entries = entries});
    const core::View& view = segment.view();
    for (std::uint32_t i = 0; i < view.groups_max; ++i) {
      const auto at = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p); };
      EXPECT_EQ(at(view.entries(i)), at(&view.group(i)) + sizeof(layout::GroupRow));
      EXPECT_EQ(at(view.index(i)), at(view.entries(i) + entries));
      EXPECT_GE(at(&view.histograms(i)), at(view.index(i) + entries));
      EXPECT_EQ(at(&view.histograms(i)) + sizeof(layout::Histograms), at(&view.group(i)) + view.group_stride);
    }
  }
}

TEST(Format, SaysThatNothingHasHappenedYet) {
  const CoreSegment segment;
  const core::View& view = segment.view();
  EXPECT_EQ(view.frozen().flags.load(), 0U);
  EXPECT_EQ(view.side().close.closed_at.load(), core::kNoPosition);
  EXPECT_EQ(view.side().close.exclusive_owner.load(), 0U);
  EXPECT_EQ(segment.claim_position(), 0U);
  EXPECT_EQ(segment.head(0), 0U);
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    EXPECT_FALSE(core::row_attached(view, i));
    EXPECT_EQ(view.row(i).open_claim.load(), core::kNoPosition);
  }
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    EXPECT_EQ(view.group(i).state.load(), static_cast<std::uint32_t>(layout::GroupState::free));
  }
}

TEST(Format, EveryMutexIsUsableAndRobust) {
  const CoreSegment segment;
  const core::View& view = segment.view();
  std::vector<os::RobustMutex*> mutexes = {&view.side().producer_lock.mutex, &view.side().table_lock.mutex};
  for (std::uint32_t i = 0; i < view.groups_max; ++i) mutexes.push_back(&view.group(i).mutex);
  for (os::RobustMutex* mutex : mutexes) {
    die_holding(*mutex);
    ASSERT_EQ(mutex->lock(0), os::LockResult::owner_died);
    mutex->consistent();
    mutex->unlock();
    ASSERT_EQ(mutex->lock(0), os::LockResult::clean);
    mutex->unlock();
  }
}

TEST(Format, WhatWasPlannedIsReadBack) {
  Plan plan = plan_of({.capacity = 4 * kCapacity, .alignment = 64, .producers = ProducerMode::exclusive});
  plan.consumers = static_cast<std::uint8_t>(ConsumerMode::exclusive);
  plan.overflow = static_cast<std::uint8_t>(Overflow::reject);
  plan.metrics = false;
  plan.clock = layout::ClockKind::tsc;
  plan.clock_mult = 1'234'567;
  plan.clock_shift = 21;
  plan.type = std::string(layout::kTypeBytes - 1, 't');
  plan.owner_uid = 1234;
  plan.namespaces = {{1, 2}, {3, 4}};
  plan.created_unix_ns = 99;
  std::vector<std::uint64_t> memory(
      layout::control_bytes(plan.endpoints_max, plan.groups_max, plan.ledger_entries) / 8 + 8);
  // Structs are aligned to a cache line.
  void* at = memory.data();
  std::size_t space = memory.size() * 8;
  auto* control = static_cast<std::byte*>(std::align(layout::kCacheLine, space - 64, at, space));
  ASSERT_NE(control, nullptr);
  ASSERT_EQ(layout::format(control, plan), 0);
  HeaderCopy copy;
  ASSERT_EQ(layout::validate(control, layout::kSideOffset, layout::segment_bytes(plan), copy).verdict,
            layout::Verdict::ok);
  EXPECT_EQ(copy.layout_version, layout::kLayoutVersion);
  EXPECT_EQ(copy.segment_bytes, layout::segment_bytes(plan));
  EXPECT_EQ(copy.life_begin, layout::kLifeBegin);
  EXPECT_EQ(copy.life_count, plan.endpoints_max);
  EXPECT_EQ(copy.owner_uid, 1234U);
  EXPECT_EQ(copy.namespaces.pid, (os::FileId{1, 2}));
  EXPECT_EQ(copy.namespaces.time, (os::FileId{3, 4}));
  EXPECT_EQ(copy.created_unix_ns, 99U);
  const layout::Header& header = copy.header;
  EXPECT_EQ(header.capacity, plan.capacity);
  EXPECT_EQ(header.alignment, 64U);
  EXPECT_EQ(header.producers, plan.producers);
  EXPECT_EQ(header.consumers, plan.consumers);
  EXPECT_EQ(header.overflow, plan.overflow);
  EXPECT_EQ(header.metrics, 0U);
  EXPECT_EQ(header.clock, layout::ClockKind::tsc);
  EXPECT_EQ(header.clock_mult, plan.clock_mult);
  EXPECT_EQ(header.clock_shift, plan.clock_shift);
  EXPECT_EQ(std::string(header.type), plan.type);
}

}  // namespace
}  // namespace ipcq::unit
