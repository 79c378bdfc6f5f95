// The parts of a repair. Nobody lives in the segment, its mutexes are taken as said, and it is marked as poisoned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/repair.hpp"
#include "core/view.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::core {

/// What a repair knows and says while it goes on.
class RepairWork {
 public:
  explicit RepairWork(const View& view) : view_(view) {}
  [[nodiscard]] const View& view() const noexcept { return view_; }
  [[nodiscard]] std::uint64_t offset_of(const void* word) const noexcept {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(word) - view_.control);
  }
  [[nodiscard]] std::uint64_t ring_offset(std::uint64_t position) const noexcept {
    return view_.control_bytes + (position & view_.mask);
  }
  [[nodiscard]] bool is_aligned(std::uint64_t position) const noexcept {
    return (position & (view_.alignment - 1)) == 0;
  }
  void mended(const char* invariant, std::uint64_t offset, std::string text) {
    steps_.push_back({invariant, offset, std::move(text), false});
  }
  void gave_up(const char* invariant, std::uint64_t offset, std::string text) {
    steps_.push_back({invariant, offset, std::move(text), true});
  }
  [[nodiscard]] std::vector<RepairStep>& steps() noexcept { return steps_; }

  /// A word that is wrong gets the value that it should have. One store (die before or after → the same is derived).
  template <class Atomic, class Value>
  bool set(Atomic& word, Value value, const char* invariant, const std::string& text) {
    if (word.load(std::memory_order_relaxed) == value) return false;  // relaxed: nobody else writes
    mended(invariant, offset_of(&word), text);
    word.store(value, std::memory_order_release);  // release: deaths find them in this order
    return true;
  }

 private:
  const View& view_;
  std::vector<RepairStep> steps_;
};

/// A mutex, taken whatever state it was in: one whose repair was given up, or whose holder is not there, is first marked as
/// the kernel marks one whose holder died; one that is no mutex is made anew.
class TakenMutex {
 public:
  TakenMutex(RepairWork& work, os::RobustMutex& mutex, const std::string& whose);
  ~TakenMutex();
  TakenMutex(const TakenMutex&) = delete;
  TakenMutex& operator=(const TakenMutex&) = delete;
  /// False: a living thread keeps it.
  [[nodiscard]] explicit operator bool() const noexcept { return taken_; }

 private:
  os::RobustMutex& mutex_;
  bool taken_ = false;
  bool holder_died_ = false;
};

/// Which positions are boundaries of records, of those asked for.
class Boundaries {
 public:
  /// Walks [begin, end), whose records tile.
  Boundaries(const View& view, std::uint64_t begin, std::uint64_t end, std::vector<std::uint64_t> positions);
  [[nodiscard]] bool is(std::uint64_t position) const noexcept { return before(position) == position; }
  /// The boundary at or before one of the positions; nothing if it is outside of what was walked.
  [[nodiscard]] std::optional<std::uint64_t> before(std::uint64_t position) const noexcept;

 private:
  struct Mark {
    std::uint64_t position;
    std::uint64_t boundary;
  };
  std::vector<Mark> marks_;  // by position
};

/// The table of groups: states, names, options. Under the producer side's mutex.
void mend_group_table(RepairWork& work);
/// Positions and records: claim_position, every `retired`, the ring from the least of these on, its end mark, times, the
/// end of the stream. Under the producer side's mutex. False: nothing there can be derived.
[[nodiscard]] bool mend_ring(RepairWork& work);
/// A shared group's ledger; what an exclusive group has instead. Under the group's mutex, after the ring.
void mend_ledger(RepairWork& work, std::uint32_t group);
void mend_exclusive(RepairWork& work, std::uint32_t group);
/// Of a group that has something parked: when it was tried last.
void mend_tried(RepairWork& work, std::uint32_t group);
/// What no quota can be is none. Under the table's mutex.
void mend_quotas(RepairWork& work);
/// The endpoint table: nobody lives, so every row is free. Under the table's mutex, after the claims are dealt with.
void mend_endpoints(RepairWork& work);

/// Whether `retired` cannot have passed a range with this word. (drop-oldest passes one that is to be delivered, before it
/// frees the entry.)
[[nodiscard]] bool is_unfinished(const View& view, std::uint32_t group, std::uint64_t word) noexcept;
/// Every position that some word of the table of groups takes for a boundary.
[[nodiscard]] std::vector<std::uint64_t> named_positions(const View& view);
[[nodiscard]] std::uint64_t least_retired_of(const View& view) noexcept;

}  // namespace ipcq::core
