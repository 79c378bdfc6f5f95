// DamagedQueue: a queue as it looks in use, and all the words of it that can be damaged.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "core/lease.hpp"
#include "core/parking.hpp"
#include "core/quota.hpp"
#include "core/repair.hpp"
#include "core/verify.hpp"
#include "fixture.hpp"

namespace ipcq::core {

inline void PrintTo(const Finding& finding, std::ostream* out) {
  *out << (finding.recoverable ? "noted " : "broken ") << finding.invariant << " at " << finding.offset << ": "
       << finding.text;
}
inline void PrintTo(const RepairStep& step, std::ostream* out) {
  *out << (step.given_up ? "given up " : "mended ") << step.invariant << " at " << step.offset << ": " << step.text;
}

}  // namespace ipcq::core

namespace ipcq::unit {

/// One word damaged: which invariant that breaks, and where.
struct Damage {
  const char* what;
  std::function<void()> damage;
  const char* invariant;
  std::uint64_t offset;
  bool alone = true;  ///< breaks no other
};

/// All bytes of a segment.
inline std::vector<char> bytes_of(const CoreSegment& segment) {
  std::vector<char> all(static_cast<std::size_t>(segment.view().control_bytes + segment.view().capacity));
  EXPECT_EQ(::pread(segment.fd(), all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
  return all;
}
inline void restore_bytes(const CoreSegment& segment, const std::vector<char>& all) {
  EXPECT_EQ(::pwrite(segment.fd(), all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
}

// A queue as it looks in use: records of all kinds, an open claim, a ledger with every kind of entry.
class DamagedQueue : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kMaxDeliveries = 5;

  DamagedQueue() : segment_({.max_deliveries = kMaxDeliveries}) {
    group_ = segment_.add_group();
    other_ = segment_.add_group({.name = "other"});
    producer_ = segment_.producer(0);
    consumer_ = segment_.attach(1, layout::RowKind::consumer);
  }

  /// Messages, a skipped claim, and what the group's consumer did with some of them.
  void fill() {
    for (int i = 0; i < 6; ++i) std::ignore = segment_.send(producer_, 100);
    const core::ClaimTaken skipped = segment_.claim(producer_, 64);
    ASSERT_EQ(core::abort(view(), producer_, skipped.position, 64), Outcome::ok);
    for (int i = 0; i < 6; ++i) std::ignore = segment_.send(producer_, 32);
    const core::LeaseTaken first = lease(2);
    const core::LeaseTaken second = lease(2);
    const core::LeaseTaken third = lease(3);
    const core::LeaseTaken fourth = lease(1);
    ASSERT_EQ(core::requeue(view(), group_.row, third.entry, third.word), Outcome::ok);
    ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, second.entry, second.word), Outcome::ok);
    first_ = first;
    second_ = second;
    fourth_ = fourth;
    // One that was delivered too often, and could not be moved.
    parked_ = lease(1);
    parked_.word = core::make_word(EntryState::leased, kMaxDeliveries, core::word_sequence(parked_.word), consumer_);
    entry(parked_.entry).word.store(parked_.word);
    ASSERT_EQ(core::park(view(), group_.row, parked_, core::Parked::full), Outcome::ok);
  }

  [[nodiscard]] core::LeaseTaken lease(std::uint32_t messages) const {
    const core::LeaseTaken taken =
        core::lease(view(), group_.row, group_.incarnation, consumer_, {.max_messages = messages}, 0);
    EXPECT_EQ(taken.step, core::LeaseStep::leased);
    return taken;
  }

  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }
  [[nodiscard]] layout::LedgerEntry& entry(std::uint32_t number) const noexcept {
    return view().entries(group_.row)[number];
  }
  [[nodiscard]] layout::QuotaBucket& quota(std::uint32_t number) const noexcept {
    return core::quota_bucket(view(), number);
  }
  [[nodiscard]] std::uint64_t offset_of(const void* word) const noexcept {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(word) - view().control);
  }
  [[nodiscard]] std::uint64_t ring_offset(std::uint64_t position) const noexcept {
    return view().control_bytes + (position & view().mask);
  }

  /// Exactly this invariant is broken, at this word; others may be along with it only if `alone` is false.
  void expect_broken(const char* invariant, std::uint64_t offset, bool alone = true) const {
    expect_finding(invariant, offset, false, alone);
  }
  void expect_noted(const char* invariant, std::uint64_t offset, bool alone = true) const {
    expect_finding(invariant, offset, true, alone);
  }

  CoreSegment segment_;
  core::GroupId group_;
  core::GroupId other_;
  core::ProducerState producer_;
  Owner consumer_ = 0;
  core::LeaseTaken first_, second_, fourth_, parked_;

