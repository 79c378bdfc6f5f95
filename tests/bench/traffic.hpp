// The traffic of most rows, whatever carries it: a stream of batches one way, at full speed or paced, or round trips. What carries it is a small
// class with send and receive, so that the limits, ipcq and whatever it is compared with run the same loops.
#pragma once

#include <cstdint>

#include "clock.hpp"
#include "payload.hpp"
#include "run.hpp"

namespace ipcq::bench {

/// The first side of a stream. `sender.send(sequence)` sends the messages from `sequence` on, sender.batch() of them, and
/// `sender.send_end()` the one message kEndOfRun. It goes on past the stop while `sender.has_more_to_show()`.
template <class Sender>
void stream_out(Side& side, Sender& sender) {
  side.start();
  std::uint64_t sequence = 0;
  do {
    sender.send(sequence);
    sequence += sender.batch();
  } while (side.running(sequence) || sender.has_more_to_show());
  sender.send_end();
  side.finish(Passed{.messages = sequence});
}

/// The second side of a stream. `receiver.receive(sequence)` takes what is there, checks it and moves `sequence` on; false:
/// the end of the run was among it.
template <class Receiver>
void stream_in(Side& side, Receiver& receiver) {
  side.start();
  std::uint64_t sequence = 0;
  while (receiver.receive(sequence)) side.running(sequence);
  side.finish(Passed{.messages = sequence});
}

/// The first side of a paced stream: message n is due at a fixed time, whatever became of those before it. So a sender that
/// was held up makes its messages late instead of rare.
template <class Sender>
void paced_out(Side& side, Sender& sender, double messages_per_s) {
  const TickClock& clock = tick_clock();
  const double interval = clock.ticks_of_ns(1e9 / messages_per_s);
  side.start();
  const std::uint64_t origin = clock.ticks();
  side.set_origin(origin);
  std::uint64_t sequence = 0;
  do {
    const std::uint64_t due = origin + static_cast<std::uint64_t>(static_cast<double>(sequence) * interval);
    while (clock.ticks() < due) relax();
    sender.send(sequence++);
  } while (side.running(sequence));
  sender.send_end();
  side.finish(Passed{.messages = sequence});
}

/// The second side: times each message from when it was due until it has been read.
template <class Receiver>
void paced_in(Side& side, Receiver& receiver, double messages_per_s) {
  const TickClock& clock = tick_clock();
  const double interval = clock.ticks_of_ns(1e9 / messages_per_s);
  Histogram& histogram = side.feed_histogram();
  side.start();
  const std::uint64_t origin = side.await_origin();
  std::uint64_t sequence = 0;
  for (std::uint64_t timed = 0; receiver.receive(sequence);) {
    const std::uint64_t read = clock.ticks();
    for (; timed < sequence; ++timed) {
      const std::uint64_t due = origin + static_cast<std::uint64_t>(static_cast<double>(timed) * interval);
      histogram.record(read > due ? read - due : 0);
    }
    side.running(sequence);
  }
  side.finish(Passed{.messages = sequence});
}

/// The first side of round trips: sends, waits for the echo, and times both by one clock read a trip. Trips are numbered
/// from 1. `link.send(sequence)` sends a message; `link.receive(sequence)` waits for one and checks it; false: it was the
/// end of the run.
template <class Link>
void ping(Side& side, Link& link) {
  const TickClock& clock = tick_clock();
  Histogram& histogram = side.feed_histogram();
  std::uint64_t trips = 0;
  side.start();
  std::uint64_t before = clock.ticks();
  do {
    link.send(++trips);
    if (!link.receive(trips)) throw PayloadError("round trip: the echo is the end of the run");
    const std::uint64_t after = clock.ticks();
    histogram.record(after - before);
    before = after;
  } while (side.running(trips));
  link.send(kEndOfRun);
  side.finish(Passed{.messages = trips});
}

/// The second side of round trips: the echo.
template <class Link>
void pong(Side& side, Link& link) {
  side.start();
  std::uint64_t trips = 0;
  while (link.receive(trips + 1)) {
    link.send(++trips);
    side.running(trips);
  }
  side.finish(Passed{.messages = trips});
}

}  // namespace ipcq::bench
