// A file system without room: creation says so, leaves nothing behind, and what was created never runs out of memory later.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <ipcq/ipcq.hpp>
#include <string>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

/// Mounts a tmpfs of 1 MiB over `directory`, for this process alone. False: not permitted here; the reason was reported.
bool mount_one_mebibyte(const Child& self, const std::string& directory) {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=1m") != 0) {
    self.report(std::string("cannot mount a tmpfs of its own: ") + std::strerror(errno));
    return false;
  }
  return true;
}

std::uint64_t free_bytes(const std::string& directory) {
  struct statvfs info {};
  require(statvfs(directory.c_str(), &info) == 0, "statvfs");
  return std::uint64_t{info.f_bavail} * info.f_frsize;
}

bool is_empty(const std::string& directory) {
  return std::filesystem::directory_iterator(directory) == std::filesystem::directory_iterator();
}

/// Creates what does not fit. Arguments: the directory.
const ChildRole kCreatesTooMuch("creates too much", [](Child& self) {
  const std::string& directory = self.argument(0);
  if (!mount_one_mebibyte(self, directory)) return kNotPermitted;
  const std::uint64_t free_before = free_bytes(directory);
  // Far too large; and just too large: all of the free memory, with nothing left for what is not the ring.
  for (const std::size_t capacity : {std::size_t{8} << 20, std::size_t{1} << 20}) {
    try {
      static_cast<void>(Queue::create(kQueue, {.capacity_bytes = capacity}));
      require(false, "it was created");
    } catch (const Error& error) {
      const std::string text = error.what();
      require(error.errc() == Errc::no_space, std::string(to_string(error.errc())) + ": " + text);
      const testing::AssertionResult helpful = is_helpful(error, directory);
      require(static_cast<bool>(helpful), helpful.message());
      require(text.find("free") != std::string::npos && text.find_first_of("0123456789") != std::string::npos,
              "names neither size nor what is free: " + text);
    }
    require(is_empty(directory), "something was left behind");
    require(free_bytes(directory) == free_before, "memory was left behind");
  }
  return 0;
});

/// Creates the largest queue that fits and uses every byte of it. Arguments: the directory.
const ChildRole kUsesAll("uses all", [](Child& self) {
  const std::string& directory = self.argument(0);
  if (!mount_one_mebibyte(self, directory)) return kNotPermitted;
  CreateOptions options;
  options.capacity_bytes = largest_capacity_bytes(options);
  require(options.capacity_bytes >= kCapacity, "no queue fits 1 MiB");
  const Queue queue = Queue::create(kQueue, options);
  require(queue.capacity_bytes() == options.capacity_bytes, "another capacity than the largest");
  // The rest of the file system is taken by somebody else; the queue has its memory.
  const std::string filler = directory + "/filler";
  std::ofstream(filler) << std::string(2 << 20, 'x');
  require(free_bytes(directory) == 0, "the file system is not full");
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::string payload(1000, 'y');
  std::string got;
  for (int round = 0; round < 2; ++round) {
    std::size_t messages = 0;
    while (producer.send(payload, 0, now) == Outcome::ok) ++messages;
    require(messages >= options.capacity_bytes / 1024 - 1, "only " + std::to_string(messages) + " messages fit");
    while (consumer.receive(got, now) == Outcome::ok) {
      require(got == payload, "a torn message");
      --messages;
    }
    require(messages == 0, "messages are missing");
  }
  return 0;
});

class NoSpace : public HostileTest {
 protected:
  void run(const ChildRole& role) const {
    ChildProcess process(role, {directory()});
    const Ending ending = process.wait();
    if (ending.exited_with(kNotPermitted)) GTEST_SKIP() << process.next_report();
    EXPECT_TRUE(process.succeeds());
  }
};

TEST_F(NoSpace, creating_more_than_there_is_says_so_and_leaves_nothing_behind) { run(kCreatesTooMuch); }

TEST_F(NoSpace, what_was_created_never_runs_out_of_memory) { run(kUsesAll); }

}  // namespace
}  // namespace ipcq::hostile
