// CoreSegment: a formatted segment in memory of its own, with no name that others could open, for tests of the core.
//
// The core takes a View and nothing else, so a test can build any state by hand, that of a process that died between two
// steps too. Owners are rows written by hand: with no descriptor to probe through, an attached row counts as alive, and
// one that is free, or used again, is the row of the dead.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <random>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/producer_side.hpp"
#include "core/ring.hpp"
#include "core/view.hpp"
#include "layout/format.hpp"
#include "os/mapping.hpp"
#include "os/robust_mutex.hpp"
#include "os/unique_fd.hpp"
#include "support/waiting.hpp"

namespace ipcq::core {

// How gtest shows these, found by argument-dependent lookup.
inline void PrintTo(EntryState state, std::ostream* out) {
  constexpr const char* kNames[] = {"free", "leased", "done", "redeliverable", "parked"};
  *out << (static_cast<std::size_t>(state) < std::size(kNames) ? kNames[static_cast<std::size_t>(state)] : "?");
}

}  // namespace ipcq::core

namespace ipcq {

inline void PrintTo(Outcome outcome, std::ostream* out) { *out << to_string(outcome); }
inline void PrintTo(Errc code, std::ostream* out) { *out << to_string(code); }

}  // namespace ipcq

namespace ipcq::unit {

using core::EntryState;
using core::Owner;
using detail::make_head;
using detail::RecordState;
using support::scaled;

inline constexpr std::uint64_t kCapacity = 64 * 1024;

/// Random numbers of a test: one seed a run (support::seed), one sequence a test.
inline std::mt19937_64 random_numbers() { return std::mt19937_64(support::seed()); }
inline std::uint64_t pick(std::mt19937_64& random, std::uint64_t least, std::uint64_t most) {
  return std::uniform_int_distribution<std::uint64_t>(least, most)(random);
}

/// Leaves `mutex` as a thread does that dies holding it.
inline void die_holding(os::RobustMutex& mutex) {
  std::thread([&] { std::ignore = mutex.lock(os::kNoDeadline); }).join();
}

/// Runs `one` and `other` at once, in a thread each, round by round, each a little late at random; `after` each round,
/// alone.
template <class One, class Other, class After>
void race(std::uint32_t rounds, One&& one, Other&& other, After&& after) {
  std::atomic<std::uint32_t> started{0};
  std::atomic<std::uint32_t> ended{0};
  const auto wait_for = [](const std::atomic<std::uint32_t>& count, std::uint32_t round) {
    while (count.load(std::memory_order_acquire) < round) std::this_thread::yield();
  };
  const auto be_late = [](std::mt19937& random) {
    for (std::uint32_t left = random() % 64; left > 0; --left) __builtin_ia32_pause();
  };
  std::thread second([&] {
    std::mt19937 random(1);
    for (std::uint32_t round = 1; round <= rounds; ++round) {
      wait_for(started, round);
      be_late(random);
      other();
      ended.store(round, std::memory_order_release);
    }
  });
  std::mt19937 random(2);
  for (std::uint32_t round = 1; round <= rounds; ++round) {
    started.store(round, std::memory_order_release);
    be_late(random);
    one();
    wait_for(ended, round);
    after();
  }
  second.join();
}

struct Shape {
  std::uint64_t capacity = kCapacity;
  std::uint32_t alignment = 16;
  std::uint32_t endpoints_max = 8;
  std::uint32_t groups_max = 4;
  std::uint32_t ledger_entries = 8;
  ProducerMode producers = ProducerMode::shared;
  std::uint32_t max_deliveries = 0;
  bool drop_after = false;
};

inline layout::Plan plan_of(const Shape& shape) {
  layout::Plan plan;
  plan.capacity = shape.capacity;
  plan.alignment = shape.alignment;
  plan.endpoints_max = shape.endpoints_max;
  plan.groups_max = shape.groups_max;
  plan.ledger_entries = shape.ledger_entries;
  plan.producers = static_cast<std::uint8_t>(shape.producers);
  plan.max_deliveries = shape.max_deliveries;
  plan.drop_after = shape.drop_after;
  if (shape.max_deliveries > 0 && !shape.drop_after) plan.dead_letter = "dead";
  return plan;
}

class CoreSegment {
 public:
  explicit CoreSegment(const Shape& shape = {})
      : plan_(plan_of(shape)),
        file_(::memfd_create("ipcq-unit", MFD_CLOEXEC)),
        mapping_(control_bytes(), static_cast<std::size_t>(shape.capacity)) {
    if (!file_ || ::ftruncate(file_.get(), static_cast<off_t>(layout::segment_bytes(plan_))) != 0) {
      throw std::system_error(errno, std::generic_category(), "memory of the test's segment");
    }
    view_.control = mapping_.map_control(file_.get(), true);
    view_.data_writable = mapping_.map_data_writable(file_.get());
    view_.data = view_.data_writable;
    view_.set_ring(shape.capacity, shape.alignment);
    if (layout::format(view_.control, plan_) != 0) throw std::runtime_error("the segment cannot be formatted");
    const layout::Header& header = view_.header();
    view_.control_bytes = header.control_bytes;
    view_.rows_offset = header.rows_offset;
    view_.groups_offset = header.groups_offset;
    view_.group_stride = header.group_stride;
    view_.life_begin = layout::kLifeBegin;
    view_.endpoints_max = shape.endpoints_max;
    view_.groups_max = shape.groups_max;
    view_.ledger_entries = shape.ledger_entries;
    view_.producers = shape.producers;
    view_.max_deliveries = shape.max_deliveries;
    view_.drop_after = shape.drop_after;
  }

