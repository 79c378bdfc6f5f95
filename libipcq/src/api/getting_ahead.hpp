// Getting ahead: a consumer that follows its producer closely takes each line of the ring from it while it is still being
// written, and both go at the speed of the lines' travels. One that waits a moment lets the producer get ahead, and then
// takes more at once. Whether that pays is measured: the producer must be faster than it was without. So nobody pauses in a
// round trip, nor behind a producer that has a rate of its own; messages of one that sends all it can wait a microsecond.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ipcq::detail {

/// When one consumer pauses. Advice: nothing depends on it but speed. Belongs to one thread.
class GettingAhead {
 public:
  static constexpr std::int64_t kUnit_ns = 23;
  static constexpr std::uint32_t kUnits = 64;  // of a pause: the longest that a message may wait
  static constexpr std::uint32_t kCloseLooks = 8;
  // After those, so many looks tell how fast the producer is without pauses.
  static constexpr std::uint32_t kLooks = 32;
  // The producer hears of the first pause when it is over, and gets lines beforehand from a kilobyte further on.
  static constexpr std::uint32_t kFirstPauses = 2;
  static constexpr std::uint32_t kPauses = 8;  // that are timed together
  // So much in each pays in any case: it saves the consumer that many looks.
  static constexpr std::uint64_t kMuchBytes = 2048;
  static constexpr std::uint64_t kMuch = 32;
  static constexpr std::uint32_t kFew = 1;  // messages in a pause: it has stopped sending all it can
  static constexpr std::uint32_t kRoundsMost = 1024;
  // After so many timings, about a millisecond, it is tried without: what was measured before may hold no more.
  static constexpr std::uint32_t kTimings = 64;

  /// A look has taken messages, and left some: the consumer is behind.
  void took_some(std::uint32_t messages, std::uint64_t bytes) noexcept {
    messages_ += messages;
    bytes_ += bytes;
  }
  /// A look has taken all there was: so many messages, so many bytes of the ring; `soon`: it was hardly waited for.
  /// `clock()` is read where it matters, in any unit. Whether `streaming()` has changed.
  template <class Clock>
  bool took_all(std::uint32_t messages, std::uint64_t bytes, bool soon, Clock&& clock) noexcept {
    took_some(messages, bytes);
    return streaming_ ? after_pause(messages, clock) : after_look(messages, bytes, soon, clock);
  }
  /// Whether to pause, for kUnits, before the next look.
  [[nodiscard]] bool streaming() const noexcept { return streaming_; }

 private:
  template <class Clock>
  bool after_look(std::uint32_t messages, std::uint64_t bytes, bool soon, Clock& clock) noexcept {
    if (timing_) {
      if (++looks_ < kLooks) return false;
      ticks_without_ = clock() - begin_;
      messages_without_ = messages_;
      timing_ = false;
      pauses_ = 0;
      timings_ = 0;
      streaming_ = true;
      return true;
    }
    if (!follows_closely(messages, bytes, soon)) return false;
    if (rounds_left_ > 0) {
      --rounds_left_;
    } else {
      timing_ = true;
      looks_ = 0;
      begin(clock());
    }
    return false;
  }
  // Never true in a round trip, where one message comes after a wait. A few messages a look, look after look, or one at
  // once, are a producer that is held up each time.
  bool follows_closely(std::uint32_t messages, std::uint64_t bytes, bool soon) noexcept {
    if (messages >= 8 || (messages >= 2 && bytes >= 2048)) return true;
    if (messages == 0) return false;
    if (messages == 1 && !soon) {
      if (close_looks_ > 0) --close_looks_;
      return false;
    }
    if (++close_looks_ < kCloseLooks) return false;
    close_looks_ = 0;
    return true;
  }
  template <class Clock>
  bool after_pause(std::uint32_t messages, Clock& clock) noexcept {
    if (messages <= kFew) return stop();
    if (++pauses_ < kFirstPauses) return false;
    if (pauses_ == kFirstPauses) {
      begin(clock());
      return false;
    }
    if (pauses_ < kFirstPauses + kPauses) return false;
    const std::uint64_t now = clock();
    if (bytes_ < kPauses * kMuchBytes && messages_ < kPauses * kMuch && !faster(now - begin_)) return stop();
    rounds_ = 1;
    if (++timings_ == kTimings) {
      streaming_ = false;
      return true;
    }
    begin(now);
    pauses_ = kFirstPauses;
    return false;
  }
  // By an eighth: less is not worth a message's wait.
  [[nodiscard]] bool faster(std::uint64_t ticks) const noexcept {
    constexpr std::uint64_t kTicksMost = std::uint64_t{1} << 32;  // a second: nobody has sent all he can
    if (ticks > kTicksMost || ticks_without_ > kTicksMost) return false;
    return 8 * messages_ * ticks_without_ >= 9 * messages_without_ * ticks;
  }
  bool stop() noexcept {
    streaming_ = false;
    rounds_left_ = rounds_;
    rounds_ = std::min(2 * rounds_, kRoundsMost);
    return true;
  }
  void begin(std::uint64_t now) noexcept {
    begin_ = now;
    messages_ = 0;
    bytes_ = 0;
  }

  bool streaming_ = false;
  bool timing_ = false;            // of the producer without pauses
  std::uint32_t close_looks_ = 0;  // looks behind a producer that is held up, less the others
  std::uint32_t looks_ = 0;        // that are timed
  std::uint32_t pauses_ = 0;
  std::uint32_t timings_ = 0;      // that found it faster
  std::uint32_t rounds_left_ = 0;  // times that it looks like one, before it is tried again
  std::uint32_t rounds_ = 1;       // doubles with each try that did not pay
  std::uint64_t begin_ = 0;        // of what is timed
  std::uint64_t messages_ = 0;     // taken since
  std::uint64_t bytes_ = 0;
  std::uint64_t ticks_without_ = 0;
  std::uint64_t messages_without_ = 0;
};

/// Spins so many units without touching memory. The processor's pause instruction takes 10 to 60 ns; it is timed once.
void pause_units(std::uint32_t units) noexcept;

}  // namespace ipcq::detail
