// While nobody sleeps, claim, commit, lease and ack make no system call and allocate nothing.
//
// Not counted but forbidden: from the moment it is attached, the process may call write (to tell the test) and exit; a
// seccomp filter ends it at any other call. Allocations are counted by standing in for malloc in the whole program, the
// library and the C++ runtime included.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ipcq/ipcq.hpp>
#include <ostream>
#include <string>

#include "hostile_test.hpp"

// glibc's own allocator under its other names. free() stays glibc's: the memory is.
extern "C" {
void* __libc_malloc(std::size_t bytes);                           // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t count, std::size_t bytes);        // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* old, std::size_t bytes);               // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t alignment, std::size_t bytes);  // NOLINT(bugprone-reserved-identifier)
}

namespace {
std::atomic<std::uint64_t> allocations{0};

void count() noexcept { allocations.fetch_add(1, std::memory_order_relaxed); }
}  // namespace

extern "C" {
void* malloc(std::size_t bytes) {
  count();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t number, std::size_t bytes) {
  count();
  return __libc_calloc(number, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  count();
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
}

namespace ipcq::hostile {
namespace {

constexpr std::uint32_t kMessages = 1'000'000;
constexpr std::size_t kPayload = 64;

/// What a process does that may not call the system. Nothing in here may allocate either, so that it says what it found
/// as a text that is there already.
struct Attached {
  Queue queue = Queue::open(kQueue);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
};

/// One batch through the queue, every byte written and read. Says what went wrong; nullptr: nothing.
const char* one_batch(Attached& attached, std::uint32_t messages) {
  Claim claim = attached.producer.claim(Room::equal(messages, kPayload), now);
  if (!claim) return to_string(claim.outcome());
  for (std::uint32_t i = 0; i < messages; ++i) {
    for (std::byte& byte : claim.append(kPayload)) byte = static_cast<std::byte>(i);
  }
  if (claim.commit() != Outcome::ok) return "commit";
  Lease lease = attached.consumer.lease({.max_messages = messages, .deadline = now});
  if (!lease) return to_string(lease.outcome());
  if (lease.size() != messages) return "a lease of another size";
  std::uint32_t at = 0;
  for (const Message& message : lease) {
    for (const std::byte byte : message.payload) {
      if (byte != static_cast<std::byte>(at)) return "a torn message";
    }
    ++at;
  }
  return lease.ack() == Outcome::ok ? nullptr : "ack";
}

/// Everything else that a data path may do.
const char* rarer_calls(Attached& attached, std::string& scratch, bool exclusive) {
  Claim aborted = attached.producer.claim({.messages = 2, .bytes = 100}, now);
  if (!aborted || aborted.abort() != Outcome::ok) return "abort";
  Claim partly = attached.producer.claim({.messages = 4, .bytes = 400}, now);
  if (!partly) return "claim of four";
  for (int i = 0; i < 3; ++i) partly.append(50);
  partly.shrink_last(10);
  if (partly.commit() != Outcome::ok) return "commit of three of four";
  Lease lease = attached.consumer.lease({.max_messages = 3, .deadline = now});
  if (lease.size() != 3) return "lease of three";
  if (!exclusive) {
    if (lease.requeue() != Outcome::ok) return "requeue";
    for (int i = 0; i < 3; ++i) {
      Lease again = attached.consumer.lease({.deadline = now});
      if (again.deliveries() != 1 || again.ack() != Outcome::ok) return "lease of what was requeued";
    }
  } else if (lease.ack(2) != Outcome::ok || lease.ack() != Outcome::ok) {
    return "ack in parts";
  }
  if (attached.producer.send("a copy", 0, now) != Outcome::ok) return "send";
  if (attached.consumer.receive(scratch, now) != Outcome::ok || scratch != "a copy") return "receive";
  return nullptr;
}

/// Arguments: messages a batch, how many messages, how many times the rarer calls, "exclusive" or "shared" (the group).
const ChildRole kForbidden("makes no system call", [](Child& self) {
  const auto batch = static_cast<std::uint32_t>(self.number(0));
  const std::uint64_t batches = self.number(1) / batch;
  const std::uint64_t rarer = self.number(2);
  const bool exclusive = self.argument(3) == "exclusive";
  std::string scratch(100, '\0');
  Attached attached;

  const std::uint64_t before_check = allocations.load();
  void* volatile probe = std::malloc(100);  // volatile: an allocation that nobody uses would be optimised away
  std::free(probe);
  const std::uint64_t after_check = allocations.load();
  require(after_check == before_check + 1, "allocations are not counted in this program");

  const std::uint64_t before = allocations.load();
  self.forbid_system_calls();
  const char* wrong = nullptr;
  for (std::uint64_t i = 0; i < batches && wrong == nullptr; ++i) wrong = one_batch(attached, batch);
  for (std::uint64_t i = 0; i < rarer && wrong == nullptr; ++i) wrong = rarer_calls(attached, scratch, exclusive);
  const std::uint64_t allocated = allocations.load() - before;
  if (wrong != nullptr) self.report(wrong);
  if (allocated > 0) {
    std::array<char, 64> text{};
    const int length =
        std::snprintf(text.data(), text.size(), "%llu allocations", static_cast<unsigned long long>(allocated));
    self.report({text.data(), static_cast<std::size_t>(length)});
  }
  self.leave(wrong == nullptr && allocated == 0 ? 0 : 1);
  return 0;
});

const ChildRole kCallsTheSystem("makes a system call", [](Child& self) {
  self.forbid_system_calls();
  static_cast<void>(getppid());
  self.leave(0);
  return 0;
});

const ChildRole kReadsTheClock("reads the clock", [](Child& self) {
  self.forbid_system_calls();
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  self.leave(0);
  return 0;
});

struct Modes {
  const char* name;
  ProducerMode producers;
  ConsumerMode consumers;
};

std::ostream& operator<<(std::ostream& out, const Modes& modes) { return out << modes.name; }

class SystemCalls : public HostileTest, public testing::WithParamInterface<Modes> {
 protected:
  void SetUp() override {
    ChildProcess process(kReadsTheClock, {});
    if (process.wait().exited_with(support::kSystemCallMade)) {
      GTEST_SKIP() << "the clock of this host is read by a system call";
    }
    static_cast<void>(Queue::create(
        kQueue, {.capacity_bytes = kCapacity, .producers = GetParam().producers, .consumers = GetParam().consumers}));
  }
  [[nodiscard]] static testing::AssertionResult forbidden(std::uint32_t batch, std::uint32_t messages,
                                                          std::uint32_t rarer) {
    const char* group = GetParam().consumers == ConsumerMode::exclusive ? "exclusive" : "shared";
    return ChildProcess(kForbidden, {std::to_string(batch), std::to_string(messages), std::to_string(rarer), group})
        .succeeds();
  }
};

class ForbiddenCalls : public HostileTest {};

TEST_F(ForbiddenCalls, a_forbidden_system_call_is_seen) {
  ChildProcess process(kCallsTheSystem, {});
  EXPECT_EQ(process.next_report(), "system call " + std::to_string(SYS_getppid));
  EXPECT_TRUE(process.wait().exited_with(support::kSystemCallMade));
}

TEST_P(SystemCalls, none_is_made_and_nothing_allocated_by_a_million_messages_one_by_one) {
  EXPECT_TRUE(forbidden(1, kMessages, 0));
}

TEST_P(SystemCalls, none_is_made_and_nothing_allocated_by_a_million_messages_in_batches) {
  EXPECT_TRUE(forbidden(64, kMessages, 0));
}

TEST_P(SystemCalls, none_is_made_and_nothing_allocated_by_abort_requeue_partial_ack_send_and_receive) {
  EXPECT_TRUE(forbidden(1, 0, 20'000));
}

constexpr Modes kModes[] = {
    {"shared_producer_shared_consumer", ProducerMode::shared, ConsumerMode::shared},
    {"shared_producer_exclusive_consumer", ProducerMode::shared, ConsumerMode::exclusive},
    {"exclusive_producer_shared_consumer", ProducerMode::exclusive, ConsumerMode::shared},
    {"exclusive_producer_exclusive_consumer", ProducerMode::exclusive, ConsumerMode::exclusive},
};

INSTANTIATE_TEST_SUITE_P(AllModes, SystemCalls, testing::ValuesIn(kModes),
                         [](const auto& modes) { return std::string(modes.param.name); });

}  // namespace
}  // namespace ipcq::hostile
