// World: a segment in this process, the peers that act in it as processes of their own would, and what must hold of it.
//
// The core takes a View and knows processes only by rows, life locks and marked mutexes. So each peer is one that may be
// killed: its thread ends where it stands, which marks its mutex; its life lock is let go of; and its row names a process
// that there is not.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/closing.hpp"
#include "core/endpoints.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/lease.hpp"
#include "core/recovery.hpp"
#include "core/room.hpp"
#include "oracle.hpp"
#include "os/life_lock.hpp"
#include "unit/fixture.hpp"

namespace ipcq::crash {

/// One row and its life lock.
struct Endpoint {
  os::UniqueFd life;
  core::Owner owner = 0;
};
struct OpenLease {
  core::LeaseTaken taken;
  Oracle::Ids ids;
};
struct OpenClaim {
  std::uint64_t position = 0;
  std::uint64_t need = 0;
  Oracle::Ids ids;  // no more than there is room for
};
/// A process: a producer and a consumer, if it has attached them, and what they have open.
struct Peer {
  Endpoint producer_endpoint;
  Endpoint consumer_endpoint;
  core::ProducerState producer;
  core::ExclusiveState exclusive;  // as the exclusive consumer
  std::deque<OpenClaim> claims;    // one at the most
  std::deque<OpenLease> leases;
};

class World {
 public:
  static constexpr std::uint64_t kCapacity = 4096;
  static constexpr std::uint64_t kPayload = 24;
  static constexpr std::uint64_t kRecord = 48;
  static constexpr std::uint32_t kRingful = (kCapacity - 16) / kRecord;
  static constexpr std::uint32_t kBefore = 12;  // messages that are there at the beginning

  struct Options {
    ProducerMode producers = ProducerMode::shared;
    ConsumerMode consumers = ConsumerMode::shared;
    Overflow overflow = Overflow::block;
    bool witness = true;  // a second group, that nobody reads until the end
    std::uint64_t base = 0;
  };

  explicit World(const Options& options)
      : options_(options),
        segment_({.capacity = kCapacity,
                  .endpoints_max = 16,
                  .groups_max = 4,
                  .ledger_entries = 8,
                  .producers = options.producers}),
        view_(segment_.view()) {
    view_.fd = segment_.fd();
    struct stat info {};
    ::fstat(view_.fd, &info);
    view_.file = {info.st_dev, info.st_ino};
    // As in a later lap: what nobody has written yet is garbage, and positions are anywhere.
    std::fill_n(view_.data_writable, kCapacity, std::byte{0xa5});
    view_.side().claim.claim_position.store(options.base);
    segment_.put_head(options.base, detail::RecordState::none, 0);
    group_ = segment_.add_group({"default", Start::newest, options.overflow, options.consumers});
    if (options.witness) witness_ = segment_.add_group({"witness", Start::newest, options.overflow});
    Peer first;
    attach_producer(first);
    for (std::uint32_t i = 0; i < kBefore; ++i) require(send(first, 1) == Outcome::ok, "the first messages");
    leave(first);
  }

  [[nodiscard]] const core::View& view() const noexcept { return view_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }
  [[nodiscard]] core::GroupId group() const noexcept { return group_; }
  [[nodiscard]] core::GroupId witness() const noexcept { return witness_; }
  [[nodiscard]] layout::GroupRow& group_row() const noexcept { return view_.group(group_.row); }
  Oracle& oracle() noexcept { return oracle_; }

  static void require(bool condition, const std::string& what) {
    if (!condition) throw std::runtime_error(what);
  }

  // Attaching, leaving, dying.

