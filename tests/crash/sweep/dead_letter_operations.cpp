// Messages past max_deliveries: moved to the dead-letter queue, parked while that is full, moved later by whoever leases or
// is short of room, dropped, purged.
#include "crash/sweep/messages.hpp"
#include "crash/sweep/operation.hpp"

namespace ipcq::sweep {
namespace {

// More than deaths and survivors of one history hand out the others.
constexpr std::uint32_t kMost = 8;

CreateOptions queue_of(ConsumerMode consumers) {
  CreateOptions options = small_queue();
  options.groups = {{.name = "default", .consumers = consumers}};
  options.max_deliveries = kMost;
  options.dead_letter = "dead";
  return options;
}

void make_dead_letter_queue(const QueueAt& at) {
  CreateOptions options = small_queue();
  options.groups = {{.name = "default"}};
  options.directory = at.directory;
  (void)Queue::create(at.dead_letters().name, options);
}

// Messages 1-8, the first of which was handed out as often as it may be.
void send_and_exhaust(const QueueAt& at) {
  send_eight(at);
  Consumer consumer = at.open().consumer();
  for (std::uint32_t handed_out = 0; handed_out < kMost; ++handed_out) {
    Lease first = lease(consumer, 1);
    require(first.size() == 1 && id_of(*first.begin()) == 1, "message 1 comes again");
    ok(first.requeue(), "requeue");
  }
}

Items all_but_the_first(unsigned reached) {
  return {must("2-3", reached == 1 ? Handed::before : Handed::either), must("4-8")};
}
Expectation of_default(const Items& items) {
  Expectation expected;
  expected.groups.push_back({"default", items, false, 0});
  return expected;
}

// Another look of a consumer: it deals with message 1 on the way, and is handed 2 and 3.
Operation leasing_behind(const char* name, ConsumerMode consumers) {
  Operation operation;
  operation.name = name;
  operation.queue = queue_of(consumers);
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto consumer = keep(at.open().consumer());
    const auto leased = keep(Lease());
    return [consumer, leased](Progress& progress) {
      *leased = lease(*consumer, 2);
      progress.reached = 1;
    };
  };
  return operation;
}

Operation moving(const char* name, ConsumerMode consumers) {
  Operation operation = leasing_behind(name, consumers);
  operation.set_up = [](const QueueAt& at) {
    make_dead_letter_queue(at);
    send_and_exhaust(at);
  };
  operation.expected = [](unsigned reached) {
    Expectation expected = of_default(all_but_the_first(reached));
    expected.dead_letters = {must("1"), may("1")};
    return expected;
  };
  return operation;
}

void fill_dead_letter_queue(const QueueAt& at) {
  make_dead_letter_queue(at);
  Producer producer = at.dead_letters().open().producer();
  send_each(producer, ids("501-563"), kLargePayload);
  send(producer, {564}, kLargePayload - 224);  // 208 bytes are left, and a dead letter needs 224
}

void empty_dead_letter_queue(const QueueAt& at) {
  Consumer consumer = at.dead_letters().open().consumer();
  ok(lease(consumer, 64).ack(), "ack");
}

Expectation parked_until_there_is_room(const Items& items) {
  Expectation expected = of_default(items);
  expected.may_be_parked = true;
  expected.dead_letters = {must("501-564"), must("1"), may("1")};
  return expected;
}

Operation parking() {
  Operation operation = leasing_behind("park what the dead-letter queue has no room for, lease", ConsumerMode::shared);
  operation.set_up = [](const QueueAt& at) {
    fill_dead_letter_queue(at);
    send_and_exhaust(at);
  };
  operation.expected = [](unsigned reached) { return parked_until_there_is_room(all_but_the_first(reached)); };
  return operation;
}

// What is parked in an exclusive group holds up what is behind it: nothing is handed out.
Operation parking_exclusive() {
  Operation operation = parking();
  operation.name = "exclusive consumer: park what the dead-letter queue has no room for";
  operation.queue = queue_of(ConsumerMode::exclusive);
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto consumer = keep(at.open().consumer());
    return [consumer](Progress& progress) {
      const Lease none = consumer->lease({.max_messages = 2, .deadline = now});
      require(none.outcome() == Outcome::blocked,
              std::string("lease behind a parked message: ") + to_string(none.outcome()));
      progress.reached = 1;
    };
  };
  operation.beside = Beside::no;  // others would make room
  operation.expected = [](unsigned) { return parked_until_there_is_room({must("2-8")}); };
  return operation;
}

