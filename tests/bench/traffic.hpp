// The traffic of every row, whatever carries it: a stream of batches one way, or round trips. What carries it is a small
// class with send and receive, so that the limits, ipcq and whatever it is compared with run the same loops.
#pragma once

#include <cstdint>

#include "clock.hpp"
#include "pair.hpp"
#include "payload.hpp"

namespace ipcq::bench {

/// The first side of a stream. `sender.send(sequence)` sends the messages from `sequence` on, Sender::kBatch of them, and
/// `sender.send_end()` the one message kEndOfRun. It goes on past the stop while `sender.has_more_to_show()`.
template <class Sender>
void stream_out(Side& side, Sender& sender) {
  side.start();
  std::uint64_t sequence = 0;
  do {
    sender.send(sequence);
    sequence += Sender::kBatch;
  } while (side.running(sequence) || sender.has_more_to_show());
  sender.send_end();
  side.finish(sequence);
}

/// The second side of a stream. `receiver.receive(sequence)` takes what is there, checks it and moves `sequence` on; false:
/// the end of the run was among it.
template <class Receiver>
void stream_in(Side& side, Receiver& receiver) {
  side.start();
  std::uint64_t sequence = 0;
  while (receiver.receive(sequence)) side.running(sequence);
  side.finish(sequence);
}

/// The first side of round trips: sends, waits for the echo, and times both by one clock read a trip. Trips are numbered
/// from 1. `link.send(sequence)` sends a message; `link.receive(sequence)` waits for one and checks it; false: it was the
/// end of the run.
template <class Link>
void ping(Side& side, Link& link) {
  const TickClock& clock = tick_clock();
  Histogram& histogram = side.histogram();
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
  side.finish(trips);
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
  side.finish(trips);
}

}  // namespace ipcq::bench