  core::AttachResult attach(Endpoint& endpoint, layout::RowKind kind) {
    core::AttachResult result = core::AttachResult::again;
    for (int attempt = 0; attempt < 20 && result == core::AttachResult::again; ++attempt) {
      endpoint.life = os::reopen(view_.fd, O_RDWR);
      result = core::attach(view_, endpoint.life.get(), {kind, group_.row, group_.incarnation}, endpoint.owner);
    }
    return result;
  }
  /// True unless a living one is the only one that there may be, or somebody stopped keeps the table.
  bool attach_producer(Peer& peer) {
    if (!attached(peer.producer_endpoint, layout::RowKind::producer)) return false;
    peer.producer = {};
    peer.producer.owner = peer.producer_endpoint.owner;
    core::Owner holder = 0;
    if (!view_.exclusive() || core::take_over_producer(view_, peer.producer, holder) == core::TakeOver::ok) return true;
    peer.producer = {};
    detach(peer.producer_endpoint);
    return false;
  }
  bool attach_consumer(Peer& peer) {
    if (!attached(peer.consumer_endpoint, layout::RowKind::consumer)) return false;
    if (options_.consumers == ConsumerMode::shared) return true;
    peer.exclusive = {};
    peer.exclusive.owner = peer.consumer_endpoint.owner;
    core::Owner holder = 0;
    if (core::join_exclusive(view_, group_.row, group_.incarnation, peer.exclusive, holder) == core::Join::ok)
      return true;
    peer.exclusive = {};
    detach(peer.consumer_endpoint);
    return false;
  }
  void detach(Endpoint& endpoint) const {
    if (endpoint.owner != 0) core::detach(view_, endpoint.owner);
    endpoint.owner = 0;
    endpoint.life.reset();
  }
  /// The end of a process that has not died: what is open is finished.
  void leave(Peer& peer) {
    while (!peer.claims.empty()) abort(peer);
    while (!peer.leases.empty()) ack(peer);
    if (view_.exclusive() && peer.producer.owner != 0) core::leave_producer(view_, peer.producer);
    if (peer.exclusive.owner != 0) core::leave_exclusive(view_, group_.row, peer.exclusive);
    detach(peer.producer_endpoint);
    detach(peer.consumer_endpoint);
  }
  /// The last of a killed process: its life locks go. Its threads have ended before.
  void bury(Peer& peer) const {
    // The descriptors stay: a thread that is only taken for dead may be about to use one.
    for (const Endpoint* endpoint : {&peer.producer_endpoint, &peer.consumer_endpoint}) {
      if (endpoint->life) os::unlock_bytes(endpoint->life.get(), view_.life_begin, view_.endpoints_max);
    }
    for (std::uint32_t i = 0; i < view_.endpoints_max; ++i) {
      if (!core::row_attached(view_, i)) continue;
      if (os::probe_byte(view_.fd, view_.life_begin + i) == os::ByteState::free) view_.row(i).pid.store(kNoProcess);
    }
  }

  // What a producer does.

  /// Claims room for `room` messages, of which `messages` are written; tries to free some if there is none. Disowned if
  /// another is the only producer that there may be.
  Outcome claim(Peer& peer, std::uint32_t room, std::uint32_t messages) {
    if (peer.producer.owner == 0) return Outcome::disowned;
    const std::uint64_t need = room * kRecord;
    core::ClaimTaken taken;
    Outcome outcome = core::claim(view_, peer.producer, need, 0, taken);
    if (outcome == Outcome::full) {
      const std::uint64_t at = view_.exclusive() ? peer.producer.position : segment_.claim_position();
      core::free_room(view_, at + need + view_.alignment);
      outcome = core::claim(view_, peer.producer, need, 0, taken);
    }
    if (outcome != Outcome::ok) return outcome;
    peer.claims.push_back({taken.position, need, oracle_.new_batch(messages)});
    std::uint64_t at = taken.position;
    for (const std::uint64_t id : peer.claims.back().ids) {
      auto& record = core::writable_record_at(view_, at);
      record.time.store(taken.time, std::memory_order_relaxed);
      auto* words = reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(&record) + 16);
      words[0] = id;
      words[1] = id * kFactor;
      words[2] = ~id;
      if (at != taken.position) record.head.store(committed_head(id), std::memory_order_relaxed);
      at += kRecord;
    }
    return Outcome::ok;
  }
  Outcome commit(Peer& peer) {
    const OpenClaim open = peer.claims.front();
    oracle_.committed(open.ids, Known::maybe);
    const Outcome outcome = core::commit(view_, peer.producer, open.position, open.need, open.ids.size() * kRecord,
                                         committed_head(open.ids.front()));
    oracle_.committed(open.ids, outcome == Outcome::ok ? Known::yes : Known::no);
    peer.claims.pop_front();
    return outcome;
  }
  Outcome abort(Peer& peer) {
    const OpenClaim open = peer.claims.front();
    const Outcome outcome = core::abort(view_, peer.producer, open.position, open.need);
    peer.claims.pop_front();
    return outcome;
  }
  Outcome send(Peer& peer, std::uint32_t messages, std::uint32_t room = 0) {
    const Outcome outcome = claim(peer, room == 0 ? messages : room, messages);
    return outcome == Outcome::ok ? commit(peer) : outcome;
  }

  // What a consumer does.

