// Limits of the machine for a round trip: two processes and nothing between them but cache lines, or a futex.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <ctime>
#include <new>

#include "raw_rows.hpp"
#include "traffic.hpp"

namespace ipcq::bench {
namespace {

constexpr std::size_t kTripBytes = 64;

/// One way of a round trip: written by one side, read by the other. Zeroed memory says trip 0, the one before the first.
struct Way {
  alignas(kLineApart) std::atomic<std::uint64_t> trip;
  alignas(kLineApart) std::byte payload[kTripBytes];
  alignas(kLineApart) std::atomic<std::uint32_t> futex;
};
struct Ways {
  Way there, back;
};

bool is_trip(std::uint64_t seen, std::uint64_t expected, std::uint64_t end) {
  if (seen == expected) return true;
  if (seen != end) throw PayloadError("trip " + std::to_string(expected) + " arrived as " + std::to_string(seen));
  return false;
}

/// Polls until the trip is another than the one before `expected`.
std::uint64_t poll_trip(const Way& from, std::uint64_t expected) noexcept {
  std::uint64_t seen = 0;
  do {
    seen = from.trip.load(std::memory_order_acquire);
  } while (seen == expected - 1);
  return seen;
}

/// The flag alone: the fastest that one cpu can answer another.
struct FlagLink {
  Way& to;
  Way& from;
  void send(std::uint64_t trip) noexcept { to.trip.store(trip, std::memory_order_release); }
  bool receive(std::uint64_t trip) { return is_trip(poll_trip(from, trip), trip, kEndOfRun); }
};

/// The flag in one line, 64 bytes of payload in another.
struct PayloadLink {
  Way& to;
  Way& from;
  void send(std::uint64_t trip) noexcept {
    write_payload<kTripBytes>(to.payload, trip);
    to.trip.store(trip, std::memory_order_release);
  }
  bool receive(std::uint64_t trip) {
    const std::uint64_t seen = poll_trip(from, trip);
    if (payload_is<kTripBytes>(from.payload, trip)) [[likely]]
      return is_trip(seen, trip, kEndOfRun);
    return !is_end_of_run<kTripBytes>(from.payload, trip);
  }
};

/// A wake and a wait each way, always: a round trip between two that sleep. `timed`: each wait ends by itself after 50 ms,
/// as a consumer's does, so the kernel sets a timer and takes it back.
template <bool timed>
struct FutexLink {
  Way& to;
  Way& from;
  void send(std::uint64_t trip) noexcept {
    to.futex.store(static_cast<std::uint32_t>(trip), std::memory_order_seq_cst);
    syscall(SYS_futex, &to.futex, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
  bool receive(std::uint64_t trip) {
    const auto before = static_cast<std::uint32_t>(trip - 1);
    std::uint32_t seen = 0;
    while ((seen = from.futex.load(std::memory_order_seq_cst)) == before) {
      const timespec limit{.tv_sec = 0, .tv_nsec = 50'000'000};
      syscall(SYS_futex, &from.futex, FUTEX_WAIT, before, timed ? &limit : nullptr, nullptr, 0);
    }
    return is_trip(seen, static_cast<std::uint32_t>(trip), static_cast<std::uint32_t>(kEndOfRun));
  }
};

template <class Link>
Run round_trips(const Plan& plan) {
  const SharedMemory memory(sizeof(Ways));
  auto& ways = *new (memory.data()) Ways{};
  return run_pair(
      plan,
      [&ways](Side& side) {
        Link link{ways.there, ways.back};
        ping(side, link);
      },
      [&ways](Side& side) {
        Link link{ways.back, ways.there};
        pong(side, link);
      });
}

}  // namespace

std::vector<Row> raw_round_trip_rows() {
  std::vector<Row> rows;
  rows.push_back({.name = "raw/rtt-flag",
                  .what = "two cache lines, 8 bytes, polled: what one cpu needs to answer another",
                  .measure = Measure::round_trip,
                  .payload_bytes = 8,
                  .facts = {{"system", "a cache line"}},
                  .run = round_trips<FlagLink>});
  rows.push_back({.name = kRawRoundTrip64,
                  .what = "the same with 64 bytes of payload in a second line, written and checked both ways",
                  .measure = Measure::round_trip,
                  .payload_bytes = kTripBytes,
                  .facts = {{"system", "two cache lines"}, {"wait", "spin"}},
                  .run = round_trips<PayloadLink>});
  rows.push_back({.name = kRawFutex,
                  .what = "two futexes, a wake and a wait each way, no payload",
                  .measure = Measure::round_trip,
                  .payload_bytes = 8,
                  .busy = {false, false},
                  .facts = {{"system", "futex"}, {"wait", "sleep"}},
                  .run = round_trips<FutexLink<false>>});
  rows.push_back({.name = kRawTimedFutex,
                  .what = "two futexes, each wait with a limit of 50 ms, as a consumer's has",
                  .measure = Measure::round_trip,
                  .payload_bytes = 8,
                  .busy = {false, false},
                  .facts = {{"system", "futex"}, {"wait", "sleep"}},
                  .run = round_trips<FutexLink<true>>});
  return rows;
}

}  // namespace ipcq::bench
