// What a report says of words that cannot be: nothing is read where no record can begin.
#include <gtest/gtest.h>

#include <ipcq/ipcq.hpp>
#include <memory>

#include "api/segment.hpp"
#include "core/parking.hpp"
#include "core/ring.hpp"
#include "support/scratch_directory.hpp"

namespace ipcq::unit {
namespace {

TEST(InspectOfADamagedQueue, TakesNoBytesBetweenTwoRecordsForTheHeadOfWhatAnExclusiveGroupHasParked) {
  const support::ScratchDirectory scratch;
  const Queue queue = Queue::create("q", {.capacity_bytes = 1 << 16,
                                          .consumers = ConsumerMode::exclusive,
                                          .groups = {{.name = "one"}},
                                          .max_deliveries = 1,
                                          .drop_after = true,
                                          .directory = scratch.path()});
  const detail::Place place = detail::place_of("q", scratch.path());
  const auto segment = detail::Segment::map(
      place, detail::open_file(place, detail::Access::read_write, detail::Depth::whole, {}), detail::Access::read_write);
  const core::View& view = segment->writable_view();
  core::GroupId group;
  ASSERT_TRUE(core::find_group(view, "one", group));
  constexpr std::uint64_t kBetween = 8;
  auto& row = view.group(group.row);
  row.retired.store(kBetween);
  row.parked_at.store(kBetween);
  row.parked_why.store(static_cast<std::uint32_t>(core::Parked::full));
  core::store_time(view, 0, detail::make_head(detail::RecordState::committed, 16, 0));  // it reads as a head
  const QueueInfo info = queue.inspect();
  ASSERT_EQ(info.groups.size(), 1U);
  ASSERT_EQ(info.groups[0].leases.size(), 1U);
  EXPECT_EQ(info.groups[0].leases[0].state, "parked");
  EXPECT_EQ(info.groups[0].leases[0].end, kBetween);
}

}  // namespace
}  // namespace ipcq::unit
