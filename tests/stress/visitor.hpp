// Visitors: workers whose groups come and go while messages flow. Each has a group of its own name, adds it, takes from it
// for a while, leaves it or removes it, and begins again; what a dead visitor left its successor finds.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <string>

#include "history.hpp"
#include "workers.hpp"

namespace ipcq::stress {

inline std::string visitor_group(std::uint32_t number) { return "visitor" + std::to_string(number); }

class Visitor : WorkerBase {
 public:
  Visitor(Child& self, const ChildRole& role) : WorkerBase(self, role) {}

  /// Visits until it is told to stop: true, and its group is gone. False: go on in another thread.
  bool run() {
    while (!history().stopped()) {
      if (!lease_ && !attach()) continue;
      if (stay()) return false;
      leave();
      history().count_visit();
    }
    lease_ = {};
    consumer_ = {};
    while (!removed(false)) {
    }
    return true;
  }

 private:
  bool attach() {
    if (consumer_.attached()) return true;
    const GroupOptions options{.start = random()() % 2 == 0 ? Start::oldest : Start::newest,
                               .lifetime = random()() % 2 == 0 ? Lifetime::ephemeral : Lifetime::persistent};
    try {
      consumer_ = queue_.consumer({.group = group_, .create_group = options});
    } catch (const Error& error) {
      // A stopped process holds a lock; or the group was on its way out, and its removal is not finished.
      check(error.errc() == Errc::timed_out || error.errc() == Errc::no_such_group,
            [&] { return std::string("attach: ") + error.what(); });
      ::usleep(1000);
      return false;
    }
    arrivals_ = {};
    return true;
  }

  /// Takes some batches. True: this thread is to end.
  bool stay() {
    for (std::uint64_t batches = random()() % 64; batches > 0 && !history().stopped(); --batches) {
      if (!lease_) {
        lease_ = consumer_.lease({.max_messages = 1 + static_cast<std::uint32_t>(random()() % 32), .deadline = kLookUp});
        if (!lease_) {
          check(is_transient(lease_.outcome()), [&] { return std::string("lease: ") + to_string(lease_.outcome()); });
          continue;
        }
        for (const Message& message : lease_) read(message);
        if (disturb()) return true;
      }
      if (random()() % 32 == 0) {
        expect_ok(lease_.requeue(), "requeue");
      } else {
        expect_ok(lease_.ack(), "ack");
      }
    }
    return false;
  }

  // From its first message on nothing is left out, but for batches that were never committed.
  void read(const Message& message) {
    const Origin origin = check_payload(message.payload);
    if (lease_.deliveries() > 0) return;
    const std::uint64_t next = arrivals_.next(origin.producer);
    arrivals_.check_order(message, origin);
    if (next != 0 && origin.sequence != next) history().gap(origin.producer, next, origin.sequence);
  }

  void leave() {
    const std::uint64_t how = random()() % 4;
    if (how == 0) {
      lease_ = {};  // requeues
      consumer_.detach();
      return;
    }
    if (how == 1) return;  // stays for the next visit
    if (how == 2) {
      // A living lease is not removed under its holder.
      if (!lease_ && (lease_ = consumer_.lease({.max_messages = 1, .deadline = now}))) {
        for (const Message& message : lease_) read(message);  // it is not missing if the group stays, and we with it
      }
      if (lease_) {
        check(!removed(true), [] { return std::string("a group was removed under a living lease"); });
        expect_ok(lease_.ack(), "ack");
      }
      if (!removed(true)) return;
      const Lease refused = consumer_.lease({.deadline = now});
      check(refused.outcome() == Outcome::group_removed,
            [&] { return std::string("lease of a removed group: ") + to_string(refused.outcome()); });
      consumer_ = {};
      return;
    }
    if (lease_) expect_ok(lease_.ack(), "ack");
    consumer_.detach();
    removed(false);
  }

  // Whether the group is gone: removed by this, or gone with its last member.
  bool removed(bool force) {
    try {
      queue_.remove_group(group_, force);
      return true;
    } catch (const Error& error) {
      if (error.errc() == Errc::no_such_group) return true;
      // A lease of this process; or a stopped process holds a lock; or a child that a dead visitor left looks like him.
      check(error.errc() == Errc::in_use || error.errc() == Errc::timed_out,
            [&] { return std::string("remove a group: ") + error.what(); });
      return false;
    }
  }

  std::string group_ = visitor_group(number());
  Queue queue_ = Queue::open(kQueue);
  Consumer consumer_;
  Lease lease_;
  Arrivals arrivals_;
};

inline const ChildRole kVisitor("stress visitor", [](Child& self) {
  Visitor visitor(self, kVisitor);
  Disturber::in_threads([&] { return visitor.run(); });
  return 0;
});

}  // namespace ipcq::stress
