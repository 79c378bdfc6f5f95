// Whatever is missing when a queue is set up, the error is one of ours: it names the queue and says what to do.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <exception>
#include <ipcq/ipcq.hpp>
#include <string>

#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IPCQ_SHADOW_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IPCQ_SHADOW_MEMORY 1
#endif
#endif

namespace ipcq::unit {
namespace {

using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::require;

void report_error_of(Child& self, const char* what, void (*call)(const std::string& directory)) {
  try {
    call(self.argument(0));
    self.report(std::string(what) + ": no error");
  } catch (const Error& error) {
    self.report(std::string(what) + ": " + to_string(error.errc()));
  } catch (const std::exception& error) {
    self.report(std::string(what) + ": not an ipcq::Error: " + error.what());
  }
}

/// Creates and opens queues with less address space than they need. Arguments: directory, with the queue "large" in it.
const ChildRole kLacksAddressSpace("lacks address space", [](Child& self) {
  const rlimit little{200 << 20, 200 << 20};
  require(::setrlimit(RLIMIT_AS, &little) == 0, "setrlimit");
  report_error_of(self, "open", [](const std::string& directory) {
    static_cast<void>(Queue::open("large", {.directory = directory}));
  });
  report_error_of(self, "create", [](const std::string& directory) {
    static_cast<void>(Queue::create("another", {.capacity_bytes = 64 << 20, .directory = directory}));
  });
  return 0;
});

TEST(CreationError, ForWantOfAddressSpaceIsOneOfOurs) {
#ifdef IPCQ_SHADOW_MEMORY
  GTEST_SKIP() << "the sanitizer's shadow memory needs the address space";
#endif
  const support::ScratchDirectory scratch;
  const Queue queue = Queue::create("large", {.capacity_bytes = 64 << 20, .directory = scratch.path()});
  ChildProcess child(kLacksAddressSpace, {scratch.path()});
  EXPECT_EQ(child.next_report(), "open: system");
  EXPECT_EQ(child.next_report(), "create: system");
  EXPECT_TRUE(child.succeeds());
}

}  // namespace
}  // namespace ipcq::unit
