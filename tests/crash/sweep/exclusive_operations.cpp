// What exclusive producers and consumers do, and their successors.
#include <unistd.h>

#include "crash/sweep/messages.hpp"
#include "crash/sweep/operation.hpp"

namespace ipcq::sweep {
namespace {

CreateOptions exclusive_producer_queue() {
  CreateOptions options = small_queue();
  options.producers = ProducerMode::exclusive;
  return options;
}

CreateOptions exclusive_consumer_queue() {
  CreateOptions options = small_queue();
  options.groups[0].consumers = ConsumerMode::exclusive;
  return options;
}

Operation committing(const char* name, std::uint32_t room, std::uint64_t position) {
  Operation operation;
  operation.name = name;
  operation.queue = exclusive_producer_queue();
  operation.touch_up = [position](Image& image) { move_to(image, position); };
  operation.prepare = [room](const QueueAt& at) -> Step {
    const auto producer = keep(at.open().producer());
    return [producer, room](Progress& progress) {
      for (std::uint64_t first : {101U, 201U}) {
        Claim claim = producer->claim(Room::equal(room, kPayload), kBound);
        ok(claim.outcome(), "claim");
        for (std::uint64_t id = first; id < first + 3; ++id) append(claim, id);
        ok(claim.commit(), "commit");
        progress.reached = progress.reached + 1;
      }
    };
  };
  operation.expected = [](unsigned reached) {
    Items items{done_when(reached >= 1, "101-103")};
    if (reached >= 1) items.push_back(done_when(reached >= 2, "201-203"));
    return both(items);
  };
  return operation;
}

// A predecessor that died with a claim open; or after the head that publishes its last batch and before claim_position.
Operation taking_over(const char* name, bool published, bool commits) {
  Operation operation;
  operation.name = name;
  operation.queue = exclusive_producer_queue();
  operation.set_up = [published](const QueueAt& at) {
    const auto producer = keep(at.open().producer());
    send_each(*producer, ids("1-8"));
    const auto claim = keep(Claim());
    if (!published) {
      *claim = producer->claim(Room::equal(3, kPayload), kBound);
      append(*claim, 901);
      append(*claim, 902);
    }
    ::_exit(0);
  };
  if (published) {
    operation.touch_up = [](Image& image) {
      auto& position = view_of(image).side().claim.claim_position;
      position.store(position.load() - kRecord);
    };
  }
  operation.prepare = [commits](const QueueAt& at) -> Step {
    const auto queue = keep(at.open());
    const auto producer = keep(Producer());
    return [queue, producer, commits](Progress& progress) {
      *producer = queue->producer();
      if (commits) {
        send(*producer, {101, 102, 103});
        progress.reached = 1;
      }
    };
  };
  operation.expected = [commits](unsigned reached) {
    Items items{must("1-8")};
    if (commits) items.push_back(done_when(reached == 1, "101-103"));
    return both(items);
  };
  return operation;
}

Operation leaving_producer() {
  Operation operation;
  operation.name = "exclusive producer: detach";
  operation.queue = exclusive_producer_queue();
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto producer = keep(at.open().producer());
    send_each(*producer, ids("1-3"));
    return [producer](Progress& progress) {
      producer->detach();
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned) { return both({must("1-3")}); };
  return operation;
}

Operation closing_with_a_claim_open() {
  Operation operation;
  operation.name = "exclusive producer: close with a claim open, commit";
  operation.queue = exclusive_producer_queue();
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto queue = keep(at.open());
    const auto producer = keep(queue->producer());
    send_each(*producer, ids("1-3"));
    const auto claim = keep(producer->claim(Room::equal(2, kPayload), kBound));
    ok(claim->outcome(), "claim");
    append(*claim, 101);
    append(*claim, 102);
    return [queue, producer, claim](Progress& progress) {
      queue->close();
      progress.reached = 1;
      ok(claim->commit(), "commit");
      progress.reached = 2;
    };
  };
  operation.expected = [](unsigned reached) {
    Items items{must("1-3")};
    if (reached >= 1) items.push_back(done_when(reached == 2, "101-102"));
    Expectation expected = both(items);
    expected.closed = reached >= 1 ? Closed::yes : Closed::may;
    return expected;
  };
  return operation;
}

Operation consuming(const char* name) {
  Operation operation;
  operation.name = name;
  operation.queue = exclusive_consumer_queue();
  operation.set_up = send_eight;
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto consumer = keep(at.open().consumer());
    const auto leases = keep(std::vector<Lease>());
    leases->reserve(4);
    return [consumer, leases](Progress& progress) {
      leases->push_back(lease(*consumer, 3));
      progress.reached = 1;
      leases->push_back(lease(*consumer, 2));
      progress.reached = 2;
      ok((*leases)[0].ack(1, kBound), "ack of the first");
      progress.reached = 3;
      ok((*leases)[0].ack(), "ack");
      progress.reached = 4;
      ok((*leases)[1].ack(), "ack");
      progress.reached = 5;
    };
  };
  operation.expected = [](unsigned reached) {
    Items items;
    const auto handed = [&](unsigned when) { return reached >= when ? Handed::before : Handed::either; };
    if (reached <= 2) items.push_back({{1}, reached == 2 ? Presence::may : Presence::must, handed(1)});
    if (reached <= 3) items.push_back({{2, 3}, reached == 3 ? Presence::may : Presence::must, handed(1)});
    if (reached <= 4) items.push_back({{4, 5}, reached == 4 ? Presence::may : Presence::must, handed(2)});
    items.push_back(must("6-8"));
    return differ(items, {must("1-8")});
  };
  return operation;
}

