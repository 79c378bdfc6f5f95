// The actor: a process that does one thing to the queue, and dies on the way.
#pragma once

#include <ipcq/ipcq.hpp>
#include <map>
#include <string>
#include <vector>

#include "crash_test.hpp"

namespace ipcq::crash {

/// Exit code of an actor that came to the end of its operation.
inline constexpr int kDone = 45;

namespace actor {

inline Lease lease(Consumer& consumer, std::uint32_t messages) {
  Lease lease = consumer.lease({.max_messages = messages, .deadline = kBound});
  require(lease.outcome() == Outcome::ok, "lease: " + std::string(to_string(lease.outcome())));
  return lease;
}

inline void ok(Outcome outcome, const char* what) {
  require(outcome == Outcome::ok, std::string(what) + ": " + to_string(outcome));
}

inline void send(Child& /*self*/, const Queue& queue) {
  Producer producer = queue.producer();
  crash::send(producer, ids("101-103"));
}

inline void send_one(Child& /*self*/, const Queue& queue) {
  Producer producer = queue.producer();
  crash::send(producer, {101});
}

inline void abort(Child& /*self*/, const Queue& queue) {
  Producer producer = queue.producer();
  Claim batch = claim(producer, ids("101-103"));
  ok(batch.abort(), "abort");
}

inline void lease_four(Child& /*self*/, const Queue& queue) {
  Consumer consumer = queue.consumer();
  const Lease batch = lease(consumer, 4);
}

inline void ack(Child& /*self*/, const Queue& queue) {
  Consumer consumer = queue.consumer();
  ok(lease(consumer, 4).ack(), "ack");
}

inline void ack_lease(Child& /*self*/, const Queue& queue) {
  Consumer consumer = queue.consumer();
  ok(lease(consumer, 4).ack(), "ack");
  const Lease next = lease(consumer, 4);
}

inline void requeue(Child& /*self*/, const Queue& queue) {
  Consumer consumer = queue.consumer();
  ok(lease(consumer, 4).requeue(), "requeue");
}

inline void requeue_lease(Child& /*self*/, const Queue& queue) {
  Consumer consumer = queue.consumer();
  ok(lease(consumer, 4).requeue(), "requeue");
  const Lease again = lease(consumer, 4);
}

inline void requeue_send_one(Child& /*self*/, const Queue& queue) {
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ok(lease(consumer, 4).requeue(), "requeue");
  crash::send(producer, {101});
}

inline void ack_two_of_four(Child& /*self*/, const Queue& queue) {
  Consumer consumer = queue.consumer();
  Lease batch = lease(consumer, 4);
  ok(batch.ack(2, kBound), "ack of the first two");
}

// Leaves a lease open on either side of two that are acked, and leases once more than the ledger has entries.
inline void fill_the_ledger(Child& /*self*/, const Queue& queue) {
  Consumer consumer = queue.consumer();
  const Lease first = lease(consumer, 1);
  Lease second = lease(consumer, 1);
  Lease third = lease(consumer, 1);
  const Lease fourth = lease(consumer, 1);
  ok(second.ack(), "ack");
  ok(third.ack(), "ack");
  const Lease fifth = lease(consumer, 1);
}

inline void attach(Child& /*self*/, const Queue& queue) { const Producer producer = queue.producer(); }

inline void attach_twice(Child& /*self*/, const Queue& queue) {
  const Producer first = queue.producer();
  const Producer second = queue.producer();
}

inline void attach_consumer(Child& /*self*/, const Queue& queue) { const Consumer consumer = queue.consumer(); }

inline void attach_detach(Child& /*self*/, const Queue& queue) { queue.producer().detach(); }

inline void add_group(Child& /*self*/, const Queue& queue) { queue.add_group({.name = "late"}); }

inline void remove_group(Child& /*self*/, const Queue& queue) { queue.remove_group("extra"); }

inline void close(Child& /*self*/, const Queue& queue) { queue.close(); }

inline void hold_lease(Child& self, const Queue& queue) {
  Consumer consumer = queue.consumer();
  const Lease batch = lease(consumer, 4);
  self.report("holding");
  self.hold();
}

inline void hold_claim_commit_behind(Child& self, const Queue& queue) {
  Producer other = queue.producer();
  Producer producer = queue.producer();
  const Claim batch = claim(producer, ids("101-103"));
  require(static_cast<bool>(batch), "no claim");
  crash::send(other, ids("201-202"));
  self.report("holding");
  self.hold();
}

}  // namespace actor

/// Arguments: the operation.
inline const ChildRole kActor("actor", [](Child& self) {
  using Act = void (*)(Child&, const Queue&);
  static const std::map<std::string, Act> operations = {
      {"send", actor::send},
      {"send one", actor::send_one},
      {"abort", actor::abort},
      {"lease", actor::lease_four},
      {"ack", actor::ack},
      {"ack, lease", actor::ack_lease},
      {"requeue", actor::requeue},
      {"requeue, lease", actor::requeue_lease},
      {"requeue, send one", actor::requeue_send_one},
      {"ack 2 of 4", actor::ack_two_of_four},
      {"fill the ledger", actor::fill_the_ledger},
      {"attach", actor::attach},
      {"attach twice", actor::attach_twice},
      {"attach a consumer", actor::attach_consumer},
      {"attach, detach", actor::attach_detach},
      {"add a group", actor::add_group},
      {"remove a group", actor::remove_group},
      {"close", actor::close},
      {"hold a lease", actor::hold_lease},
      {"hold a claim, commit behind", actor::hold_claim_commit_behind},
  };
  operations.at(self.argument(0))(self, Queue::open(kQueue));
  return kDone;
});

/// Runs a process that must die of itself at `point`.
inline testing::AssertionResult dies(const ChildRole& role, const char* point,
                                     const std::vector<std::string>& arguments = {}) {
  ChildProcess process(role, arguments, {{"IPCQ_CRASH_AT", point}});
  const Ending ending = process.wait();
  if (ending.killed_by(SIGKILL)) return testing::AssertionSuccess();
  testing::AssertionResult result = testing::AssertionFailure();
  result << role.name;
  for (const std::string& argument : arguments) result << " \"" << argument << "\"";
  result << " was to die at \"" << point << "\" and ";
  if (ending.exited_with(kDone)) {
    result << "was done without passing that point";
  } else {
    result << ending.text();
  }
  for (const std::string& line : process.rest_of_reports()) result << "\n  " << line;
  return result;
}

/// An actor, likewise.
inline testing::AssertionResult dies_at(const char* point, const char* operation) {
  return dies(kActor, point, {operation});
}

}  // namespace ipcq::crash
