// A queue that is removed while others have it open: refused while they use it, and told to them if it is forced.
#include "core/event_count.hpp"
#include "queue_and_segment.hpp"

namespace ipcq::unit {
namespace {

using RemovedQueue = QueueAndSegment;

TEST_F(RemovedQueue, IsNoneThatSomebodyUsesUnlessItIsForced) {
  const Producer producer = queue_.producer();
  try {
    ipcq::remove("q", {.directory = scratch_.path()});
    ADD_FAILURE() << "it is in use";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::in_use);
  }
  EXPECT_FALSE(queue_.inspect().removed);
  ipcq::remove("q", {.force = true, .directory = scratch_.path()});
  EXPECT_TRUE(queue_.inspect().removed);
}

TEST_F(RemovedQueue, IsToldToWhoSleeps) {
  const core::View segment = view();
  core::arm(segment.side().data);
  core::arm(segment.side().space);
  ipcq::remove("q", {.force = true, .directory = scratch_.path()});
  EXPECT_FALSE(core::somebody_waits(segment.side().data));
  EXPECT_FALSE(core::somebody_waits(segment.side().space));
}

TEST_F(RemovedQueue, IsAttachedToByNobodyWhoHasItOpen) {
  const core::View segment = view();
  ipcq::remove("q", {.force = true, .directory = scratch_.path()});
  segment.frozen().flags.store(0);  // as another file under the name would look: the name decides too
  try {
    const Producer producer = queue_.producer();
    ADD_FAILURE() << "the file has no name";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::removed);
  }
}

}  // namespace
}  // namespace ipcq::unit