  /// Leases as Consumer::lease does that may not wait: the dead in its way are looked for.
  core::LeaseStep lease(Peer& peer, std::uint32_t max_messages) {
    if (peer.consumer_endpoint.owner == 0) return core::LeaseStep::nothing;
    core::LeaseRequest request{.max_messages = max_messages, .take_what_is_there = true, .probe_front_at_ns = 0};
    core::LeaseTaken taken;
    for (int attempt = 0; attempt < 8; ++attempt) {
      taken = options_.consumers == ConsumerMode::exclusive
                  ? core::lease_exclusive(view_, group_.row, group_.incarnation, peer.exclusive, request,
                                          peer.leases.empty())
                  : core::lease(view_, group_.row, group_.incarnation, peer.consumer_endpoint.owner, request, 0);
      if (taken.step == core::LeaseStep::probe_front) {
        request.probe_front_at_ns = os::kNoDeadline;
        if (core::judge(view_, taken.front_owner) == core::Verdict::dead) core::redeliver_dead(view_, group_.row);
      } else if (taken.step == core::LeaseStep::claimed) {
        const core::Owner claimer = detail::head_high(taken.head);
        if (core::judge(view_, claimer) != core::Verdict::dead || !core::abandon(view_, taken.stop, claimer)) break;
      } else {
        break;
      }
    }
    if (taken.step != core::LeaseStep::leased) return taken.step;
    peer.leases.push_back({taken, read(taken.begin, taken.end)});
    require(peer.leases.back().ids.size() == taken.messages, "a lease counts its messages wrongly");
    oracle_.handed_out(peer.leases.back().ids);
    return taken.step;
  }
  Outcome ack(Peer& peer) {
    const OpenLease open = peer.leases.front();
    oracle_.ack_begins(open.ids);
    const Outcome outcome = options_.consumers == ConsumerMode::exclusive
                                ? core::ack_exclusive(view_, group_.row, peer.exclusive, open.taken.end)
                                : core::ack(view_, group_.row, group_.incarnation, open.taken.entry, open.taken.word);
    oracle_.ack_ends(open.ids, outcome == Outcome::ok);
    peer.leases.pop_front();
    return outcome;
  }
  Outcome requeue(Peer& peer) {
    const OpenLease open = peer.leases.front();
    peer.leases.pop_front();
    return core::requeue(view_, group_.row, open.taken.entry, open.taken.word);
  }
  Outcome ack_first(Peer& peer) {
    OpenLease& open = peer.leases.front();
    const Oracle::Ids first{open.ids.front()};
    oracle_.ack_begins(first);
    const std::uint64_t cut = core::walk(view_, open.taken.begin, open.taken.end, 1, UINT64_MAX).end;
    const Outcome outcome = core::ack_first(view_, group_.row, group_.incarnation, cut, 0, open.taken);
    oracle_.ack_ends(first, outcome == Outcome::ok);
    if (outcome == Outcome::ok) open.ids.erase(open.ids.begin());
    return outcome;
  }

  // What must hold.

  /// At any time: no group is behind what may be overwritten, and none goes backwards.
  void check_positions() {
    const std::uint64_t claimed = segment_.claim_position();
    for (std::uint32_t i = 0; i < view_.groups_max; ++i) {
      auto& row = view_.group(i);
      if (core::state_of(row) == layout::GroupState::free) continue;
      const std::uint64_t retired = row.retired.load();
      require(claimed <= retired || claimed - retired <= kCapacity, "a group is behind what may be overwritten");
      require(retired <= claimed || view_.exclusive(), "a group has retired more than was claimed");
      auto& before = seen_retired_[{i, row.incarnation.load()}];
      require(retired >= before, "a group's retired went backwards");
      before = retired;
    }
    require(!segment_.poisoned(), "the queue is poisoned");
  }
  /// From here on two act at once, and each may find the other inside a mutex.
  void let_two_act() noexcept { two_act_ = true; }
  /// Whether somebody may hold a mutex: only then may anything be refused for it.
  [[nodiscard]] bool somebody_may_hold_a_mutex() const { return two_act_ || somebody_holds_a_mutex(); }
  [[nodiscard]] bool somebody_holds_a_mutex() const {
    bool held = view_.side().producer_lock.mutex.holder() != 0 || view_.side().table_lock.mutex.holder() != 0;
    for (std::uint32_t i = 0; i < view_.groups_max; ++i) held = held || view_.group(i).mutex.holder() != 0;
    return held;
  }
  /// The messages between two positions; each must be whole.
  [[nodiscard]] Oracle::Ids read(std::uint64_t begin, std::uint64_t end) const {
    Oracle::Ids ids;
    for (std::uint64_t at = begin; at < end;) {
      const std::uint64_t head = core::load_head(view_, at);
      const std::uint64_t span = core::span_of(view_, head);
      require(span != 0, "a range that was handed out holds no records");
      if (detail::head_state(head) == detail::RecordState::committed) {
        const auto* words = reinterpret_cast<const std::uint64_t*>(view_.data + (at & view_.mask) + 16);
        require(words[1] == words[0] * kFactor && words[2] == ~words[0], "a message is torn");
        require(head == committed_head(words[0]), "a message's tag is not its own");
        ids.push_back(words[0]);
      }
      at += span;
    }
    return ids;
  }

 private:
  bool attached(Endpoint& endpoint, layout::RowKind kind) {
    const core::AttachResult result = attach(endpoint, kind);
    if (result == core::AttachResult::timed_out && somebody_may_hold_a_mutex()) return false;
    require(result == core::AttachResult::ok, "attach");
    return true;
  }

  static constexpr std::uint32_t kNoProcess = 0x7ffffff0U;  // beyond any process number
  static constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15ULL;

  // Tags look like rows and incarnations of others.
  static std::uint64_t committed_head(std::uint64_t id) noexcept {
    return detail::make_head(detail::RecordState::committed, kPayload, static_cast<std::uint32_t>(id * 37) & 0xffffU);
  }

  Options options_;
  unit::CoreSegment segment_;
  core::View view_;
  core::GroupId group_;
  core::GroupId witness_;
  Oracle oracle_;
  bool two_act_ = false;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> seen_retired_;
};

}  // namespace ipcq::crash
