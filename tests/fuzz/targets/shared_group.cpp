// Target: a shared group's ledger: lease, ack, ack of the first n, requeue, giving back, freeing of room, removal.
#include <array>

#include "core/closing.hpp"
#include "core/lease.hpp"
#include "core/recovery.hpp"
#include "core/room.hpp"
#include "image.hpp"

namespace {

using namespace ipcq;
using core::LeaseStep;
using core::LeaseTaken;

constexpr std::size_t kLeases = 8;

// What a consumer does with what it was handed: every message is read, from where it says it is.
void read_messages(const core::View& view, const LeaseTaken& taken) {
  fuzz::expect(taken.end > taken.begin && taken.end - taken.begin <= view.capacity,
               "a lease is longer than the ring, or not as long as its messages");
  fuzz::expect(taken.messages > 0, "a lease without messages");
  const core::Walk walk = core::walk(view, taken.begin, taken.end, UINT32_MAX, UINT64_MAX);
  fuzz::expect(walk.messages == taken.messages || walk.records == core::kWalkRecordsMax,
               "a lease does not hold the messages that it counts");
  volatile std::uint64_t sum = 0;
  for (std::uint64_t at = taken.begin; at < walk.end;) {
    const std::uint64_t head = core::load_head(view, at);
    const std::uint64_t span = core::span_of(view, head);
    fuzz::expect(span != 0, "a walk went over a record that cannot be");
    const bool committed = detail::head_state(head) == core::RecordState::committed;
    const std::uint64_t length = committed ? detail::head_length(head) : 0;
    // The first head of a batch speaks for those behind it, whatever has become of theirs.
    std::uint64_t alike = committed ? 1 + detail::head_run(head) : 1;
    for (; alike > 0 && at < walk.end; --alike, at += span) {
      if (length == 0) continue;
      const std::byte* payload = view.data + (at & view.mask) + view.alignment;
      sum = sum + std::to_integer<std::uint64_t>(payload[0]) + std::to_integer<std::uint64_t>(payload[length - 1]);
    }
  }
}

bool for_good(LeaseStep step) {
  return step == LeaseStep::damaged || step == LeaseStep::poisoned || step == LeaseStep::group_removed;
}

void run(fuzz::Image& image, const fuzz::Steps& steps) {
  image.restore();
  const core::View& view = image.consumer();
  const core::GroupId group = image.shared_group();
  std::array<LeaseTaken, kLeases> open{};
  for (std::size_t i = 1; i < steps.count(); ++i) {
    const fuzz::Step step = steps[i];
    if (step.code >= fuzz::kEdits) {
      image.edit(step);
      continue;
    }
    LeaseTaken& lease = open[step.where % kLeases];
    switch (step.code % 10) {
      case 0:
      case 1:
      case 2:
      case 3: {
        core::LeaseRequest request;
        request.max_messages = 1 + step.number % 4096;
        request.min_messages = step.how % 4 == 0 ? 1 + step.more % request.max_messages : 1;
        request.max_bytes = step.how % 8 == 1 ? step.value : UINT64_MAX;
        request.take_what_is_there = step.how % 16 == 2;
        if (step.how % 16 == 3) request.probe_front_at_ns = 0;
        const core::Owner owner = image.owner(step.how % 16 == 4 ? fuzz::row::kOther : fuzz::row::kConsumer);
        lease = core::lease(view, group.row, group.incarnation, owner, request, 0);
        if (lease.step == LeaseStep::leased) read_messages(view, lease);
        if (for_good(lease.step)) {
          const LeaseTaken again = core::lease(view, group.row, group.incarnation, owner, request, 0);
          fuzz::expect(for_good(again.step), "what is damaged or poisoned is not so at the next call");
        }
        break;
      }
      case 4:
        if (lease.step == LeaseStep::leased)
          (void)core::ack(view, group.row, group.incarnation, lease.entry, lease.word);
        break;
      case 5:
        if (lease.step == LeaseStep::leased) (void)core::requeue(view, group.row, lease.entry, lease.word);
        break;
      case 6: {
        if (lease.step != LeaseStep::leased || lease.messages < 2) break;
        const core::Walk first =
            core::walk(view, lease.begin, lease.end, 1 + step.number % (lease.messages - 1), UINT64_MAX);
        if (first.messages == 0 || first.end >= lease.end) break;
        if (core::ack_first(view, group.row, group.incarnation, first.end, 0, lease) == Outcome::ok) {
          lease.messages -= first.messages;
        }
        break;
      }
      case 7:
        core::redeliver_dead(view, group.row);
        break;
      case 8:
        core::free_room(view, view.side().claim.claim_position.load() + step.number % kLeases * 16384);
        break;
      default:
        if (step.how % 4 == 0) {
          core::recover(view);
        } else if (step.how % 4 == 1) {
          std::uint32_t holder = 0;
          (void)core::remove_group(view, group, (step.more & 1U) != 0, holder);
        } else if (step.how % 4 == 2) {
          core::close(view);
        } else {
          core::retire_and_publish(view, group.row, group.incarnation);
        }
        break;
    }
    image.expect_unlocked();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const fuzz::Steps steps(bytes, size);
  if (steps.count() > 0) run(fuzz::image_for(steps[0]), steps);
  return 0;
}
