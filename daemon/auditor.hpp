// Auditing one queue: when to look, whom to revoke, and what is said of it, seldom.
#pragma once

#include <chrono>
#include <cstdint>
#include <ipcq/audit.hpp>
#include <ipcq/watch.hpp>
#include <map>
#include <optional>
#include <string>

#include "processes.hpp"

namespace ipcq::daemon {

/// Of all queues, since the daemon was started.
struct AuditSums {
  std::uint64_t revoked = 0;  ///< producers
  std::uint64_t unaccounted_messages = 0;
  std::uint64_t unaccounted_bytes = 0;
  friend bool operator==(const AuditSums&, const AuditSums&) = default;
};

class Auditor {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  /// `report`: nobody is revoked.
  Auditor(const std::string& name, const std::string& directory, const Watch& watch, const Processes& processes,
          AuditSums& sums, bool report);

  /// Looks, revokes, says what is new. When to look again.
  [[nodiscard]] Time look(Time now);
  void set_report(bool report) noexcept { report_ = report; }

 private:
  // What is said again and again is said so seldom; in between it is added up.
  struct Said {
    Time at = Time::min();
    [[nodiscard]] bool due(Time now) const noexcept;
  };

  void say_unaccounted(const AuditReport& report, Time now);
  void act(const PastLimit& past, Time now);
  [[nodiscard]] bool revoke(const Attached& producer) const;

  std::string name_;
  std::string directory_;
  const Processes& processes_;
  AuditSums& sums_;
  bool report_;
  Audit audit_;
  std::chrono::milliseconds interval_;
  std::uint64_t unaccounted_messages_ = 0;  // not said yet
  std::uint64_t unaccounted_bytes_ = 0;
  std::chrono::nanoseconds unaccounted_for_{0};  // the time that they are of
  Said unaccounted_said_;
  std::map<std::optional<uid_t>, Said> said_together_;
  std::map<std::uint64_t, Said> said_of_;  // of a row and incarnation
};

}  // namespace ipcq::daemon
