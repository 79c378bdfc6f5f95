// Ctrl-C: an end that loses nothing.
//
// The first SIGINT, SIGTERM or SIGHUP sets a flag, cancels the endpoint that may be waiting in the library, and starts
// a timer that ticks until the program ends. The ticks close the gap between looking at the flag and blocking in a
// system call: a read or write entered too late is interrupted by the next tick. The second asks to give up what cannot
// be finished at once; the third ends the process where it stands, which is safe for the queue at every instruction.
#pragma once

#include <csignal>

#include "ipcq/consumer.hpp"
#include "ipcq/producer.hpp"

namespace ipcq::cli {

/// From now on the three signals are caught, but for those that the caller ignores (nohup, background jobs of scripts).
void catch_interrupts();

[[nodiscard]] bool interrupted() noexcept;
/// A second time.
[[nodiscard]] bool interrupted_again() noexcept;

/// While it lives, an interrupt cancels the producer or consumer.
class CancelOnInterrupt {
 public:
  explicit CancelOnInterrupt(Producer& producer) noexcept;
  explicit CancelOnInterrupt(Consumer& consumer) noexcept;
  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;
  ~CancelOnInterrupt();
};

/// While it lives, the three signals stay away from this thread and from threads it starts.
class SignalsHeldBack {
 public:
  SignalsHeldBack() noexcept;
  SignalsHeldBack(const SignalsHeldBack&) = delete;
  SignalsHeldBack& operator=(const SignalsHeldBack&) = delete;
  ~SignalsHeldBack();

 private:
  sigset_t before_;
};

}  // namespace ipcq::cli
