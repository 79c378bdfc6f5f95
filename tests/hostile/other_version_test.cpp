// A queue of another version of ipcq: whatever the rest of it means, it can be listed, told alive or not, closed and removed.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstring>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <string>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

// The frozen header, as docs/layout.md has it: these numbers hold for every version.
constexpr std::size_t kFrozenBytes = 128;
constexpr std::size_t kLayoutVersionOffset = 8;
constexpr std::size_t kFlagsOffset = 12;
constexpr std::size_t kPidNamespaceOffset = 48;
constexpr std::uint32_t kClosedFlag = 1;

/// Keeps a producer attached to the queue until it is killed.
const ChildRole kAttached("attached producer", [](Child& self) {
  Producer producer = Queue::open(kQueue).producer();
  self.report("attached");
  return self.hold();
});

class OtherVersion : public HostileTest {
 protected:
  /// Turns the queue into one of layout 77 in place: its number is changed, and all behind the frozen header but the bytes of
  /// living processes' mutexes is nothing this version should look at.
  void become_another_version() const { poke(kLayoutVersionOffset, 77); }
  void become_another_namespace() const { poke(kPidNamespaceOffset, 7); }
  [[nodiscard]] std::uint32_t flags() const {
    const std::string bytes = read_file(path_of(kQueue));
    std::uint32_t flags = 0;
    std::memcpy(&flags, bytes.data() + kFlagsOffset, sizeof flags);
    return flags;
  }
  [[nodiscard]] static std::optional<QueueSummary> listed() {
    for (const QueueSummary& summary : list()) {
      if (summary.name == kQueue) return summary;
    }
    return std::nullopt;
  }
  /// What close and the other calls may not have touched.
  [[nodiscard]] std::string behind_the_frozen_header() const { return read_file(path_of(kQueue)).substr(kFrozenBytes); }

 private:
  void poke(std::size_t offset, std::uint32_t value) const {
    std::fstream file(path_of(kQueue), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(reinterpret_cast<const char*>(&value), sizeof value);
    file.close();
    require(static_cast<bool>(file), "the file cannot be changed");
  }
};

TEST_F(OtherVersion, is_listed_with_how_many_are_attached_and_whether_it_is_closed) {
  create();
  ChildProcess attached(kAttached, {});
  ASSERT_EQ(attached.next_report(), "attached");
  become_another_version();

  std::optional<QueueSummary> summary = listed();
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->problem, Errc::other_layout);
  EXPECT_EQ(summary->living, 1U);
  EXPECT_FALSE(summary->closed);
  EXPECT_GT(summary->segment_bytes, kCapacity);

  attached.kill();
  ipcq::close_queue(kQueue);
  summary = listed();
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->living, 0U);
  EXPECT_TRUE(summary->closed);
}

TEST_F(OtherVersion, is_closed_by_its_flag_and_nothing_else_of_it_is_touched) {
  create();
  become_another_version();
  const std::string before = behind_the_frozen_header();
  ipcq::close_queue(kQueue);
  EXPECT_EQ(flags(), kClosedFlag);
  ipcq::close_queue(kQueue);
  EXPECT_EQ(flags(), kClosedFlag);
  EXPECT_EQ(behind_the_frozen_header(), before);
}

TEST_F(OtherVersion, is_removed_only_when_nobody_lives_in_it_unless_forced) {
  create();
  ChildProcess attached(kAttached, {});
  ASSERT_EQ(attached.next_report(), "attached");
  become_another_version();
  try {
    ipcq::remove(kQueue);
    ADD_FAILURE() << "it was removed under a living process";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::in_use) << error.what();
  }
  ASSERT_TRUE(listed());
  attached.kill();
  ipcq::remove(kQueue);
  EXPECT_FALSE(listed());
}

TEST_F(OtherVersion, one_of_another_namespace_is_closed_and_its_own_processes_meet_the_end) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  become_another_namespace();
  ASSERT_EQ(listed()->problem, Errc::other_namespace);
  EXPECT_EQ(listed()->living, 1U);
  ipcq::close_queue(kQueue);
  EXPECT_EQ(consumer.lease({.deadline = std::chrono::seconds(20)}).outcome(), Outcome::closed);
}

TEST_F(OtherVersion, closing_by_name_is_the_same_as_closing_a_queue_of_ours) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ASSERT_EQ(producer.send("last"), Outcome::ok);
  ipcq::close_queue(kQueue);
  EXPECT_TRUE(queue.closed());
  EXPECT_EQ(producer.send("too late"), Outcome::closed);
  Consumer consumer = queue.consumer();
  std::string got;
  EXPECT_EQ(consumer.receive(got), Outcome::ok);
  EXPECT_EQ(consumer.receive(got), Outcome::closed);
}

}  // namespace
}  // namespace ipcq::hostile
