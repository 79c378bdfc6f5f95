#include "crash/sweep/whole.hpp"

#include <string>

#include "core/closing.hpp"
#include "core/endpoints.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/producer_side.hpp"
#include "core/ring.hpp"
#include "crash/sweep/expectation.hpp"

namespace ipcq::sweep {
namespace {

void check_mutex(const os::RobustMutex& mutex, const std::string& name) {
  require(!mutex.holder_died(), name + " is still marked as its holder's, who died");
  require(mutex.holder() == 0, name + " is held by " + std::to_string(mutex.holder()));
}

// T and I: the entries in use tile [retired, lease position); the index lists each once, those in use first.
void check_ledger(const core::View& view, std::uint32_t group) {
  const core::Ledger ledger(view, group);
  const std::string where = "group " + std::to_string(group) + ": ";
  std::uint64_t at = ledger.retired();
  std::uint64_t seen = 0;
  for (std::uint32_t k = 0; k < view.ledger_entries; ++k) {
    const std::uint32_t number = ledger.at(k);
    require((seen >> number & 1) == 0, where + "the index lists an entry twice");
    seen |= std::uint64_t{1} << number;
    const core::EntryState state = core::word_state(ledger.word(number));
    require((state != core::EntryState::free) == (k < ledger.in_use()), where + "the index and the entries disagree");
    if (k >= ledger.in_use()) continue;
    require(state != core::EntryState::leased, where + "a lease of nobody");
    const auto& entry = ledger.entry(number);
    require(entry.begin.load() == at && entry.end.load() > at, where + "the ledger's ranges do not tile");
    at = entry.end.load();
  }
}

}  // namespace

void check_mendable(const core::View& view) {
  require((view.frozen().flags.load() & layout::flag::kPoisoned) == 0, "the queue is poisoned");
}

void check_recovered(const core::View& view) {
  check_mendable(view);
  auto& side = view.side();
  check_mutex(side.producer_lock.mutex, "the producer side's mutex");
  check_mutex(side.table_lock.mutex, "the endpoint table's mutex");
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i)
    require(!core::row_attached(view, i), "row " + std::to_string(i) + " is attached, and nobody lives");
  std::uint64_t least = UINT64_MAX;
  const std::uint64_t end = side.claim.claim_position.load();
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const auto& row = view.group(i);
    check_mutex(row.mutex, "the mutex of group " + std::to_string(i));
    const layout::GroupState state = core::state_of(row);
    require(state != layout::GroupState::marked, "group " + std::to_string(i) + " is still marked");
    if (state != layout::GroupState::active) continue;
    if (!core::is_exclusive_group(view, i)) check_ledger(view, i);
    const std::uint64_t retired = row.retired.load();
    // An exclusive producer's batch may be published before claim_position says so.
    require(retired <= end || view.exclusive(), "group " + std::to_string(i) + " retired what nobody claimed");
    if (retired < least) least = retired;
  }
  require(least != UINT64_MAX, "there is no group");
  std::uint64_t at = least;
  while (at < end) {
    const std::uint64_t head = core::load_head(view, at);
    const detail::RecordState state = detail::head_state(head);
    require(state == detail::RecordState::committed || state == detail::RecordState::skipped,
            "the head at " + std::to_string(at) + " is neither committed nor skipped");
    const std::uint64_t span = core::span_of(view, head);
    require(span != 0 && at + span - least <= view.capacity, "the head at " + std::to_string(at) + " has no length");
    at += span;
  }
  if (!view.exclusive()) {
    require(least > end || at == end, "the records do not end at claim_position");
    require(core::load_head(view, end) == 0, "Z: the head at claim_position is not zero");
  }
  require(!core::is_closed(view) || core::closed_at(view) != core::kNoPosition, "closed, and no end of the stream");
}

}  // namespace ipcq::sweep
