// A queue is for one PID and one time namespace: from another it is refused, since robust mutexes and times would lie.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <functional>
#include <ipcq/ipcq.hpp>
#include <string>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

int not_permitted(const Child& self, const char* what) {
  self.report(std::string("cannot ") + what + ": " + std::strerror(errno));
  return kNotPermitted;
}

/// Runs `inside` in a process of a new namespace, "pid" or "time". kNotPermitted where the host does not let us.
int in_new_namespace(const Child& self, const std::string& kind, const std::function<void()>& inside) {
  const bool is_pid = kind == "pid";
  if (unshare(is_pid ? CLONE_NEWPID | CLONE_NEWNS : CLONE_NEWTIME) != 0) return not_permitted(self, "make a namespace");
  // The caller stays where it is; its children are in the new one.
  const pid_t pid = fork();
  require(pid >= 0, "fork");
  if (pid == 0) {
    // As in a container: /proc shows the processes of the new namespace.
    if (is_pid && (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
                   mount("proc", "/proc", "proc", 0, nullptr) != 0)) {
      self.leave(not_permitted(self, "mount /proc"));
    }
    try {
      inside();
    } catch (const std::exception& error) {
      self.report(std::string("failed: ") + error.what());
      self.leave(1);
    }
    self.leave(0);
  }
  int status = 0;
  require(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "the process in the namespace did not end by itself");
  return WEXITSTATUS(status);
}

void expect_other_namespace(const std::string& path) {
  try {
    static_cast<void>(Queue::open(kQueue));
  } catch (const Error& error) {
    require(error.errc() == Errc::other_namespace, std::string(to_string(error.errc())) + ": " + error.what());
    const testing::AssertionResult helpful = is_helpful(error, path);
    require(static_cast<bool>(helpful), helpful.message());
    return;
  }
  require(false, "it was opened");
}

/// Arguments: "pid" or "time", the queue's path.
const ChildRole kOpensInside("opens in another namespace", [](Child& self) {
  return in_new_namespace(self, self.argument(0), [&] { expect_other_namespace(self.argument(1)); });
});

const ChildRole kCreatesInside("creates in another namespace", [](Child& self) {
  return in_new_namespace(self, self.argument(0), [] {
    const Queue queue = Queue::create(kQueue, {.capacity_bytes = kCapacity});
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    std::string got;
    require(producer.send("inside") == Outcome::ok && consumer.receive(got, now) == Outcome::ok && got == "inside",
            "the queue does not work in the namespace that it was made in");
  });
});

class OtherNamespace : public HostileTest, public testing::WithParamInterface<const char*> {};

TEST_P(OtherNamespace, a_queue_of_outside_is_refused_inside) {
  const Queue queue = create();
  ChildProcess process(kOpensInside, {GetParam(), path_of(kQueue)});
  if (process.wait().exited_with(kNotPermitted)) GTEST_SKIP() << process.next_report();
  EXPECT_TRUE(process.succeeds());
}

TEST_P(OtherNamespace, a_queue_of_inside_works_there_and_is_refused_outside) {
  ChildProcess process(kCreatesInside, {GetParam()});
  if (process.wait().exited_with(kNotPermitted)) GTEST_SKIP() << process.next_report();
  ASSERT_TRUE(process.succeeds());
  EXPECT_NO_THROW(expect_other_namespace(path_of(kQueue)));
}

INSTANTIATE_TEST_SUITE_P(Kinds, OtherNamespace, testing::Values("pid", "time"),
                         [](const auto& kind) { return std::string(kind.param) + "_namespace"; });

}  // namespace
}  // namespace ipcq::hostile
