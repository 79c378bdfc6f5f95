// Scene: a directory with what a watchdog finds to do in one tick, and two processes that work beside it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace ipcq::daemon::tick {

/// Four queues. "live": eight messages, a consumer that died holding three, a producer that died with a claim open. "half": the
/// same without the producer, and whoever recovered there was killed between the row and the lease. "stale": ephemeral,
/// drained, its consumer dead. "busy": for Load. And a policy, outside of the directory, that limits all.
class Scene {
 public:
  /// Makes the directory below `parent` anew, with all that is in it.
  Scene(const std::string& parent, const std::string& name);

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  /// One tick of a watchdog: an object that lives that long.
  void tick() const;
  /// After a death. `returned`: the tick was over. `tick_next`: another watchdog comes before the queues' users do; else they
  /// come first, and it later. Throws sweep::Wrong.
  void check(bool returned, bool tick_next) const;

 private:
  void make() const;
  void check_names() const;
  /// All that a tick is for is done.
  void check_done() const;

  std::string directory_;
  std::string policy_;
};

/// A producer and a consumer of "busy", in processes of their own: attached when made, at work from go() on.
class Load {
 public:
  explicit Load(const Scene& scene);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load();

  void go() noexcept { shared_->go.store(true); }
  /// Ends both. Throws sweep::Wrong unless everything that was sent came, once, in order, and no call took too long.
  void finish();

 private:
  struct Shared {
    std::atomic<std::uint32_t> attached{0};
    std::atomic<bool> go{false};
    std::atomic<bool> watchdog_dead{false};
    std::atomic<bool> stop{false};
    std::atomic<bool> sent_all{false};
    std::atomic<std::uint64_t> sent{0};
    std::atomic<std::uint64_t> got{0};
  };
  static void produce(const std::string& directory, Shared& shared);
  static void consume(const std::string& directory, Shared& shared);

  struct Unmap {
    void operator()(Shared* shared) const noexcept;
  };
  std::unique_ptr<Shared, Unmap> shared_;
  pid_t producer_ = -1;
  pid_t consumer_ = -1;
};

}  // namespace ipcq::daemon::tick