Operation succeeding(const char* name, bool acks) {
  Operation operation;
  operation.name = name;
  operation.queue = exclusive_consumer_queue();
  operation.set_up = [](const QueueAt& at) {
    const Queue queue = at.open();
    Producer producer = queue.producer();
    send_each(producer, ids("1-8"));
    const auto consumer = keep(queue.consumer());
    const auto leased = keep(lease(*consumer, 4));
    ::_exit(0);
  };
  operation.prepare = [acks](const QueueAt& at) -> Step {
    const auto queue = keep(at.open());
    const auto consumer = keep(Consumer());
    return [queue, consumer, acks](Progress& progress) {
      *consumer = queue->consumer();
      if (!acks) return;
      Lease first = lease(*consumer, 4);
      require(first.size() == 1, "what may have killed one comes in a batch");
      ok(first.ack(), "ack");
      progress.reached = 1;
    };
  };
  operation.beside = acks ? Beside::no : Beside::yes;  // others would take what it is to ack
  operation.expected = [acks](unsigned reached) {
    Items items;
    if (reached == 0) items.push_back(acks ? may("1", Handed::before) : must("1", Handed::before));
    items.push_back(must("2-4", Handed::before));
    items.push_back(must("5-8"));
    return differ(items, {must("1-8")});
  };
  return operation;
}

Operation leaving_consumer() {
  Operation operation;
  operation.name = "exclusive consumer: detach";
  operation.queue = exclusive_consumer_queue();
  operation.set_up = send_eight;
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto consumer = keep(at.open().consumer());
    ok(lease(*consumer, 3).ack(), "ack");
    return [consumer](Progress& progress) {
      consumer->detach();
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned) { return differ({must("4-8")}, {must("1-8")}); };
  return operation;
}

}  // namespace

void add_exclusive_operations(std::vector<Operation>& list) {
  list.push_back(
      committing("exclusive producer: two claims, commits across the ring's end", 3, 3 * kCapacity - 4 * kRecord));
  list.push_back(committing("exclusive producer: two claims, commits, room left over, across position 2^63", 5,
                            (std::uint64_t{1} << 63) - 4 * kRecord));
  list.push_back(taking_over("exclusive producer: take over", false, false));
  list.push_back(taking_over("exclusive producer: take over what was published and not counted, commit", true, true));
  list.push_back(leaving_producer());
  list.push_back(closing_with_a_claim_open());
  list.push_back(consuming("exclusive consumer: lease, lease, ack of the first, ack, ack"));
  list.push_back(succeeding("exclusive consumer: take over with a lease of the dead", false));
  list.push_back(succeeding("exclusive consumer: take over with a lease of the dead, lease, ack", true));
  list.push_back(leaving_consumer());
}

}  // namespace ipcq::sweep
