// Verify: a sound segment has no findings, whatever was done with it; each invariant that is broken is named, at its word.
#include "core/verify.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <thread>
#include <vector>

#include "core/closing.hpp"
#include "core/lease.hpp"
#include "core/recovery.hpp"
#include "damaged_queue.hpp"
#include "os/process.hpp"

namespace ipcq::unit {
namespace {

using core::Finding;
using core::verify;

class Verify : public DamagedQueue {};

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

TEST_F(Verify, NotesWhoIsDeadAndWhoLivesWithoutHisLifeLock) {
  core::View judged = view();  // nobody holds a life lock of this file
  struct stat info {};
  ASSERT_EQ(::fstat(segment_.fd(), &info), 0);
  judged.fd = segment_.fd();
  judged.file = {info.st_dev, info.st_ino};
  auto& endpoint = view().row(core::owner_row(consumer_));
  const auto noted = [&](std::string_view invariant) {
    return std::ranges::any_of(verify(judged), [&](const Finding& finding) {
      return finding.recoverable && finding.invariant == invariant && finding.offset == offset_of(&endpoint.state);
    });
  };
  const auto pid = static_cast<std::uint32_t>(::getpid());
  endpoint.pid.store(pid);
  endpoint.start_time.store(os::start_time(pid) + 1);  // his number was used again
  EXPECT_TRUE(noted("row.dead")) << ::testing::PrintToString(verify(judged));
  EXPECT_FALSE(noted("row.lost_life_lock"));
  endpoint.start_time.store(os::start_time(pid));
  EXPECT_TRUE(noted("row.lost_life_lock")) << ::testing::PrintToString(verify(judged));
  EXPECT_FALSE(noted("row.dead"));
}

TEST_F(Verify, NotesAGroupWhoseRemovalIsNotFinished) {
  fill();
  view().group(other_.row).state.store(static_cast<std::uint32_t>(layout::GroupState::marked));
  expect_noted("group.marked", offset_of(&view().group(other_.row).state));
  core::recover(view());
  EXPECT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
}

TEST_F(Verify, NotesACloseThatIsNotFinished) {
  fill();
  view().frozen().flags.fetch_or(layout::flag::kClosed);
  expect_noted("close.unfinished", offset_of(&view().side().close.closed_at));
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

TEST_F(Verify, NamesEachInvariantThatAWordBreaksAtThatWord) {
  fill();
  const std::vector<char> sound = bytes();
  ASSERT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.what);
    damage.damage();
    expect_broken(damage.invariant, damage.offset, damage.alone);
    restore(sound);
    ASSERT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
  }
}

// Four threads at once at all that can be done, and verify in between: it takes no lock, and sees torn states all the time.
TEST_F(Verify, FindsNothingInAQueueThatOthersAreBusyWith) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 2; ++i) {
    threads.emplace_back([this, &stop, i] {
      core::ProducerState producer = segment_.producer(2 + i);
      for (std::uint64_t n = 0; !stop; ++n) {
        const std::uint64_t size = n % 300;
        const std::uint64_t need = detail::record_bytes(size, view().alignment) + 64;
        core::ClaimTaken taken;
        if (core::claim(view(), producer, need, 0, taken) != Outcome::ok) {
          std::this_thread::yield();
        } else if (n % 7 == 0) {
          std::ignore = core::abort(view(), producer, taken.position, need);
        } else {
          core::writable_record_at(view(), taken.position).time.store(taken.time);
          std::ignore = core::commit(view(), producer, taken.position, need, need - 64,
                                     make_head(RecordState::committed, size, 0));
        }
      }
    });
    threads.emplace_back([this, &stop, i] {
      const core::GroupId group = i == 0 ? group_ : other_;
      const Owner consumer = segment_.attach(4 + i, layout::RowKind::consumer);
      view().row(4 + i).group.store(group.row);
      view().row(4 + i).group_incarnation.store(group.incarnation);
      for (std::uint64_t n = 0; !stop; ++n) {
        const core::LeaseTaken taken =
            core::lease(view(), group.row, group.incarnation, consumer, {.max_messages = 5}, 0);
        if (taken.step != core::LeaseStep::leased) {
          std::this_thread::yield();
        } else if (n % 5 == 0) {
          std::ignore = core::requeue(view(), group.row, taken.entry, taken.word);
        } else {
          std::ignore = core::ack(view(), group.row, group.incarnation, taken.entry, taken.word);
          core::retire_and_publish(view(), group.row, group.incarnation);
        }
      }
    });
  }
  const std::uint64_t before = segment_.claim_position();
  for (std::uint32_t i = 0; i < scaled(300) || segment_.claim_position() < before + 10 * kCapacity; ++i) {
    for (const Finding& finding : verify(view())) {
      // That somebody is inside a mutex at both moments is the truth.
      EXPECT_STREQ(finding.invariant, "mutex.held") << ::testing::PrintToString(finding);
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(verify(view()).size(), 0U) << ::testing::PrintToString(verify(view()));
}

}  // namespace
}  // namespace ipcq::unit
