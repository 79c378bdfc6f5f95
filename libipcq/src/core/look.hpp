// Look: a private copy of a segment's control area at about one moment, and what was found in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/endpoints.hpp"
#include "core/verify.hpp"
#include "core/view.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::core {

inline constexpr std::uint64_t kClockSlack_ns = 1'000'000'000;  // stamps of two cores, and the time a look takes

/// How far a mutex's word lets one judge what it protects.
enum class Holding : std::uint8_t {
  nobody,  // whole
  torn,    // its holder died, or its repair was given up: what the repair makes of it must be whole
  living,  // a thread is inside: nothing can be said
};

/// A position that must be where a record begins, or where the ring's walk ends.
struct Boundary {
  std::uint64_t position;
  const char* invariant;
  std::uint64_t offset;  // of the word that names it
  std::string text;      // how the finding begins: "the end of group 'a', entry 3"
};

/// Positions between which only finished records stand: a ledger's entry. While it is not finished, a message is its last.
struct RecordRange {
  std::uint64_t begin;
  std::uint64_t end;
  bool ends_with_message;
  std::uint64_t offset;  // of the entry's word
  std::string text;      // how the finding begins
};

class Look {
 public:
  /// Copies the control area, each word once. If a living thread holds one of its mutexes, several times.
  explicit Look(const View& live);

  /// The segment, whose ring is looked at in place.
  [[nodiscard]] const View& live() const noexcept { return live_; }
  /// The copy. Writable: repairs are tried on it.
  [[nodiscard]] const View& copy() const noexcept { return copy_; }
  /// Of the segment, loaded after the copy was made: every position in the copy is at or before it (exclusive producers:
  /// it may lag by the batch that is being published).
  [[nodiscard]] std::uint64_t claim_position() const noexcept { return claim_position_; }
  [[nodiscard]] bool is_aligned(std::uint64_t position) const noexcept {
    return (position & (live_.alignment - 1)) == 0;
  }

  /// Where something of the copy is in the file.
  [[nodiscard]] std::uint64_t offset_of(const void* in_copy) const noexcept {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(in_copy) - copy_.control);
  }
  [[nodiscard]] std::uint64_t ring_offset(std::uint64_t position) const noexcept {
    return live_.control_bytes + (position & live_.mask);
  }
  [[nodiscard]] Holding holding(const os::RobustMutex& in_copy) const noexcept;
  /// judge(), asked once for each row.
  [[nodiscard]] Verdict verdict(Owner owner);
  /// "row 3, incarnation 7 (pid 123)".
  [[nodiscard]] std::string owner_text(Owner owner) const;

  /// No death leaves this.
  void broken(const char* invariant, std::uint64_t offset, std::string text) {
    add({invariant, offset, std::move(text), false});
  }
  /// This is mended by whoever comes next.
  void noted(const char* invariant, std::uint64_t offset, std::string text) {
    add({invariant, offset, std::move(text), true});
  }
  void expect_boundary(Boundary boundary) { boundaries_.push_back(std::move(boundary)); }
  void expect_range(RecordRange range) { ranges_.push_back(std::move(range)); }
  /// Something is parked in the group, as `text` says: so it was tried, and is to be tried again.
  void expect_tried(std::uint32_t group, const std::string& text);

  [[nodiscard]] std::vector<Boundary>& boundaries() noexcept { return boundaries_; }
  [[nodiscard]] std::vector<RecordRange>& ranges() noexcept { return ranges_; }
  [[nodiscard]] std::vector<Finding>& findings() noexcept { return findings_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  struct Judged {
    bool asked = false;
    Owner owner = 0;
    Verdict verdict = Verdict::alive;
  };

  void add(Finding finding);

  const View& live_;
  std::unique_ptr<std::byte, Free> memory_;
  View copy_;
  std::uint64_t claim_position_ = 0;
  std::vector<Judged> judged_;  // by row
  std::vector<Boundary> boundaries_;
  std::vector<RecordRange> ranges_;
  std::vector<Finding> findings_;
};

/// Whether the thread is gone that a mutex says holds it: then no kernel will mark it, and nobody will ever have it. Asked by
/// a thread that holds no mutex.
[[nodiscard]] bool holder_is_gone(const View& view, const os::MutexState& state) noexcept;

/// "group 'orders' (row 0)", whatever stands where its name should.
[[nodiscard]] std::string group_text(const View& view, std::uint32_t group);

// The parts of a look. Those before the ring's say which positions must be boundaries of records there, and between which
// of them no claim may be open.
void look_at_header(Look& look);
void look_at_side(Look& look);
void look_at_quotas(Look& look);
void look_at_endpoints(Look& look);
void look_at_groups(Look& look);
void look_at_ledger(Look& look, std::uint32_t group);
void look_at_ring(Look& look);

}  // namespace ipcq::core
