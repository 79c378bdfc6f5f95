// The litmus of the event count between two processes on two processors: of "the publisher saw that somebody waits" and
// "the waiter saw the change" at least one holds, every time, or a wake-up is lost. Weaker forms of the same code, which
// x86 breaks too, are caught in the same number of rounds: the litmus can fail.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "core/event_count.hpp"
#include "os/clock.hpp"
#include "os/unique_fd.hpp"
#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"
#include "support/waiting.hpp"

namespace ipcq::unit {
namespace {

using layout::EventLine;
using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::require;

/// What the two processes share, in a file.
struct Bench {
  // Of four rounds in turn, so that one can be made ready while another runs.
  struct alignas(64) Round {
    EventLine event;
    alignas(64) std::atomic<std::uint64_t> changed;
    alignas(64) std::atomic<std::uint64_t> waiter_saw;  // the round's number, if the waiter saw the change
  };
  Round rounds[4];
  alignas(64) std::atomic<std::uint64_t> at[2];  // in which round the publisher and the waiter are
  alignas(64) std::atomic<std::uint64_t> waiter_at;
};

class MappedBench {
 public:
  explicit MappedBench(const std::string& path) {
    const os::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    require(fd && ::ftruncate(fd.get(), sizeof(Bench)) == 0, "cannot make " + path);
    at_ = ::mmap(nullptr, sizeof(Bench), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    require(at_ != MAP_FAILED, "cannot map " + path);
  }
  MappedBench(const MappedBench&) = delete;
  MappedBench& operator=(const MappedBench&) = delete;
  ~MappedBench() { ::munmap(at_, sizeof(Bench)); }
  [[nodiscard]] Bench& operator*() const noexcept { return *static_cast<Bench*>(at_); }

 private:
  void* at_ = nullptr;
};

/// The processors that this process may run on.
std::vector<std::size_t> processors() {
  std::vector<std::size_t> numbers;
  cpu_set_t set;
  require(::sched_getaffinity(0, sizeof set, &set) == 0, "sched_getaffinity");
  for (std::size_t number = 0; number < CPU_SETSIZE; ++number) {
    if (CPU_ISSET(number, &set)) numbers.push_back(number);
  }
  return numbers;
}

void pin(std::size_t processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  require(::sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

/// A different short pause each time, so that the two meet in every way.
class Jitter {
 public:
  explicit Jitter(std::uint64_t seed) noexcept : state_(seed | 1) {}
  void pause() noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    for (std::uint64_t i = state_ & 31; i > 0; --i) asm volatile("");
  }

 private:
  std::uint64_t state_;
};

// The forms. A publisher changes something and looks whether somebody waits; a waiter says that he waits and looks whether
// something has changed.
struct AsTheLibrary {
  static bool publish(Bench::Round& round, std::uint64_t number) noexcept {
    round.changed.exchange(number, std::memory_order_seq_cst);
    return core::somebody_waits(round.event);
  }
  static bool wait(Bench::Round& round, std::uint64_t number) noexcept {
    core::arm(round.event);
    return round.changed.load(std::memory_order_acquire) == number;
  }
};

/// A change that is no seq_cst read-modify-write, with the one behind it that core::publish_fenced makes.
struct Fenced : AsTheLibrary {
  static bool publish(Bench::Round& round, std::uint64_t number) noexcept {
    round.changed.store(number, std::memory_order_release);
    round.event.word.fetch_or(0, std::memory_order_seq_cst);
    return core::somebody_waits(round.event);
  }
};

// The mutants: each a side, or both, with release and acquire only.
struct PublisherWithoutFence : AsTheLibrary {
  static bool publish(Bench::Round& round, std::uint64_t number) noexcept {
    round.changed.store(number, std::memory_order_release);
    return (round.event.word.load(std::memory_order_acquire) & core::kWaiterBit) != 0;
  }
};
struct WaiterWithoutFence : AsTheLibrary {
  static bool wait(Bench::Round& round, std::uint64_t number) noexcept {
    const std::uint32_t word = round.event.word.load(std::memory_order_acquire);
    round.event.word.store(word | core::kWaiterBit, std::memory_order_release);
    return round.changed.load(std::memory_order_acquire) == number;
  }
};
struct NeitherWithFence : WaiterWithoutFence {
  static bool publish(Bench::Round& round, std::uint64_t number) noexcept {
    return PublisherWithoutFence::publish(round, number);
  }
};

enum class Side : std::uint8_t { publisher, waiter };

/// Both are in `round` when it returns.
void meet(Bench& bench, Side side, std::uint64_t round) noexcept {
  const auto own = static_cast<std::size_t>(side);
  bench.at[own].store(round, std::memory_order_release);
  while (bench.at[1 - own].load(std::memory_order_acquire) < round) {
  }
}

struct Result {
  std::uint64_t rounds = 0;
  std::uint64_t lost = 0;  ///< of these: neither saw the other
};

/// The publisher's side decides when it is enough: so many rounds, so much time (where others keep the processors busy the
/// two seldom run at once), or the first lost one if told so.
template <class Form>
Result run(Bench& bench, Side side, std::uint64_t rounds, std::int64_t until_ns, bool stop_at_first) {
  Jitter jitter(static_cast<std::uint64_t>(side) * 7919 + 12345);
  Result result;
  bool publisher_saw = true;
  for (std::uint64_t number = 1;; ++number) {
    meet(bench, side, number);
    Bench::Round& round = bench.rounds[number % 4];
    if (side == Side::waiter) {
      if (bench.waiter_at.load(std::memory_order_relaxed) != 0) return {};  // told to stop
      jitter.pause();
      const bool saw = Form::wait(round, number);
      round.waiter_saw.store(saw ? number : 0, std::memory_order_relaxed);  // published by the next meeting
      continue;
    }
    // What the round before came to.
    if (!publisher_saw && bench.rounds[(number - 1) % 4].waiter_saw.load(std::memory_order_relaxed) != number - 1) {
      ++result.lost;
    }
    result.rounds = number - 1;
    if (result.rounds == rounds || (stop_at_first && result.lost > 0) ||
        (number % 1024 == 0 && os::monotonic_ns() > until_ns)) {
      bench.waiter_at.store(number, std::memory_order_relaxed);
      bench.at[0].store(number + 1, std::memory_order_release);  // he may have stopped already: no meeting
      return result;
    }
    bench.rounds[(number + 2) % 4].event.word.store(0, std::memory_order_relaxed);  // published by the next meeting
    jitter.pause();
    publisher_saw = Form::publish(round, number);
  }
}

Result run(const std::string& form, Bench& bench, Side side, std::uint64_t rounds, std::int64_t until_ns,
           bool stop_at_first) {
  const auto as = [&]<class Form>(Form) { return run<Form>(bench, side, rounds, until_ns, stop_at_first); };
  if (form == "as the library") return as(AsTheLibrary{});
  if (form == "fenced") return as(Fenced{});
  if (form == "publisher without fence") return as(PublisherWithoutFence{});
  if (form == "waiter without fence") return as(WaiterWithoutFence{});
  if (form == "neither with fence") return as(NeitherWithFence{});
  throw std::runtime_error("no form \"" + form + "\"");
}

/// Arguments: the file, the form, side, rounds at most, seconds at most, whether to stop at the first lost, processor.
const ChildRole kLitmusSide("a side of the litmus", [](Child& self) {
  const MappedBench bench(self.argument(0));
  pin(self.number(6));
  const Side side = self.argument(2) == "publisher" ? Side::publisher : Side::waiter;
  const std::int64_t until_ns = os::monotonic_ns() + static_cast<std::int64_t>(self.number(4)) * 1'000'000'000;
  const Result result = run(self.argument(1), *bench, side, self.number(3), until_ns, self.argument(5) == "stop");
  if (side != Side::publisher) return 0;
  self.report(std::to_string(result.rounds));
  self.report(std::to_string(result.lost));
  return 0;
});

class WakeLitmus : public testing::Test, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (processors().size() < 2) GTEST_SKIP() << "two processors are needed to see the order of two";
  }
  /// The two sides, each on a processor of its own, for so many rounds or so long. What the publisher found.
  Result run_both(const ChildRole& role, const std::string& form, std::uint64_t rounds, std::uint64_t seconds,
                  bool stop_at_first) {
    const std::string path = scratch_.path() + "/bench";
    const std::vector<std::size_t> on = processors();
    const auto side = [&](const char* name, std::size_t processor) {
      return ChildProcess(role, {path, form, name, std::to_string(rounds), std::to_string(seconds),
                                 stop_at_first ? "stop" : "go on", std::to_string(processor)});
    };
    ChildProcess publisher = side("publisher", on[0]);
    ChildProcess waiter = side("waiter", on[1]);
    const auto long_enough = ChildProcess::kLong + std::chrono::milliseconds(1000 * seconds);
    const std::string made = publisher.next_report(long_enough);
    const std::string lost = publisher.next_report();
    EXPECT_TRUE(publisher.succeeds(long_enough)) << made;
    EXPECT_TRUE(waiter.succeeds());
    if (HasFailure()) return {};
    const Result result{std::stoull(made), std::stoull(lost)};
    std::printf("%llu rounds, %llu lost\n", static_cast<unsigned long long>(result.rounds),
                static_cast<unsigned long long>(result.lost));
    return result;
  }
  static constexpr std::uint32_t kSeconds = 5;

