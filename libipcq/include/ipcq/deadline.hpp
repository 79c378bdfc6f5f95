// Deadline: how long a call may wait.
#pragma once

#include <chrono>
#include <cstdint>

namespace ipcq {

/// How long a call may wait, on CLOCK_MONOTONIC (std::chrono::steady_clock). Steps of the wall clock do not matter.
/// Made from a duration (counted from the call that receives it), a steady_clock time point, `ipcq::now` (one look,
/// no sleep) or `ipcq::forever`. A duration of zero or less is `now`. A value; costs no clock read until a call waits.
class Deadline {
 public:
  enum class Kind : std::uint8_t { now, forever, after, at };

  constexpr Deadline() noexcept = default;  ///< forever
  template <class Rep, class Period>
  constexpr Deadline(std::chrono::duration<Rep, Period> wait) noexcept  // NOLINT(google-explicit-constructor): `claim(room, 10ms)`
      : kind_(wait.count() > 0 ? Kind::after : Kind::now), ns_(wait.count() > 0 ? saturated_ns(wait) : 0) {}
  constexpr Deadline(std::chrono::steady_clock::time_point at) noexcept  // NOLINT(google-explicit-constructor)
      : kind_(Kind::at), ns_(std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count()) {}

  [[nodiscard]] constexpr Kind kind() const noexcept { return kind_; }
  /// Nanoseconds: of the wait (`after`) or of CLOCK_MONOTONIC (`at`); 0 otherwise.
  [[nodiscard]] constexpr std::int64_t ns() const noexcept { return ns_; }

 private:
  friend constexpr Deadline make_deadline(Kind kind) noexcept;
  constexpr explicit Deadline(Kind kind) noexcept : kind_(kind) {}

  template <class Rep, class Period>
  static constexpr std::int64_t saturated_ns(std::chrono::duration<Rep, Period> wait) noexcept {
    using Seconds = std::chrono::duration<double>;
    constexpr double kYear = 366.0 * 24 * 3600;  // longer waits are cut to a century: no overflow in ns
    if (std::chrono::duration_cast<Seconds>(wait).count() > 100 * kYear)
      return static_cast<std::int64_t>(100 * kYear * 1e9);
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(wait).count();
    return ns > 0 ? static_cast<std::int64_t>(ns) : 1;
  }

  Kind kind_ = Kind::forever;
  std::int64_t ns_ = 0;
};

constexpr Deadline make_deadline(Deadline::Kind kind) noexcept { return Deadline(kind); }

inline constexpr Deadline now = make_deadline(Deadline::Kind::now);          ///< one look, no sleep
inline constexpr Deadline forever = make_deadline(Deadline::Kind::forever);  ///< no limit

}  // namespace ipcq
