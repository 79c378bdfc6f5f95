// Processes as /proc and pidfds tell them: who is there and maps a file, who is gone, and that whoever cannot be asked
// about counts as there.
#include "os/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

#include "os/unique_fd.hpp"
#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"

namespace ipcq::unit {
namespace {

using os::FileId;
using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::require;

std::uint32_t own_pid() { return static_cast<std::uint32_t>(::getpid()); }

/// One page of a file, mapped.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const os::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    struct stat info {};
    require(fd && ::ftruncate(fd.get(), 4096) == 0 && ::fstat(fd.get(), &info) == 0, "cannot make " + path);
    id_ = {info.st_dev, info.st_ino};
    at_ = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), 0);
    require(at_ != MAP_FAILED, "cannot map " + path);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { ::munmap(at_, 4096); }
  [[nodiscard]] FileId id() const noexcept { return id_; }

 private:
  FileId id_;
  void* at_ = nullptr;
};

/// Maps a file and lives on. Arguments: the file.
const ChildRole kMaps("maps a file", [](Child& self) -> int {
  const MappedFile file(self.argument(0));
  self.report(std::to_string(os::start_time(own_pid())));
  return self.hold();
});

/// The same in a thread that outlives main().
const ChildRole kMapsInAThread("maps a file in a thread that outlives the first", [](Child& self) -> int {
  static const MappedFile file(self.argument(0));
  static const Child child = self;  // main()'s own goes with its stack
  std::thread([leader = ::pthread_self()] {
    ::pthread_join(leader, nullptr);
    child.report(std::to_string(os::start_time(own_pid())));
    child.hold();
  }).detach();
  ::pthread_exit(nullptr);
});

/// Asks about a living process that maps a file, without descriptors left. Arguments: pid, start time, dev, ino.
const ChildRole kAsksWithoutDescriptors("asks without descriptors", [](Child& self) -> int {
  const rlimit none{0, 0};
  require(::setrlimit(RLIMIT_NOFILE, &none) == 0, "setrlimit");
  require(os::start_time(own_pid()) == 0, "a descriptor was to be had");
  const bool lives =
      os::lives_and_maps(static_cast<std::uint32_t>(self.number(0)), self.number(1), {self.number(2), self.number(3)});
  self.report(lives ? "lives" : "gone");
  self.leave(0);
});

/// The same without /proc.
const ChildRole kAsksWithoutProc("asks without /proc", [](Child& self) -> int {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", "/proc", "tmpfs", 0, nullptr) != 0) {
    self.report("no mount namespace of its own is permitted here");
    return support::kNotPermitted;
  }
  const bool lives =
      os::lives_and_maps(static_cast<std::uint32_t>(self.number(0)), self.number(1), {self.number(2), self.number(3)});
  self.report(lives ? "lives" : "gone");
  self.leave(0);
});

class Processes : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return scratch_.path() + "/file"; }
  /// The arguments of the roles that ask about this process.
  [[nodiscard]] std::vector<std::string> about_this_process() const {
    return {std::to_string(own_pid()), std::to_string(os::start_time(own_pid())), std::to_string(file_.id().dev),
            std::to_string(file_.id().ino)};
  }

  support::ScratchDirectory scratch_;
  MappedFile file_{path()};
};

TEST_F(Processes, AStartTimeNamesAProcessAmongThoseOfOneNumber) {
  const std::uint64_t started = os::start_time(own_pid());
  EXPECT_GT(started, 0U);
  EXPECT_EQ(os::start_time(own_pid()), started);
  EXPECT_EQ(os::start_time(0), 0U);
  EXPECT_EQ(os::start_time(UINT32_MAX), 0U);
}

TEST_F(Processes, ThisOneLivesAndMapsTheFile) {
  EXPECT_TRUE(os::lives_and_maps(own_pid(), os::start_time(own_pid()), file_.id()));
}

