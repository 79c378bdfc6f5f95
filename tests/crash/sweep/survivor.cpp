#include "crash/sweep/survivor.hpp"

#include <time.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/recovery.hpp"
#include "crash/sweep/messages.hpp"
#include "crash/sweep/whole.hpp"

namespace ipcq::sweep {
namespace {

Doing* g_doing = nullptr;

void doing(const char* what) noexcept {
  if (g_doing != nullptr) g_doing->store(what);
}

// 13 of these are a claim of capacity - 16, the largest there is.
constexpr std::size_t kThirteenth = (kCapacity - 16) / 13 - 16;
static_assert(13 * (kThirteenth + 16) == kCapacity - 16);

void nap_a_backstop() {
  const timespec nap{0, 60'000'000};
  ::nanosleep(&nap, nullptr);
}

std::vector<std::string> groups_of(const Queue& queue) {
  std::vector<std::string> names;
  for (const GroupInfo& group : queue.inspect().groups) names.push_back(group.name);
  return names;
}

// Takes all there is without waiting. The outcome that ended it.
Outcome drain(Consumer& consumer, Deliveries& got) {
  for (;;) {
    Lease lease = consumer.lease({.max_messages = 64, .deadline = now});
    if (!lease) return lease.outcome();
    for (const Message& message : lease) got.push_back({id_of(message), lease.deliveries()});
    ok(lease.ack(), "ack");
  }
}

const GroupExpectation* find(const Expectation& expected, const std::string& group) {
  for (const GroupExpectation& one : expected.groups) {
    if (one.group == group) return &one;
  }
  return nullptr;
}

void check_end(const std::string& group, Outcome end, Closed closed) {
  const bool fits = (end == Outcome::empty && closed != Closed::yes) || (end == Outcome::closed && closed != Closed::no);
  require(fits, "group '" + group + "', drained, answers " + to_string(end));
}

// Reads every group to its end as a sole consumer and compares.
Ids read_all(const Queue& queue, const Expectation& expected, bool sent_after) {
  doing("reading all");
  Ids of_default;
  const std::vector<std::string> names = groups_of(queue);
  for (const GroupExpectation& group : expected.groups) {
    const bool there = std::find(names.begin(), names.end(), group.group) != names.end();
    require(there || group.may_be_missing, "group '" + group.group + "' is gone");
    if (!there) continue;
    GroupExpectation wanted = group;
    if (sent_after) wanted.items.push_back({{kAfter}, Presence::must, Handed::never});
    Consumer consumer = queue.consumer(group.group);
    Deliveries got;
    Outcome end = drain(consumer, got);
    try {
      check_in_order(wanted, got);
      check_end(group.group, end, expected.closed);
    } catch (const Wrong&) {
      // Whoever polls looks for the dead once in a backstop: what came late came within its bound.
      nap_a_backstop();
      end = drain(consumer, got);
      check_in_order(wanted, got);
      check_end(group.group, end, expected.closed);
    }
    if (group.group == "default") of_default = ids_of(got);
  }
  for (const std::string& name : names) require(find(expected, name) != nullptr, "there is a group '" + name + "'");
  return of_default;
}

// Every row that is left, so that the dead's are among them: read-only views where producers are exclusive.
void take_all_rows(const Queue& queue, Closed closed) {
  doing("attaching to every row");
  const QueueInfo info = queue.inspect();
  const bool producers = info.producers == ProducerMode::shared && closed == Closed::no;
  std::string shared_group;
  for (const GroupInfo& one : info.groups) {
    if (one.consumers == ConsumerMode::shared) shared_group = one.name;
  }
  require(producers || !shared_group.empty(), "nobody may fill the rows");
  std::vector<Producer> all_producers;
  std::vector<Consumer> all_consumers;
  for (std::uint32_t i = 0; i < info.endpoints_max; ++i) {
    if (producers) {
      all_producers.push_back(queue.producer());
    } else {
      all_consumers.push_back(queue.consumer(shared_group));
    }
  }
}

// Whether unread messages leave no room for one more: then `full` is right.
bool full_of_messages(const Queue& queue) {
  const QueueInfo info = queue.inspect();
  return std::any_of(info.groups.begin(), info.groups.end(), [&](const GroupInfo& group) {
    return group.depth_messages > 0 && group.depth_bytes + kRecord + 16 > info.capacity_bytes;
  });
}

void expect_closed(const Queue& queue) {
  try {
    const Producer producer = queue.producer();
  } catch (const Error& error) {
    require(error.errc() == Errc::closed, error.what());
    return;
  }
  throw Wrong("a producer attached to a closed queue");
}

// Life goes on: batches of growing size around the ring, then the largest claim there is, each read by every group.
void go_on(const Queue& queue) {
  doing("going on");
  if (queue.closed()) queue.reopen();
  require(!queue.closed(), "reopened, and closed");
  Producer producer = queue.producer();
  std::vector<Consumer> consumers;
  for (const std::string& name : groups_of(queue)) consumers.push_back(queue.consumer(name));
  require(!consumers.empty(), "the queue has no group");
  const auto all_get = [&](const Ids& wanted) {
    for (Consumer& consumer : consumers) {
      Deliveries got;
      const Outcome end = drain(consumer, got);
      require(ids_of(got) == wanted && end == Outcome::empty, "afterwards group '" + consumer.group() + "' got " +
                                                                  text(ids_of(got)) + " instead of " + text(wanted) +
                                                                  ", then " + to_string(end));
    }
  };
  all_get({});
  for (std::uint64_t batch = 1; batch <= 12; ++batch) {
    const Ids list{1000 * batch, 1000 * batch + 1, 1000 * batch + 2};
    send(producer, list, 400 * batch, now);
    all_get(list);
  }
  Ids largest;
  for (std::uint64_t id = 20001; id <= 20013; ++id) largest.push_back(id);
  send(producer, largest, kThirteenth, now);
  const bool drops = queue.inspect().overflow == Overflow::drop_oldest;
  if (!drops) {
    const Claim more = producer.claim({.messages = 1, .bytes = 0}, now);
    require(more.outcome() == Outcome::full, std::string("one more than the ring holds: ") + to_string(more.outcome()));
  }
  all_get(largest);
}

// The dead-letter queue, with what was found in it so far.
class DeadLetterQueue {
 public:
  explicit DeadLetterQueue(const QueueAt& source)
      : source_(source.segment()), segment_(source.dead_letters().segment()), queue_(source.dead_letters().open()) {}

