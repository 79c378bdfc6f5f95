// Verify: a sound segment has no findings, whatever was done with it; each invariant that is broken is named, at its word.
#include "core/verify.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/closing.hpp"
#include "core/lease.hpp"
#include "core/recovery.hpp"
#include "fixture.hpp"

namespace ipcq::core {

inline void PrintTo(const Finding& finding, std::ostream* out) {
  *out << (finding.recoverable ? "noted " : "broken ") << finding.invariant << " at " << finding.offset << ": "
       << finding.text;
}

}  // namespace ipcq::core

namespace ipcq::unit {
namespace {

using core::Finding;
using core::verify;

// A queue as it looks in use: records of all kinds, an open claim, a ledger with every kind of entry.
class Verify : public ::testing::Test {
 protected:
  explicit Verify(const Shape& shape = {}) : segment_(shape) {
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
    fourth_ = fourth;
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
  core::LeaseTaken first_, fourth_;

 private:
  void expect_finding(const char* invariant, std::uint64_t offset, bool recoverable, bool alone) const {
    const std::vector<Finding> findings = verify(view());
    bool found = false;
    for (const Finding& finding : findings) {
      found |=
          std::string(finding.invariant) == invariant && finding.offset == offset && finding.recoverable == recoverable;
    }
    EXPECT_TRUE(found) << invariant << " at " << offset << ", not in " << ::testing::PrintToString(findings);
    if (alone) {
      EXPECT_EQ(findings.size(), 1U) << ::testing::PrintToString(findings);
    }
  }
};

TEST_F(Verify, FindsNothingInANewQueue) {
  EXPECT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
}

TEST_F(Verify, FindsNothingInAQueueInUse) {
  fill();
  const core::ClaimTaken open = segment_.claim(producer_, 256);
  EXPECT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
  ASSERT_EQ(core::commit(view(), producer_, open.position, 256, 48, make_head(RecordState::committed, 32, 0)),
            Outcome::ok);
  EXPECT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
}

TEST_F(Verify, FindsNothingInAQueueThatWentAroundItsRing) {
  for (int i = 0; i < 3000; ++i) {
    std::ignore = segment_.send(producer_, 100);
    const core::LeaseTaken taken = lease(1);
    ASSERT_EQ(core::ack(view(), group_.row, group_.incarnation, taken.entry, taken.word), Outcome::ok);
    view().group(other_.row).retired.store(segment_.claim_position());
    core::retire_and_publish(view(), group_.row, group_.incarnation);
    if (i % 100 == 0) {
      ASSERT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
    }
  }
}

TEST_F(Verify, FindsNothingInAClosedAndInAReopenedQueue) {
  fill();
  core::close(view());
  EXPECT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
  ASSERT_TRUE(core::reopen(view()));
  EXPECT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
}

TEST_F(Verify, NotesWhatADeathLeavesAndFindsNothingAfterRecovery) {
  fill();
  const core::ClaimTaken open = segment_.claim(producer_, 256);
  segment_.end(producer_.owner);
  segment_.end(consumer_);
  expect_noted("ring.claim", ring_offset(open.position), false);
  expect_noted("ledger.owner", offset_of(&entry(first_.entry).word), false);
  expect_noted("ledger.owner", offset_of(&entry(fourth_.entry).word), false);
  for (const Finding& finding : verify(view())) EXPECT_TRUE(finding.recoverable) << ::testing::PrintToString(finding);
  EXPECT_TRUE(core::abandon_claim_of(view(), producer_.owner));
  core::recover(view());
  EXPECT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
}

TEST_F(Verify, NotesAMutexWhoseHolderDiedWithALedgerTornAsADeathLeavesIt) {
  fill();
  die_holding(row().mutex);
  expect_noted("mutex.holder_died", offset_of(&row().mutex));
  // A split broken off before the cut: the rest in an entry of its own, and the first not cut yet.
  const std::uint32_t spare = 7;
  ASSERT_EQ(core::word_state(entry(spare).word.load()), EntryState::free);
  entry(spare).begin.store(first_.begin + 128);
  entry(spare).end.store(first_.end);
  entry(spare).word.store(core::make_word(EntryState::leased, 0, 1, consumer_));
  expect_noted("mutex.holder_died", offset_of(&row().mutex));
  row().index_count.store(0);  // derived: the repair rebuilds it
  expect_noted("mutex.holder_died", offset_of(&row().mutex));
  // What no operation leaves.
  entry(spare).begin.store(first_.begin + 144);
  expect_broken("ledger.boundary", offset_of(&entry(spare).begin), false);
}

// One word damaged: which invariant, and where.
TEST_F(Verify, NamesEachInvariantThatAWordBreaksAtThatWord) {
  fill();
  struct Case {
    const char* what;
    std::function<void()> damage;
    const char* invariant;
    std::uint64_t offset;
    bool alone = true;
  };
  const std::uint64_t position = segment_.claim_position();
  const std::vector<Case> cases{
      {"a capacity", [&] { view().header().capacity *= 2; }, "header.valid", 128 + 56},
      {"an alignment that is valid but another", [&] { view().header().alignment = 32; }, "header.copy", 128 + 108},
      {"the magic", [&] { view().frozen().magic[0] = 'x'; }, "header.valid", 0},
      {"an unknown flag", [&] { view().frozen().flags.fetch_or(64); }, "flags.known", 12},
      {"the flag of the poisoned", [&] { view().frozen().flags.fetch_or(4); }, "flags.poisoned", 12},
      {"a claim position between records", [&] { view().side().claim.claim_position.store(position + 8); },
       "side.claim_position", 576, false},
      {"a claim position beyond the records", [&] { view().side().claim.claim_position.store(position + 64); },
       "ring.tiles", ring_offset(position), false},
      {"a head at claim_position", [&] { segment_.put_head(position, RecordState::claimed, 64, producer_.owner); },
       "side.end_mark", ring_offset(position)},
      {"a least retired that is too much", [&] { view().side().claim.least_retired.store(row().retired.load() + 16); },
       "side.least_retired", 592, false},
      {"a newest time of the future", [&] { view().side().claim.last_time.store(UINT64_MAX / 2); }, "side.last_time", 584},
      {"a newest time before the records'", [&] { view().side().claim.last_time.store(1); }, "side.last_time", 584},
      {"an exclusive producer of shared ones", [&] { view().side().close.exclusive_owner.store(producer_.owner); },
       "side.exclusive_owner", 648},
      {"an end of the stream without the flag", [&] { view().side().close.closed_at.store(position); }, "close.flag", 640},
      {"an end of the stream elsewhere",
       [&] {
         view().frozen().flags.fetch_or(1);
         view().side().close.closed_at.store(16);
       },
       "close.position", 640},
      {"a row's state", [&] { view().row(5).state.store(9); }, "row.state", offset_of(&view().row(5).state)},
      {"a row's kind", [&] { view().row(0).kind.store(3); }, "row.kind", offset_of(&view().row(0).kind)},
      {"a row's flags", [&] { view().row(0).flags.store(8); }, "row.flags", offset_of(&view().row(0).flags)},
      {"a row's group", [&] { view().row(1).group.store(99); }, "row.group", offset_of(&view().row(1).group), false},
      {"a row's counters", [&] { view().row(0).base.bytes.store(1); }, "row.base", offset_of(&view().row(0).base.bytes)},
      {"a row's claim in the future", [&] { view().row(0).open_claim.store(position + 16); }, "row.open_claim",
       offset_of(&view().row(0).open_claim)},
      {"a group's state", [&] { view().group(3).state.store(3); }, "group.state", offset_of(&view().group(3).state),
       false},
      {"a group's name", [&] { view().group(1).name[0].store(0x2f); }, "group.name", offset_of(&view().group(1).name)},
      {"two groups of one name",
       [&] {
         for (int i = 0; i < 9; ++i) view().group(1).name[i].store(row().name[i].load());
       },
       "group.name", offset_of(&view().group(1).name)},
      {"a group's overflow", [&] { row().overflow.store(3); }, "group.options", offset_of(&row().overflow)},
      {"a group's incarnation", [&] { view().group(1).incarnation.store(0); }, "group.incarnation",
       offset_of(&view().group(1).incarnation)},
      {"a group that retired too much", [&] { row().retired.store(position + 16); }, "group.retired",
       offset_of(&row().retired)},
      {"a group that retired to within a record", [&] { view().group(1).retired.store(16); }, "group.retired",
       offset_of(&view().group(1).retired)},
      {"an owner of a shared group", [&] { row().owner.store(consumer_); }, "group.owner", offset_of(&row().owner)},
      {"an entry's state", [&] { entry(first_.entry).word.store(7); }, "ledger.state",
       offset_of(&entry(first_.entry).word), false},
      {"an entry's owner that cannot be",
       [&] { entry(first_.entry).word.store(core::make_word(EntryState::leased, 0, 1, core::make_owner(200, 1))); },
       "ledger.owner", offset_of(&entry(first_.entry).word)},
      {"an entry's owner that is no consumer",
       [&] { entry(first_.entry).word.store(core::make_word(EntryState::leased, 0, 1, producer_.owner)); },
       "ledger.owner", offset_of(&entry(first_.entry).word)},
      {"an owner of a free entry", [&] { entry(7).word.store(core::make_word(EntryState::free, 0, 1, consumer_)); },
       "ledger.owner", offset_of(&entry(7).word)},
      {"an entry's begin", [&] { entry(first_.entry).begin.store(16); }, "ledger.tiles",
       offset_of(&entry(first_.entry).begin), false},
      {"an entry's end", [&] { entry(first_.entry).end.store(first_.end + 16); }, "ledger.boundary",
       offset_of(&entry(first_.entry).end), false},
      {"an entry that ends before it begins", [&] { entry(fourth_.entry).end.store(0); }, "ledger.range",
       offset_of(&entry(fourth_.entry).begin), false},
      {"an index that counts wrong", [&] { row().index_count.store(1); }, "ledger.index", offset_of(&row().index_count)},
      {"an index that begins nowhere", [&] { row().index_first.store(1000); }, "ledger.index",
       offset_of(&row().index_first)},
      {"a place of the index", [&] { view().index(group_.row)[0] = 3; }, "ledger.index",
       offset_of(view().index(group_.row))},
      {"a record's length", [&] { segment_.put_head(0, RecordState::committed, 60000); }, "ring.tiles", ring_offset(0),
       false},
      {"a record's state", [&] { segment_.put_head(0, RecordState::none, 0); }, "ring.tiles", ring_offset(0)},
      {"a claim of a row that is not there",
       [&] { segment_.put_head(0, RecordState::claimed, 128, core::make_owner(100, 1)); }, "ring.claim", ring_offset(0),
       false},
      {"a claim of who claims elsewhere", [&] { segment_.put_head(0, RecordState::claimed, 128, producer_.owner); },
       "ring.claim", ring_offset(0), false},
      {"a time that goes back", [&] { core::writable_record_at(view(), 128).time.store(1); }, "ring.time",
       ring_offset(128) + 8},
      {"a quota", [&] { *reinterpret_cast<std::uint64_t*>(view().control + view().header().quota_offset + 16) = 1; },
       "quota.zero", view().header().quota_offset + 16},
      {"a mutex's kind", [&] { std::memset(&view().side().table_lock, 0, sizeof(layout::LockLine)); }, "mutex.kind", 832},
  };
  const std::size_t bytes = static_cast<std::size_t>(view().control_bytes + view().capacity);
  std::vector<char> sound(bytes);
  const auto save = [&](bool back) {
    // The ring is mapped behind a descriptor of its own: by the file, so that both are the same bytes.
    const ssize_t moved =
        back ? ::pwrite(segment_.fd(), sound.data(), bytes, 0) : ::pread(segment_.fd(), sound.data(), bytes, 0);
    ASSERT_EQ(static_cast<std::size_t>(moved), bytes);
  };
  save(false);
  ASSERT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    one.damage();
    expect_broken(one.invariant, one.offset, one.alone);
    save(true);
    ASSERT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
  }
}

}  // namespace
}  // namespace ipcq::unit
