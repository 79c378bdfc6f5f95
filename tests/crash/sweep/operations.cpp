#include "crash/sweep/messages.hpp"
#include "crash/sweep/operation.hpp"

namespace ipcq::sweep {

CreateOptions small_queue() {
  CreateOptions options;
  options.capacity_bytes = kCapacity;
  options.endpoints_max = 16;
  options.groups_max = 2;
  options.ledger_entries = 8;
  options.groups = {{.name = "default"}, {.name = "other"}};
  return options;
}

Expectation both(const Items& items) { return differ(items, items); }

Expectation differ(const Items& of_default, const Items& of_other) {
  return {{{"default", of_default, false, 0}, {"other", of_other, false, 0}}, Closed::no};
}

Operation waking(Operation operation) {
  operation.name += ", others asleep";
  operation.touch_up = [before = operation.touch_up](Image& image) {
    before(image);
    pretend_waiters(image);
  };
  return operation;
}

void send_eight(const QueueAt& at) {
  Producer producer = at.open().producer();
  send_each(producer, ids("1-8"));
}

const std::vector<Operation>& operations() {
  static const std::vector<Operation> all = [] {
    std::vector<Operation> list;
    add_producer_operations(list);
    add_consumer_operations(list);
    add_exclusive_operations(list);
    add_administration_operations(list);
    add_recovery_operations(list);
    add_dead_letter_operations(list);
    return list;
  }();
  return all;
}

}  // namespace ipcq::sweep
