// Life locks: a byte is held as long as its description is open, whoever asks through another one is told, and a forked
// child neither keeps its parent's lock nor loses a file of its own.
#include "os/life_lock.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "os/unique_fd.hpp"

namespace ipcq::unit {
namespace {

using os::ByteState;
using os::LifeDescriptor;
using os::UniqueFd;

constexpr std::uint64_t kByte = (std::uint64_t{1} << 40) + 3;

class LifeLock : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(file_); }
  [[nodiscard]] UniqueFd description() const { return os::reopen(file_.get(), O_RDWR); }
  /// As somebody without a lock sees it.
  [[nodiscard]] ByteState state(std::uint64_t byte = kByte) const { return os::probe_byte(file_.get(), byte); }
  static bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
  /// Runs `in_child` in a forked child; whether it said true.
  static bool in_fork(const std::function<bool()>& in_child) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(in_child() ? 0 : 1);
    int status = -1;
    return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  UniqueFd file_{::memfd_create("ipcq-unit", MFD_CLOEXEC)};
};

TEST_F(LifeLock, IsHeldFromLockingUntilItsDescriptionIsClosed) {
  EXPECT_EQ(state(), ByteState::free);
  UniqueFd life = description();
  ASSERT_TRUE(os::lock_bytes(life.get(), kByte, 1));
  EXPECT_EQ(state(), ByteState::held);
  EXPECT_EQ(state(kByte - 1), ByteState::free);
  EXPECT_EQ(state(kByte + 1), ByteState::free);
  life.reset();
  EXPECT_EQ(state(), ByteState::free);
}

TEST_F(LifeLock, EndsWhenItIsUnlocked) {
  const UniqueFd life = description();
  ASSERT_TRUE(os::lock_bytes(life.get(), kByte, 1));
  os::unlock_bytes(life.get(), kByte, 1);
  EXPECT_EQ(state(), ByteState::free);
}

TEST_F(LifeLock, IsSeenThroughADescriptorThatMayOnlyRead) {
  const UniqueFd life = description();
  ASSERT_TRUE(os::lock_bytes(life.get(), kByte, 1));
  const UniqueFd reader = os::reopen(file_.get(), O_RDONLY);
  EXPECT_EQ(os::probe_byte(reader.get(), kByte), ByteState::held);
}

TEST_F(LifeLock, IsNotSeenThroughTheDescriptionThatHoldsIt) {
  // Why every endpoint has a description of its own, and probes go through one that carries no lock.
  const UniqueFd life = description();
  ASSERT_TRUE(os::lock_bytes(life.get(), kByte, 1));
  EXPECT_EQ(os::probe_byte(life.get(), kByte), ByteState::free);
  EXPECT_TRUE(os::lock_bytes(life.get(), kByte, 1));
}

TEST_F(LifeLock, IsRefusedToAnotherDescription) {
  const UniqueFd one = description();
  const UniqueFd other = description();
  ASSERT_TRUE(os::lock_bytes(one.get(), kByte, 1));
  EXPECT_FALSE(os::lock_bytes(other.get(), kByte, 1));
  EXPECT_FALSE(os::lock_bytes(other.get(), kByte - 10, 20)) << "a whole range with one held byte in it";
  EXPECT_TRUE(os::lock_bytes(other.get(), kByte + 1, 1));
}

TEST_F(LifeLock, ThatCannotBeAskedForIsUnknown) { EXPECT_EQ(os::probe_byte(-1, kByte), ByteState::unknown); }

TEST_F(LifeLock, ADescriptorMovesAndClosesOnce) {
  LifeDescriptor first(description());
  ASSERT_TRUE(os::lock_bytes(first.get(), kByte, 1));
  LifeDescriptor second(std::move(first));
  EXPECT_EQ(first.get(), -1);
  first.close();
  EXPECT_EQ(state(), ByteState::held);
  LifeDescriptor third(description());
  third = std::move(second);
  EXPECT_EQ(state(), ByteState::held);
  third.close();
  EXPECT_EQ(state(), ByteState::free);
}

TEST_F(LifeLock, ADescriptorThatSomebodyClosedIsKnownAndAForeignFileInItsPlaceLeftAlone) {
  LifeDescriptor life(description());
  const int number = life.get();
  EXPECT_TRUE(life.is_ours());
  ::close(number);
  EXPECT_FALSE(life.is_ours());
  const UniqueFd foreign(::memfd_create("foreign", MFD_CLOEXEC));
  ASSERT_EQ(::dup2(foreign.get(), number), number);
  EXPECT_FALSE(life.is_ours());
  life.close();
  EXPECT_TRUE(is_open(number));
  ::close(number);
}

