// What shared producers do: claim, append, commit, abort, at every place of the ring, and short of room.
#include <unistd.h>

#include "crash/sweep/messages.hpp"
#include "crash/sweep/operation.hpp"

namespace ipcq::sweep {
namespace {

constexpr std::uint64_t kFarPosition = (std::uint64_t{1} << 63) - 2 * kRecord;

// A claim for `room` messages of which three are appended and committed.
Step claim_append_commit(const QueueAt& at, std::uint32_t room) {
  const auto producer = keep(at.open().producer());
  return [producer, room](Progress& progress) {
    Claim claim = producer->claim(Room::equal(room, kPayload), kBound);
    ok(claim.outcome(), "claim");
    for (std::uint64_t id = 101; id <= 103; ++id) append(claim, id);
    ok(claim.commit(), "commit");
    progress.reached = 1;
  };
}

Operation committing(const char* name, std::uint32_t room = 3) {
  Operation operation;
  operation.name = name;
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.prepare = [room](const QueueAt& at) { return claim_append_commit(at, room); };
  operation.expected = [](unsigned reached) { return both({must("1-8"), done_when(reached == 1, "101-103")}); };
  return operation;
}

// The same in an empty queue whose next claim is at `position`.
Operation committing_at(const char* name, std::uint64_t position) {
  Operation operation = committing(name);
  operation.set_up = [](const QueueAt&) {};
  operation.touch_up = [position](Image& image) { move_to(image, position); };
  operation.expected = [](unsigned reached) { return both({done_when(reached == 1, "101-103")}); };
  return operation;
}

Operation aborting(const char* name, bool committed_behind) {
  Operation operation;
  operation.name = name;
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.prepare = [committed_behind](const QueueAt& at) -> Step {
    const Queue queue = at.open();
    const auto producer = keep(queue.producer());
    const auto claim = keep(producer->claim(Room::equal(2, kPayload), kBound));
    ok(claim->outcome(), "claim");
    append(*claim, 101);
    const auto other = keep(queue.producer());
    if (committed_behind) send(*other, {201, 202});
    return [producer, claim, other](Progress& progress) {
      ok(claim->abort(), "abort");
      progress.reached = 1;
    };
  };
  operation.expected = [committed_behind](unsigned) {
    return both(committed_behind ? Items{must("1-8"), must("201-202")} : Items{must("1-8")});
  };
  return operation;
}

Operation committing_before_another() {
  Operation operation;
  operation.name = "commit behind which another has committed";
  operation.queue = small_queue();
  operation.prepare = [](const QueueAt& at) -> Step {
    const Queue queue = at.open();
    const auto producer = keep(queue.producer());
    const auto claim = keep(producer->claim(Room::equal(2, kPayload), kBound));
    ok(claim->outcome(), "claim");
    append(*claim, 101);
    append(*claim, 102);
    const auto other = keep(queue.producer());
    send(*other, {201, 202});
    return [producer, claim, other](Progress& progress) {
      ok(claim->commit(), "commit");
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned reached) { return both({done_when(reached == 1, "101-102"), must("201-202")}); };
  return operation;
}

// 65,520 bytes of need: as much as a claim may have.
Operation filling_the_ring() {
  Operation operation;
  operation.name = "claim that fills the ring, append, commit";
  operation.queue = small_queue();
  operation.queue.groups = {{.name = "default"}};  // who works beside the child reads for this one
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto producer = keep(at.open().producer());
    return [producer](Progress& progress) {
      constexpr std::size_t kThirteenth = (kCapacity - 16) / 13 - 16;
      Claim claim = producer->claim(Room::equal(13, kThirteenth), kBound);
      ok(claim.outcome(), "claim");
      for (std::uint64_t id = 101; id <= 113; ++id) append(claim, id, kThirteenth);
      ok(claim.commit(), "commit");
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned reached) {
    return Expectation{{{"default", {done_when(reached == 1, "101-113")}, false, 0}}, Closed::no};
  };
  return operation;
}

// The ring is full of messages that the only group has acked but not retired, and of skipped bytes.
Operation claiming_what_was_acked() {
  Operation operation;
  operation.name = "claim, short of room: retires and passes skipped bytes";
  operation.queue = small_queue();
  operation.queue.groups = {{.name = "default"}};
  operation.set_up = [](const QueueAt& at) {
    const Queue queue = at.open();
    Producer producer = queue.producer();
    send_each(producer, ids("1-40"), kLargePayload);
    Claim gap = producer.claim(Room::equal(20, kLargePayload), kBound);
    ok(gap.abort(), "abort");
    send_each(producer, ids("41-43"), kLargePayload);
    Consumer consumer = queue.consumer();
    ok(lease(consumer, 40).ack(), "ack");
  };
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto producer = keep(at.open().producer());
    return [producer](Progress& progress) {
      Claim claim = producer->claim(Room::equal(2, kLargePayload), kBound);
      ok(claim.outcome(), "claim");
      append(claim, 101, kLargePayload);
      append(claim, 102, kLargePayload);
      ok(claim.commit(), "commit");
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned reached) {
    return Expectation{{{"default", {must("41-43"), done_when(reached == 1, "101-102")}, false, 0}}, Closed::no};
  };
  return operation;
}

Operation dropping(const char* name, bool requeued_front) {
  Operation operation;
  operation.name = name;
  operation.queue = small_queue();
  operation.queue.overflow = Overflow::drop_oldest;
  operation.set_up = [requeued_front](const QueueAt& at) {
    const Queue queue = at.open();
    Producer producer = queue.producer();
    send_each(producer, ids("1-63"), kLargePayload);
    if (!requeued_front) return;
    Consumer consumer = queue.consumer();
    Lease front = lease(consumer, 3);
    ok(front.requeue(), "requeue");
  };
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto producer = keep(at.open().producer());
    return [producer](Progress& progress) {
      send(*producer, {101, 102}, kLargePayload);
      progress.reached = 1;
    };
  };
  operation.expected = [requeued_front](unsigned reached) {
    const Handed front = requeued_front ? Handed::before : Handed::never;
    Expectation expected = differ({must("1-3", front), must("4-63"), done_when(reached == 1, "101-102")},
                                  {must("1-63"), done_when(reached == 1, "101-102")});
    // One message is enough for the end mark, two more for the claim; the survivor that sends first drops once more.
    for (GroupExpectation& group : expected.groups) group.may_lack_first = 4;
    return expected;
  };
  return operation;
}

// Of the queue, the user and the row, in messages and bytes: so high that they hold up nobody.
Operation limited(Operation operation) {
  operation.name += ", under quotas";
  const Quota high{.messages_per_second = 1e6, .bytes_per_second = 1e12, .burst_messages = 1'000'000};
  operation.queue.quota = high;
  operation.queue.producer_quota = high;
  const auto before = operation.set_up;
  operation.set_up = [before, high](const QueueAt& at) {
    set_quota(at.name, QuotaScope::user(::geteuid()), QuotaSource::policy, high, {.directory = at.directory});
    before(at);
  };
  return operation;
}

}  // namespace

void add_producer_operations(std::vector<Operation>& list) {
  list.push_back(committing("claim, append 3, commit"));
  list.push_back(waking(committing("claim, append 3, commit")));
  list.push_back(committing("claim, append 3, commit, room left over", 6));
  list.push_back(limited(committing("claim, append 3, commit, room left over", 6)));
  list.push_back(limited(aborting("abort", false)));
  list.push_back(committing_at("claim, append 3, commit across the ring's end", 5 * kCapacity - 2 * kRecord));
  list.push_back(committing_at("claim, append 3, commit across position 2^63", kFarPosition));
  list.push_back(filling_the_ring());
  list.push_back(committing_before_another());
  list.push_back(aborting("abort", false));
  list.push_back(waking(aborting("abort behind which another has committed", true)));
  list.push_back(claiming_what_was_acked());
  list.push_back(dropping("claim that drops the oldest", false));
  list.push_back(dropping("claim that drops the oldest, given back before", true));
}

}  // namespace ipcq::sweep
