// Target: verify, of any memory. Where it finds nothing broken, no call may find damage.
#include "core/verify.hpp"

#include <algorithm>
#include <string_view>

#include "core/exclusive_consumer.hpp"
#include "core/lease.hpp"
#include "image.hpp"

namespace {

using namespace ipcq;

bool is_sound(const core::View& view) {
  const std::vector<core::Finding> findings = core::verify(view);
  for (const core::Finding& finding : findings) {
    fuzz::expect(finding.offset < view.control_bytes + view.capacity, "a finding outside the segment");
    fuzz::expect(finding.invariant != nullptr && !finding.text.empty(), "a finding that says nothing");
    fuzz::expect(std::all_of(finding.text.begin(), finding.text.end(), [](char c) { return c >= ' ' && c <= '~'; }),
                 "a finding with unprintable characters");
  }
  return std::all_of(findings.begin(), findings.end(), [](const core::Finding& finding) { return finding.recoverable; });
}

void expect_no_damage(fuzz::Image& image) {
  const core::View& view = image.consumer();
  const core::GroupId shared = image.shared_group();
  const core::GroupId alone = image.exclusive_group();
  for (int i = 0; i < 4 && !core::is_exclusive_group(view, shared.row); ++i) {
    const core::LeaseTaken taken =
        core::lease(view, shared.row, shared.incarnation, image.owner(fuzz::row::kConsumer), {.max_messages = 64}, 0);
    fuzz::expect(taken.step != core::LeaseStep::damaged && taken.step != core::LeaseStep::poisoned,
                 "verify finds nothing where a shared lease finds damage");
    if (taken.step != core::LeaseStep::leased) break;
  }
  core::ExclusiveState state;
  core::Owner holder = 0;
  state.owner = image.owner(fuzz::row::kSuccessor);
  if (core::is_exclusive_group(view, alone.row)) {
    const core::Join join = core::join_exclusive(view, alone.row, alone.incarnation, state, holder);
    fuzz::expect(join != core::Join::damaged && join != core::Join::poisoned,
                 "verify finds nothing where a take-over finds damage");
    for (int i = 0; i < 4 && join == core::Join::ok; ++i) {
      const core::LeaseTaken taken = core::lease_exclusive(view, alone.row, alone.incarnation, state, {}, i == 0);
      fuzz::expect(taken.step != core::LeaseStep::damaged,
                   "verify finds nothing where an exclusive lease finds damage");
    }
  }
  core::ProducerState producer;
  producer.owner = image.owner(fuzz::row::kProducer);
  core::ClaimTaken taken;
  if (view.exclusive()) {  // a successor counts what was published last
    view.side().close.exclusive_owner.store(0);
    const core::TakeOver over = core::take_over_producer(image.producer(), producer, holder);
    fuzz::expect(over != core::TakeOver::damaged && over != core::TakeOver::poisoned,
                 "verify finds nothing where a successor finds damage");
    if (over != core::TakeOver::ok) return;
  }
  const Outcome outcome = core::claim(image.producer(), producer, 64, 0, taken);
  fuzz::expect(outcome != Outcome::damaged && outcome != Outcome::poisoned,
               "verify finds nothing where a claim finds damage");
}

void run(fuzz::Image& image, const fuzz::Steps& steps) {
  image.restore();
  for (std::size_t i = 1; i < steps.count(); ++i) image.edit(steps[i]);
  if (is_sound(image.consumer())) {
    expect_no_damage(image);
  } else {
    fuzz::expect(steps.count() > 1, "a sound image is found broken");
  }
  image.expect_unlocked();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const fuzz::Steps steps(bytes, size);
  if (steps.count() > 0) run(fuzz::image_for(steps[0]), steps);
  return 0;
}
