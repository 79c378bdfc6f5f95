// Coming and going: endpoints, groups, the end of the stream.
#include <unistd.h>

#include "api/segment.hpp"
#include "core/endpoints.hpp"
#include "core/quota_table.hpp"
#include "crash/sweep/messages.hpp"
#include "crash/sweep/operation.hpp"

namespace ipcq::sweep {
namespace {

// Something done to an open queue of messages 1-8.
Operation administering(const char* name, std::function<void(const Queue&)> step,
                        std::function<Expectation(unsigned)> expected) {
  Operation operation;
  operation.name = name;
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.prepare = [step](const QueueAt& at) -> Step {
    const auto queue = keep(at.open());
    return [queue, step](Progress& progress) {
      step(*queue);
      progress.reached = 1;
    };
  };
  operation.expected = std::move(expected);
  return operation;
}

Expectation all_eight(unsigned) { return both({must("1-8")}); }

template <class Handle>
Operation attaching(const char* name, Handle (*attach)(const Queue&)) {
  Operation operation;
  operation.name = name;
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.prepare = [attach](const QueueAt& at) -> Step {
    const auto queue = keep(at.open());
    const auto handle = keep(Handle());
    return [queue, handle, attach](Progress& progress) {
      *handle = attach(*queue);
      progress.reached = 1;
    };
  };
  operation.expected = all_eight;
  operation.beside = Beside::no;
  return operation;
}

template <class Handle>
Operation detaching(const char* name, Handle (*attach)(const Queue&)) {
  Operation operation = attaching(name, attach);
  operation.prepare = [attach](const QueueAt& at) -> Step {
    const auto handle = keep(attach(at.open()));
    return [handle](Progress& progress) {
      handle->detach();
      progress.reached = 1;
    };
  };
  operation.beside = Beside::yes;
  return operation;
}

// Sixteen rows of the dead; the owner of the first has a claim open behind which another has committed.
Operation attaching_to_a_row_of_the_dead() {
  Operation operation = attaching<Producer>("attach to the row of a dead producer with a claim open",
                                            [](const Queue& queue) { return queue.producer(); });
  operation.set_up = [](const QueueAt& at) {
    const Queue queue = at.open();
    const auto rows = keep(std::vector<Producer>());
    for (int i = 0; i < 16; ++i) rows->push_back(queue.producer());
    const auto claim = keep((*rows)[0].claim(Room::equal(2, kPayload), kBound));
    append(*claim, 901);
    send((*rows)[1], {1, 2});
    ::_exit(0);
  };
  operation.expected = [](unsigned) { return both({must("1-2")}); };
  return operation;
}

Operation adding_a_group(const char* name, Start start) {
  Operation operation = administering(
      name, [start](const Queue& queue) { queue.add_group({.name = "late", .start = start}); },
      [start](unsigned reached) {
        Expectation expected;
        expected.groups.push_back({"default", {must("3-8")}, false, 0, false});
        Items late;
        if (start == Start::oldest) late = {must("3-8")};
        expected.groups.push_back({"late", late, reached == 0, 0, true});
        return expected;
      });
  operation.queue.groups = {{.name = "default"}};
  operation.set_up = [](const QueueAt& at) {
    send_eight(at);
    Consumer consumer = at.open().consumer();
    ok(lease(consumer, 2).ack(), "ack");
    ok(lease(consumer, 1).requeue(), "requeue");  // retires the two
  };
  const auto expected = operation.expected;
  operation.expected = [expected](unsigned reached) {
    Expectation all = expected(reached);
    all.groups[0].items = {must("3", Handed::before), must("4-8")};
    return all;
  };
  return operation;
}

// Of each producer, two of which are attached.
Operation setting_a_quota(const char* name, const QuotaScope& scope) {
  Operation operation;
  operation.name = name;
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.prepare = [scope](const QueueAt& at) -> Step {
    const Queue queue = at.open();
    const auto producers = keep(std::vector<Producer>());
    for (int i = 0; i < 2; ++i) producers->push_back(queue.producer());
    const auto segment = at.segment();
    return [segment, producers, scope](Progress& progress) {
      const Quota high{.messages_per_second = 1e6, .bytes_per_second = 1e12, .burst_messages = 1'000'000};
      require(core::set_quota(segment->view(), scope, QuotaSource::operator_, high) == core::SetQuota::ok, "set_quota");
      progress.reached = 1;
    };
  };
  operation.expected = all_eight;
  operation.beside = Beside::no;  // who attaches beside it waits for the table
  return operation;
}

// One of two producers. Who waits, for room or for his turn, looks again.
Operation revoking() {
  Operation operation;
  operation.name = "revoke a producer";
  operation.queue = small_queue();
  operation.set_up = send_eight;
  operation.prepare = [](const QueueAt& at) -> Step {
    const Queue queue = at.open();
    const auto producers = keep(std::vector<Producer>());
    for (int i = 0; i < 2; ++i) producers->push_back(queue.producer());
    const auto segment = at.segment();
    const core::Owner owner = core::owner_of_row(segment->view(), producers->front().row());
    return [segment, producers, owner](Progress& progress) {
      require(core::revoke(segment->view(), owner) == core::Revoked::yes, "revoke");
      progress.reached = 1;
      require(producers->front().claim({.messages = 1, .bytes = 8}, now).outcome() == Outcome::revoked,
              "the revoked one may claim");
    };
  };
  operation.expected = all_eight;
  operation.beside = Beside::no;  // who attaches beside it waits for the table
  return operation;
}

Operation removing_a_group() {
  return administering(
      "group remove", [](const Queue& queue) { queue.remove_group("other"); },
      [](unsigned reached) {
        Expectation expected = all_eight(reached);
        expected.groups[1].may_be_missing = true;
        if (reached == 1) expected.groups.pop_back();
        return expected;
      });
}

// The last member's detach removes its ephemeral group.
Operation leaving_an_ephemeral_group() {
  Operation operation = detaching<Consumer>("detach of an ephemeral group's last member",
                                            [](const Queue& queue) { return queue.consumer("other"); });
  operation.queue.groups[1].lifetime = Lifetime::ephemeral;
  operation.expected = [](unsigned reached) {
    Expectation expected = all_eight(reached);
    expected.groups[1].may_be_missing = true;
    if (reached == 1) expected.groups.pop_back();
    return expected;
  };
  // A survivor that reads the group and leaves it removes it as well: those who go on find the other.
  return operation;
}

// Message 1 came back, 2 is held by a dead member, nobody has had the others; who is attached keeps what he gets.
Operation purging() {
  Operation operation = administering(
      "purge", [](const Queue& queue) { (void)queue.purge("default", true); },
      [](unsigned reached) {
        Items left;
        if (reached == 0) left = {may("1", Handed::before), may("2", Handed::before), may("3-8")};
        Expectation expected = differ(left, {must("1-8")});
        expected.groups[0].began_meanwhile = true;
        if (reached == 1) expected.groups[0].gone_meanwhile = ids("1-8");
        return expected;
      });
  operation.set_up = [](const QueueAt& at) {
    send_eight(at);
    const auto consumer = keep(at.open().consumer());
    ok(lease(*consumer, 1).requeue(), "requeue");
    const auto first = keep(lease(*consumer, 1));
    const auto second = keep(lease(*consumer, 1));
    ok(first->requeue(), "requeue");
    ::_exit(0);
  };
  return operation;
}

Operation purging_an_exclusive_group() {
  Operation operation = administering(
      "purge of an exclusive group", [](const Queue& queue) { (void)queue.purge("default"); },
      [](unsigned reached) {
        Items left;
        if (reached == 0) left = {may("1-8", Handed::either)};
        return differ(left, {must("1-8")});
      });
  operation.queue.groups = {{.name = "default", .consumers = ConsumerMode::exclusive}, {.name = "other"}};
  operation.set_up = [](const QueueAt& at) {
    send_eight(at);
    const auto consumer = keep(at.open().consumer());
    const auto leased = keep(lease(*consumer, 2));
    ::_exit(0);
  };
  operation.beside = Beside::no;  // others would take over, and refuse it
  return operation;
}

Expectation closing(unsigned reached) {
  Expectation expected = all_eight(reached);
  expected.closed = reached == 1 ? Closed::yes : Closed::may;
  return expected;
}

Operation reopening() {
  Operation operation = administering(
      "reopen", [](const Queue& queue) { queue.reopen(); },
      [](unsigned reached) {
        Expectation expected = all_eight(reached);
        expected.closed = reached == 1 ? Closed::no : Closed::may;
        return expected;
      });
  operation.set_up = [](const QueueAt& at) {
    send_eight(at);
    at.open().close();
  };
  return operation;
}

}  // namespace

void add_administration_operations(std::vector<Operation>& list) {
  const auto producer = [](const Queue& queue) { return queue.producer(); };
  const auto consumer = [](const Queue& queue) { return queue.consumer(); };
  list.push_back(attaching<Producer>("attach of a producer", producer));
  list.push_back(attaching<Consumer>("attach of a consumer", consumer));
  list.push_back(attaching_to_a_row_of_the_dead());
  list.push_back(detaching<Producer>("detach of a producer", producer));
  list.push_back(detaching<Consumer>("detach of a consumer", consumer));
  list.push_back(adding_a_group("group add, from the oldest", Start::oldest));
  list.push_back(adding_a_group("group add, from the newest", Start::newest));
  list.push_back(setting_a_quota("quota set, of the queue", QuotaScope::queue()));
  list.push_back(setting_a_quota("quota set, of each producer", QuotaScope::each_producer()));
  list.push_back(waking(revoking()));
  list.push_back(waking(removing_a_group()));
  list.push_back(leaving_an_ephemeral_group());
  list.push_back(waking(purging()));
  list.push_back(purging_an_exclusive_group());
  list.push_back(waking(administering(
      "close", [](const Queue& queue) { queue.close(); }, closing)));
  list.push_back(waking(reopening()));
}

}  // namespace ipcq::sweep
