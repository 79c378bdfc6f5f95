// A library that gives the kernel a robust list of its own makes the C library's mutexes silently not robust in that
// thread: whoever opens or attaches there is told, instead of others waiting for ever after its death.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <functional>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <string>
#include <thread>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

void replace_robust_list() {
  static thread_local struct {
    void* self = &self;
    long offset = 0;
    void* pending = nullptr;
  } list;
  require(syscall(SYS_set_robust_list, &list, sizeof list) == 0, "set_robust_list");
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return to_string(error.errc());
  }
  return "none";
}

/// Reports what each call comes to in a process whose first thread has another list.
const ChildRole kReplaces("replaces its robust list", [](Child& self) -> int {
  const Queue before = Queue::open(kQueue);
  std::string in_a_new_thread;
  replace_robust_list();
  self.report(error_of([] { static_cast<void>(Queue::open(kQueue)); }));
  self.report(error_of([] { static_cast<void>(Queue::create("another", {.capacity_bytes = kCapacity})); }));
  self.report(error_of([&] { static_cast<void>(before.producer()); }));
  self.report(error_of([&] { static_cast<void>(before.consumer()); }));
  self.report(error_of([] { static_cast<void>(inspect(kQueue)); }));
  std::thread([&] { in_a_new_thread = error_of([&] { static_cast<void>(before.producer()); }); }).join();
  self.report(in_a_new_thread);
  self.leave(0);
});

TEST_F(HostileTest, a_thread_whose_robust_list_was_replaced_is_told_at_open_and_attach) {
  const Queue queue = create();
  ChildProcess child(kReplaces, {});
  EXPECT_EQ(child.next_report(), "no_robust_mutex") << "open";
  EXPECT_EQ(child.next_report(), "no_robust_mutex") << "create";
  EXPECT_EQ(child.next_report(), "no_robust_mutex") << "a producer";
  EXPECT_EQ(child.next_report(), "no_robust_mutex") << "a consumer";
  EXPECT_EQ(child.next_report(), "none") << "an observer locks nothing";
  EXPECT_EQ(child.next_report(), "none") << "another thread has the C library's list";
  EXPECT_TRUE(child.succeeds());
}

}  // namespace
}  // namespace ipcq::hostile
