// Operation: something a process does to a queue, to be killed at every instruction of it.
#pragma once

#include <functional>
#include <ipcq/ipcq.hpp>
#include <string>
#include <vector>

#include "crash/sweep/expectation.hpp"
#include "crash/sweep/image.hpp"
#include "crash/sweep/tracee.hpp"

namespace ipcq::sweep {

/// Which modes beside R, A and C make sense: a stopped one that others work beside.
enum class Beside : std::uint8_t { no, yes };

struct Operation {
  std::string name;
  CreateOptions queue;
  /// What is in the queue before, done by a process of its own, which makes the dead-letter queue if there is to be one. It may leave by _exit: what it holds then is a dead
  /// owner's.
  std::function<void(const QueueAt&)> set_up = [](const QueueAt&) {};
  /// By hand, on the bytes of what was set up.
  std::function<void(Image&)> touch_up = [](Image&) {};
  /// In the child, not stepped: attaches, and whatever comes before the operation, which is returned. Its handles end with
  /// it, also not stepped.
  std::function<Step(const QueueAt&)> prepare;
  /// What the others must find when `reached` calls of the operation have returned.
  std::function<Expectation(unsigned reached)> expected;
  Beside beside = Beside::yes;
};

/// All of them: producers', consumers', exclusive sides', administration's, recovery's.
[[nodiscard]] const std::vector<Operation>& operations();

// The parts of that list.
void add_producer_operations(std::vector<Operation>& list);
void add_consumer_operations(std::vector<Operation>& list);
void add_exclusive_operations(std::vector<Operation>& list);
void add_administration_operations(std::vector<Operation>& list);
void add_recovery_operations(std::vector<Operation>& list);
void add_dead_letter_operations(std::vector<Operation>& list);

/// The queue of most operations: 64 KiB, 16 endpoints, 2 groups ("default" and "other"), a ledger of 8.
[[nodiscard]] CreateOptions small_queue();
/// Both groups get the same.
[[nodiscard]] Expectation both(const Items& items);
/// "default" gets these, "other", which nobody reads, those.
[[nodiscard]] Expectation differ(const Items& of_default, const Items& of_other);
/// Opens the queue in the child and keeps it for as long as the operation.
template <class T>
[[nodiscard]] std::shared_ptr<T> keep(T&& handle) {
  return std::make_shared<T>(std::forward<T>(handle));
}
/// The operation while others seem to sleep: it wakes them.
Operation waking(Operation operation);
/// Messages 1-8, each a batch.
void send_eight(const QueueAt& at);

}  // namespace ipcq::sweep
