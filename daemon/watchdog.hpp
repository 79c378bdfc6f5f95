// The watchdog: one loop over the events of a directory, the ends of processes, signals, and what is due.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "events.hpp"
#include "policy.hpp"
#include "processes.hpp"
#include "service.hpp"
#include "watched_queue.hpp"

namespace ipcq::daemon {

/// A descriptor that is closed with the object.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

class Watchdog {
 public:
  /// `config`: the policy's file; empty: none. Blocks SIGTERM, SIGINT and SIGHUP. Throws std::system_error, PolicyError.
  Watchdog(const std::string& directory, const std::string& config);

  /// One pass over all queues: the dead are recovered, what nobody needs is removed.
  void once();
  /// Until SIGTERM or SIGINT. SIGHUP reads the policy again. Throws std::exception if the directory is gone.
  void run(const ServiceManager& manager);

 private:
  void scan(Time now);
  void came(const std::string& name, bool leftover, Time now);
  void went(const std::string& name);
  void adopt(const std::string& name, ino_t inode, Time now);
  void handle(const FileEvent& event, Time now);
  void read_events(Time now);
  bool read_signals(Time now);
  void reload(Time now);
  void act(Time now);
  void clean_leftover(const std::string& name, Time now);
  [[nodiscard]] Time due() const;
  [[nodiscard]] std::string status() const;

  std::string directory_;
  std::string config_;
  Policy policy_;
  Descriptor epoll_;
  Descriptor signals_;
  std::unique_ptr<DirectoryEvents> events_;  // null: not to be had, so the directory is scanned often
  Processes processes_;
  AuditSums audit_sums_;
  std::map<std::string, std::unique_ptr<WatchedQueue>> queues_;
  std::map<ino_t, std::string> by_inode_;
  std::map<std::string, ino_t> refused_;  // files that are no queue of ours to watch, so that it is said once
  std::map<std::string, Time> leftovers_;
  std::size_t others_ = 0;  // queues of other uids, at the last scan
  bool scan_soon_ = false;
};

}  // namespace ipcq::daemon
