// Rates that are kept by processes together, and how they share them.
//
// Bounds from above hold on any machine: by the clock of the queue, more may never pass. Those from below need that the
// processes are let run; each says whether it was, and a run in which one was not is made again.
#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "queue_contract.hpp"
#include "support/child_process.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::require;

constexpr int kAttempts = 3;
constexpr milliseconds kHindered{20};  // kept from a processor for so long at once
#if defined(__SANITIZE_THREAD__)
constexpr bool kSlowBuild = true;  // 100,000 a second would take most of a processor
#else
constexpr bool kSlowBuild = false;
#endif

/// Whether the machine, not the quota, set this process's pace since this was made. What it slept in a quota is no reason.
class Pace {
 public:
  /// A claim has ended.
  void step() {
    const auto at = steady_clock::now();
    longest_step_ = std::max<nanoseconds>(longest_step_, at - stepped_);
    stepped_ = at;
  }
  [[nodiscard]] bool hindered() const {
    if (!at_first_) return false;  // a kernel that does not count
    const Scheduled at_last = now().value_or(*at_first_);
    const nanoseconds ran = at_last.ran - at_first_->ran;
    const nanoseconds waited = at_last.waited - at_first_->waited;
    return (longest_step_ > kHindered && waited > kHindered) || ran + waited > (steady_clock::now() - began_) / 2;
  }

 private:
  struct Scheduled {
    nanoseconds ran;
    nanoseconds waited;
  };
  static std::optional<Scheduled> now() {
    std::ifstream file("/proc/thread-self/schedstat");  // Linux, Documentation/scheduler/sched-stats
    long long ran = 0;
    long long waited = 0;
    if (!(file >> ran >> waited)) return std::nullopt;
    return Scheduled{nanoseconds(ran), nanoseconds(waited)};
  }

  steady_clock::time_point began_ = steady_clock::now();
  steady_clock::time_point stepped_ = began_;
  nanoseconds longest_step_{0};
  std::optional<Scheduled> at_first_ = now();
};

/// Sends batches of argument 1 messages for argument 2 ms, and reports how many messages that were, and whether it was let run.
const ChildRole kSender("quota sender", [](Child& self) {
  Producer producer = Queue::open("contract", {.directory = self.argument(0), .trusted_owners = {}}).producer();
  const auto batch = static_cast<std::uint32_t>(self.number(1));
  self.report("ready");
  self.await("go");
  Pace pace;
  const auto end = steady_clock::now() + milliseconds(self.number(2));
  std::uint64_t sent = 0;
  for (;;) {
    ipcq::Claim claim = producer.claim(Room::equal(batch, 8), Deadline(end));
    if (!claim && steady_clock::now() >= end) break;  // over_quota; or full, blocked: behind one who is not let run
    require(claim.outcome() == Outcome::ok, to_string(claim.outcome()));
    for (std::uint32_t i = 0; i < batch; ++i) claim.append(8);
    require(claim.commit() == Outcome::ok, "commit");
    sent += batch;
    pace.step();
    if (steady_clock::now() >= end) break;
  }
  self.report(std::to_string(sent) + (pace.hindered() ? " hindered" : " free"));
  return 0;
});

