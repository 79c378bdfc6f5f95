// Getting ahead: a consumer that follows its producer closely takes each line of the ring from it while it is still being
// written, and both go at the speed of the lines' travels. One that waits a moment lets the producer get ahead, and then
// takes more at once. It waits only while that pays, so never in a round trip; messages that come at many millions a second
// wait a microsecond or two.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ipcq::detail {

/// When one consumer pauses, and how long. Advice: nothing depends on it but speed. Belongs to one thread.
class GettingAhead {
 public:
  static constexpr std::int64_t kUnit_ns = 23;
  static constexpr std::uint32_t kFirstUnits = 16;
  static constexpr std::uint32_t kMostUnits = 64;
  static constexpr std::uint64_t kBytesPerUnit = 32;    // what must arrive in a unit for the pause to pay
  static constexpr std::uint32_t kUnitsPerMessage = 2;  // or a message in so many: small ones are not many bytes
  static constexpr std::uint32_t kMostLooks = 256;
  // The first need not pay: the producer hears of it only then, and gets lines beforehand from a kilobyte further on.
  static constexpr std::uint32_t kFirstPauses = 16;
  static constexpr std::uint32_t kCloseLooks = 8;

  /// A look has taken all there was: so many messages, so many bytes of the ring; `soon`: it was hardly waited for. Whether
  /// `streaming()` has changed.
  bool took_all(std::uint32_t messages, std::uint64_t bytes, bool soon) noexcept {
    const bool before = streaming();
    if (units_ > 0) {
      if (bytes >= kBytesPerUnit * units_ || messages >= units_ / kUnitsPerMessage) {
        units_ = std::min(2 * units_, kMostUnits);
        looks_between_ = 1;
        pauses_left_ = 0;
      } else if (pauses_left_ > 0) {
        --pauses_left_;
      } else {
        units_ = 0;
        looks_between_ = std::min(2 * looks_between_, kMostLooks);
        looks_left_ = looks_between_;
      }
    } else if (follows_closely(messages, bytes, soon)) {
      if (looks_left_ == 0) {
        units_ = kFirstUnits;
        pauses_left_ = kFirstPauses;
      } else {
        --looks_left_;
      }
    }
    return streaming() != before;
  }
  [[nodiscard]] bool streaming() const noexcept { return units_ > 0; }
  /// Units of kUnit_ns to pause before the next look.
  [[nodiscard]] std::uint32_t units() const noexcept { return units_; }

 private:
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

  std::uint32_t units_ = 0;
  std::uint32_t close_looks_ = 0;    // looks behind a producer that is held up, less the others
  std::uint32_t pauses_left_ = 0;    // that need not pay
  std::uint32_t looks_left_ = 0;     // before it is tried again
  std::uint32_t looks_between_ = 1;  // doubles with each try that did not pay
};

/// Spins so many units without touching memory. The processor's pause instruction takes 10 to 60 ns; it is timed once.
void pause_units(std::uint32_t units) noexcept;

}  // namespace ipcq::detail
