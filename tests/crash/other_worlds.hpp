// Operations in other worlds: whose producer, or consumer, is the only one (take-overs instead of company), or whose
// oldest messages are given up when room is short.
#pragma once

#include <ostream>
#include <vector>

#include "operations.hpp"

namespace ipcq::crash {

struct OtherWorld {
  const char* name;
  World::Options world;
  std::vector<Operation> operations;
};
inline std::ostream& operator<<(std::ostream& out, const OtherWorld& world) { return out << world.name; }

namespace operation {

// Takes over if the predecessor is dead, and else finds that it lives.
inline void take_over_and_send(World& world, Peer& peer) {
  if (world.attach_producer(peer)) went(world, world.send(peer, 2));
}
inline void take_over_and_lease(World& world, Peer& peer) {
  if (!world.attach_consumer(peer)) return;
  if (leased(world, peer, 2)) went(world, world.ack(peer));
  leased(world, peer, 2);
}
inline void leave(World& world, Peer& peer) { world.leave(peer); }
inline void send_and_close(World& world, Peer& peer) {
  went(world, world.claim(peer, 2, 2));
  core::close(world.view());
  if (!peer.claims.empty()) went(world, world.commit(peer));
}
inline void abort_and_drain(World& world, Peer& peer) {
  if (went(world, world.claim(peer, 2, 2))) went(world, world.abort(peer));
  drain(world, peer);
}
inline void lease_twice(World& world, Peer& peer) {
  leased(world, peer, 2);
  leased(world, peer, 2);
  while (!peer.leases.empty()) went(world, world.ack(peer));
}

inline void requeue_and_send_until_full(World& world, Peer& peer) {
  if (leased(world, peer, 3)) went(world, world.requeue(peer));
  send_until_full(world, peer);
}

}  // namespace operation

inline const std::vector<OtherWorld>& other_worlds() {
  using namespace operation;
  const std::vector<Operation> of_groups = {
      {"add_a_group_at_oldest", nothing, add_oldest},       {"add_a_group_at_newest", nothing, add_newest},
      {"remove_a_group", nothing, operation::remove_group}, {"close", nothing, operation::close},
      {"close_and_reopen", nothing, close_reopen},          {"recover", nothing, operation::recover},
  };
  std::vector<Operation> producing = {
      {"send", producer, send},
      {"send_with_room_left", producer, send_with_room_left},
      {"send_until_full", producer, send_until_full},
      {"claim_and_abort", producer, claim_abort},
      {"send_and_close", producer, send_and_close},
      {"leave", producer, operation::leave},
      {"take_over_and_send", nothing, take_over_and_send},
      {"drain", consumer, drain},
      {"requeue_and_lease_again", consumer, requeue_lease_again},
  };
  std::vector<Operation> consuming = {
      {"lease_and_ack_twice", consumer, lease_ack_lease},
      {"lease_twice", consumer, lease_twice},
      {"ack", open_lease, ack},
      {"leave", open_lease, operation::leave},
      {"abort_and_drain", both, abort_and_drain},
      {"take_over_and_lease", nothing, take_over_and_lease},
      {"send", producer, send},
      {"claim_and_abort", producer, claim_abort},
      {"send_until_full", producer, send_until_full},
  };
  std::vector<Operation> dropping = {
      {"send_until_full", producer, send_until_full},
      {"requeue_and_send_until_full", both, requeue_and_send_until_full},
      {"hold_a_lease_and_a_claim", both, lease_and_claim},
      {"ack_the_first", consumer, operation::ack_first},
      {"drain", consumer, drain},
      {"requeue_and_lease_again", consumer, requeue_lease_again},
  };
  producing.insert(producing.end(), of_groups.begin(), of_groups.end());
  dropping.insert(dropping.end(), of_groups.begin(), of_groups.end());
  consuming.insert(consuming.end(), of_groups.begin(), of_groups.end());
  static const std::vector<OtherWorld> worlds = {
      {"producer", {.producers = ProducerMode::exclusive}, producing},
      {"consumer", {.consumers = ConsumerMode::exclusive}, consuming},
      {"dropping", {.overflow = Overflow::drop_oldest, .witness = false}, dropping},
  };
  return worlds;
}

}  // namespace ipcq::crash
