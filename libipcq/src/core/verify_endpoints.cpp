// The rows of the endpoint table.
#include <string>

#include "core/look.hpp"
#include "core/number_text.hpp"

// relaxed loads here are of the look's own copy.

namespace ipcq::core {
namespace {

void look_at_identity(Look& look, std::uint32_t i, const layout::EndpointRow& row, const std::string& name) {
  const View& copy = look.copy();
  const std::uint32_t kind = row.kind.load(std::memory_order_relaxed);
  const std::uint32_t incarnation = row.incarnation.load(std::memory_order_relaxed);
  if (kind != static_cast<std::uint32_t>(layout::RowKind::producer) &&
      kind != static_cast<std::uint32_t>(layout::RowKind::consumer)) {
    look.broken("row.kind", look.offset_of(&row.kind),
                name + " is attached as kind " + number(kind) + ", neither producer (1) nor consumer (2)");
  }
  if (incarnation == 0 || incarnation > 0xffffffU) {
    look.broken("row.incarnation", look.offset_of(&row.incarnation),
                name + " is attached in incarnation " + number(incarnation) + ", not one of 1 to 16777215");
  }
  if (kind == static_cast<std::uint32_t>(layout::RowKind::consumer)) {
    const std::uint32_t group = row.group.load(std::memory_order_relaxed);
    if (group >= copy.groups_max) {
      look.broken("row.group", look.offset_of(&row.group),
                  name + " consumes in group row " + number(group) + ", of " + number(copy.groups_max));
    }
  }
  const std::uint32_t flags = row.flags.load(std::memory_order_relaxed);
  if ((flags & ~(layout::kRevoked | layout::kLimited)) != 0) {
    look.broken("row.flags", look.offset_of(&row.flags),
                name + " has the flags " + number(flags) + ", of which only 1 and 2 are known");
  }
  const auto& counters = kind == static_cast<std::uint32_t>(layout::RowKind::producer) ? row.produced : row.consumed;
  const auto counted = [&](const char* what, const layout::AtomicU64& base, const layout::AtomicU64& now) {
    const std::uint64_t at_attach = base.load(std::memory_order_relaxed);
    const std::uint64_t since = now.load(std::memory_order_relaxed);
    if (at_attach <= since) return;
    look.broken(
        "row.base", look.offset_of(&base),
        name + " has " + number(since) + " " + what + " in all, but had " + number(at_attach) + " when it attached");
  };
  counted("messages", row.base.messages, counters.messages);
  counted("bytes", row.base.bytes, counters.bytes);
  counted("batches", row.base.batches, counters.batches);
  counted("waits", row.base.waits, counters.waits);
  counted("refusals", row.base.refusals, counters.refusals);
  counted("ns of waiting", row.base.wait_ns, counters.wait_ns);
  counted("ticks of processing", row.base.processing_ticks, counters.processing_ticks);
  (void)i;
}

}  // namespace

void look_at_endpoints(Look& look) {
  const View& copy = look.copy();
  for (std::uint32_t i = 0; i < copy.endpoints_max; ++i) {
    const layout::EndpointRow& row = copy.row(i);
    const std::uint32_t state = row.state.load(std::memory_order_relaxed);
    if (state == static_cast<std::uint32_t>(layout::RowState::free)) continue;
    if (state != static_cast<std::uint32_t>(layout::RowState::attached)) {
      look.broken("row.state", look.offset_of(&row.state),
                  "the state of row " + number(i) + " is " + number(state) + ", neither free (0) nor attached (1)");
      continue;
    }
    const Owner owner = owner_of_row(copy, i);
    const std::string name = look.owner_text(owner);
    switch (look.verdict(owner)) {
      case Verdict::alive:
        break;
      case Verdict::dead:
        look.noted("row.dead", look.offset_of(&row.state), name + ", is dead; its row is to be freed");
        break;
      case Verdict::lost_life_lock:
        look.noted("row.lost_life_lock", look.offset_of(&row.state),
                   name + ", lives without its life lock; it takes it again when it next waits");
        break;
    }
    look_at_identity(look, i, row, name);
    const std::uint64_t open_claim = row.open_claim.load(std::memory_order_relaxed);
    if (open_claim != kNoPosition && (!look.is_aligned(open_claim) || open_claim > look.claim_position())) {
      look.broken("row.open_claim", look.offset_of(&row.open_claim),
                  name + ", claims at " + number(open_claim) + "; claim_position is " + number(look.claim_position()));
    }
  }
}

}  // namespace ipcq::core
