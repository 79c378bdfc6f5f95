// Operations: what a peer of a World does, from a state that was prepared for it, for the matrices of interleavings.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "world.hpp"

namespace ipcq::crash {

struct Operation {
  const char* name;
  void (*prepare)(World&, Peer&);
  void (*act)(World&, Peer&);
};

namespace operation {

inline void nothing(World& /*world*/, Peer& /*peer*/) {}
inline void producer(World& world, Peer& peer) { world.attach_producer(peer); }
inline void consumer(World& world, Peer& peer) { world.attach_consumer(peer); }

// An answer that a call may give beside ok: for somebody stopped inside a mutex, and never without that.
inline bool held_up(World& world, bool is_held_up) {
  World::require(!is_held_up || world.somebody_may_hold_a_mutex(), "refused for a mutex that nobody holds");
  return is_held_up;
}
inline bool went(World& world, Outcome outcome) {
  if (outcome == Outcome::ok) return true;
  if (held_up(world, outcome == Outcome::blocked || outcome == Outcome::timed_out)) return false;
  const bool fair = outcome == Outcome::closed || outcome == Outcome::full || outcome == Outcome::disowned ||
                    outcome == Outcome::too_many_leases;
  World::require(fair, std::string("an outcome that cannot be: ") + to_string(outcome));
  return false;
}
inline bool leased(World& world, Peer& peer, std::uint32_t messages) {
  const core::LeaseStep step = world.lease(peer, messages);
  if (held_up(world, step == core::LeaseStep::lock_held)) return false;
  const bool fair = step == core::LeaseStep::leased || step == core::LeaseStep::nothing ||
                    step == core::LeaseStep::claimed || step == core::LeaseStep::drained ||
                    step == core::LeaseStep::too_many_leases || step == core::LeaseStep::probe_front;
  World::require(fair, "a lease that cannot be: step " + std::to_string(static_cast<int>(step)));
  return step == core::LeaseStep::leased;
}

inline void open_claim(World& world, Peer& peer) {
  producer(world, peer);
  World::require(world.claim(peer, 2, 2) == Outcome::ok, "a claim to begin with");
}
inline void open_lease(World& world, Peer& peer) {
  consumer(world, peer);
  world.lease(peer, 2);
}
// As many leases of one message as there are entries, and the second and third of them finished.
inline void full_ledger(World& world, Peer& peer) {
  consumer(world, peer);
  while (world.lease(peer, 1) == core::LeaseStep::leased) {
  }
}

inline void send(World& world, Peer& peer) { went(world, world.send(peer, 3)); }
inline void send_with_room_left(World& world, Peer& peer) { went(world, world.send(peer, 1, 3)); }
inline void send_until_full(World& world, Peer& peer) {
  for (std::uint32_t sent = 0; sent < World::kRingful && went(world, world.send(peer, 2)); ++sent) {
  }
}
inline void claim_abort(World& world, Peer& peer) {
  if (went(world, world.claim(peer, 2, 2))) went(world, world.abort(peer));
}
inline void commit(World& world, Peer& peer) { went(world, world.commit(peer)); }
inline void ack(World& world, Peer& peer) {
  if (!peer.leases.empty()) went(world, world.ack(peer));
}
inline void lease_ack_lease(World& world, Peer& peer) {
  for (int i = 0; i < 2; ++i) {
    if (leased(world, peer, 2)) went(world, world.ack(peer));
  }
}
inline void requeue_lease_again(World& world, Peer& peer) {
  if (leased(world, peer, 3)) went(world, world.requeue(peer));
  if (leased(world, peer, 1)) went(world, world.ack(peer));
}
inline void ack_first(World& world, Peer& peer) {
  if (!leased(world, peer, 3)) return;
  if (peer.leases.front().ids.size() > 1) went(world, world.ack_first(peer));
  went(world, world.ack(peer));
}
inline void merge(World& world, Peer& peer) {
  // Of the leases in the middle two neighbours are finished: the next lease finds no free entry but by merging them.
  if (peer.leases.size() < 4) return;
  for (int i = 0; i < 2; ++i) {
    std::swap(peer.leases[0], peer.leases[1]);
    std::swap(peer.leases[0], peer.leases[2]);
    went(world, world.ack(peer));
  }
  leased(world, peer, 1);
}
inline void drain(World& world, Peer& peer) {
  while (leased(world, peer, 2)) went(world, world.ack(peer));
}
inline void lease_and_claim(World& world, Peer& peer) {
  leased(world, peer, 3);
  went(world, world.claim(peer, 2, 2));
}
inline void both(World& world, Peer& peer) {
  producer(world, peer);
  consumer(world, peer);
}

inline void attach_detach(World& world, Peer& peer) {
  const core::AttachResult result = world.attach(peer.producer_endpoint, layout::RowKind::producer);
  if (held_up(world, result == core::AttachResult::timed_out)) return;
  // `again` to the end: a living process stopped between its life lock and its state, on the one row that is chosen.
  if (result == core::AttachResult::again) return;
  World::require(result == core::AttachResult::ok, "attach");
  world.detach(peer.producer_endpoint);
}
inline void add_group(World& world, const char* name, Start start) {
  core::GroupId id;
  const core::AddGroup added = core::add_group(world.view(), {name, start}, id);
  if (held_up(world, added == core::AddGroup::timed_out)) return;
  World::require(added == core::AddGroup::ok || added == core::AddGroup::exists || added == core::AddGroup::full,
                 "adding a group");
}
inline void add_oldest(World& world, Peer& /*peer*/) { add_group(world, "oldest", Start::oldest); }
inline void add_newest(World& world, Peer& /*peer*/) { add_group(world, "newest", Start::newest); }
inline void remove_group(World& world, Peer& /*peer*/) {
  std::uint32_t holder = 0;
  const core::RemoveGroup removed = core::remove_group(world.view(), world.witness(), false, holder);
  if (held_up(world, removed == core::RemoveGroup::timed_out)) return;
  World::require(removed == core::RemoveGroup::ok || removed == core::RemoveGroup::no_such_group, "removing a group");
}
inline void close(World& world, Peer& /*peer*/) { core::close(world.view()); }
inline void close_reopen(World& world, Peer& /*peer*/) {
  core::close(world.view());
  held_up(world, !core::reopen(world.view()));
}
inline void recover(World& world, Peer& /*peer*/) { core::recover(world.view()); }

}  // namespace operation

/// For a world of shared producers and consumers.
inline const std::vector<Operation>& operations() {
  using namespace operation;
  static const std::vector<Operation> all = {
      {"send", producer, send},
      {"send_with_room_left", producer, send_with_room_left},
      {"send_until_full", producer, send_until_full},
      {"claim_and_abort", producer, claim_abort},
      {"commit", open_claim, operation::commit},
      {"ack", open_lease, ack},
      {"lease_and_ack_twice", consumer, lease_ack_lease},
      {"requeue_and_lease_again", consumer, requeue_lease_again},
      {"ack_the_first", consumer, operation::ack_first},
      {"merge", full_ledger, operation::merge},
      {"drain", consumer, drain},
      {"hold_a_lease_and_a_claim", both, lease_and_claim},
      {"attach_and_detach", nothing, attach_detach},
      {"add_a_group_at_oldest", nothing, add_oldest},
      {"add_a_group_at_newest", nothing, add_newest},
      {"remove_a_group", nothing, operation::remove_group},
      {"close", nothing, operation::close},
      {"close_and_reopen", nothing, close_reopen},
      {"recover", nothing, operation::recover},
  };
  return all;
}

}  // namespace ipcq::crash
