// The end of every history: the living finish, one process recovers and drains, and nothing may be missing.
#pragma once

#include <string>
#include <string_view>

#include "core/verify.hpp"
#include "world.hpp"

namespace ipcq::crash {

namespace detail_of_aftermath {

inline void drain_default(World& world, Peer& reader) {
  const core::View& view = world.view();
  std::uint64_t from = 0;
  for (;;) {
    const core::LeaseStep step = world.lease(reader, 3);
    if (step != core::LeaseStep::leased) {
      const bool closed = core::is_closed(view);
      World::require(step == (closed ? core::LeaseStep::drained : core::LeaseStep::nothing),
                     "the drained group answers with step " + std::to_string(static_cast<int>(step)));
      return;
    }
    World::require(reader.leases.front().taken.begin >= from, "the rest does not come in order");
    from = reader.leases.front().taken.end;
    World::require(world.ack(reader) == Outcome::ok, "an ack of the rest");
  }
}

// Everybody else's groups get every message that is there for them once and in order.
inline void drain_others(World& world) {
  const core::View& view = world.view();
  Endpoint reader;
  World::require(world.attach(reader, layout::RowKind::consumer) == core::AttachResult::ok, "attach");
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    if (i == world.group().row || core::state_of(view.group(i)) != layout::GroupState::active) continue;
    const std::uint32_t incarnation = view.group(i).incarnation.load();
    for (;;) {
      const core::LeaseTaken taken = core::lease(view, i, incarnation, reader.owner, {.max_messages = 5}, 0);
      if (taken.step != core::LeaseStep::leased) break;
      for (const std::uint64_t id : world.read(taken.begin, taken.end)) {
        World::require(world.oracle().message(id).committed != Known::no, "another group got what was not committed");
      }
      World::require(core::ack(view, i, incarnation, taken.entry, taken.word) == Outcome::ok, "another group's ack");
    }
    World::require(view.group(i).mutex.lock(0) == os::LockResult::clean, "another group's mutex");
    core::Ledger(view, i).retire();
    view.group(i).mutex.unlock();
  }
  world.detach(reader);
}

inline void use_the_whole_ring(World& world, Peer& reader) {
  Peer producer;
  World::require(world.attach_producer(producer), "there is still a living exclusive producer");
  for (int lap = 0; lap < 2; ++lap) {
    std::uint32_t filled = 0;
    while (filled <= World::kRingful && world.send(producer, 1) == Outcome::ok) ++filled;
    if (world.options().overflow == Overflow::block) {
      World::require(filled == World::kRingful, "the empty ring takes " + std::to_string(filled) + " messages");
    }
    drain_default(world, reader);
    drain_others(world);
  }
  world.leave(producer);
}

}  // namespace detail_of_aftermath

/// That the segment is sound, but for what a death leaves and others mend.
inline void require_soundness(const core::View& view) {
  for (const core::Finding& finding : core::verify(view)) {
    if (std::string_view(finding.invariant) == "header.valid")
      continue;  // a World's ring is smaller than a queue's may be
    World::require(finding.recoverable, std::string("verify: ") + finding.invariant + ": " + finding.text);
  }
}

/// Nobody but the dead has anything open any more.
inline void check_aftermath(World& world) {
  const core::View& view = world.view();
  require_soundness(view);
  core::recover(view);
  world.check_positions();
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    World::require(!core::row_attached(view, i), "recovery left the row of a dead process");
  }
  World::require(!core::is_closed(view) || core::closed_at(view) != core::kNoPosition, "a close was left unfinished");
  Peer reader;
  World::require(world.attach_consumer(reader), "there is still a living exclusive consumer");
  detail_of_aftermath::drain_default(world, reader);
  detail_of_aftermath::drain_others(world);
  world.oracle().check(world.options().overflow == Overflow::drop_oldest);
  World::require(!core::is_closed(view) || core::reopen(view), "reopen");
  detail_of_aftermath::use_the_whole_ring(world, reader);
  world.leave(reader);
  world.check_positions();
  require_soundness(view);
  World::require(!world.somebody_holds_a_mutex(), "a mutex was left held");
}

}  // namespace ipcq::crash