TEST_F(Processes, OneThatDoesNotMapTheFileIsNotItsOwner) {
  const os::UniqueFd other(::open((scratch_.path() + "/other").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  struct stat info {};
  ASSERT_EQ(::fstat(other.get(), &info), 0);
  EXPECT_FALSE(os::lives_and_maps(own_pid(), os::start_time(own_pid()), {info.st_dev, info.st_ino}));
  EXPECT_FALSE(os::lives_and_maps(own_pid(), os::start_time(own_pid()), {file_.id().dev + 1, file_.id().ino}));
}

TEST_F(Processes, OneOfAnotherStartTimeIsAnother) {
  EXPECT_FALSE(os::lives_and_maps(own_pid(), os::start_time(own_pid()) + 1, file_.id()));
}

TEST_F(Processes, OneWhoseStartTimeCouldNotBeReadWhenItAttachedIsNotAnother) {
  EXPECT_TRUE(os::lives_and_maps(own_pid(), 0, file_.id())) << "not known is no proof of death";
}

TEST_F(Processes, AChildLivesIsGoneWhenItExitedAndGoneWhenItWasReaped) {
  ChildProcess child(kMaps, {path()});
  const std::uint64_t started = std::stoull(child.next_report());
  const auto pid = static_cast<std::uint32_t>(child.pid());
  EXPECT_EQ(os::start_time(pid), started);
  EXPECT_TRUE(os::lives_and_maps(pid, started, file_.id()));
  EXPECT_FALSE(os::lives_and_maps(pid, started + 1, file_.id())) << "its number was another's before";
  child.stop();
  EXPECT_TRUE(os::lives_and_maps(pid, started, file_.id())) << "stopped is not dead";
  child.kill_without_reaping();
  EXPECT_FALSE(os::lives_and_maps(pid, started, file_.id())) << "exited, not reaped";
  child.kill();
  EXPECT_FALSE(os::lives_and_maps(pid, started, file_.id()));
  EXPECT_TRUE(os::command_of(pid).empty());
}

TEST_F(Processes, OneWhoseFirstThreadHasEndedLivesInTheOthers) {
  ChildProcess child(kMapsInAThread, {path()});
  const std::uint64_t started = std::stoull(child.next_report());
  EXPECT_TRUE(os::lives_and_maps(static_cast<std::uint32_t>(child.pid()), started, file_.id()));
}

TEST_F(Processes, WhoCannotBeAskedAboutForWantOfDescriptorsIsNotGone) {
  ChildProcess asker(kAsksWithoutDescriptors, about_this_process());
  EXPECT_EQ(asker.next_report(), "lives");
}

TEST_F(Processes, WhoCannotBeAskedAboutForWantOfProcIsNotGone) {
  ChildProcess asker(kAsksWithoutProc, about_this_process());
  const std::string report = asker.next_report();
  if (asker.wait().exited_with(support::kNotPermitted)) GTEST_SKIP() << report;
  EXPECT_EQ(report, "lives");
}

TEST_F(Processes, ACommandIsItsNameInProc) {
  std::string name;
  std::getline(std::ifstream("/proc/self/comm"), name);
  EXPECT_EQ(os::command_of(own_pid()), name);
  EXPECT_EQ(os::command_of(0), "");
}

TEST_F(Processes, NamespacesAreKnownAndThoseOfAllItsProcesses) {
  const os::Namespaces own = os::own_namespaces();
  EXPECT_NE(own.pid.ino, 0U);
  EXPECT_EQ(own.pid, os::own_namespaces().pid);
}

TEST_F(Processes, TheUidOfUnknownOwnersIsTheKernels) {
  std::uint32_t uid = 0;
  if (!(std::ifstream("/proc/sys/kernel/overflowuid") >> uid)) GTEST_SKIP() << "no /proc/sys here";
  EXPECT_EQ(os::overflow_uid(), uid);
}

}  // namespace
}  // namespace ipcq::unit
