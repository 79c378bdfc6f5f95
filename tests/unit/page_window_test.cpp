// PageWindow: a page of the dormant mapping is writable while a repair has its window open, and at no other time.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <optional>
#include <thread>

#include "os/life_lock.hpp"
#include "os/mapping.hpp"
#include "os/unique_fd.hpp"

namespace ipcq::unit {
namespace {

using os::PageWindow;

class RepairWindow : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::ftruncate(file_.get(), static_cast<off_t>(3 * page_)), 0);
    ASSERT_EQ(::pipe2(pipe_, O_CLOEXEC), 0);
    dormant_ = mapping_.map_data_dormant(file_.get());
    seen_ = mapping_.map_data_read_only(file_.get());
  }
  void TearDown() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  /// Whether the dormant page can be written: the kernel, asked to read into it, fails where a store would fault.
  [[nodiscard]] bool is_open(std::size_t offset) {
    const char byte = 0;
    EXPECT_EQ(::write(pipe_[1], &byte, 1), 1);
    if (::read(pipe_[0], dormant_ + offset, 1) == 1) return true;
    char rest = 0;
    EXPECT_EQ(::read(pipe_[0], &rest, 1), 1);
    return false;
  }

  std::size_t page_ = os::page_bytes();
  os::UniqueFd file_{::memfd_create("ipcq-unit", MFD_CLOEXEC)};
  os::Mapping mapping_{page_, 2 * page_};
  int pipe_[2] = {-1, -1};
  std::byte* dormant_ = nullptr;
  const std::byte* seen_ = nullptr;
};

TEST_F(RepairWindow, IsShutUntilItIsOpenedAndShutBehindItself) {
  EXPECT_FALSE(is_open(16));
  {
    const PageWindow window(dormant_ + 16);
    ASSERT_EQ(window.at(), dormant_ + 16);
    *window.at() = std::byte{7};
    EXPECT_EQ(seen_[16], std::byte{7}) << "the same memory";
    EXPECT_TRUE(is_open(16));
    EXPECT_FALSE(is_open(page_)) << "one page";
  }
  EXPECT_FALSE(is_open(16));
}

TEST_F(RepairWindow, TwoAtATimeAreShutWithTheLast) {
  for (const std::size_t other : {std::size_t{32}, page_}) {  // of the same page, and of another
    std::optional<PageWindow> outer(std::in_place, dormant_);
    {
      const PageWindow inner(dormant_ + other);
      ASSERT_NE(inner.at(), nullptr);
      *inner.at() = std::byte{1};
    }
    *outer->at() = std::byte{2};
    outer.reset();
    EXPECT_FALSE(is_open(0));
    EXPECT_FALSE(is_open(other));
  }
}

TEST_F(RepairWindow, OnNoMappingIsNone) {
  const PageWindow window(nullptr);
  EXPECT_EQ(window.at(), nullptr);
}

TEST_F(RepairWindow, ThatCannotBeOpenedSaysSoAndKeepsNobodyOut) {
  const os::UniqueFd read_only = os::reopen(file_.get(), O_RDONLY);
  void* refused = ::mmap(nullptr, page_, PROT_NONE, MAP_SHARED, read_only.get(), 0);
  ASSERT_NE(refused, MAP_FAILED);
  EXPECT_EQ(PageWindow(static_cast<std::byte*>(refused)).at(), nullptr);
  ::munmap(refused, page_);
  std::thread([&] { EXPECT_NE(PageWindow(dormant_).at(), nullptr); }).join();
}

TEST_F(RepairWindow, OfAThreadThatIsLeftBehindByAForkDoesNotKeepTheChildOut) {
  // The child opens the queue anew and must be able to repair; whoever had the window at the fork does not exist there.
  os::watch_forks();
  std::atomic<bool> opened{false};
  std::atomic<bool> shut{false};
  std::thread repairer([&] {
    const PageWindow window(dormant_);
    opened = true;
    while (!shut) std::this_thread::yield();
  });
  while (!opened) std::this_thread::yield();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);  // ends a hang
    os::Mapping anew(page_, 2 * page_);
    std::byte* dormant = anew.map_data_dormant(file_.get());
    const PageWindow window(dormant);
    ::_exit(window.at() == dormant ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  shut = true;
  repairer.join();
}

}  // namespace
}  // namespace ipcq::unit
