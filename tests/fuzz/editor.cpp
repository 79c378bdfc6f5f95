#include "editor.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/ledger.hpp"
#include "core/ring.hpp"

namespace ipcq::fuzz {
namespace {

using detail::make_head;
using detail::RecordState;

// The mark of a mutex whose holder died, as the kernel makes it (futex(2), "Robust futexes").
constexpr std::uint32_t kOwnerDied = 0x40000000U;

}  // namespace

Editor::Editor(const core::View& view, std::uint32_t group, std::vector<std::uint64_t> positions)
    : view_(view), group_(group), positions_(std::move(positions)) {
  for (std::uint32_t i = 0; i < view_.endpoints_max; ++i) {
    owners_.push_back(core::make_owner(i, std::max(1U, view_.row(i).incarnation.load())));
  }
  list_fields();
}

void Editor::list_fields() {
  const auto add = [&](const void* at, std::size_t bytes) {
    fields_.push_back({static_cast<std::uint32_t>(static_cast<const std::byte*>(at) - view_.control),
                       static_cast<std::uint32_t>(bytes)});
  };
  const auto word = [&](const auto& atomic) { add(&atomic, sizeof atomic); };
  word(view_.frozen().flags);
  const layout::Side& side = view_.side();
  word(side.claim.claim_position);
  word(side.claim.last_time);
  word(side.claim.least_retired);
  word(side.close.closed_at);
  word(side.close.exclusive_owner);
  word(side.data.word);
  word(side.space.word);
  for (std::uint32_t i = 0; i < view_.groups_max; ++i) {
    const layout::GroupRow& group = view_.group(i);
    word(group.retired);
    word(group.state);
    word(group.incarnation);
    word(group.index_first);
    word(group.index_count);
    word(group.owner);
    word(group.takeover_count);
    word(group.takeover_retired);
    word(group.leased_to);
    word(group.start);
    word(group.overflow);
    word(group.consumers);
    word(group.lifetime);
    for (std::uint32_t k = 0; k < view_.ledger_entries; ++k) add(view_.index(i) + k, sizeof(std::uint16_t));
    for (std::uint32_t entry = 0; entry < view_.ledger_entries; ++entry) {
      word(view_.entries(i)[entry].begin);
      word(view_.entries(i)[entry].end);
      word(view_.entries(i)[entry].word);
    }
  }
  for (std::uint32_t i = 0; i < 8; ++i) {
    const layout::EndpointRow& row = view_.row(i);
    word(row.state);
    word(row.incarnation);
    word(row.kind);
    word(row.group);
    word(row.group_incarnation);
    word(row.flags);
    word(row.open_claim);
  }
  // Behind all others, so that older inputs hit what they hit.
  for (std::uint32_t i = 0; i < view_.groups_max; ++i) {
    const layout::GroupRow& group = view_.group(i);
    word(group.again_to);
    word(group.parked_at);
    word(group.parked_why);
    word(group.parked_tried_ns);
    word(group.drop_count);
  }
}

os::RobustMutex& Editor::mutex(std::uint32_t number) const noexcept {
  number %= mutexes();
  if (number == 0) return view_.side().producer_lock.mutex;
  if (number == 1) return view_.side().table_lock.mutex;
  return view_.group(number - 2).mutex;
}

bool Editor::in_a_mutex(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  for (std::uint32_t i = 0; i < mutexes(); ++i) {
    const auto at = static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(&mutex(i)) - view_.control);
    if (offset < at + sizeof(os::RobustMutex) && at < offset + bytes) return true;
  }
  return false;
}

// A number by itself, or one beside a number that means something here.
std::uint64_t Editor::value_of(const Step& step, std::uint64_t current) const noexcept {
  const auto delta = static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int8_t>(step.more)));
  const std::uint64_t unit = (step.how & 8U) != 0 ? view_.alignment : 1;
  const std::uint64_t turn = (step.how & 16U) != 0 ? view_.capacity : 0;
  switch (step.how & 7U) {
    case 0:
      return step.value;
    case 1:
      return current ^ step.value;
    case 2:
      return current + turn + delta * unit;
    case 3:
      return owner(step.number);
    default:
      return position(step.number) + turn + delta * unit;
  }
}

void Editor::edit_field(const Step& step, const Field& field) noexcept {
  std::uint64_t value = 0;
  std::memcpy(&value, view_.control + field.offset, field.bytes);
  value = value_of(step, value);
  std::memcpy(view_.control + field.offset, &value, field.bytes);
}

void Editor::edit_head(const Step& step) noexcept {
  std::uint64_t at = position(step.where);
  if ((step.how & 0x80U) != 0) at += step.number * std::uint64_t{16};
  std::uint64_t head = core::load_head(view_, at & ~std::uint64_t{7});
  const auto length = static_cast<std::uint32_t>(step.value) & detail::kLengthMask;
  switch (step.how & 7U) {
    case 0:
      head = (head & ~(std::uint64_t{3} << 30)) | (step.value & 3U) << 30;
      break;
    case 1:
      head = (head & ~std::uint64_t{detail::kLengthMask}) | length;
      break;
    case 2:
      head = (head & UINT32_MAX) | std::uint64_t{step.number} << 32;
      break;
    case 3:
      head = step.value;
      break;
    case 4:
      head = make_head(RecordState::skipped, length, 0);
      break;
    case 5:
      head = make_head(RecordState::committed, length, step.number);
      break;
    case 6:
      head = make_head(RecordState::claimed, length, owner(step.number));
      break;
    default:
      head = 0;
      break;
  }
  std::memcpy(view_.data_writable + (at & view_.mask & ~std::uint64_t{7}), &head, sizeof head);
}

void Editor::edit_entry(const Step& step) noexcept {
  layout::LedgerEntry& entry = view_.entries(group_)[step.where % view_.ledger_entries];
  if ((step.how & 1U) != 0) entry.begin.store(position(step.number));
  if ((step.how & 2U) != 0) entry.end.store(position(step.number + step.more));
  if ((step.how & 4U) != 0) {
    const auto state = static_cast<core::EntryState>(step.value & 7U);
    const auto number = static_cast<std::uint32_t>(step.value >> 3);
    const core::Owner owned = state != core::EntryState::leased ? 0 : (step.how & 8U) != 0 ? number : owner(number);
    entry.word.store(core::make_word(state, step.more, step.number, owned));
  }
}

void Editor::edit(const Step& step) noexcept {
  switch (step.code & 15U) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      edit_field(step, fields_[(step.where + step.number / 512 * 256) % fields_.size()]);
      break;
    case 5:
    case 6:
    case 7:
    case 8:
      edit_head(step);
      break;
    case 9:
    case 10:
      edit_entry(step);
      break;
    case 11:
    case 12: {
      const std::uint32_t dead = kOwnerDied;
      std::memcpy(static_cast<void*>(&mutex(step.where)), &dead, sizeof dead);
      break;
    }
    case 13: {  // any bytes of the control area
      const std::uint32_t bytes = 1U << (step.how & 3U);
      const std::uint64_t offset = (step.number ^ step.where * 4099U) % (view_.control_bytes - bytes);
      if (in_a_mutex(offset, bytes)) break;
      rare = true;
      std::memcpy(view_.control + offset, &step.value, bytes);
      break;
    }
    default: {  // any bytes of the ring
      const std::uint64_t offset = (position(step.where) + step.number) % (view_.capacity - sizeof step.value);
      std::memcpy(view_.data_writable + offset, &step.value, std::size_t{1} << (step.how & 3U));
      break;
    }
  }
}

}  // namespace ipcq::fuzz