  [[nodiscard]] const core::View& view() const noexcept { return view_; }
  /// The segment's memory as a file.
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

  /// A living owner of this row; whoever had the row before is dead.
  Owner attach(std::uint32_t number, layout::RowKind kind = layout::RowKind::producer) const {
    auto& row = view_.row(number);
    const std::uint32_t incarnation = row.incarnation.load() + 1;
    row.incarnation.store(incarnation);
    row.kind.store(static_cast<std::uint32_t>(kind));
    row.open_claim.store(core::kNoPosition);
    if (kind == layout::RowKind::consumer) {  // of the first group
      row.group.store(0);
      row.group_incarnation.store(view_.group(0).incarnation.load());
    }
    row.state.store(static_cast<std::uint32_t>(layout::RowState::attached));
    return core::make_owner(number, incarnation);
  }
  /// The owner is dead to everybody from here on.
  void end(Owner owner) const {
    view_.row(core::owner_row(owner)).state.store(static_cast<std::uint32_t>(layout::RowState::free));
  }
  [[nodiscard]] core::ProducerState producer(std::uint32_t row) const {
    core::ProducerState state;
    state.owner = attach(row);
    return state;
  }

  core::GroupId add_group(const core::GroupPlan& plan = {.name = "default"}) const {
    core::GroupId id;
    if (core::add_group(view_, plan, id) != core::AddGroup::ok) throw std::runtime_error("the group cannot be added");
    return id;
  }

  /// A record by hand.
  void put_head(std::uint64_t position, RecordState state, std::uint64_t length, std::uint32_t high = 0) const {
    core::writable_record_at(view_, position).head.store(make_head(state, length, high));
  }
  [[nodiscard]] std::uint64_t head(std::uint64_t position) const { return core::load_head(view_, position); }
  [[nodiscard]] RecordState state_at(std::uint64_t position) const { return detail::head_state(head(position)); }
  /// Committed records of these payload sizes from `position` on, and the end mark; returns where they end.
  std::uint64_t put_messages(std::uint64_t position, std::initializer_list<std::uint64_t> sizes) const {
    for (const std::uint64_t size : sizes) {
      put_head(position, RecordState::committed, size);
      position += detail::record_bytes(size, view_.alignment);
    }
    put_head(position, RecordState::none, 0);
    return position;
  }

