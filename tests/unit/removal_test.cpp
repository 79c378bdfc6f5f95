// Two who would unlink one queue: only the holder of the remover's byte may, else one of them could unlink the queue that
// was created under the name in between.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ipcq/ipcq.hpp>
#include <string>

#include "layout/format.hpp"
#include "os/life_lock.hpp"
#include "os/unique_fd.hpp"
#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"

namespace ipcq::unit {
namespace {

/// Lists a directory as a user who may write there, but not to its files. Arguments: the directory.
const support::ChildRole kLists("lists as another user", [](support::Child& self) {
  constexpr uid_t kSomebody = 1234;
  if (::geteuid() == 0) support::require(::setresuid(kSomebody, kSomebody, kSomebody) == 0, "setresuid");
  self.report(std::to_string(list({.directory = self.argument(0)}).size()) + " queues");
  return 0;
});

/// Removes the queue "kept" as a user who may write it but not unlink it. Arguments: the directory.
const support::ChildRole kRemoves("removes as another user", [](support::Child& self) {
  constexpr uid_t kSomebody = 1234;
  if (::geteuid() == 0) support::require(::setresuid(kSomebody, kSomebody, kSomebody) == 0, "setresuid");
  try {
    ipcq::remove("kept", {.directory = self.argument(0)});
    self.report("removed");
  } catch (const Error& error) {
    self.report(to_string(error.errc()));
  }
  return 0;
});

TEST(RefusedRemoval, LeavesTheQueueAsItIs) {
  const support::ScratchDirectory scratch;
  const Queue queue = Queue::create("kept", {.capacity_bytes = 64 * 1024, .mode = 0666, .directory = scratch.path()});
  // A directory where everybody may create files and nobody may unlink another's; for who is not root, one of his own.
  ASSERT_EQ(::chmod(scratch.path().c_str(), ::geteuid() == 0 ? 01777 : 0555), 0);
  support::ChildProcess remover(kRemoves, {scratch.path()});
  EXPECT_EQ(remover.next_report(), "permission_denied");
  EXPECT_TRUE(remover.succeeds());
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0700), 0);
  EXPECT_FALSE(queue.inspect().removed);
  Producer producer = queue.producer();
  EXPECT_EQ(producer.send("still here", 0, now), Outcome::ok);
}

TEST(RefusedRemoval, IsThatOfAQueueThatAnotherIsRemoving) {
  const support::ScratchDirectory scratch;
  { const Queue queue = Queue::create("q", {.capacity_bytes = 64 * 1024, .directory = scratch.path()}); }
  const os::UniqueFd remover(::open((scratch.path() + "/ipcq.q").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(os::lock_bytes(remover.get(), layout::kLifeBegin - 1, 1));
  try {
    ipcq::remove("q", {.directory = scratch.path()});
    ADD_FAILURE() << "two would unlink it";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::in_use);
  }
  EXPECT_EQ(list({.directory = scratch.path()}).size(), 1U);
}

class InterruptedRemoval : public ::testing::Test {
 protected:
  void SetUp() override {
    { const Queue queue = Queue::create("gone", options()); }
    // What a remover leaves that died between the mark and the unlink.
    file_.reset(::open(path().c_str(), O_RDWR | O_CLOEXEC));
    std::uint32_t flags = layout::flag::kRemoved;
    ASSERT_EQ(::pwrite(file_.get(), &flags, sizeof flags, offsetof(layout::FrozenHeader, flags)), ssize_t{sizeof flags});
  }
  [[nodiscard]] CreateOptions options() const { return {.capacity_bytes = 64 * 1024, .directory = scratch_.path()}; }
  [[nodiscard]] OpenOptions place() const { return {.directory = scratch_.path()}; }
  [[nodiscard]] std::string path() const { return scratch_.path() + "/ipcq.gone"; }
  /// Whether the name still is the marked file.
  [[nodiscard]] bool still_named() const {
    struct stat named {};
    struct stat marked {};
    return ::stat(path().c_str(), &named) == 0 && ::fstat(file_.get(), &marked) == 0 && named.st_ino == marked.st_ino;
  }
  void expect_no_such_queue() const {
    try {
      static_cast<void>(Queue::open("gone", place()));
      ADD_FAILURE() << "opened";
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::no_such_queue) << error.what();
    }
  }

  support::ScratchDirectory scratch_;
  os::UniqueFd file_;
};

TEST_F(InterruptedRemoval, IsFinishedByWhoeverOpensTheName) {
  expect_no_such_queue();
  EXPECT_FALSE(still_named());
}

TEST_F(InterruptedRemoval, IsFinishedByWhoeverCreatesTheName) {
  const Queue queue = Queue::create("gone", options());
  EXPECT_FALSE(still_named());
  EXPECT_EQ(Queue::open("gone", place()).name(), "gone");
}

TEST_F(InterruptedRemoval, IsLeftToARemoverWhoIsAtWork) {
  const os::UniqueFd remover = os::reopen(file_.get(), O_RDWR);
  ASSERT_TRUE(os::lock_bytes(remover.get(), layout::kLifeBegin - 1, 1));
  expect_no_such_queue();
  EXPECT_TRUE(still_named()) << "the remover holds his byte until after his unlink";
}

TEST_F(InterruptedRemoval, IsFinishedByNobodyWhoMayOnlyRead) {
  ASSERT_EQ(::chmod(scratch_.path().c_str(), 0777), 0);
  ASSERT_EQ(::chmod(path().c_str(), 0444), 0);
  support::ChildProcess reader(kLists, {scratch_.path()});
  EXPECT_EQ(reader.next_report(), "0 queues");
  EXPECT_TRUE(reader.succeeds());
  EXPECT_TRUE(still_named()) << "without the byte nobody may unlink, and the byte needs write access";
}

}  // namespace
}  // namespace ipcq::unit
