#include "calls.hpp"

#include "core/exclusive_consumer.hpp"
#include "core/lease.hpp"

namespace ipcq::fuzz {

void expect_no_damage(Image& image) {
  const core::View& view = image.consumer();
  const core::GroupId shared = image.shared_group();
  const core::GroupId alone = image.exclusive_group();
  for (int i = 0; i < 4 && !core::is_exclusive_group(view, shared.row); ++i) {
    const core::LeaseTaken taken =
        core::lease(view, shared.row, shared.incarnation, image.owner(row::kConsumer), {.max_messages = 64}, 0);
    expect(taken.step != core::LeaseStep::damaged && taken.step != core::LeaseStep::poisoned,
           "verify finds nothing where a shared lease finds damage");
    if (taken.step != core::LeaseStep::leased) break;
  }
  core::ExclusiveState state;
  core::Owner holder = 0;
  state.owner = image.owner(row::kSuccessor);
  if (core::is_exclusive_group(view, alone.row)) {
    const core::Join join = core::join_exclusive(view, alone.row, alone.incarnation, state, holder);
    expect(join != core::Join::damaged && join != core::Join::poisoned,
           "verify finds nothing where a take-over finds damage");
    for (int i = 0; i < 4 && join == core::Join::ok; ++i) {
      const core::LeaseTaken taken = core::lease_exclusive(view, alone.row, alone.incarnation, state, {}, i == 0);
      expect(taken.step != core::LeaseStep::damaged, "verify finds nothing where an exclusive lease finds damage");
    }
  }
  core::ProducerState producer;
  producer.owner = image.owner(row::kProducer);
  core::ClaimTaken taken;
  if (view.exclusive()) {  // a successor counts what was published last
    view.side().close.exclusive_owner.store(0);
    const core::TakeOver over = core::take_over_producer(image.producer(), producer, holder);
    expect(over != core::TakeOver::damaged && over != core::TakeOver::poisoned,
           "verify finds nothing where a successor finds damage");
    if (over != core::TakeOver::ok) return;
  }
  const Outcome outcome = core::claim(image.producer(), producer, 64, 0, taken);
  expect(outcome != Outcome::damaged && outcome != Outcome::poisoned,
         "verify finds nothing where a claim finds damage");
}

}  // namespace ipcq::fuzz