 private:
  support::ScratchDirectory scratch_;
};

class NothingIsLost : public WakeLitmus {};

TEST_P(NothingIsLost, one_of_the_two_sees_the_other) {
  const Result result = run_both(kLitmusSide, GetParam(), support::scaled(1'000'000), support::scaled(kSeconds), false);
  EXPECT_EQ(result.lost, 0U);
  EXPECT_GT(result.rounds, 0U);
}

INSTANTIATE_TEST_SUITE_P(Forms, NothingIsLost, testing::Values("as the library", "fenced"),
                         [](const auto& form) { return std::string(form.index == 0 ? "as_the_library" : "fenced"); });

class TheLitmusCanFail : public WakeLitmus {};

TEST_P(TheLitmusCanFail, a_weaker_form_is_caught) {
  // Some thousands of rounds will do where nothing else runs.
  EXPECT_EQ(run_both(kLitmusSide, GetParam(), 100'000'000, 60, true).lost, 1U);
}

INSTANTIATE_TEST_SUITE_P(Forms, TheLitmusCanFail,
                         testing::Values("publisher without fence", "waiter without fence", "neither with fence"),
                         [](const auto& form) {
                           return std::string(form.index == 0 ? "publisher" : form.index == 1 ? "waiter" : "both");
                         });

/// The whole protocol with its sleep, and no backstop: a lost wake-up sleeps until a deadline that nothing else reaches.
/// Arguments: as kLitmusSide.
const ChildRole kSleepingSide("a side of the litmus that sleeps", [](Child& self) {
  const MappedBench mapped(self.argument(0));
  pin(self.number(6));
  Bench& bench = *mapped;
  Bench::Round& round = bench.rounds[0];
  const std::uint64_t rounds = self.number(3);
  if (self.argument(2) == "publisher") {
    Jitter jitter(1);
    for (std::uint64_t number = 1; number <= rounds; ++number) {
      // He has seen the last one and is on his way to sleep, or there.
      while (bench.waiter_at.load(std::memory_order_acquire) < number) {
      }
      // Up to a few microseconds: as long as he needs to fall asleep.
      for (std::uint64_t i = number % 128; i > 0; --i) jitter.pause();
      round.changed.exchange(number, std::memory_order_seq_cst);
      core::notify(round.event);
    }
    self.report(self.argument(3));
    self.report("0");  // a lost one is a failure of the waiter
    return 0;
  }
  std::uint64_t slept = 0;
  for (std::uint64_t number = 1; number <= rounds; ++number) {
    bench.waiter_at.store(number, std::memory_order_release);
    while (true) {
      const std::uint32_t armed = core::arm(round.event);
      if (round.changed.load(std::memory_order_acquire) == number) break;
      const std::int64_t deadline = os::monotonic_ns() + std::chrono::nanoseconds(support::kPatience).count();
      require(core::sleep(round.event, armed, deadline), "round " + std::to_string(number) + ": the wake-up is lost");
      ++slept;
      if (round.changed.load(std::memory_order_acquire) == number) break;
    }
  }
  require(slept > rounds / 100, "it hardly ever slept: " + std::to_string(slept));
  return 0;
});

class SleepingLitmus : public WakeLitmus {};

TEST_F(SleepingLitmus, no_sleeper_is_left_asleep) {
  const std::uint32_t rounds = support::scaled(10'000);
  EXPECT_EQ(run_both(kSleepingSide, "", rounds, rounds / 100, false).rounds, rounds);
}

}  // namespace
}  // namespace ipcq::unit
