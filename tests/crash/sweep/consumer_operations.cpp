// What members of shared groups do: lease, ack in and out of order, ack of the first n, requeue, wait.
#include "crash/sweep/messages.hpp"
#include "crash/sweep/operation.hpp"

namespace ipcq::sweep {
namespace {

// An operation of one consumer of "default" in a queue of messages 1-8. `before` is done unstepped and leaves leases.
using Leases = std::vector<Lease>;
Operation consuming(const char* name, std::function<void(Consumer&, Leases&)> before,
                    std::function<void(Consumer&, Leases&, Progress&)> step, std::function<Items(unsigned)> expected) {
  Operation operation;
  operation.name = name;
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.prepare = [before, step](const QueueAt& at) -> Step {
    const auto consumer = keep(at.open().consumer());
    const auto leases = keep(Leases());
    leases->reserve(16);
    before(*consumer, *leases);
    return [consumer, leases, step](Progress& progress) { step(*consumer, *leases, progress); };
  };
  operation.expected = [expected](unsigned reached) { return differ(expected(reached), {must("1-8")}); };
  return operation;
}

void nothing(Consumer&, Leases&) {}
void lease_four(Consumer& consumer, Leases& leases) { leases.push_back(lease(consumer, 4)); }
void lease_two_and_two(Consumer& consumer, Leases& leases) {
  leases.push_back(lease(consumer, 2));
  leases.push_back(lease(consumer, 2));
}

Operation leasing(const char* name) {
  return consuming(
      name, nothing,
      [](Consumer& consumer, Leases& leases, Progress& progress) {
        leases.push_back(lease(consumer, 3));
        progress.reached = 1;
      },
      [](unsigned reached) {
        return Items{must("1-3", reached == 1 ? Handed::before : Handed::either), must("4-8")};
      });
}

Operation leasing_over_skipped_bytes(const char* name, std::uint64_t position) {
  Operation operation = leasing(name);
  operation.set_up = [](const QueueAt&) {};
  operation.touch_up = [position](Image& image) { move_to(image, position); };
  const auto prepare = operation.prepare;
  operation.prepare = [prepare](const QueueAt& at) {
    Producer producer = at.open().producer();
    const auto skip = [&] {
      Claim claim = producer.claim(Room::equal(2, kPayload), kBound);
      ok(claim.abort(), "abort");
    };
    skip();
    send_each(producer, ids("1-2"));
    skip();
    send_each(producer, ids("3-8"));
    return prepare(at);
  };
  return operation;
}

Operation acking(const char* name) {
  return consuming(
      name, lease_four,
      [](Consumer&, Leases& leases, Progress& progress) {
        ok(leases[0].ack(), "ack");
        progress.reached = 1;
      },
      [](unsigned reached) {
        return reached == 1 ? Items{must("5-8")} : Items{may("1-4", Handed::before), must("5-8")};
      });
}

Operation acking_out_of_order(const char* name) {
  return consuming(
      name, lease_two_and_two,
      [](Consumer&, Leases& leases, Progress& progress) {
        ok(leases[1].ack(), "ack");
        progress.reached = 1;
        ok(leases[0].ack(), "ack");
        progress.reached = 2;
      },
      [](unsigned reached) {
        Items items;
        if (reached < 2) items.push_back(reached == 1 ? may("1-2", Handed::before) : must("1-2", Handed::before));
        if (reached < 1) items.push_back(may("3-4", Handed::before));
        items.push_back(must("5-8"));
        return items;
      });
}

Operation acking_then_leasing() {
  return consuming(
      "ack two, lease: retires", lease_two_and_two,
      [](Consumer& consumer, Leases& leases, Progress& progress) {
        ok(leases[0].ack(), "ack");
        ok(leases[1].ack(), "ack");
        progress.reached = 1;
        leases.push_back(lease(consumer, 2));
        progress.reached = 2;
      },
      [](unsigned reached) {
        if (reached == 0) return Items{may("1-2", Handed::before), may("3-4", Handed::before), must("5-8")};
        return Items{must("5-6", reached == 2 ? Handed::before : Handed::either), must("7-8")};
      });
}

Operation acking_the_first_two(const char* name) {
  return consuming(
      name, lease_four,
      [](Consumer&, Leases& leases, Progress& progress) {
        ok(leases[0].ack(2, kBound), "ack of the first two");
        progress.reached = 1;
      },
      [](unsigned reached) {
        Items items;
        if (reached == 0) items.push_back(may("1-2", Handed::before));
        items.push_back(must("3-4", Handed::before));
        items.push_back(must("5-8"));
        return items;
      });
}

Operation requeueing(const char* name) {
  return consuming(
      name, lease_four,
      [](Consumer&, Leases& leases, Progress& progress) {
        ok(leases[0].requeue(), "requeue");
        progress.reached = 1;
      },
      [](unsigned) {
        return Items{must("1-4", Handed::before), must("5-8")};
      });
}

Operation leasing_again() {
  return consuming(
      "lease of what comes again: splits",
      [](Consumer& consumer, Leases&) {
        Lease first = lease(consumer, 4);
        ok(first.requeue(), "requeue");
      },
      [](Consumer& consumer, Leases& leases, Progress& progress) {
        leases.push_back(lease(consumer, 4));
        progress.reached = 1;
      },
      [](unsigned) {
        return Items{must("1-4", Handed::before), must("5-8")};
      });
}

// Eight entries: a lease at the front, finished ones behind, and no free one.
Operation leasing_with_a_full_ledger() {
  Operation operation = consuming(
      "lease with a full ledger: merges",
      [](Consumer& consumer, Leases& leases) {
        for (int i = 0; i < 8; ++i) leases.push_back(lease(consumer, 1));
        for (std::size_t i : {2U, 3U, 5U, 6U}) ok(leases[i].ack(), "ack");
      },
      [](Consumer& consumer, Leases& leases, Progress& progress) {
        leases.push_back(lease(consumer, 1));
        progress.reached = 1;
      },
      [](unsigned reached) {
        return Items{must("1-2 5 8", Handed::before), must("9", reached == 1 ? Handed::before : Handed::either),
                     must("10")};
      });
  operation.set_up = [](const QueueAt& at) {
    Producer producer = at.open().producer();
    send_each(producer, ids("1-10"));
  };
  operation.expected = [expected = operation.expected](unsigned reached) {
    Expectation all = expected(reached);
    all.groups[1].items = {must("1-10")};
    return all;
  };
  return operation;
}

// One who waits for messages and for room alike says so to others, sleeps, and finds neither. What it holds is no obstacle to
// anybody: it sleeps in the ring's and in the group's word at once.
Operation waiting_with_a_set() {
  Operation operation;
  operation.name = "wait set: a consumer and a producer, arms and sleeps";
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.prepare = [](const QueueAt& at) -> Step {
    const Queue queue = at.open();
    const auto consumer = keep(queue.consumer());
    const auto producer = keep(queue.producer());
    const auto held = keep(lease(*consumer, 8));
    const auto set = keep(WaitSet(WaitStrategy::sleep));
    set->add(*consumer);
    set->add(*producer, Room::equal(63, kLargePayload + 16));  // 65,520 bytes; eight messages are there
    return [consumer, producer, held, set](Progress& progress) {
      const WaitSet::Ready ready = set->wait(std::chrono::milliseconds(1));  // beside it others may have made room
      require(ready || ready.outcome() == Outcome::empty, std::string("wait: ") + to_string(ready.outcome()));
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned) { return differ({must("1-8", Handed::before)}, {must("1-8")}); };
  return operation;
}

}  // namespace

void add_consumer_operations(std::vector<Operation>& list) {
  list.push_back(leasing("lease 3"));
  list.push_back(leasing_over_skipped_bytes("lease 3 over skipped bytes, across position 2^63",
                                            (std::uint64_t{1} << 63) - 3 * kRecord));
  list.push_back(
      leasing_over_skipped_bytes("lease 3 over skipped bytes, across the ring's end", 7 * kCapacity - 3 * kRecord));
  list.push_back(acking("ack"));
  list.push_back(waking(acking("ack: retires")));
  list.push_back(acking_out_of_order("ack out of order"));
  list.push_back(waking(acking_out_of_order("ack out of order: retires two")));
  list.push_back(acking_then_leasing());
  list.push_back(acking_the_first_two("ack of the first 2 of 4"));
  list.push_back(waking(acking_the_first_two("ack of the first 2 of 4")));
  list.push_back(requeueing("requeue"));
  list.push_back(waking(requeueing("requeue")));
  list.push_back(leasing_again());
  list.push_back(leasing_with_a_full_ledger());
  list.push_back(waiting_with_a_set());
}

}  // namespace ipcq::sweep
