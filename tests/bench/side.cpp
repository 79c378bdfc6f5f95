// The child's half of the harness.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "clock.hpp"
#include "run.hpp"
#include "shared_run.hpp"

namespace ipcq::bench {
namespace {

constexpr std::size_t kProbeTrips = 4096;
constexpr std::size_t kProbeTripsIgnored = 512;  // the first ones pay for page faults and cold caches

}  // namespace

std::atomic<Phase>& Side::phase() noexcept { return run_.phase; }

Histogram& Side::feed_histogram() noexcept {
  feeds_histogram_ = true;
  return run_.histogram;
}

void Side::tell(double figure) noexcept { run_.told = figure; }

void Side::set_origin(std::uint64_t ticks) noexcept { run_.origin_ticks.store(ticks, std::memory_order_release); }

std::uint64_t Side::await_origin() noexcept {
  std::uint64_t ticks = 0;
  while ((ticks = run_.origin_ticks.load(std::memory_order_acquire)) == 0) relax();
  return ticks;
}

void Side::meet() noexcept {
  ++meetings_;
  run_.arrivals.fetch_add(1, std::memory_order_acq_rel);
  // All sides are mostly here at once, so it polls first; then it sleeps, for a side may idle through a whole run and a
  // machine may have one cpu.
  unsigned sleep_us = 50;
  for (unsigned looks = 0; run_.arrivals.load(std::memory_order_acquire) < run_.sides_number * meetings_; ++looks) {
    if (looks < 10'000) {
      relax();
      continue;
    }
    usleep(sleep_us);
    sleep_us = std::min(2 * sleep_us, 1000U);
  }
}

void Side::start() noexcept {
  meet();
  if (probe_) probe(0);
  meet();
  if (index_ != 0) return;
  const std::uint64_t one = 1;
  // Cannot fail: the parent keeps the other end, and the counter is far from its limit.
  [[maybe_unused]] const ssize_t written = write(run_.started_event, &one, sizeof one);
}

void Side::finish(std::optional<Passed> passed) noexcept {
  // A receiver's last messages may come with the end of the run behind them, before it has seen that time is up.
  if (passed && seen_ == Phase::measure) enter(Phase::stop, passed->messages);
  run_.sides[index_].passed = passed.value_or(Passed{});
  run_.sides[index_].passes_messages = passed.has_value();
  meet();
  if (probe_) probe(1);
}

void Side::enter(Phase now, std::uint64_t count) noexcept {
  seen_ = now;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const Mark mark{count, clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_PROCESS_CPUTIME_ID),
                  static_cast<std::uint64_t>(usage.ru_nvcsw)};
  if (now == Phase::measure) {
    run_.sides[index_].begin = mark;
    if (feeds_histogram_) run_.histogram.clear();
  } else {
    run_.sides[index_].stop = mark;
  }
}

void Side::probe(std::size_t which) noexcept {
  const std::uint64_t base = which * kProbeTrips;
  if (role_ == Role::receives) {
    for (std::uint64_t i = base + 1; i <= base + kProbeTrips; ++i) {
      while (run_.ping.load(std::memory_order_acquire) != i) {
      }
      run_.pong.store(i, std::memory_order_release);
    }
    return;
  }
  const TickClock& clock = tick_clock();
  std::array<std::uint64_t, kProbeTrips> trips{};
  std::uint64_t before = clock.ticks();
  for (std::size_t trip = 0; trip < kProbeTrips; ++trip) {
    const std::uint64_t i = base + trip + 1;
    run_.ping.store(i, std::memory_order_release);
    while (run_.pong.load(std::memory_order_acquire) != i) {
    }
    const std::uint64_t after = clock.ticks();
    trips[trip] = after - before;
    before = after;
  }
  auto* const middle = trips.begin() + kProbeTripsIgnored + (kProbeTrips - kProbeTripsIgnored) / 2;
  std::nth_element(trips.begin() + kProbeTripsIgnored, middle, trips.end());
  run_.probes_ns[which] = clock.ns(static_cast<double>(*middle));
}

void Side::found_full() noexcept { run_.times_full.fetch_add(1, std::memory_order_release); }

void Side::wait_until_full() noexcept {
  while (run_.times_full.load(std::memory_order_acquire) == 0) usleep(50);
}

}  // namespace ipcq::bench