class QuotaRates : public QueueContract {
 protected:
  struct Sent {
    std::vector<double> each;
    double together = 0;
    double seconds = 0;
    bool hindered = false;
  };
  /// What so many processes send in `time`, each in batches of its own size; the ring drops what nobody reads.
  [[nodiscard]] Sent send(const Quota& quota, const std::vector<std::uint32_t>& batches, milliseconds time) const {
    CreateOptions limited = options();
    limited.overflow = Overflow::drop_oldest;
    limited.capacity_bytes = 1 << 20;
    limited.quota = quota;
    const Queue queue = create(limited);
    std::vector<ChildProcess> senders;
    for (const std::uint32_t batch : batches) {
      senders.emplace_back(kSender,
                           std::vector<std::string>{directory(), std::to_string(batch), std::to_string(time.count())});
    }
    for (ChildProcess& sender : senders) require(sender.next_report() == "ready", "a sender");
    const auto began = steady_clock::now();
    for (const ChildProcess& sender : senders) sender.tell("go");
    Sent sent;
    for (ChildProcess& sender : senders) {
      const std::string report = sender.next_report();
      std::istringstream words(report);
      double messages = 0;
      std::string how;
      require(static_cast<bool>(words >> messages >> how), "a sender's report: " + report);
      sent.each.push_back(messages);
      sent.together += messages;
      sent.hindered = sent.hindered || how == "hindered";
    }
    sent.seconds = duration<double>(steady_clock::now() - began).count();
    for (ChildProcess& sender : senders) EXPECT_TRUE(sender.succeeds());
    EXPECT_EQ(static_cast<double>(queue.inspect().messages), sent.together);
    ipcq::remove("contract", {.force = true, .directory = directory(), .trusted_owners = {}});
    return sent;
  }
  /// A run in which every process was let run and, if the machine gives one, `enough` passed: a host that stops the whole
  /// machine for a moment tells nobody. Nothing if processes were hindered every time.
  [[nodiscard]] static std::optional<Sent> undisturbed(const std::function<Sent()>& run, double enough = 0) {
    std::optional<Sent> best;
    for (int attempt = 0; attempt < kAttempts && (!best || best->together < enough); ++attempt) {
      Sent sent = run();
      if (!sent.hindered && (!best || sent.together > best->together)) best = std::move(sent);
    }
    return best;
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, QuotaRates, ::testing::Values(kSharedShared), name_of);

TEST_P(QuotaRates, AreKeptByOneAndByProcessesTogether) {
  constexpr double kTime = 2;
  bool disturbed = false;
  for (const double rate : {2'000.0, 100'000.0}) {
    for (const std::size_t processes : {1UL, 2UL, 4UL}) {
      if (rate > 2'000 && (kSlowBuild || processes == 2)) continue;
      SCOPED_TRACE(std::to_string(rate) + " by " + std::to_string(processes));
      const double burst = rate / 10;
      const double batch = rate > 2'000 ? 10 : 1;
      const auto run = [&] {
        const Sent sent =
            send({.messages_per_second = rate, .burst_messages = static_cast<std::uint32_t>(burst)},
                 std::vector<std::uint32_t>(processes, static_cast<std::uint32_t>(batch)), milliseconds(2000));
        EXPECT_LE(sent.together, rate * sent.seconds + burst + batch) << "in " << sent.seconds << " s";
        return sent;
      };
      // The burst passes at once, and makes up for whatever was late but the last.
      const double enough = 0.99 * rate * kTime + burst - rate * duration<double>(kHindered).count();
      if (const std::optional<Sent> sent = undisturbed(run, enough)) {
        EXPECT_GE(sent->together, enough) << "in " << sent->seconds << " s";
      } else {
        disturbed = true;
      }
    }
  }
  if (disturbed) GTEST_SKIP() << "the machine is too busy for the rates' bounds from below";
}

TEST_P(QuotaRates, NobodyIsBelowHalfOfItsShareAndALargeBatchIsNotStarvedBySmallOnes) {
  // 600 a second for 2 s: three that send one at a time, and one that sends a hundred, more than the burst.
  const std::optional<Sent> sent = undisturbed([&] {
    return send({.messages_per_second = 600, .burst_messages = 10}, {1, 1, 1, 100}, milliseconds(2000));
  });
  if (!sent) GTEST_SKIP() << "the machine is too busy for the rates' bounds from below";
  EXPECT_GE(sent->each[3], 100) << "the large batches: " << ::testing::PrintToString(sent->each);
  // Places are taken in turn: the small ones have the same among themselves.
  const double share = (sent->each[0] + sent->each[1] + sent->each[2]) / 3;
  for (std::size_t i = 0; i < 3; ++i) EXPECT_GE(sent->each[i], share / 2) << i;
}

TEST_P(QuotaRates, EqualProducersGetEqualShares) {
  const std::optional<Sent> sent = undisturbed([&] {
    return send({.messages_per_second = 2000}, {4, 4, 4, 4}, milliseconds(1500));
  });
  if (!sent) GTEST_SKIP() << "the machine is too busy for the rates' bounds from below";
  for (const double each : sent->each) EXPECT_GE(each, sent->together / 4 / 2) << ::testing::PrintToString(sent->each);
}

}  // namespace
}  // namespace ipcq::contract