  /// A claim as a producer makes it. Throws if there is none to be had.
  [[nodiscard]] core::ClaimTaken claim(core::ProducerState& producer, std::uint64_t need) const {
    core::ClaimTaken taken;
    if (core::claim(view_, producer, need, 0, taken) != Outcome::ok) throw std::runtime_error("no claim");
    return taken;
  }
  /// A committed message; returns its position.
  std::uint64_t send(core::ProducerState& producer, std::uint64_t size) const {
    const std::uint64_t need = detail::record_bytes(size, view_.alignment);
    const std::uint64_t position = claim(producer, need).position;
    if (core::commit(view_, producer, position, need, need, make_head(RecordState::committed, size, 0)) != Outcome::ok) {
      throw std::runtime_error("no commit");
    }
    return position;
  }

  [[nodiscard]] std::uint64_t claim_position() const { return view_.side().claim.claim_position.load(); }
  [[nodiscard]] bool poisoned() const { return (view_.frozen().flags.load() & layout::flag::kPoisoned) != 0; }

 private:
  [[nodiscard]] std::size_t control_bytes() const noexcept {
    return static_cast<std::size_t>(layout::control_bytes(plan_.endpoints_max, plan_.groups_max, plan_.ledger_entries));
  }

  layout::Plan plan_;
  os::UniqueFd file_;
  os::Mapping mapping_;
  core::View view_;
};

/// A ledger entry as tests write and read it.
struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  EntryState state = EntryState::leased;
  std::uint32_t deliveries = 0;
  Owner owner = 0;

  friend bool operator==(const Range&, const Range&) = default;
};
inline void PrintTo(const Range& range, std::ostream* out) {
  *out << "[" << range.begin << "," << range.end << ") ";
  PrintTo(range.state, out);
  *out << " " << range.deliveries << " of " << range.owner;
}

/// A group's ledger, to be built and looked at by hand.
class LedgerBench : public ::testing::Test {
 protected:
  LedgerBench() : segment_({.ledger_entries = kEntries}), group_(segment_.add_group()) {}

  static constexpr std::uint32_t kEntries = 8;

  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }
  [[nodiscard]] layout::LedgerEntry& entry(std::uint32_t number) const noexcept {
    return view().entries(group_.row)[number];
  }
  [[nodiscard]] std::uint64_t retired() const { return row().retired.load(); }

  /// Writes an entry, and nothing of the index.
  void write(std::uint32_t number, const Range& range, std::uint32_t sequence = 0) const {
    entry(number).begin.store(range.begin);
    entry(number).end.store(range.end);
    entry(number).word.store(core::make_word(range.state, range.deliveries, sequence, range.owner));
  }
  [[nodiscard]] Range read(std::uint32_t number) const {
    const std::uint64_t word = entry(number).word.load();
    return {entry(number).begin.load(), entry(number).end.load(), core::word_state(word), core::word_deliveries(word),
            core::word_owner(word)};
  }
  /// The entries in use, in the index's order.
  [[nodiscard]] std::vector<Range> ranges() const {
    const core::Ledger ledger(view(), group_.row);
    std::vector<Range> all;
    for (std::uint32_t k = 0; k < ledger.in_use(); ++k) all.push_back(read(ledger.at(k)));
    return all;
  }
  /// The invariants T and I: the entries in use tile [retired, lease position), and the index lists each entry once,
  /// those in use first.
  [[nodiscard]] ::testing::AssertionResult is_whole() const {
    const core::Ledger ledger(view(), group_.row);
    std::vector<bool> seen(view().ledger_entries, false);
    std::uint64_t at = retired();
    for (std::uint32_t k = 0; k < view().ledger_entries; ++k) {
      const std::uint32_t number = ledger.at(k);
      if (seen[number]) return ::testing::AssertionFailure() << "entry " << number << " is in the index twice";
      seen[number] = true;
      const Range range = read(number);
      if ((range.state != EntryState::free) != (k < ledger.in_use())) {
        return ::testing::AssertionFailure() << "place " << k << " of the index, of " << ledger.in_use()
                                             << " in use, is " << ::testing::PrintToString(range);
      }
      if (k >= ledger.in_use()) continue;
      if (range.begin != at || range.end <= range.begin) {
        return ::testing::AssertionFailure() << ::testing::PrintToString(range) << " does not follow " << at;
      }
      at = range.end;
    }
    return ::testing::AssertionSuccess();
  }

  CoreSegment segment_;
  core::GroupId group_;
};

}  // namespace ipcq::unit
