// ExclusiveQueue: a queue with one producer and a group with one consumer, both dead, and what can be damaged of these.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "core/exclusive_consumer.hpp"
#include "core/parking.hpp"
#include "core/verify.hpp"
#include "damaged_queue.hpp"
#include "fixture.hpp"

namespace ipcq::unit {

class ExclusiveQueue : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kRecord = 128;
  static constexpr std::uint64_t kMessages = 6;
  static constexpr std::uint64_t kEnd = kMessages * kRecord;

  ExclusiveQueue() : segment_({.producers = ProducerMode::exclusive, .max_deliveries = 3}) {
    group_ = segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
    core::ProducerState producer = segment_.producer(0);
    Owner holder = 0;
    require(core::take_over_producer(view(), producer, holder) == core::TakeOver::ok);
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      const core::ClaimTaken taken = segment_.claim(producer, kRecord);
      core::store_time(view(), taken.position, taken.time);
      require(core::commit(view(), producer, taken.position, kRecord, kRecord,
                           make_head(RecordState::committed, kRecord - 16, 0)) == Outcome::ok);
    }
    core::leave_producer(view(), producer);
    segment_.end(producer.owner);
    // The first is finished; the second was handed out three times and is parked; two more came back.
    row().owner.store(core::make_owner(5, 9));
    row().retired.store(kRecord);
    row().takeover_retired.store(kRecord);
    row().takeover_count.store(3);
    row().leased_to.store(2 * kRecord);
    row().again_to.store(4 * kRecord);
    row().parked_at.store(kRecord);
    row().parked_why.store(static_cast<std::uint32_t>(core::Parked::full));
    row().parked_tried_ns.store(1);
    view().side().claim.least_retired.store(kRecord);
  }

  /// Each word of these damaged.
  [[nodiscard]] std::vector<Damage> damages() const {
    return {
        {"what was handed out ends within a record", [this] { row().leased_to.store(3 * kRecord + 16); },
         "group.leased_to", offset_of(&row().leased_to)},
        {"what was handed out ends beyond the last record", [this] { row().leased_to.store(kEnd + kRecord); },
         "group.leased_to", offset_of(&row().leased_to)},
        {"what was handed out ends where no queue comes to", [this] { row().leased_to.store(UINT64_MAX - 15); },
         "group.leased_to", offset_of(&row().leased_to)},
        {"what was handed out is no position", [this] { row().leased_to.store(3); }, "group.leased_to",
         offset_of(&row().leased_to)},
        {"what came back ends within a record", [this] { row().again_to.store(3 * kRecord + 16); }, "group.again_to",
         offset_of(&row().again_to)},
        {"what came back ends beyond the last record", [this] { row().again_to.store(1 << 20); }, "group.again_to",
         offset_of(&row().again_to)},
        {"what came back is no position", [this] { row().again_to.store(7); }, "group.again_to",
         offset_of(&row().again_to)},
        {"deliveries counted beyond what is finished", [this] { row().takeover_retired.store(2 * kRecord); },
         "group.takeover", offset_of(&row().takeover_retired)},
        {"more deliveries than are counted", [this] { row().takeover_count.store(8192); }, "group.takeover",
         offset_of(&row().takeover_count)},
        {"a record parked that nobody came to", [this] { row().parked_at.store(2 * kRecord); }, "group.parked_at",
         offset_of(&row().parked_at)},
        {"a record parked within another", [this] { row().parked_at.store(8); }, "group.parked_at",
         offset_of(&row().parked_at)},
        {"a record parked for no reason", [this] { row().parked_why.store(0); }, "group.parked_why",
         offset_of(&row().parked_why)},
        {"a record parked for a reason that there is not", [this] { row().parked_why.store(8); }, "group.parked_why",
         offset_of(&row().parked_why)},
        {"a record parked that was never tried", [this] { row().parked_tried_ns.store(0); }, "group.parked_tried",
         offset_of(&row().parked_tried_ns)},
        {"a record parked that was tried in the future", [this] { row().parked_tried_ns.store(UINT64_MAX); },
         "group.parked_tried", offset_of(&row().parked_tried_ns)},
        {"a consumer in a row that is not there", [this] { row().owner.store(core::make_owner(99, 1)); }, "group.owner",
         offset_of(&row().owner)},
        {"a ledger in use", [this] { view().entries(group_.row)[2].word.store(2); }, "ledger.exclusive",
         offset_of(&view().entries(group_.row)[2].word)},
        {"a producer in a row that is not there",
         [this] { view().side().close.exclusive_owner.store(core::make_owner(99, 1)); }, "side.exclusive_owner", 648},
        {"a claimed head", [this] { segment_.put_head(kEnd, RecordState::claimed, kRecord, core::make_owner(1, 1)); },
         "ring.claim", ring_offset(kEnd), false},
        {"skipped room behind the last record", [this] { segment_.put_head(kEnd, RecordState::skipped, kRecord); },
         "ring.tiles", ring_offset(kEnd)},
        {"a head behind the last record that is not all zero",
         [this] { segment_.put_head(kEnd, RecordState::none, 0, 0x73); }, "side.end_mark", ring_offset(kEnd)},
        {"a head behind a batch that was not counted",
         [this] {
           view().side().claim.claim_position.store(kEnd - kRecord);
           segment_.put_head(kEnd, RecordState::none, 16);
         },
         "side.end_mark", ring_offset(kEnd)},
        {"a claim_position within a record, which has a payload",
         [this] {
           segment_.put_head(5 * kRecord + 16, RecordState::none, 0, 0x1234);
           view().side().claim.claim_position.store(5 * kRecord + 16);
         },
         "side.claim_position", 576},
        {"an end of the stream before what is published",
         [this] {
           view().frozen().flags.fetch_or(layout::flag::kClosed);
           view().side().close.closed_at.store(kEnd - kRecord);
           view().side().claim.claim_position.store(kEnd - kRecord);
         },
         "close.position", 640},
        {"something finished that is not published",
         [this] {
           view().side().claim.claim_position.store(kEnd);
           row().retired.store(kEnd + 2 * kRecord);
         },
         "side.claim_position", 576, false},
    };
  }

  static void require(bool condition) {
    if (!condition) throw std::runtime_error("the queue cannot be made");
  }
  [[nodiscard]] const core::View& view() const noexcept { return segment_.view(); }
  [[nodiscard]] layout::GroupRow& row() const noexcept { return view().group(group_.row); }
  [[nodiscard]] std::uint64_t offset_of(const void* word) const noexcept {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(word) - view().control);
  }
  [[nodiscard]] std::uint64_t ring_offset(std::uint64_t position) const noexcept {
    return view().control_bytes + (position & view().mask);
  }
  /// What counts.
  [[nodiscard]] std::vector<core::Finding> broken() const {
    std::vector<core::Finding> findings = core::verify(view());
    std::erase_if(findings, [](const core::Finding& finding) { return finding.recoverable; });
    return findings;
  }
  [[nodiscard]] bool names(const char* invariant, bool recoverable) const {
    const std::vector<core::Finding> findings = core::verify(view());
    return std::any_of(findings.begin(), findings.end(), [&](const core::Finding& finding) {
      return std::string(finding.invariant) == invariant && finding.recoverable == recoverable;
    });
  }
  [[nodiscard]] std::vector<char> bytes() const { return bytes_of(segment_); }
  void restore(const std::vector<char>& all) const { restore_bytes(segment_, all); }

  CoreSegment segment_;
  core::GroupId group_;
};

}  // namespace ipcq::unit
