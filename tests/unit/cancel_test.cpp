// Cancelling and joining, as the words of the segment show them.
#include <gtest/gtest.h>

#include <atomic>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include "api/endpoint.hpp"
#include "core/event_count.hpp"
#include "core/groups.hpp"
#include "kept_mutex.hpp"
#include "queue_and_segment.hpp"

namespace ipcq::unit {
namespace {

using Cancel = QueueAndSegment;

TEST_F(Cancel, WakesWhoSleepsForMessagesAndForRoomAndMovesBothWords) {
  detail::Endpoint endpoint(segment_, view(), {layout::RowKind::producer, 0, 0}, WaitStrategy::sleep);
  auto& side = view().side();
  const std::uint32_t data = core::arm(side.data);
  const std::uint32_t space = core::arm(side.space);
  endpoint.cancel();
  EXPECT_TRUE(endpoint.cancelled());
  EXPECT_FALSE(core::somebody_waits(side.data));
  EXPECT_FALSE(core::somebody_waits(side.space));
  // Who was about to sleep on the value that he armed does not.
  EXPECT_NE(side.data.word.load() | core::kWaiterBit, data);
  EXPECT_NE(side.space.word.load() | core::kWaiterBit, space);
}

using Join = QueueAndSegment;

// A remover counts members and marks the group under its mutex. A member that has its row waits for it, and then looks. It
// waits for some milliseconds at most: on a busy machine it may be through before the mark, so there are several tries.
TEST_F(Join, OfAGroupThatIsRemovedMeanwhileIsRefused) {
  std::error_code refused;
  for (int tries = 0; tries < 10 && !refused; ++tries) {
    const std::string name = "other" + std::to_string(tries);
    queue_.add_group({.name = name});
    core::GroupId group;
    ASSERT_TRUE(core::find_group(view(), name, group));
    const core::View segment = view();
    auto& row = segment.group(group.row);
    std::optional<Keeper> keeper(std::in_place, row.mutex);
    std::atomic<bool> done{false};
    std::thread joining([&] {
      try {
        const Consumer consumer = queue_.consumer(name);
      } catch (const Error& error) {
        refused = error.code();
      }
      done.store(true);
    });
    while (!done.load() && !somebody_waits_for(row.mutex)) std::this_thread::yield();
    row.state.store(static_cast<std::uint32_t>(layout::GroupState::marked));
    keeper.reset();
    joining.join();
  }
  EXPECT_TRUE(refused == Errc::no_such_group) << refused.message();
}

}  // namespace
}  // namespace ipcq::unit
