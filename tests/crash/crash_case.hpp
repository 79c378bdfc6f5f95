// CrashCase: one place to die, and what the others must find afterwards.
#pragma once

#include <ipcq/ipcq.hpp>
#include <ostream>
#include <vector>

#include "messages.hpp"

namespace ipcq::crash {

/// Who waits in the queue, asleep, while the actor dies; what it waits for must come.
enum class Waiter {
  none,      ///< a waiter would do the actor's step itself, before the actor comes to it
  consumer,  ///< for messages; it has taken and acked those that were there before
  producer,  ///< for nearly the whole ring
};

enum class Aftermath {
  open,    ///< the queue goes on as before
  closed,  ///< it is closed: consumers end when they have drained it
};

/// A queue with messages 1 … `before`, each a batch of its own, and a process, the actor, that dies in `operation` (see
/// actor.hpp) when it comes to the crash point `point`.
struct CrashCase {
  const char* name;
  const char* point;  ///< of IPCQ_CRASH_AT: "name" or "name:N"
  const char* operation;
  const char* expected;          ///< what group "default" gets afterwards, in this order and nothing else
  const char* redelivered = "";  ///< which of these had been handed out before
  Waiter waiter = Waiter::none;
  unsigned before = 8;
  /// What happens before the actor: another process dies in this operation, at this crash point; or, without a point,
  /// is killed when it holds what the operation takes.
  const char* first_operation = nullptr;
  const char* first_point = nullptr;
  Aftermath aftermath = Aftermath::open;
  bool only_with_waiter = false;  ///< the step is one that nobody comes to unless somebody sleeps
  /// drop-oldest gives up at least one message, and may give up a few more than it must.
  unsigned may_miss_first = 0;
  ProducerMode producers = ProducerMode::shared;
  ConsumerMode consumers = ConsumerMode::shared;
  Overflow overflow = Overflow::block;
  unsigned endpoints_max = 16;
  unsigned ledger_entries = 16;
  bool second_group = false;  ///< a group "extra", which nobody reads
};

inline std::ostream& operator<<(std::ostream& out, const CrashCase& value) { return out << value.name; }

/// The queue that the case begins with.
inline Queue create_queue_of(const CrashCase& crash) {
  CreateOptions options;
  options.capacity_bytes = kCapacity;
  options.producers = crash.producers;
  options.consumers = crash.consumers;
  options.overflow = crash.overflow;
  options.endpoints_max = crash.endpoints_max;
  options.ledger_entries = crash.ledger_entries;
  options.groups = {{.name = "default"}};
  if (crash.second_group) options.groups.push_back({.name = "extra"});
  const Queue queue = Queue::create(kQueue, options);
  Producer producer = queue.producer();
  for (std::uint64_t id = 1; id <= crash.before; ++id) send(producer, {id});
  return queue;
}

/// Every named crash point of claim, commit, lease, ack, attach, groups, close, waking and recovery. Those of creation
/// and removal are in interrupted_creation_and_removal_test.cpp: what they leave is no queue.
inline const std::vector<CrashCase>& crash_cases() {
  // clang-format off
  static const std::vector<CrashCase> cases = {  // a table: a case is read in a line or three
      // The shared claim, steps 0 to 3. From step 2 on its range must be taken back by somebody.
      {.name = "claim_step_0", .point = "claim.0", .operation = "send", .expected = "1-8", .waiter = Waiter::consumer},
      {.name = "claim_step_1", .point = "claim.1", .operation = "send", .expected = "1-8", .waiter = Waiter::consumer},
      {.name = "claim_step_2", .point = "claim.2", .operation = "send", .expected = "1-8", .waiter = Waiter::consumer},
      {.name = "claim_step_3", .point = "claim.3", .operation = "send", .expected = "1-8", .waiter = Waiter::consumer},
      {.name = "claim_step_2_in_an_empty_ring", .point = "claim.2", .operation = "send", .expected = "",
       .waiter = Waiter::consumer, .before = 0},

      {.name = "commit_inner_heads", .point = "commit.inner", .operation = "send", .expected = "1-8",
       .waiter = Waiter::consumer},
      {.name = "commit_published", .point = "commit.published", .operation = "send", .expected = "1-8 101-103",
       .waiter = Waiter::consumer},
      {.name = "abort_skipped", .point = "abort.skipped", .operation = "abort", .expected = "1-8",
       .waiter = Waiter::consumer},

      {.name = "exclusive_commit_end_zeroed", .point = "exclusive.zeroed", .operation = "send", .expected = "1-8",
       .waiter = Waiter::consumer, .producers = ProducerMode::exclusive},
      {.name = "exclusive_commit_published", .point = "exclusive.published", .operation = "send",
       .expected = "1-8 101-103", .waiter = Waiter::consumer, .producers = ProducerMode::exclusive},
      {.name = "exclusive_commit_position_stored", .point = "exclusive.claim_position", .operation = "send",
       .expected = "1-8 101-103", .waiter = Waiter::consumer, .producers = ProducerMode::exclusive},

      // The lease's entry: with a word that says leased its messages were handed out, before that they were not.
      {.name = "lease_range_written", .point = "lease.written", .operation = "lease", .expected = "1-8",
       .waiter = Waiter::producer},
      {.name = "lease_leased", .point = "lease.leased", .operation = "lease", .expected = "1-8", .redelivered = "1-4",
       .waiter = Waiter::producer},
      {.name = "ack_done", .point = "ack.done", .operation = "ack", .expected = "5-8", .waiter = Waiter::producer},
      {.name = "ack_done_with_nothing_else_there", .point = "ack.done", .operation = "ack", .expected = "",
       .waiter = Waiter::producer, .before = 4},
      {.name = "retire_retired", .point = "retire.retired", .operation = "ack, lease", .expected = "5-8",
       .waiter = Waiter::producer},
      {.name = "retire_entry_freed", .point = "retire.freed", .operation = "ack, lease", .expected = "5-8",
       .waiter = Waiter::producer},
      {.name = "requeue_done", .point = "requeue.done", .operation = "requeue", .expected = "1-8", .redelivered = "1-4",
       .waiter = Waiter::producer},

      // Splitting a range that was delivered before; acking its beginning; merging finished neighbours.
      {.name = "split_rest_written", .point = "split.rest", .operation = "requeue, lease", .expected = "1-8",
       .redelivered = "1-4", .waiter = Waiter::producer},
      {.name = "split_first_cut", .point = "split.cut", .operation = "requeue, lease", .expected = "1-8",
       .redelivered = "1-4", .waiter = Waiter::producer},
      {.name = "ack_first_two_rest_written", .point = "ackn.rest", .operation = "ack 2 of 4", .expected = "1-8",
       .redelivered = "1-4", .waiter = Waiter::producer},
      {.name = "ack_first_two_cut", .point = "ackn.cut", .operation = "ack 2 of 4", .expected = "1-8",
       .redelivered = "1-4", .waiter = Waiter::producer},
      {.name = "ack_first_two_done", .point = "ackn.done", .operation = "ack 2 of 4", .expected = "3-8",
       .redelivered = "3-4", .waiter = Waiter::producer},
      {.name = "merge_first_extended", .point = "merge.extended", .operation = "fill the ledger", .expected = "1 4-8",
       .redelivered = "1 4", .ledger_entries = 4},
      {.name = "merge_second_freed", .point = "merge.freed", .operation = "fill the ledger", .expected = "1 4-8",
       .redelivered = "1 4", .ledger_entries = 4},

      // The recoverer dies too.
      {.name = "recovery_made_a_lease_redeliverable", .point = "recover.redeliverable", .operation = "lease",
       .expected = "1-4", .redelivered = "1-4", .before = 4, .first_operation = "hold a lease"},
      {.name = "recovery_skipped_a_claim", .point = "abandon.skipped", .operation = "lease", .expected = "201-202",
       .before = 0, .first_operation = "hold a claim, commit behind"},
      {.name = "recovery_skipped_a_claim_at_attach", .point = "abandon.skipped", .operation = "attach twice",
       .expected = "201-202", .before = 0, .first_operation = "hold a claim, commit behind", .endpoints_max = 2},
      {.name = "repair_of_the_producer_side", .point = "repair.producer", .operation = "send", .expected = "1-8",
       .first_operation = "send", .first_point = "claim.2"},
      {.name = "repair_of_a_group", .point = "repair.group", .operation = "lease", .expected = "1-8",
       .first_operation = "lease", .first_point = "lease.written"},
      {.name = "repair_of_a_group_after_a_split", .point = "repair.group", .operation = "lease", .expected = "1-8",
       .redelivered = "1-4", .first_operation = "requeue, lease", .first_point = "split.rest"},

      // The endpoint table. With two rows, the row of the dead is the one that the survivors must take.
      {.name = "attach_row_locked", .point = "attach.locked", .operation = "attach", .expected = "1-8",
       .waiter = Waiter::consumer, .endpoints_max = 2},
      {.name = "attach_process_identified", .point = "attach.identified", .operation = "attach", .expected = "1-8",
       .waiter = Waiter::consumer, .endpoints_max = 2},
      {.name = "attach_incarnation_raised", .point = "attach.incarnation", .operation = "attach", .expected = "1-8",
       .waiter = Waiter::consumer, .endpoints_max = 2},
      {.name = "attach_state_stored", .point = "attach.state", .operation = "attach", .expected = "1-8",
       .waiter = Waiter::consumer, .endpoints_max = 2},
      {.name = "detach_row_cleared", .point = "detach.cleared", .operation = "attach, detach", .expected = "1-8",
       .waiter = Waiter::consumer, .endpoints_max = 2},
      {.name = "attach_of_an_exclusive_producer", .point = "attach.state", .operation = "attach", .expected = "1-8",
       .waiter = Waiter::consumer, .producers = ProducerMode::exclusive, .endpoints_max = 2},
      {.name = "attach_of_an_exclusive_consumer", .point = "attach.state", .operation = "attach a consumer",
       .expected = "1-8", .waiter = Waiter::producer, .consumers = ConsumerMode::exclusive, .endpoints_max = 2},

      {.name = "group_added_retired_stored", .point = "group.added_retired", .operation = "add a group",
       .expected = "1-8", .waiter = Waiter::consumer},
      {.name = "group_added", .point = "group.added", .operation = "add a group", .expected = "1-8",
       .waiter = Waiter::consumer},
      {.name = "group_marked_for_removal", .point = "group.marked", .operation = "remove a group", .expected = "1-8",
       .waiter = Waiter::consumer, .second_group = true},
      {.name = "group_freed", .point = "group.freed", .operation = "remove a group", .expected = "1-8",
       .waiter = Waiter::consumer, .second_group = true},

      {.name = "close_flag_stored", .point = "close.flag", .operation = "close", .expected = "1-8",
       .waiter = Waiter::consumer, .aftermath = Aftermath::closed},
      // No waiter: it is woken by the flag, and may well store the position before the closer does.
      {.name = "close_position_stored", .point = "close.closed_at", .operation = "close", .expected = "1-8",
       .aftermath = Aftermath::closed},
      {.name = "close_flag_stored_with_an_exclusive_producer_absent", .point = "close.flag", .operation = "close",
       .expected = "1-8", .waiter = Waiter::consumer, .aftermath = Aftermath::closed,
       .producers = ProducerMode::exclusive},

      {.name = "drop_oldest_retired", .point = "drop.retired", .operation = "send one", .expected = "2-63",
       .before = kRingful, .may_miss_first = 7, .overflow = Overflow::drop_oldest},
      {.name = "drop_oldest_of_a_redeliverable_front_retired", .point = "drop.retired", .operation = "requeue, send one",
       .expected = "2-63", .redelivered = "2-4", .before = kRingful, .may_miss_first = 7,
       .overflow = Overflow::drop_oldest},
      {.name = "drop_oldest_of_a_redeliverable_front_begun_later", .point = "drop.begin",
       .operation = "requeue, send one", .expected = "2-63", .redelivered = "2-4", .before = kRingful,
       .may_miss_first = 7, .overflow = Overflow::drop_oldest},

      {.name = "waiter_died_before_its_sleep", .point = "wait.armed", .operation = "lease", .expected = "", .before = 0},
      {.name = "waker_died_before_its_wake", .point = "wake.cleared", .operation = "send", .expected = "1-8 101-103",
       .waiter = Waiter::consumer, .only_with_waiter = true},

      // The exclusive consumer: leased_to is stored before messages are handed out, so they count as handed out.
      {.name = "exclusive_lease_stored", .point = "xconsumer.leased_to", .operation = "lease", .expected = "1-8",
       .redelivered = "1-4", .waiter = Waiter::producer, .consumers = ConsumerMode::exclusive},
      {.name = "exclusive_ack_retired", .point = "xconsumer.retired", .operation = "ack", .expected = "5-8",
       .waiter = Waiter::producer, .consumers = ConsumerMode::exclusive},
  };
  // clang-format on
  return cases;
}

}  // namespace ipcq::crash
