// The survivors: what others find in a queue in which somebody has died, or stands still.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "crash/sweep/expectation.hpp"
#include "crash/sweep/image.hpp"

namespace ipcq::sweep {

enum class Mode : std::uint8_t {
  recover,   ///< R: killed; the survivor runs recovery, looks at the whole segment, then goes on
  attach,    ///< A: killed; the survivor attaches until no row is left, so that it has the dead's, and never recovers
  consumer,  ///< C: killed; the survivor is a consumer and nothing else until all is read
  proceed,   ///< P: stopped, others work, then it goes on to its end
  quit,      ///< Q: stopped, others work, then it is killed
};
[[nodiscard]] const char* name_of(Mode mode) noexcept;

/// Where a survivor says what it is at, for the report of one that hangs: a literal, which a fork reads at the same place.
using Doing = std::atomic<const char*>;
void say_doing_to(Doing* doing) noexcept;

/// Message of a survivor that sends before it reads.
inline constexpr std::uint64_t kAfter = 700;

/// Modes R, A and C, all of it. Throws Wrong. Returns what group "default" got, for comparison.
Ids survive(const QueueAt& at, Mode mode, const Expectation& expected);

/// What others did while the child stood still.
struct Interlude {
  Ids acked;          ///< of group "default"
  bool sent = false;  ///< kAfter
};
/// Modes P and Q, the middle: recover, claim, commit, lease, ack beside a stopped living process, none of it without a
/// bound. Throws Wrong for any answer that is not one of those for a busy or an idle queue.
Interlude work_beside(const QueueAt& at, bool with_dead_letters);
/// Modes P and Q, the end: the child has come to its end or is dead. Every message once.
void settle(const QueueAt& at, const Interlude& before, const Expectation& expected);

}  // namespace ipcq::sweep
