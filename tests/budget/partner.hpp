// Partner: another process, that sleeps when this one wakes it, or wakes this one when it sleeps.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <atomic>
#include <cstdint>

namespace ipcq::budget {

inline constexpr timespec kBetweenLooks{0, 100'000};

/// What the two tell each other beside the queue, without a system call.
struct Turns {
  std::atomic<std::uint64_t> begun{0};  ///< by this process
  std::atomic<std::uint64_t> done{0};   ///< by its partner
};

class Partner {
 public:
  /// Forks; the child does `role` and never comes back from it.
  explicit Partner(void (*role)(Turns& turns));
  ~Partner();
  Partner(const Partner&) = delete;
  Partner& operator=(const Partner&) = delete;

  [[nodiscard]] Turns& turns() const noexcept { return *turns_; }
  /// Waits until the partner has done so many turns and sleeps. Throws if it has ended, or after a minute.
  void await_asleep(std::uint64_t done) const;

 private:
  Turns* turns_;
  pid_t pid_;
};

/// Waits until the process sleeps in the kernel: no sleep of its own that ends by itself is so short that a look would
/// take it for one.
void await_asleep(pid_t pid);

}  // namespace ipcq::budget
