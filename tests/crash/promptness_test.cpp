// How soon after a death others go on: the holder of a claim, of a lease, of the producers' mutex, of a group's mutex; of a
// small process and of one with much memory; killed, and ended by a core dump. Prints how long it took, and asserts only
// that it took place: the kernel's exit path has its own mind. IPCQ_TEST_SCALE makes more rounds, IPCQ_TEST_DIRTY_MIB
// another size (64).
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ipcq/ipcq.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "crash_test.hpp"
#include "support/waiting.hpp"

namespace ipcq::crash {
namespace {

enum class Held : std::uint8_t { claim, lease, producer_mutex, group_mutex };
enum class End : std::uint8_t { killed, core_dump };

constexpr const char* kHeldNames[] = {"a claim", "a lease", "the producers' mutex", "a group's mutex"};
/// Where it is stopped, holding a mutex.
constexpr const char* kPoints[] = {"", "", "claim.2", "lease.written"};

/// Arguments: what it holds, MiB of memory that it has written to, "core" or "no core".
const ChildRole kVictim("victim", [](Child& self) {
  const std::size_t bytes = self.number(1) << 20;
  if (bytes > 0) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "no memory");
    std::memset(memory, 1, bytes);
  }
  if (self.argument(2) == "core") {
    rlimit limit{};
    require(getrlimit(RLIMIT_CORE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    require(setrlimit(RLIMIT_CORE, &limit) == 0, "setrlimit");
    require(chdir(std::getenv("IPCQ_DIR")) == 0, "chdir");  // where the core file goes, unless the host has other plans
  }
  const auto held = static_cast<Held>(self.number(0));
  const Queue queue = Queue::open(kQueue);
  Producer producer;
  Consumer consumer;
  Claim open;
  Lease lease;
  if (held == Held::claim || held == Held::producer_mutex) {
    producer = queue.producer();
    self.report("about to");
    open = claim(producer, {101});
    require(static_cast<bool>(open), "no claim");
  } else {
    consumer = queue.consumer();
    self.report("about to");
    lease = consumer.lease({.max_messages = 1, .deadline = kBound});
    require(static_cast<bool>(lease), "no lease");
  }
  self.report("holding");
  return self.hold();
});

struct Case {
  Held held;
  End end;
  std::size_t mib;
};

class Promptness : public CrashTest {
 protected:
  /// From the signal until somebody who waited has what he waited for.
  void measure(const Case& what) {
    Queue queue = create();
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    const bool of_consumer = what.held == Held::lease || what.held == Held::group_mutex;
    if (of_consumer) send(producer, {1});
    const char* point = kPoints[static_cast<std::size_t>(what.held)];
    ChildProcess victim(kVictim,
                        {std::to_string(static_cast<int>(what.held)), std::to_string(what.mib),
                         what.end == End::core_dump ? "core" : "no core"},
                        {{"IPCQ_STOP_AT", point}});
    ASSERT_EQ(victim.next_report(), "about to");
    if (*point != '\0') {
      ASSERT_TRUE(victim.wait_until_stopped());
    } else {
      ASSERT_EQ(victim.next_report(), "holding");
    }
    if (what.held == Held::claim) send(producer, {1});

    std::int64_t proceeded = 0;
    Outcome outcome = Outcome::empty;
    support::Background waiter([&] {
      if (what.held == Held::producer_mutex) {
        const Claim claim = producer.claim(Room::equal(1, kPayload), kBound);
        proceeded = monotonic_ns();
        outcome = claim.outcome();
      } else {
        const Lease lease = consumer.lease({.deadline = kBound});
        proceeded = monotonic_ns();
        outcome = lease.outcome();
      }
    });
    waiter.wait_until_asleep();
    // A sleeper looks for the dead every 50 ms: death comes at any moment of that.
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % 50'000));
    const std::int64_t sent = monotonic_ns();
    victim.signal(what.end == End::killed ? SIGKILL : SIGABRT);
    if (*point != '\0' && what.end == End::core_dump) victim.signal(SIGCONT);  // to come to it
    siginfo_t info{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(victim.pid()), &info, WEXITED | WNOWAIT), 0);
    gone_.push_back(monotonic_ns() - sent);
    waiter.join();
    EXPECT_EQ(outcome, Outcome::ok) << kHeldNames[static_cast<std::size_t>(what.held)];
    took_.push_back(proceeded - sent);
    EXPECT_TRUE(victim.wait().killed_by(what.end == End::killed ? SIGKILL : SIGABRT));
    producer.detach();
    consumer.detach();
    remove(kQueue, {.force = true});
    remove_core_files();
  }

  void print_row(const Case& what) {
    const auto at = [](std::vector<std::int64_t>& took, std::size_t per_cent) {
      std::sort(took.begin(), took.end());
      const std::size_t rank = std::max<std::size_t>((took.size() * per_cent + 99) / 100, 1);
      return static_cast<double>(took[rank - 1]) / 1e6;
    };
    std::printf("| %s | %s | %zu MiB | %zu | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f |\n",
                kHeldNames[static_cast<std::size_t>(what.held)],
                what.end == End::killed ? "SIGKILL" : "abort, core dump", what.mib, took_.size(), at(gone_, 50),
                at(took_, 0), at(took_, 50), at(took_, 90), at(took_, 99), at(took_, 100));
    std::fflush(stdout);
    took_.clear();
    gone_.clear();
  }

 private:
  void remove_core_files() {
    for (const auto& entry : std::filesystem::directory_iterator(directory())) {
      if (entry.path().filename().string().starts_with("core")) std::filesystem::remove(entry.path());
    }
  }

  std::mt19937_64 random_{support::seed()};
  std::vector<std::int64_t> took_;  // from the signal until the waiter went on
  std::vector<std::int64_t> gone_;  // from the signal until the process had ended
};

TEST_F(Promptness, whoever_waits_goes_on_after_the_death_of_the_holder) {
  const char* text = std::getenv("IPCQ_TEST_DIRTY_MIB");
  const std::size_t much = text == nullptr ? 64 : std::stoul(text);
  const std::uint32_t rounds = support::scaled(3);
  std::printf("Milliseconds from the signal until the process has ended (gone, p50), and until a waiter goes on:\n\n");
  std::printf("| the dead held | ended by | memory | deaths | gone | min | p50 | p90 | p99 | max |\n");
  std::printf("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const Held held : {Held::claim, Held::lease, Held::producer_mutex, Held::group_mutex}) {
    for (const End end : {End::killed, End::core_dump}) {
      for (const std::size_t mib : {std::size_t{0}, much}) {
        const Case what{held, end, mib};
        for (std::uint32_t round = 0; round < rounds; ++round) ASSERT_NO_FATAL_FAILURE(measure(what));
        print_row(what);
      }
    }
  }
}

}  // namespace
}  // namespace ipcq::crash
