// Repair of the table of groups: states, names and options that cannot be become what loses nothing.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "core/groups.hpp"
#include "exclusive_queue.hpp"
#include "idle_queue.hpp"

namespace ipcq::unit {
namespace {

using core::RepairStep;
using layout::GroupState;

class RepairOfGroups : public IdleQueue {
 protected:
  static void set_name(layout::GroupRow& group, std::string_view name) {
    std::uint64_t words[layout::kNameBytes / 8]{};
    std::memcpy(words, name.data(), name.size());
    for (std::size_t i = 0; i < std::size(words); ++i) group.name[i].store(words[i]);
  }
  static std::string_view name_of(const core::GroupName& name) { return name.view(); }
  static GroupState state_of(const layout::GroupRow& group) { return core::state_of(group); }
};

TEST_F(RepairOfGroups, a_group_whose_state_cannot_be_is_there_again_with_all_its_messages) {
  other_row().state.store(7);
  EXPECT_TRUE(names("group.state", offset_of(&other_row().state)));
  EXPECT_TRUE(
      mended(repair(), "group.state", offset_of(&other_row().state), "'other' (row 1) had the state 7, is there"));
  EXPECT_EQ(drain(other_), messages(0, 7));
}

TEST_F(RepairOfGroups, all_groups_that_seem_removed_come_back_but_none_without_a_name) {
  row().state.store(0);
  other_row().state.store(0);
  set_name(other_row(), "a/b");
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "group.state", offset_of(&row().state), "as there was no group at all, is there again"));
  EXPECT_EQ(state_of(other_row()), GroupState::free);
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfGroups, a_group_without_a_valid_name_gets_one_that_no_other_has) {
  std::ignore = segment_.add_group({.name = "recovered-1"});
  std::ignore = segment_.add_group({.name = "recovered-1-"});
  set_name(other_row(), "");
  EXPECT_TRUE(mended(repair(), "group.name", offset_of(&other_row().name), "its name is 'recovered-1--'"));
  EXPECT_EQ(core::GroupName(other_row()).view(), "recovered-1--");
  EXPECT_EQ(drain(other_), messages(0, 7));
}

TEST_F(RepairOfGroups, a_name_that_only_a_free_row_still_shows_is_nobodys) {
  set_name(other_row(), core::GroupName(row()).view());
  row().state.store(0);
  EXPECT_EQ(broken().size(), 0U);
  other_row().overflow.store(9);
  const std::vector<RepairStep> steps = repair();
  EXPECT_EQ(steps.size(), 1U) << ::testing::PrintToString(steps);
  EXPECT_TRUE(mended(steps, "group.options", offset_of(&other_row().overflow), "overflow was 9, is block"));
  EXPECT_EQ(core::GroupName(other_row()).view(), core::GroupName(row()).view());
}

TEST_F(RepairOfGroups, a_name_with_bytes_that_nobody_can_read_is_shown_without_them) {
  set_name(other_row(), "o\x07\x7fr");
  bool shown = false;
  for (const core::Finding& finding : broken()) shown |= finding.text.find("group 'o??r' (row 1)") != std::string::npos;
  EXPECT_TRUE(shown) << ::testing::PrintToString(broken());
  EXPECT_TRUE(mended(repair(), "group.name", offset_of(&other_row().name), "'o??r'"));
}

// ---- how many consumers a group has

TEST_F(RepairOfGroups, a_group_of_which_nothing_tells_how_many_consume_it_is_shared) {
  other_row().consumers.store(7);
  EXPECT_TRUE(names("group.options", offset_of(&other_row().consumers)));
  EXPECT_TRUE(mended(repair(), "group.options", offset_of(&other_row().consumers), "was 7, is shared"));
  EXPECT_EQ(drain(other_), messages(0, 7));
}

TEST_F(RepairOfGroups, a_group_with_a_consumers_name_and_no_ledger_is_of_one) {
  other_row().consumers.store(7);
  other_row().owner.store(core::make_owner(2, 3));
  EXPECT_TRUE(mended(repair(), "group.options", offset_of(&other_row().consumers), "was 7, is exclusive"));
  EXPECT_TRUE(core::is_exclusive_group(view(), other_.row));
}

TEST_F(RepairOfGroups, a_group_of_a_queue_whose_groups_are_of_one_is_of_one) {
  view().header().consumers = static_cast<std::uint8_t>(ConsumerMode::exclusive);
  other_row().consumers.store(7);
  EXPECT_TRUE(mended(core::repair_alone(view()), "group.options", offset_of(&other_row().consumers), "is exclusive"));
}

TEST_F(RepairOfGroups, a_group_with_a_ledger_is_shared_whatever_else_is_said) {
  row().consumers.store(7);
  row().owner.store(core::make_owner(2, 3));
  write(0, {0, kRecord, EntryState::redeliverable, 1, 0});
  index_first(1);
  const std::vector<RepairStep> steps = repair();
  EXPECT_TRUE(mended(steps, "group.options", offset_of(&row().consumers), "is shared"));
  EXPECT_TRUE(mended(steps, "group.owner", offset_of(&row().owner), "it is nobody"));
  EXPECT_EQ(drain(group_), messages(0, 7));
}

TEST_F(RepairOfGroups, a_group_of_one_that_drops_its_oldest_blocks) {
  const core::GroupId one = segment_.add_group({.name = "one", .consumers = ConsumerMode::exclusive});
  auto& overflow = view().group(one.row).overflow;
  overflow.store(static_cast<std::uint8_t>(Overflow::drop_oldest));
  EXPECT_TRUE(names("group.options", offset_of(&overflow)));
  EXPECT_TRUE(mended(repair(), "group.options", offset_of(&overflow), "is block"));
  EXPECT_EQ(core::overflow_of(view().group(one.row)), Overflow::block);
}

}  // namespace
}  // namespace ipcq::unit