  [[nodiscard]] const Queue& queue() const noexcept { return queue_; }
  [[nodiscard]] const core::View& view() const noexcept { return segment_->view(); }

  void empty() {
    Consumer consumer = queue_.consumer();
    const Outcome end = drain(consumer, found_);
    require(end == Outcome::empty, std::string("the dead-letter queue, drained, answers ") + to_string(end));
  }
  // As if a second had passed: what is parked is tried again by the next who leases.
  void let_a_second_pass() const {
    const core::View& view = source_->view();
    for (std::uint32_t i = 0; i < view.groups_max; ++i) {
      auto& tried = view.group(i).parked_tried_ns;
      if (tried.load() != 0) tried.store(1);
    }
  }
  void check(const Expectation& expected, const Queue& source) {
    empty();
    for (const GroupInfo& group : source.inspect().groups)
      require(group.parked_messages == 0, "a message is parked though there is room in the dead-letter queue");
    try {
      check_in_order({"default", expected.dead_letters}, found_);
    } catch (const Wrong& wrong) {
      throw Wrong(std::string("dead letters: ") + wrong.what());
    }
  }

 private:
  std::shared_ptr<detail::Segment> source_;
  std::shared_ptr<detail::Segment> segment_;
  Queue queue_;
  Deliveries found_;
};

bool busy(Errc code) noexcept {
  return code == Errc::timed_out || code == Errc::in_use || code == Errc::closed || code == Errc::no_such_group;
}

}  // namespace

void say_doing_to(Doing* doing) noexcept { g_doing = doing; }

const char* name_of(Mode mode) noexcept {
  constexpr const char* kNames[] = {"R", "A", "C", "P", "Q"};
  return kNames[static_cast<std::size_t>(mode)];
}

Ids survive(const QueueAt& at, Mode mode, const Expectation& expected) {
  const Queue queue = at.open();
  Ids got;
  std::optional<DeadLetterQueue> letters;
  if (!expected.dead_letters.empty()) letters.emplace(at);
  doing("verifying and recovering");
  const auto verify_and_recover = [&](const QueueAt& one) {
    const std::shared_ptr<detail::Segment> segment = one.segment();
    check_mendable(segment->view());
    if (mode == Mode::recover) {
      core::recover(segment->view());
      check_recovered(segment->view());
    }
  };
  verify_and_recover(at);
  if (letters) verify_and_recover(at.dead_letters());
  bool sent = false;
  const bool closed = queue.closed();
  require(!closed || expected.closed != Closed::no, "the queue is closed");
  require(closed || expected.closed != Closed::yes, "the queue is not closed");
  Expectation wanted = expected;
  wanted.closed = closed ? Closed::yes : Closed::no;
  if (mode == Mode::attach) {
    take_all_rows(queue, wanted.closed);
    if (closed) {
      expect_closed(queue);
    } else {
      Producer producer = queue.producer();
      Claim claim = producer.claim({.messages = 1, .bytes = kPayload}, now);
      sent = claim.outcome() == Outcome::ok;
      if (sent) {
        append(claim, kAfter);
        ok(claim.commit(), "commit");
      } else {
        require(claim.outcome() == Outcome::full && full_of_messages(queue),
                std::string("claim: ") + to_string(claim.outcome()));
      }
    }
  }
  if (expected.may_be_parked) {
    letters->empty();
    letters->let_a_second_pass();
  }
  got = read_all(queue, wanted, sent);
  if (closed) expect_closed(queue);
  const auto go_on_and_recover = [](const QueueAt& one) {
    go_on(one.open());
    const std::shared_ptr<detail::Segment> segment = one.segment();
    core::recover(segment->view());  // rows of the dead that nobody needed
    check_recovered(segment->view());
  };
  if (letters) {
    letters->check(expected, queue);
    if (mode == Mode::attach) take_all_rows(letters->queue(), Closed::no);
    go_on_and_recover(at.dead_letters());
  }
  go_on_and_recover(at);
  return got;
}

Interlude work_beside(const QueueAt& at, bool with_dead_letters) {
  Interlude done;
  doing("opening, recovering");
  const Queue queue = at.open();
  core::recover(at.segment()->view());
  constexpr std::chrono::milliseconds kMoment{2};
  if (with_dead_letters) {
    doing("claiming in the dead-letter queue");
    core::recover(at.dead_letters().segment()->view());
    try {
      Producer producer = at.dead_letters().open().producer();
      Claim claim = producer.claim({.messages = 1, .bytes = kPayload}, kMoment);
      const Outcome outcome = claim.outcome();
      require(outcome == Outcome::ok || outcome == Outcome::blocked || outcome == Outcome::full,
              std::string("claim in the dead-letter queue beside a stopped process: ") + to_string(outcome));
    } catch (const Error& error) {
      if (!busy(error.errc())) throw;
    }
  }
  try {
    doing("attaching a producer");
    Producer producer = queue.producer();
    doing("claiming");
    Claim claim = producer.claim({.messages = 1, .bytes = kPayload}, kMoment);
    doing("committing, detaching");
    const Outcome outcome = claim.outcome();
    if (outcome == Outcome::ok) {
      append(claim, kAfter);
      ok(claim.commit(), "commit beside a stopped process");
      done.sent = true;
    } else {
      require(outcome == Outcome::blocked || outcome == Outcome::full || outcome == Outcome::closed,
              std::string("claim beside a stopped process: ") + to_string(outcome));
    }
  } catch (const Error& error) {
    if (!busy(error.errc())) throw;
  }
  try {
    doing("attaching a consumer");
    Consumer consumer = queue.consumer("default");
    doing("leasing");
    Lease lease = consumer.lease({.max_messages = 2, .deadline = kMoment});
    doing("acking, detaching");
    const Outcome outcome = lease.outcome();
    if (outcome == Outcome::ok) {
      for (const Message& message : lease) done.acked.push_back(id_of(message));
      ok(lease.ack(), "ack beside a stopped process");
    } else {
      require(outcome == Outcome::blocked || outcome == Outcome::empty || outcome == Outcome::closed ||
                  outcome == Outcome::too_many_leases || outcome == Outcome::group_removed,
              std::string("lease beside a stopped process: ") + to_string(outcome));
    }
  } catch (const Error& error) {
    if (!busy(error.errc())) throw;
  }
  return done;
}

void settle(const QueueAt& at, const Interlude& before, const Expectation& expected) {
  doing("opening, recovering");
  const Queue queue = at.open();
  core::recover(at.segment()->view());
  check_recovered(at.segment()->view());
  std::optional<DeadLetterQueue> letters;
  if (!expected.dead_letters.empty()) {
    letters.emplace(at);
    core::recover(letters->view());
    check_recovered(letters->view());
    letters->empty();
    letters->let_a_second_pass();  // what was moved while the child held the dead-letter queue is parked
  }
  const bool closed = queue.closed();
  require(!closed || expected.closed != Closed::no, "the queue is closed");
  require(closed || expected.closed != Closed::yes, "the queue is not closed");
  doing("reading all");
  const std::vector<std::string> names = groups_of(queue);
  for (const GroupExpectation& group : expected.groups) {
    const bool there = std::find(names.begin(), names.end(), group.group) != names.end();
    require(there || group.may_be_missing, "group '" + group.group + "' is gone");
    if (!there) continue;
    Consumer consumer = queue.consumer(group.group);
    Deliveries got;
    const Outcome end = drain(consumer, got);
    check_end(group.group, end, closed ? Closed::yes : Closed::no);
    GroupExpectation wanted = group;
    if (before.sent) wanted.items.push_back({{kAfter}, Presence::must, Handed::either});
    if (group.began_meanwhile) {
      wanted.items.clear();
      for (const Item& item : group.items) {
        for (const std::uint64_t id : item.ids) wanted.items.push_back({{id}, Presence::may, Handed::either});
      }
      for (const std::uint64_t id : group.gone_meanwhile) wanted.items.push_back({{id}, Presence::may, Handed::either});
      wanted.items.push_back({{kAfter}, Presence::may, Handed::either});
    }
    Ids all = ids_of(got);
    if (group.group == "default") all.insert(all.end(), before.acked.begin(), before.acked.end());
    check_as_set(wanted, all);
  }
  if (letters) {
    letters->check(expected, queue);
    go_on(letters->queue());
    check_recovered(letters->view());
  }
  go_on(queue);
  check_recovered(at.segment()->view());
}

}  // namespace ipcq::sweep
