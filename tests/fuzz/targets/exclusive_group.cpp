// Target: an exclusive group: taking over, lease, ack, leaving, and what others do for it.
#include <deque>

#include "core/closing.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/recovery.hpp"
#include "core/room.hpp"
#include "image.hpp"

namespace {

using namespace ipcq;
using core::LeaseStep;

void run(fuzz::Image& image, const fuzz::Steps& steps) {
  image.restore();
  const core::View& view = image.consumer();
  const core::GroupId group = image.exclusive_group();
  core::ExclusiveState state;
  state.owner = image.owner(fuzz::row::kSuccessor);
  bool joined = false;
  std::deque<core::LeaseTaken> open;
  for (std::size_t i = 1; i < steps.count(); ++i) {
    const fuzz::Step step = steps[i];
    if (step.code >= fuzz::kEdits) {
      image.edit(step);
      continue;
    }
    switch (step.code % 8) {
      case 0: {
        if (joined) break;
        core::Owner holder = 0;
        const core::Join join = core::join_exclusive(view, group.row, group.incarnation, state, holder);
        joined = join == core::Join::ok;
        break;
      }
      case 1:
      case 2:
      case 3: {
        if (!joined) break;
        core::LeaseRequest request;
        request.max_messages = 1 + step.number % 4096;
        request.min_messages = step.how % 4 == 0 ? 1 + step.more % request.max_messages : 1;
        request.max_bytes = step.how % 8 == 1 ? step.value : UINT64_MAX;
        request.take_what_is_there = step.how % 16 == 2;
        const core::LeaseTaken taken =
            core::lease_exclusive(view, group.row, group.incarnation, state, request, open.empty());
        if (taken.step == LeaseStep::leased) {
          fuzz::expect(taken.messages > 0 && taken.end > taken.begin && taken.end - taken.begin <= view.capacity,
                       "an exclusive lease is longer than the ring, or empty");
          open.push_back(taken);
        } else if (taken.step == LeaseStep::damaged) {
          fuzz::expect(core::lease_exclusive(view, group.row, group.incarnation, state, request, open.empty()).step ==
                           LeaseStep::damaged,
                       "what is damaged is not so at the next call");
        }
        break;
      }
      case 4:
        if (open.empty()) break;
        (void)core::ack_exclusive(view, group.row, state, open.front().end);
        open.pop_front();
        break;
      case 5:  // given back, as the consumer behind its handle does it
        if (open.empty()) break;
        if (state.position > state.one_by_one_to) state.one_by_one_to = state.position;
        state.position = open.front().begin;
        open.clear();
        break;
      case 6:
        core::free_room(view, view.side().claim.claim_position.load() + step.number % 8 * 16384);
        break;
      default:
        if (step.how % 4 == 0) {
          if (joined && open.empty()) core::leave_exclusive(view, group.row, state);
          joined = joined && !open.empty();
        } else if (step.how % 4 == 1) {
          std::uint32_t holder = 0;
          (void)core::remove_group(view, group, (step.more & 1U) != 0, holder);
        } else if (step.how % 4 == 2) {
          core::close(view);
        } else {
          core::recover(view);
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