  /// Every kind of damage to what fill() made.
  [[nodiscard]] std::vector<Damage> damages() const {
    const std::uint64_t position = segment_.claim_position();
    return {
        {"a capacity", [this] { view().header().capacity *= 2; }, "header.valid", 128 + 56},
        {"an alignment that is valid but another", [this] { view().header().alignment = 32; }, "header.copy", 128 + 108},
        {"the magic", [this] { view().frozen().magic[0] = 'x'; }, "header.valid", 0},
        {"an unknown flag", [this] { view().frozen().flags.fetch_or(64); }, "flags.known", 12},
        {"the flag of the poisoned", [this] { view().frozen().flags.fetch_or(4); }, "flags.poisoned", 12},
        {"a claim position between records",
         [this, position] { view().side().claim.claim_position.store(position + 8); }, "side.claim_position", 576, false},
        {"a claim position beyond the records",
         [this, position] { view().side().claim.claim_position.store(position + 64); }, "ring.tiles",
         ring_offset(position), false},
        {"a head at claim_position",
         [this, position] { segment_.put_head(position, RecordState::claimed, 64, producer_.owner); }, "side.end_mark",
         ring_offset(position)},
        {"a least retired that is too much",
         [this] { view().side().claim.least_retired.store(row().retired.load() + 16); }, "side.least_retired", 592, false},
        {"a newest time of the future", [this] { view().side().claim.last_time.store(UINT64_MAX / 2); },
         "side.last_time", 584},
        {"a newest time before the records'", [this] { view().side().claim.last_time.store(1); }, "side.last_time", 584},
        {"an exclusive producer of shared ones", [this] { view().side().close.exclusive_owner.store(producer_.owner); },
         "side.exclusive_owner", 648},
        {"an end of the stream without the flag", [this, position] { view().side().close.closed_at.store(position); },
         "close.flag", 640},
        {"an end of the stream elsewhere",
         [this] {
           view().frozen().flags.fetch_or(1);
           view().side().close.closed_at.store(16);
         },
         "close.position", 640},
        {"a row's state", [this] { view().row(5).state.store(9); }, "row.state", offset_of(&view().row(5).state)},
        {"a row's kind", [this] { view().row(0).kind.store(3); }, "row.kind", offset_of(&view().row(0).kind)},
        {"a row's flags", [this] { view().row(0).flags.store(8); }, "row.flags", offset_of(&view().row(0).flags)},
        {"a row's group", [this] { view().row(1).group.store(99); }, "row.group", offset_of(&view().row(1).group), false},
        {"a row attached in no incarnation", [this] { view().row(0).incarnation.store(0); }, "row.incarnation",
         offset_of(&view().row(0).incarnation)},
        {"a row's counters", [this] { view().row(0).base.bytes.store(1); }, "row.base",
         offset_of(&view().row(0).base.bytes)},
        {"a row's claim in the future", [this, position] { view().row(0).open_claim.store(position + 16); },
         "row.open_claim", offset_of(&view().row(0).open_claim)},
        {"a group's state", [this] { view().group(3).state.store(3); }, "group.state",
         offset_of(&view().group(3).state), false},
        {"a group's name", [this] { view().group(1).name[0].store(0x2f); }, "group.name",
         offset_of(&view().group(1).name)},
        {"two groups of one name",
         [this] {
           for (int i = 0; i < 9; ++i) view().group(1).name[i].store(row().name[i].load());
         },
         "group.name", offset_of(&view().group(1).name)},
        {"a group's overflow", [this] { row().overflow.store(3); }, "group.options", offset_of(&row().overflow)},
        {"a group's incarnation", [this] { view().group(1).incarnation.store(0); }, "group.incarnation",
         offset_of(&view().group(1).incarnation)},
        {"a group that retired too much", [this, position] { row().retired.store(position + 16); }, "group.retired",
         offset_of(&row().retired)},
        {"a group that retired to within a record", [this] { view().group(1).retired.store(16); }, "group.retired",
         offset_of(&view().group(1).retired)},
        {"an owner of a shared group", [this] { row().owner.store(consumer_); }, "group.owner", offset_of(&row().owner)},
        {"an entry's state", [this] { entry(first_.entry).word.store(7); }, "ledger.state",
         offset_of(&entry(first_.entry).word), false},
        {"an entry's owner that cannot be",
         [this] { entry(first_.entry).word.store(core::make_word(EntryState::leased, 0, 1, core::make_owner(200, 1))); },
         "ledger.owner", offset_of(&entry(first_.entry).word)},
        {"an entry's owner that is no consumer",
         [this] { entry(first_.entry).word.store(core::make_word(EntryState::leased, 0, 1, producer_.owner)); },
         "ledger.owner", offset_of(&entry(first_.entry).word)},
        {"an entry's owner that consumes elsewhere",
         [this] {
           const Owner other = segment_.attach(3, layout::RowKind::consumer);
           view().row(3).group.store(other_.row);
           view().row(3).group_incarnation.store(other_.incarnation);
           entry(first_.entry).word.store(core::make_word(EntryState::leased, 0, 1, other));
         },
         "ledger.owner", offset_of(&entry(first_.entry).word)},
        {"an owner of a free entry", [this] { entry(7).word.store(core::make_word(EntryState::free, 0, 1, consumer_)); },
         "ledger.owner", offset_of(&entry(7).word)},
        {"an owner of a finished entry",
         [this] {
           const auto& done = entry(second_.entry);
           entry(second_.entry).word.store(done.word.load() | std::uint64_t{consumer_} << 32);
         },
         "ledger.owner", offset_of(&entry(second_.entry).word)},
        {"an entry's begin", [this] { entry(first_.entry).begin.store(16); }, "ledger.tiles",
         offset_of(&entry(first_.entry).begin), false},
        {"an entry's end", [this] { entry(first_.entry).end.store(first_.end + 16); }, "ledger.boundary",
         offset_of(&entry(first_.entry).end), false},
        {"an entry that ends before it begins", [this] { entry(fourth_.entry).end.store(0); }, "ledger.range",
         offset_of(&entry(fourth_.entry).begin), false},
        {"an entry that is empty", [this] { entry(fourth_.entry).end.store(fourth_.begin); }, "ledger.range",
         offset_of(&entry(fourth_.entry).begin), false},
        {"an entry parked for no reason that there is",
         [this] { entry(parked_.entry).word.store(core::make_word(EntryState::parked, kMaxDeliveries, 1, 8)); },
         "ledger.parked", offset_of(&entry(parked_.entry).word)},
        {"an entry parked for no reason at all",
         [this] { entry(parked_.entry).word.store(core::make_word(EntryState::parked, kMaxDeliveries, 1, 0)); },
         "ledger.parked", offset_of(&entry(parked_.entry).word)},
        {"an entry parked before it was delivered too often",
         [this] { entry(parked_.entry).word.store(core::make_word(EntryState::parked, kMaxDeliveries - 1, 1, 3)); },
         "ledger.parked", offset_of(&entry(parked_.entry).word)},
        {"something parked that was never tried", [this] { row().parked_tried_ns.store(0); }, "group.parked_tried",
         offset_of(&row().parked_tried_ns)},
        {"something parked that was tried in the future", [this] { row().parked_tried_ns.store(UINT64_MAX / 2); },
         "group.parked_tried", offset_of(&row().parked_tried_ns)},
        {"a parked record of a group that has a ledger", [this] { row().parked_at.store(0); }, "group.parked_at",
         offset_of(&row().parked_at)},
        {"drops that are ahead of what is counted", [this] { row().drop_count.store(1 << 20); }, "group.drop",
         offset_of(&row().drop_count)},
        {"a range without a message",
         [this] { segment_.put_head(first_.begin, RecordState::skipped, first_.end - first_.begin); }, "ledger.records",
         offset_of(&entry(first_.entry).word)},
        {"a range that ends with skipped room", [this] { segment_.put_head(128, RecordState::skipped, 128); },
         "ledger.records", offset_of(&entry(first_.entry).word)},
        {"a claim in what is handed out",
         [this] {
           view().row(0).open_claim.store(128);
           segment_.put_head(128, RecordState::claimed, 128, producer_.owner);
         },
         "ledger.records", offset_of(&entry(first_.entry).word)},
        {"a claim of who says nothing of it",
         [this] { segment_.put_head(fourth_.end, RecordState::claimed, 48, core::make_owner(5, 3)); }, "ring.claim",
         ring_offset(fourth_.end)},
        {"a claim_position that no queue comes to",
         [this] { view().side().claim.claim_position.store(UINT64_MAX - 15); }, "side.claim_position", 576, false},
        {"a group that retired what no queue comes to", [this] { view().group(1).retired.store(UINT64_MAX - 1023); },
         "group.retired", offset_of(&view().group(1).retired)},
        {"all groups gone",
         [this] {
           view().group(0).state.store(0);
           view().group(1).state.store(0);
         },
         "group.none", view().groups_offset, false},
        {"an index that counts wrong", [this] { row().index_count.store(1); }, "ledger.index",
         offset_of(&row().index_count)},
        {"an index that begins nowhere", [this] { row().index_first.store(1000); }, "ledger.index",
         offset_of(&row().index_first)},
        {"a place of the index", [this] { view().index(group_.row)[0] = 3; }, "ledger.index",
         offset_of(view().index(group_.row))},
        {"a record's length", [this] { segment_.put_head(0, RecordState::committed, 60000); }, "ring.tiles",
         ring_offset(0), false},
        {"a record's state", [this] { segment_.put_head(0, RecordState::none, 0); }, "ring.tiles", ring_offset(0)},
        {"a claim of a row that is not there",
         [this] { segment_.put_head(0, RecordState::claimed, 128, core::make_owner(100, 1)); }, "ring.claim",
         ring_offset(0), false},
        {"a claim of who claims elsewhere", [this] { segment_.put_head(0, RecordState::claimed, 128, producer_.owner); },
         "ring.claim", ring_offset(0), false},
        {"a time that goes back", [this] { core::writable_record_at(view(), 128).time.store(1); }, "ring.time",
         ring_offset(128) + 8},
        {"a limit that none is", [this] { quota(0).message_interval[1].store(1); }, "quota.interval",
         offset_of(&quota(0).message_interval[1]), false},
        {"a limit of a row that none is", [this] { quota(40).byte_interval[2].store(UINT64_MAX); }, "quota.interval",
         offset_of(&quota(40).byte_interval[2])},
        {"a burst without a rate", [this] { quota(1).byte_burst[0].store(7); }, "quota.burst",
         offset_of(&quota(1).byte_burst[0])},
        {"a burst of messages without a rate", [this] { quota(1).message_burst[2].store(7); }, "quota.burst",
         offset_of(&quota(1).message_burst[2])},
        {"a quota that nobody changes", [this] { quota(0).change.store(3); }, "quota.change", offset_of(&quota(0).change)},
        {"what nobody can owe", [this] { quota(2).message_time.store(UINT64_MAX); }, "quota.time",
         offset_of(&quota(2).message_time)},
        {"the queue's quota as a user's", [this] { quota(0).whose.store(1000); }, "quota.whose",
         offset_of(&quota(0).whose)},
        {"two quotas of a user",
         [this] {
           quota(3).whose.store(4'000'000'000);
           quota(3).message_interval[1].store(1'000'000);
           quota(5).whose.store(4'000'000'000);
           quota(5).byte_interval[2].store(1'000'000);
         },
         "quota.whose", offset_of(&quota(5).whose)},
        {"a row that no quota binds", [this] { view().row(0).flags.fetch_or(layout::kLimited); }, "quota.row",
         offset_of(&view().row(0).flags)},
        {"a link to a quota that there is not", [this] { quota(33).whose.store(9); }, "quota.row",
         offset_of(&quota(33).whose)},
        {"a word behind the quotas",
         [this] { *reinterpret_cast<std::uint64_t*>(view().control + view().control_bytes - 8) = 1; }, "quota.zero",
         view().control_bytes - 8},
        {"a mutex's kind", [this] { std::memset(&view().side().table_lock, 0, sizeof(layout::LockLine)); },
         "mutex.kind", 832},
    };
  }

  /// Positions of the messages that a group still gets, or moves, all of them acked on the way. What is parked waits.
  std::set<std::uint64_t> drain(core::GroupId group) {
    std::set<std::uint64_t> positions;
    const Owner consumer = segment_.attach(6, layout::RowKind::consumer);
    view().row(6).group.store(group.row);
    view().row(6).group_incarnation.store(group.incarnation);
    for (;;) {
      const core::LeaseTaken taken = core::lease(view(), group.row, group.incarnation, consumer, {}, 0);
      EXPECT_TRUE(taken.step == core::LeaseStep::leased || taken.step == core::LeaseStep::nothing ||
                  taken.step == core::LeaseStep::to_dead_letter)
          << static_cast<int>(taken.step);
      if (taken.step != core::LeaseStep::leased && taken.step != core::LeaseStep::to_dead_letter) break;
      for (std::uint64_t at = taken.begin; at < taken.end; at += core::span_of(view(), segment_.head(at))) {
        if (segment_.state_at(at) == RecordState::committed) positions.insert(at);
      }
      EXPECT_EQ(core::ack(view(), group.row, group.incarnation, taken.entry, taken.word), Outcome::ok);
    }
    segment_.end(consumer);
    return positions;
  }

  [[nodiscard]] std::vector<char> bytes() const { return bytes_of(segment_); }
  void restore(const std::vector<char>& all) const { restore_bytes(segment_, all); }

 private:
  void expect_finding(const char* invariant, std::uint64_t offset, bool recoverable, bool alone) const {
    const std::vector<core::Finding> findings = core::verify(view());
    bool found = false;
    for (const core::Finding& finding : findings) {
      found |=
          std::string(finding.invariant) == invariant && finding.offset == offset && finding.recoverable == recoverable;
    }
    EXPECT_TRUE(found) << invariant << " at " << offset << ", not in " << ::testing::PrintToString(findings);
    if (alone) {
      EXPECT_EQ(findings.size(), 1U) << ::testing::PrintToString(findings);
    }
  }
};

}  // namespace ipcq::unit