TEST_F(LifeLock, ADescriptorThatGotTheNumberOfOneThatSomebodyClosedIsNotTakenForThat) {
  LifeDescriptor first(description());
  const int number = first.get();
  ::close(number);
  LifeDescriptor second(description());  // the same file
  ASSERT_EQ(second.get(), number);
  ASSERT_TRUE(os::lock_bytes(number, kByte, 1));
  EXPECT_FALSE(first.is_ours());
  EXPECT_TRUE(second.is_ours());
  first.close();
  EXPECT_EQ(state(), ByteState::held) << "the first has closed the second's";
  EXPECT_TRUE(second.is_ours());
  second.close();
  EXPECT_FALSE(is_open(number));
}

TEST_F(LifeLock, ADescriptorWhoseNumberWasGivenToSomebodyElseOfUsIsLost) {
  LifeDescriptor life(description());
  const int number = life.get();
  EXPECT_TRUE(os::is_life_descriptor(number));
  ::close(number);
  const UniqueFd segment = description();  // the same file
  ASSERT_EQ(segment.get(), number);
  os::disown_number(number);
  EXPECT_FALSE(life.is_ours());
  EXPECT_FALSE(os::is_life_descriptor(number));
  life.close();
  EXPECT_TRUE(is_open(number));
}

TEST_F(LifeLock, MoreDescriptorsThanTheRegistryHasRoomForAreKnownByTheirFileAlone) {
  constexpr rlim_t kWanted = 4400;
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_max < kWanted) GTEST_SKIP() << "no process may open that many files here (ulimit -Hn)";
  const rlimit more{std::max(files.rlim_cur, kWanted), files.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &more), 0);
  std::vector<LifeDescriptor> many;
  for (int i = 0; i < 4200; ++i) many.emplace_back(description());
  EXPECT_TRUE(many.front().is_ours());
  EXPECT_TRUE(many.back().is_ours());
  const int last = many.back().get();
  EXPECT_FALSE(os::is_life_descriptor(last));
  many.pop_back();
  EXPECT_FALSE(is_open(last));
  const int first = many.front().get();
  many.clear();
  EXPECT_FALSE(is_open(first));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
}

TEST_F(LifeLock, AForkedChildThatLivesOnDoesNotKeepIt) {
  LifeDescriptor life(description());
  ASSERT_TRUE(os::lock_bytes(life.get(), kByte, 1));
  int started[2];
  int release[2];
  ASSERT_EQ(::pipe2(started, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(release, O_CLOEXEC), 0);
  char byte = 0;
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(release[1]);
    const bool told = ::write(started[1], &byte, 1) == 1;
    ::_exit(told && ::read(release[0], &byte, 1) == 0 ? 0 : 1);  // until the test closes its end
  }
  ASSERT_EQ(::read(started[0], &byte, 1), 1);
  EXPECT_EQ(state(), ByteState::held);
  life.close();
  EXPECT_EQ(state(), ByteState::free) << "the child has closed its copy";
  for (const int end : {started[0], started[1], release[0], release[1]}) ::close(end);
  ::waitpid(child, nullptr, 0);
}

TEST_F(LifeLock, AForkedChildKnowsThatItIsOne) {
  os::watch_forks();
  const std::uint32_t generation = os::fork_generation();
  EXPECT_TRUE(in_fork([&] { return os::fork_generation() != generation; }));
  EXPECT_EQ(os::fork_generation(), generation);
}

TEST_F(LifeLock, AForkedChildDoesNotCloseTheForeignFileThatHasTheNumberNow) {
  LifeDescriptor life(description());
  const int number = life.get();
  const UniqueFd foreign(::memfd_create("foreign", MFD_CLOEXEC));
  ASSERT_EQ(::dup2(foreign.get(), number), number);  // as after closefrom(3)
  EXPECT_TRUE(in_fork([&] { return is_open(number); }));
  ::close(number);
}

TEST_F(LifeLock, AnInheritedHandlesEndDoesNotCloseTheChildsOwnDescriptor) {
  // The child opens the queue anew: its new descriptor gets the number that the inherited one had, and is the same file.
  LifeDescriptor inherited(description());
  const int number = inherited.get();
  EXPECT_TRUE(in_fork([&] {
    LifeDescriptor own(description());
    if (own.get() != number || !os::lock_bytes(own.get(), kByte, 1)) return false;
    inherited.close();
    return is_open(number) && state() == ByteState::held;
  }));
}

}  // namespace
}  // namespace ipcq::unit
