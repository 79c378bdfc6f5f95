// The service manager's side: sd_notify(3) by hand. Without $NOTIFY_SOCKET nothing happens.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace ipcq::daemon {

class ServiceManager {
 public:
  /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  /// "READY=1\nSTATUS=…": one datagram; does not wait, and an error is nobody's to mend.
  void tell(std::string_view state) const noexcept;
  /// How often "WATCHDOG=1" is to be told: half of what the manager waits for. Nothing: never.
  [[nodiscard]] std::optional<std::chrono::microseconds> watchdog_interval() const noexcept { return interval_; }

 private:
  int socket_ = -1;
  std::optional<std::chrono::microseconds> interval_;
};

}  // namespace ipcq::daemon
