// Target: what the dead left: recover() and the repair of a ledger. A ledger that a repair calls whole is whole.
#include <array>

#include "core/ledger.hpp"
#include "core/recovery.hpp"
#include "image.hpp"

namespace {

using namespace ipcq;
using core::EntryState;

// Invariants T and I of the ledger.
void expect_whole(const core::View& view, std::uint32_t group) {
  const core::Ledger ledger(view, group);
  std::array<bool, 8> seen{};
  std::uint64_t at = ledger.retired();
  for (std::uint32_t k = 0; k < view.ledger_entries; ++k) {
    const std::uint32_t number = ledger.at(k);
    fuzz::expect(!seen[number], "an entry is in the index twice");
    seen[number] = true;
    const bool used = core::word_state(ledger.word(number)) != EntryState::free;
    fuzz::expect(used == (k < ledger.in_use()), "the index does not list what is in use");
    if (!used) continue;
    const layout::LedgerEntry& entry = ledger.entry(number);
    fuzz::expect(entry.begin.load() == at && entry.end.load() > at, "the entries do not tile");
    at = entry.end.load();
  }
  fuzz::expect(at - ledger.retired() <= view.capacity, "the ledger is longer than the ring");
  fuzz::expect((at & (view.alignment - 1)) == 0, "the lease position is not aligned");
}

bool poisoned(const core::View& view) { return (view.frozen().flags.load() & layout::flag::kPoisoned) != 0; }

void run(fuzz::Image& image, const fuzz::Steps& steps) {
  image.restore();
  const core::View& view = image.consumer();
  const std::uint32_t group = image.shared_group().row;
  for (std::size_t i = 1; i < steps.count(); ++i) {
    const fuzz::Step step = steps[i];
    if (step.code >= fuzz::kEdits / 2) {
      image.edit(step);
      continue;
    }
    if (step.code % 4 == 0) {
      core::recover(view);
    } else if (!core::is_exclusive_group(view, group) && core::Ledger(view, group).repair()) {
      expect_whole(view, group);
    }
    image.expect_unlocked();
  }
  const bool before = poisoned(view);
  core::recover(view);
  image.expect_unlocked();
  fuzz::expect(!before || poisoned(view), "a queue is poisoned no more");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const fuzz::Steps steps(bytes, size);
  if (steps.count() > 0) run(fuzz::image_for(steps[0]), steps);
  return 0;
}
