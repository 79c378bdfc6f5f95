// Nothing is copied: both sides address the same bytes of the segment's file, and the consumer may only read them.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "checked_message.hpp"
#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

/// What the kernel has at an address of this process.
struct Place {
  std::string permissions;  ///< "rw-s"
  dev_t device = 0;
  ino_t inode = 0;
  std::uint64_t file_offset = 0;  ///< of the address itself

  [[nodiscard]] bool same_bytes(const Place& other) const {
    return device == other.device && inode == other.inode && file_offset == other.file_offset;
  }
};

/// Nothing: no mapping is there. Each line of maps is "start-end permissions offset major:minor inode path", numbers in
/// base 16 but for the inode.
std::optional<Place> place_of(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    std::uint64_t offset = 0;
    unsigned major_number = 0;
    unsigned minor_number = 0;
    char separator = 0;
    Place place;
    fields >> std::hex >> start >> separator >> end >> place.permissions >> offset >> major_number >> separator >>
        minor_number >> std::dec >> place.inode;
    if (!fields || wanted < start || wanted >= end) continue;
    place.device = makedev(major_number, minor_number);
    place.file_offset = offset + (wanted - start);
    return place;
  }
  return std::nullopt;
}

/// The signal code of the fault that a write to `address` raises (SEGV_ACCERR: mapped, but not for writing); 0: none.
int fault_of_write(std::byte* address);

sigjmp_buf g_before_write;
volatile sig_atomic_t g_fault_code;
std::byte* volatile g_fault_address;

extern "C" void on_fault(int, siginfo_t* info, void*) {
  g_fault_code = info->si_code;
  g_fault_address = static_cast<std::byte*>(info->si_addr);
  siglongjmp(g_before_write, 1);
}

int fault_of_write(std::byte* address) {
  struct sigaction handler {};
  struct sigaction before {};
  handler.sa_sigaction = on_fault;
  handler.sa_flags = SA_SIGINFO;
  sigemptyset(&handler.sa_mask);
  if (::sigaction(SIGSEGV, &handler, &before) != 0) return -1;
  g_fault_code = 0;
  g_fault_address = nullptr;
  if (sigsetjmp(g_before_write, 1) == 0) *static_cast<volatile std::byte*>(address) = std::byte{0xff};
  ::sigaction(SIGSEGV, &before, nullptr);
  return g_fault_address == address ? g_fault_code : 0;
}

class ZeroCopy : public QueueContract {
 protected:
  void SetUp() override {
    int here = 0;
    if (!place_of(&here)) GTEST_SKIP() << "/proc/self/maps cannot be read here: addresses cannot be told apart";
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, ZeroCopy, every_mode(), name_of);

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool kThreadSanitizer = false;
#endif

class ReadOnlyView : public ZeroCopy {
 protected:
  void SetUp() override {
    if (kThreadSanitizer) {
      GTEST_SKIP() << "under ThreadSanitizer both sides share one writable view, or it would see no race between them";
    }
    ZeroCopy::SetUp();
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, ReadOnlyView, every_mode(), name_of);

TEST_P(ZeroCopy, BothSidesAddressTheSameBytesOfTheQueuesFile) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  struct stat file {};
  ASSERT_EQ(::stat(queue.path().c_str(), &file), 0);

  ipcq::Claim claim = producer.claim(Room::equal(20, 1000), now);
  std::vector<Place> written;
  for (int i = 0; i < 20; ++i) {
    const std::optional<Place> place = place_of(claim.append(1000).data());
    ASSERT_TRUE(place);
    EXPECT_EQ(place->inode, file.st_ino);
    EXPECT_EQ(place->device, file.st_dev);
    written.push_back(*place);
  }
  claim.commit();

  ipcq::Lease lease = take(consumer);
  ASSERT_EQ(lease.size(), 20U);
  std::size_t i = 0;
  for (const Message& message : lease) {
    const std::optional<Place> read = place_of(message.payload.data());
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->same_bytes(written[i])) << "message " << i;
    ++i;
  }
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(ReadOnlyView, IsWhatAConsumerHasWhereItsProducerWrites) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 100}, now);
  const std::optional<Place> writable = place_of(claim.append(100).data());
  claim.commit();
  ipcq::Lease lease = take(consumer);
  ASSERT_TRUE(lease);
  const std::optional<Place> readable = place_of(lease.begin()->payload.data());
  ASSERT_TRUE(writable && readable);
  EXPECT_EQ(writable->permissions, "rw-s");
  EXPECT_EQ(readable->permissions, "r--s");
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(ReadOnlyView, FaultsWhenWrittenThroughAndNothingChanges) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();

  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 5}, now);
  const std::span<std::byte> span = claim.append(5);
  ASSERT_EQ(fault_of_write(span.data()), 0) << "the probe itself: where writing is allowed there is no fault";
  ASSERT_EQ(span.front(), std::byte{0xff}) << "the probe itself: it writes";
  std::memcpy(span.data(), "12345", 5);
  claim.commit();

  ipcq::Lease lease = take(consumer);
  ASSERT_TRUE(lease);
  const Message& message = *lease.begin();
  EXPECT_EQ(fault_of_write(const_cast<std::byte*>(message.payload.data())), SEGV_ACCERR);
  EXPECT_EQ(texts_of(lease), Texts{"12345"});
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(ReadOnlyView, CannotBeMadeWritable) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  ipcq::Lease lease = take(consumer);
  ASSERT_TRUE(lease);
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(lease.begin()->payload.data()) / page * page;
  errno = 0;
  EXPECT_EQ(::mprotect(reinterpret_cast<void*>(address), page, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES) << "it is mapped from a descriptor that may only read";
  EXPECT_EQ(lease.ack(), Outcome::ok);
}

