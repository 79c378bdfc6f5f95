// Target: the producer side: claim, commit, abort, the claims of the dead, groups that come and go, close and reopen;
// for an exclusive producer taking over and leaving too.
#include <cstring>
#include <optional>

#include "core/closing.hpp"
#include "core/producer_side.hpp"
#include "core/recovery.hpp"
#include "core/room.hpp"
#include "image.hpp"

namespace {

using namespace ipcq;

struct Open {
  std::uint64_t position;
  std::uint64_t need;
};

bool for_good(Outcome outcome) { return outcome == Outcome::damaged || outcome == Outcome::poisoned; }

void run(fuzz::Image& image, const fuzz::Steps& steps) {
  image.restore();
  const core::View& view = image.producer();
  core::ProducerState producer;
  producer.owner = image.owner(fuzz::row::kProducer);
  if (view.exclusive()) {
    // As the one that made the image's messages.
    producer.position = view.side().claim.claim_position.load();
    producer.limit = producer.position;
  }
  std::optional<Open> open;
  for (std::size_t i = 1; i < steps.count(); ++i) {
    const fuzz::Step step = steps[i];
    if (step.code >= fuzz::kEdits) {
      image.edit(step);
      continue;
    }
    switch (step.code % 9) {
      case 0:
      case 1:
      case 2: {
        if (open) break;
        const std::uint64_t messages = 1 + step.how % 8;
        const std::uint64_t need =
            core::need_of(view, messages, step.number, (step.more & 1U) != 0 ? step.number % 4096 : 0);
        if (need > view.need_max) break;
        core::ClaimTaken taken;
        const Outcome outcome = core::claim(view, producer, need, 0, taken);
        if (outcome == Outcome::ok) {
          fuzz::expect((taken.position & (view.alignment - 1)) == 0, "a claim that is not aligned");
          open = Open{taken.position, need};
          // The ring beyond its end is the ring's begin, so all of the claim is there to be written.
          std::memset(view.data_writable + (taken.position & view.mask) + view.alignment, 'y',
                      static_cast<std::size_t>(need - view.alignment < 64 ? need - view.alignment : 64));
          view.data_writable[(taken.position & view.mask) + need - 1] = std::byte{0};
        } else if (for_good(outcome)) {
          core::ClaimTaken again;
          fuzz::expect(for_good(core::claim(view, producer, need, 0, again)),
                       "what is damaged or poisoned is not so at the next call");
        } else if (outcome == Outcome::full) {
          core::free_room(view, view.side().claim.claim_position.load() + need + view.alignment);
        }
        break;
      }
      case 3:
      case 4: {
        if (!open) break;
        // One message that fills the claim, or less.
        const std::uint64_t most = open->need - view.alignment;
        const std::uint64_t bytes = step.how % 2 == 0 ? most : step.number % (most + 1);
        const std::uint64_t length = bytes < view.message_bytes_max ? bytes : view.message_bytes_max;
        (void)core::commit(view, producer, open->position, open->need, detail::record_bytes(length, view.alignment),
                           detail::make_head(core::RecordState::committed, length, step.number & 0xffffU));
        open.reset();
        break;
      }
      case 5:
        if (open) (void)core::abort(view, producer, open->position, open->need);
        open.reset();
        break;
      case 6:
        if (step.how % 2 == 0) {
          core::abandon_claim_of(view, image.owner(fuzz::row::kDeadProducer));
        } else {
          core::abandon(view, step.value & ~(view.alignment - 1), static_cast<core::Owner>(step.number));
        }
        break;
      case 7: {
        if (step.how % 4 == 0) core::recover(view);
        if (step.how % 4 == 1) core::close(view);
        if (step.how % 4 == 2) core::reopen(view);
        if (step.how % 4 == 3) core::free_room(view, view.side().claim.claim_position.load() + step.number);
        break;
      }
      default: {
        core::GroupId id;
        if (step.how % 4 == 0) {
          (void)core::add_group(view, {.name = "new", .start = (step.more & 1U) != 0 ? Start::newest : Start::oldest},
                                id);
        } else if (step.how % 4 == 1) {
          std::uint32_t holder = 0;
          if (core::find_group(view, "new", id)) (void)core::remove_group(view, id, true, holder);
        } else if (view.exclusive() && !open) {
          core::leave_producer(view, producer);
          core::Owner holder = 0;
          if (core::take_over_producer(view, producer, holder) != core::TakeOver::ok) return;
        }
        break;
      }
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
