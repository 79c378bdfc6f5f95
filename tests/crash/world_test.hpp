// WorldTest: a World for histories written by hand.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "aftermath.hpp"
#include "halting_thread.hpp"

namespace ipcq::crash {

class WorldTest : public ::testing::Test {
 protected:
  explicit WorldTest(const World::Options& options = {}) : world_(options) {}

  [[nodiscard]] const core::View& view() const noexcept { return world_.view(); }
  /// All of the first messages are finished, by everybody.
  void drain_everything() {
    Peer reader;
    world_.attach_consumer(reader);
    detail_of_aftermath::drain_default(world_, reader);
    detail_of_aftermath::drain_others(world_);
    world_.leave(reader);
  }
  [[nodiscard]] std::uint64_t claim_position() const { return view().side().claim.claim_position.load(); }
  /// One message after the other, until the next claim would be at `position`.
  void pass_on_to(Peer& producer, std::uint64_t position) {
    while (claim_position() != position) {
      ASSERT_EQ(world_.send(producer, 1), Outcome::ok);
      drain_everything();
    }
  }
  void kill(HaltingThread& thread, Peer& peer) {
    ASSERT_TRUE(thread.halted());
    thread.die();
    world_.bury(peer);
  }
  void expect_that_all_is_well() { EXPECT_NO_THROW(check_aftermath(world_)); }

  World world_;
};

}  // namespace ipcq::crash
