// IdleQueue: eight messages of one size, two groups that have got none of them, and everybody has left. What a test damages
// there, and what repair makes of it, is known by position.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/repair.hpp"
#include "damaged_queue.hpp"

namespace ipcq::unit {

class IdleQueue : public DamagedQueue {
 protected:
  static constexpr std::uint64_t kRecord = 128;
  static constexpr std::uint64_t kMessages = 8;
  static constexpr std::uint64_t kEnd = kMessages * kRecord;
  static constexpr std::uint64_t kSideClaimPosition = 576;

  IdleQueue() {
    for (std::uint64_t i = 0; i < kMessages; ++i) std::ignore = segment_.send(producer_, kRecord - 16);
    leave();
  }

  void leave() const {
    segment_.end(producer_.owner);
    segment_.end(consumer_);
  }
  [[nodiscard]] layout::GroupRow& other_row() const noexcept { return view().group(other_.row); }
  [[nodiscard]] layout::ClaimLine& claim_line() const noexcept { return view().side().claim; }

  /// An entry of the first group, and nothing of its index.
  void write(std::uint32_t number, const Range& range) const {
    entry(number).begin.store(range.begin);
    entry(number).end.store(range.end);
    entry(number).word.store(core::make_word(range.state, range.deliveries, 1, range.owner));
  }
  [[nodiscard]] Range read(std::uint32_t number) const {
    const std::uint64_t word = entry(number).word.load();
    return {entry(number).begin.load(), entry(number).end.load(), core::word_state(word), core::word_deliveries(word),
            core::word_owner(word)};
  }
  /// The index lists the first `count` entries.
  void index_first(std::uint32_t count) const { row().index_count.store(count); }

  [[nodiscard]] std::vector<core::Finding> broken() const {
    std::vector<core::Finding> findings = core::verify(view());
    std::erase_if(findings, [](const core::Finding& finding) { return finding.recoverable; });
    return findings;
  }
  [[nodiscard]] ::testing::AssertionResult names(std::string_view invariant, std::uint64_t offset) const {
    const std::vector<core::Finding> findings = broken();
    if (std::any_of(findings.begin(), findings.end(), [&](const core::Finding& finding) {
          return finding.invariant == invariant && finding.offset == offset;
        })) {
      return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << invariant << " at " << offset << " is not in "
                                         << ::testing::PrintToString(findings);
  }

  /// What a repair did; a second one finds nothing to do.
  std::vector<core::RepairStep> repair() {
    std::vector<core::RepairStep> steps = core::repair_alone(view());
    EXPECT_EQ(broken().size(), 0U) << ::testing::PrintToString(broken()) << "\nafter " << ::testing::PrintToString(steps);
    EXPECT_FALSE(segment_.poisoned());
    EXPECT_EQ(core::repair_alone(view()).size(), 0U);
    return steps;
  }
  static ::testing::AssertionResult says(const std::vector<core::RepairStep>& steps, bool given_up,
                                         std::string_view invariant, std::uint64_t offset, std::string_view text) {
    if (std::any_of(steps.begin(), steps.end(), [&](const core::RepairStep& step) {
          return step.given_up == given_up && step.invariant == invariant && step.offset == offset &&
                 step.text.find(text) != std::string::npos;
        })) {
      return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << (given_up ? "given up " : "mended ") << invariant << " at " << offset
                                         << " with \"" << text << "\" is not in " << ::testing::PrintToString(steps);
  }
  static ::testing::AssertionResult mended(const std::vector<core::RepairStep>& steps, std::string_view invariant,
                                           std::uint64_t offset, std::string_view text = "") {
    return says(steps, false, invariant, offset, text);
  }
  static ::testing::AssertionResult gave_up(const std::vector<core::RepairStep>& steps, std::string_view invariant,
                                            std::uint64_t offset, std::string_view text = "") {
    return says(steps, true, invariant, offset, text);
  }

  /// The places of the messages `first` to `last`.
  static std::set<std::uint64_t> messages(std::uint64_t first, std::uint64_t last) {
    std::set<std::uint64_t> positions;
    for (std::uint64_t i = first; i <= last; ++i) positions.insert(i * kRecord);
    return positions;
  }
};

}  // namespace ipcq::unit