// Parked a second ago, and there is room now.
void park_and_make_room(const QueueAt& at) {
  fill_dead_letter_queue(at);
  send_and_exhaust(at);
  Consumer consumer = at.open().consumer();
  Lease none = consumer.lease({.max_messages = 1, .deadline = now});
  if (none) ok(none.requeue(), "requeue");
  empty_dead_letter_queue(at);
}
void let_a_second_pass(Image& image) {
  const core::View view = view_of(image);
  require(view.group(0).parked_tried_ns.load() != 0, "nothing was parked");
  view.group(0).parked_tried_ns.store(1);
}

Operation moving_what_was_parked(const char* name, ConsumerMode consumers) {
  Operation operation = moving(name, consumers);
  operation.set_up = park_and_make_room;
  operation.touch_up = let_a_second_pass;
  const bool shared = consumers == ConsumerMode::shared;
  operation.expected = [shared](unsigned reached) {
    // Whoever parked message 1 of a shared group was handed the next one, and gave it back: it comes alone.
    Items items{must("2", shared || reached == 1 ? Handed::before : Handed::either)};
    items.push_back(must("3", reached == 1 && !shared ? Handed::before : Handed::either));
    items.push_back(must("4-8"));
    Expectation expected = of_default(items);
    expected.dead_letters = {must("1"), may("1")};
    // Who dies between the time of this try and unparking leaves it parked for another second.
    expected.may_be_parked = shared;
    return expected;
  };
  return operation;
}

// A producer short of room moves what is parked at the front.
Operation claiming_what_is_parked() {
  Operation operation;
  operation.name = "claim, short of room: moves what is parked";
  operation.queue = queue_of(ConsumerMode::shared);
  operation.set_up = [](const QueueAt& at) {
    park_and_make_room(at);
    const Queue queue = at.open();
    Consumer consumer = queue.consumer();
    for (int i = 0; i < 2; ++i) ok(lease(consumer, 7).ack(), "ack");
    Producer producer = queue.producer();
    send_each(producer, ids("11-73"), kLargePayload);
  };
  operation.touch_up = let_a_second_pass;
  operation.prepare = [](const QueueAt& at) -> Step {
    const auto producer = keep(at.open().producer());
    return [producer](Progress& progress) {
      send(*producer, {101}, kLargePayload - 256);
      progress.reached = 1;
    };
  };
  operation.expected = [](unsigned reached) {
    Expectation expected = of_default({must("11-73"), done_when(reached == 1, "101")});
    expected.dead_letters = {must("1"), may("1")};
    expected.may_be_parked = true;  // as above
    return expected;
  };
  return operation;
}

Operation dropping(const char* name, ConsumerMode consumers) {
  Operation operation = leasing_behind(name, consumers);
  operation.queue.dead_letter.clear();
  operation.queue.drop_after = true;
  operation.set_up = send_and_exhaust;
  operation.expected = [](unsigned reached) { return of_default(all_but_the_first(reached)); };
  return operation;
}

}  // namespace

void add_dead_letter_operations(std::vector<Operation>& list) {
  list.push_back(moving("move to the dead-letter queue, lease", ConsumerMode::shared));
  list.push_back(moving("exclusive consumer: move to the dead-letter queue, lease", ConsumerMode::exclusive));
  list.push_back(parking());
  list.push_back(parking_exclusive());
  list.push_back(moving_what_was_parked("move what was parked, lease", ConsumerMode::shared));
  list.push_back(moving_what_was_parked("exclusive consumer: move what was parked, lease", ConsumerMode::exclusive));
  list.push_back(claiming_what_is_parked());
  list.push_back(dropping("drop after max_deliveries, lease", ConsumerMode::shared));
  list.push_back(dropping("exclusive consumer: drop after max_deliveries, lease", ConsumerMode::exclusive));
}

}  // namespace ipcq::sweep