TEST_P(ZeroCopy, WhatIsWrittenToASpanUpToTheCommitIsWhatIsRead) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 2, .bytes = 10}, now);
  const std::span<std::byte> first = claim.append(5);
  std::memcpy(first.data(), "wrong", 5);
  claim.append_copy(bytes_of("later"));
  std::memcpy(first.data(), "right", 5);  // a copy taken at append or at the next one would miss this
  claim.commit();
  EXPECT_EQ(drain(consumer), (Texts{"right", "later"}));
}

TEST_P(ZeroCopy, PositionsAddressTheRing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::uint64_t mask = queue.capacity_bytes() - 1;
  std::set<std::uint64_t> ring_begins;  // where in the file position 0 would be
  std::uint64_t last_position = 0;
  while (last_position < 3 * queue.capacity_bytes()) {
    put(producer, Texts(5, std::string(999, 'x')));
    ipcq::Lease lease = take(consumer);
    ASSERT_EQ(lease.size(), 5U);
    for (const Message& message : lease) {
      const std::optional<Place> place = place_of(message.payload.data());
      ASSERT_TRUE(place);
      // The payload is 16 bytes behind the record's position; that of a record at the very end is at the beginning.
      ring_begins.insert(place->file_offset - ((message.position + 16) & mask));
      last_position = message.position;
    }
    ASSERT_EQ(lease.ack(), Outcome::ok);
  }
  EXPECT_EQ(ring_begins.size(), 1U);
}

TEST_P(ZeroCopy, AMessageAcrossTheEndOfTheRingIsOnePieceOnBothSidesAndTwoInTheFile) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const std::size_t size = queue.message_bytes_max() - 5000;  // three of them are more than a lap
  std::uint32_t crossed = 0;
  for (std::uint32_t i = 0; i < 9; ++i) {
    ipcq::Claim claim = producer.claim({.messages = 1, .bytes = size}, now);
    ASSERT_TRUE(claim) << to_string(claim.outcome());
    const std::span<std::byte> span = claim.append(size);
    const std::optional<Place> first = place_of(&span.front());
    const std::optional<Place> last = place_of(&span.back());
    ASSERT_TRUE(first && last);
    if (last->file_offset < first->file_offset) {
      ++crossed;
      EXPECT_EQ(first->file_offset + size - 1 - last->file_offset, queue.capacity_bytes());
    }
    write_checked(span, {.producer = 0, .sequence = i});
    claim.commit();

    ipcq::Lease lease = take(consumer);
    ASSERT_EQ(lease.size(), 1U);
    const std::span<const std::byte> payload = lease.begin()->payload;
    ASSERT_TRUE(read_checked(payload));
    EXPECT_TRUE(place_of(&payload.front())->same_bytes(*first));
    EXPECT_TRUE(place_of(&payload.back())->same_bytes(*last));
    EXPECT_EQ(lease.ack(), Outcome::ok);
  }
  EXPECT_GT(crossed, 0U) << "no message crossed the end: this test has tested nothing";
}

TEST_P(ZeroCopy, ARequeuedMessageStaysWhereItIs) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  const std::byte* first = nullptr;
  for (int i = 0; i < 5; ++i) {
    ipcq::Lease lease = take(consumer);
    ASSERT_TRUE(lease);
    const std::byte* at = lease.begin()->payload.data();
    if (i == 0) first = at;
    EXPECT_EQ(at, first);
    lease.requeue();
  }
}

TEST_P(ZeroCopy, EveryGroupReadsTheSameBytes) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "one"}, {.name = "two"}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer one = queue.consumer("one");
  Consumer two = queue.consumer("two");
  put(producer, {"a"});
  ipcq::Lease by_one = take(one);
  ipcq::Lease by_two = take(two);
  ASSERT_TRUE(by_one && by_two);
  const std::optional<Place> place_one = place_of(by_one.begin()->payload.data());
  const std::optional<Place> place_two = place_of(by_two.begin()->payload.data());
  ASSERT_TRUE(place_one && place_two);
  EXPECT_TRUE(place_one->same_bytes(*place_two));
  EXPECT_EQ(by_one.ack(), Outcome::ok);
  EXPECT_EQ(by_two.ack(), Outcome::ok);
}

}  // namespace
}  // namespace ipcq::contract
