// A peer cuts the file, or punches a hole, under those who have it mapped. The kernel answers their next touch of what is
// gone with SIGBUS, and no library can change that (docs/recovery.md); whoever opens the queue afterwards is told by name.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <ipcq/ipcq.hpp>
#include <string>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

/// Leases a message, says so, and reads it when it is told to.
const ChildRole kReads("reads what is cut off", [](Child& self) -> int {
  Consumer consumer = Queue::open(kQueue).consumer();
  const Lease lease = consumer.lease({.max_messages = 1, .deadline = now});
  require(static_cast<bool>(lease), "there is no message");
  self.report("leased");
  self.await("read");
  unsigned sum = 0;
  for (const Message& message : lease) {
    for (const std::byte byte : message.payload) sum += std::to_integer<unsigned>(byte);
  }
  self.report("sum " + std::to_string(sum));
  self.leave(0);
});

class Truncation : public HostileTest {
 protected:
  void SetUp() override {
    const Queue queue = create();
    ASSERT_EQ(queue.producer().send(std::string(100, '\1')), Outcome::ok);
  }
};

TEST_F(Truncation, whoever_touches_what_is_cut_off_gets_a_sigbus_and_nobody_opens_the_rest) {
  ChildProcess reader(kReads, {});
  ASSERT_EQ(reader.next_report(), "leased");
  ASSERT_EQ(truncate(path_of(kQueue).c_str(), 4096), 0);
  reader.tell("read");
  EXPECT_TRUE(reader.wait().killed_by(SIGBUS)) << reader.wait().text();
  for (const bool inspects : {false, true}) {
    try {
      if (inspects) static_cast<void>(inspect(kQueue));
      if (!inspects) static_cast<void>(Queue::open(kQueue));
      ADD_FAILURE() << "it was opened";
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::not_a_queue) << error.what();
      EXPECT_TRUE(is_helpful(error, path_of(kQueue)));
    }
  }
  ASSERT_EQ(list().size(), 1U);
  EXPECT_TRUE(list().front().problem.has_value());
}

TEST_F(Truncation, where_a_hole_is_punched_there_are_zeros_and_no_sigbus) {
  ChildProcess reader(kReads, {});
  ASSERT_EQ(reader.next_report(), "leased");
  const int fd = ::open(path_of(kQueue).c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const auto size = ::lseek(fd, 0, SEEK_END);
  const auto ring = static_cast<off_t>(size - static_cast<off_t>(kCapacity));
  ASSERT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ring, kCapacity), 0);
  ::close(fd);
  reader.tell("read");
  EXPECT_EQ(reader.next_report(), "sum 0") << "the walk stops at a head that is none";
  EXPECT_TRUE(reader.succeeds());
}

}  // namespace
}  // namespace ipcq::hostile
