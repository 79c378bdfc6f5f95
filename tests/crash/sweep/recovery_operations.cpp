// Recovery as an operation: those who find the dead die of it too.
#include <unistd.h>

#include <cstring>

#include "core/ledger.hpp"
#include "core/recovery.hpp"
#include "core/ring.hpp"
#include "crash/sweep/messages.hpp"
#include "crash/sweep/operation.hpp"

namespace ipcq::sweep {
namespace {

// Messages 1-8; a lease of 1-3; a claim; behind it 201-202.
void leave_a_lease_and_a_claim(const QueueAt& at) {
  const Queue queue = at.open();
  const auto producer = keep(queue.producer());
  send_each(*producer, ids("1-8"));
  const auto consumer = keep(queue.consumer());
  const auto leased = keep(lease(*consumer, 3));
  const auto claim = keep(producer->claim(Room::equal(2, kPayload), kBound));
  append(*claim, 901);
  Producer other = queue.producer();
  send(other, {201, 202});
  ::_exit(0);
}

Expectation what_they_left(unsigned) {
  return differ({must("1-3", Handed::before), must("4-8"), must("201-202")}, {must("1-8"), must("201-202")});
}

Operation recovering() {
  Operation operation;
  operation.name = "recover: a claim and a lease of the dead";
  operation.queue = small_queue();
  operation.set_up = leave_a_lease_and_a_claim;
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto segment = at.segment();
    return [segment](Progress& progress) {
      core::recover(segment->view());
      progress.reached = 1;
    };
  };
  operation.expected = what_they_left;
  return operation;
}

// Inline: a lease that stops at the dead's claim skips it, one that finds the dead's lease gives it back.
Operation leasing_behind_the_dead() {
  Operation operation = recovering();
  operation.name = "lease behind a claim and a lease of the dead";
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto consumer = keep(at.open().consumer());
    return [consumer](Progress& progress) {
      for (int i = 0; i < 3; ++i) ok(lease(*consumer, 1).ack(), "ack");
      ok(lease(*consumer, 5).ack(), "ack");
      progress.reached = 1;
      ok(lease(*consumer, 5).ack(), "ack");
      progress.reached = 2;
    };
  };
  operation.beside = Beside::no;  // others would take what it is to ack
  operation.expected = [](unsigned reached) {
    Items items;
    if (reached == 0) {
      for (const char* one : {"1", "2", "3"}) items.push_back(may(one, Handed::before));
      items.push_back(may("4-8", Handed::either));
    }
    if (reached < 2) items.push_back({{201, 202}, reached == 1 ? Presence::may : Presence::must, Handed::either});
    return differ(items, {must("1-8"), must("201-202")});
  };
  return operation;
}

// Marks a mutex as the kernel does when its holder dies.
void tear(os::RobustMutex& mutex) {
  constexpr std::uint32_t kOwnerDied = 0x40000000U;
  std::memcpy(static_cast<void*>(&mutex), &kOwnerDied, sizeof kOwnerDied);
}

// The producer side as after step 2 of a claim: a claimed head at claim_position.
Operation claiming_on_a_torn_side() {
  Operation operation;
  operation.name = "claim on a torn producer side, commit: repairs";
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.touch_up = [](Image& image) {
    core::View view = view_of(image);
    view.data_writable = image.data() + view.control_bytes;
    const std::uint64_t position = view.side().claim.claim_position.load();
    core::writable_record_at(view, position)
        .head.store(detail::make_head(detail::RecordState::claimed, 4 * kRecord, core::make_owner(9, 1)));
    tear(view.side().producer_lock.mutex);
  };
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto producer = keep(at.open().producer());
    return [producer](Progress& progress) {
      send(*producer, {101, 102});
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned reached) { return both({must("1-8"), done_when(reached == 1, "101-102")}); };
  return operation;
}

// The group as after the first step of a retire, of a split and of an insert: an entry that is done and retired, two that
// overlap, an index that knows nothing of it.
Operation leasing_in_a_torn_group() {
  Operation operation;
  operation.name = "lease in a torn group: repairs";
  operation.queue = small_queue();
  operation.set_up = [](const QueueAt& at) {
    send_eight(at);
    Consumer consumer = at.open().consumer();
    ok(lease(consumer, 2).ack(), "ack");
    Lease given_back = lease(consumer, 3);
    ok(given_back.requeue(), "requeue");
    ok(lease(consumer, 1).requeue(), "requeue");
  };
  operation.touch_up = [](Image& image) {
    const core::View view = view_of(image);
    auto& row = view.group(0);
    for (std::uint32_t number = 0; number < view.ledger_entries; ++number) {
      auto& entry = view.entries(0)[number];
      if (core::word_state(entry.word.load()) == core::EntryState::redeliverable &&
          entry.begin.load() == row.retired.load())
        entry.end.store(entry.end.load() + 2 * kRecord);  // the split's first, not yet cut
    }
    row.index_count.store(0);
    tear(row.mutex);
  };
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto consumer = keep(at.open().consumer());
    const auto leases = keep(std::vector<Lease>());
    leases->reserve(4);
    return [consumer, leases](Progress& progress) {
      leases->push_back(lease(*consumer, 4));
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned) { return differ({must("3-5", Handed::before), must("6-8")}, {must("1-8")}); };
  return operation;
}

}  // namespace

void add_recovery_operations(std::vector<Operation>& list) {
  list.push_back(recovering());
  list.push_back(leasing_behind_the_dead());
  list.push_back(claiming_on_a_torn_side());
  list.push_back(leasing_in_a_torn_group());
}

}  // namespace ipcq::sweep
