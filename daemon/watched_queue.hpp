// One queue under watch: who is attached, what is due. Nothing here waits for anybody.
#pragma once

#include <chrono>
#include <cstdint>
#include <ipcq/watch.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "auditor.hpp"
#include "policy.hpp"
#include "processes.hpp"

namespace ipcq::daemon {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
inline constexpr Time kNever = Time::max();

class WatchedQueue {
 public:
  /// Opens the queue. `settings`: what the policy says; nothing: there is no policy, and the queue's quotas stay as they are.
  /// Throws ipcq::Error.
  WatchedQueue(const std::string& name, const std::string& directory, Processes& processes, AuditSums& sums,
               const std::optional<Settings>& settings);
  ~WatchedQueue();
  WatchedQueue(const WatchedQueue&) = delete;
  WatchedQueue& operator=(const WatchedQueue&) = delete;

  [[nodiscard]] ino_t inode() const noexcept { return watch_.inode(); }
  /// It is removed: let go of it.
  [[nodiscard]] bool gone() const noexcept { return gone_; }

  /// Who is attached by now? The dead are recovered; an ephemeral queue that nobody uses is to be cleaned.
  void look(Time now);
  /// Somebody opened the file: looks now, and a few times more, since attaching takes its time.
  void opened(Time now);
  /// A process that was attached has ended; `text` is what messages call it.
  void process_ended(std::uint32_t pid, const std::string& text, Time now);
  /// What events may have missed: as look(), and a queue that was drained by somebody who came and went is cleaned.
  void tick(Time now);
  void apply(const Settings& settings, Time now);

  /// When act() is to be called next.
  [[nodiscard]] Time due() const noexcept;
  void act(Time now);

 private:
  void recover(Time now);
  void clean(Time now);
  void set_quotas(Time now);
  void audit(Time now);
  void follow(Time now, bool& dead);
  [[nodiscard]] std::string dead_text() const;

  std::string name_;
  std::string directory_;
  Processes& processes_;
  AuditSums& audit_sums_;
  Settings settings_;
  bool has_policy_;
  Watch watch_;
  std::vector<Attached> attached_;
  std::map<std::uint32_t, std::string> ended_;  // pids that ended and have a row here still, with their texts
  std::set<std::uint64_t> lost_lock_;           // rows and incarnations, reported
  Time look_at_ = kNever;
  int looks_left_ = 0;
  Time recover_at_ = kNever;
  std::chrono::milliseconds backoff_{0};  // not 0: recovery is held up, and that was said
  Time clean_at_ = kNever;
  Time quotas_at_ = kNever;
  std::optional<Auditor> auditor_;  // while it has limits or is to be reported, and somebody is attached
  Time audit_at_ = kNever;
  bool gone_ = false;
  bool poisoned_ = false;  // and that was said
};

}  // namespace ipcq::daemon
