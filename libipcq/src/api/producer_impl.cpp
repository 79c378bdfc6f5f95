#include "api/producer_impl.hpp"

#include "api/names.hpp"
#include "core/closing.hpp"
#include "core/event_count.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/ring.hpp"
#include "core/room.hpp"
#include "core/stats.hpp"
#include "core/without.hpp"

namespace ipcq::detail {
namespace {

// A producer that spins for room tries to free some so often: each try takes groups' mutexes, which members fight for.
constexpr std::uint32_t kLooksPerTry = 256;
// Whoever sleeps wakes late by so much. Where a burst makes up for that, nobody spins for a quota; where none does (a rate
// of 100,000 a second, one at a time), the last of the wait is spun, for else the rate would not be reached.
constexpr std::int64_t kLate_ns = 200'000;
constexpr std::int64_t kSpinForQuota_ns = 100'000;

}  // namespace

ProducerImpl::ProducerImpl(const std::shared_ptr<Segment>& segment, const ProducerOptions& options, Use use)
    : endpoint_(segment, segment->writable_view(), {layout::RowKind::producer, 0, 0}, options.wait), use_(use) {
  state_.owner = endpoint_.owner();
  const core::View& view = endpoint_.view();
  if (!view.exclusive()) return;
  core::Owner holder = 0;
  switch (core::take_over_producer(view, state_, holder)) {
    case core::TakeOver::ok:
      return;
    case core::TakeOver::in_use:
      segment->fail(Errc::in_use, "its exclusive producer lives: " + process_text(view, holder),
                    "end that one first, or create the queue with shared producers");
    case core::TakeOver::timed_out:
      segment->fail(Errc::timed_out, "a stopped process holds the producer side", "let it continue, or end it");
    case core::TakeOver::poisoned:
      segment->fail(Errc::poisoned, "a repair met a state it cannot mend", kHowToMend);
    case core::TakeOver::damaged:
      segment->fail(Errc::damaged, "its newest records contradict themselves", kHowToMend);
  }
}

ProducerImpl::~ProducerImpl() {
  if (endpoint_.view().exclusive() && !endpoint_.segment().forked()) core::leave_producer(endpoint_.view(), state_);
}

namespace {

// 0 messages are one.
std::uint32_t messages_of(const Room& room) noexcept { return room.messages == 0 ? 1 : room.messages; }
std::uint64_t bytes_of(const Room& room) noexcept {
  return room.bytes_each != 0 ? messages_of(room) * std::uint64_t{room.bytes_each} : room.bytes;
}

}  // namespace

// What most claims need, in a straight line; what few need is apart.
Claim ProducerImpl::claim(const Room& room, Deadline deadline) {
  endpoint_.segment().check_usable();
  const core::View& view = endpoint_.view();
  if (open_) [[unlikely]]
    endpoint_.segment().fail(Errc::claim_open, "this producer has a claim open", "commit or abort it first");
  const std::uint64_t messages = messages_of(room);
  const std::uint64_t need = core::need_of(view, messages, room.bytes, room.bytes_each);
  const std::uint64_t largest = view.message_bytes_max;
  if (need > view.need_max || (room.bytes_each != 0 ? room.bytes_each > largest : room.bytes > messages * largest))
      [[unlikely]]
    too_big(room);
  if (state_.debit.expected()) [[unlikely]]
    state_.debit.ask(messages, bytes_of(room), 0);
  core::ClaimTaken taken;
  const Outcome outcome = endpoint_.cancelled() ? Outcome::cancelled : core::claim(view, state_, need, 0, taken);
  if (outcome != Outcome::ok) [[unlikely]]
    return claim_later(outcome, need, room, deadline);
  return granted(taken, need, room);
}

inline Claim ProducerImpl::granted(const core::ClaimTaken& taken, std::uint64_t need, const Room& room) noexcept {
  const core::View& view = endpoint_.view();
  const std::uint32_t messages = messages_of(room);
  std::byte* const base = view.data_writable + (taken.position & view.mask);
  os::unpoison(base, need);
  // Getting lines beforehand would only slow a message's trip down that comes alone. relaxed: advice.
  const bool ahead = core::has(core::Idea::prefetch) &&
                     (messages > 1 || view.side().data.streaming.load(std::memory_order_relaxed) != 0);
  open_ = true;
  return Claim(this, base, need, view.alignment, taken.time, ahead ? state_.limit - taken.position : 0, taken.position,
               bytes_of(room), room.bytes_each != 0 ? room.bytes_each : view.message_bytes_max, messages);
}

Claim ProducerImpl::claim_later(Outcome outcome, std::uint64_t need, const Room& room, Deadline deadline) {
  const core::View& view = endpoint_.view();
  Claim none;
  if (outcome == Outcome::full || outcome == Outcome::blocked || outcome == Outcome::over_quota) {
    core::ClaimTaken taken;
    CallDeadline call(deadline);
    state_.debit.ask(messages_of(room), bytes_of(room), call.is_now() ? 0 : call.ns());
    outcome = wait_for_claim(outcome, need, call, taken);
    if (outcome == Outcome::ok) return granted(taken, need, room);
    if (outcome == Outcome::full || outcome == Outcome::blocked) {
      core::add(endpoint_.counters().refusals, 1);
      none.blocked_by_ = who_holds_room(need);
    } else if (outcome == Outcome::over_quota) {
      core::Debit::count_refusal(view, endpoint_.owner());
      none.retry_after_ns_ = state_.debit.retry_after_ns();
    }
    state_.debit.give_up();
  } else if (outcome == Outcome::closed) {
    core::finish_close(view);
  }
  none.outcome_ = outcome;
  return none;
}

void ProducerImpl::too_big(const Room& room) const {
  const core::View& view = endpoint_.view();
  endpoint_.segment().fail(Errc::too_big,
                           "a claim of " + std::to_string(messages_of(room)) + " messages and " +
                               std::to_string(room.bytes) + " bytes can never fit (a claim: " + size_text(view.need_max) +
                               " with headers, a message: " + size_text(view.message_bytes_max) + ")",
                           "send less at once, or create the queue with a larger capacity");
}

Outcome ProducerImpl::wait_for_claim(Outcome outcome, std::uint64_t need, CallDeadline& deadline,
                                     core::ClaimTaken& taken) {
  for (;;) {
    if (outcome == Outcome::full || outcome == Outcome::blocked) outcome = wait_for_room(need, deadline, taken);
    if (outcome != Outcome::over_quota) return outcome;
    outcome = wait_for_quota(need, deadline, taken);
    if (outcome != Outcome::full && outcome != Outcome::blocked) return outcome;
  }
}

Outcome ProducerImpl::wait_for_quota(std::uint64_t need, CallDeadline& deadline, core::ClaimTaken& taken) {
  const core::View& view = endpoint_.view();
  layout::AtomicU32& event = core::quota_event(view);
  Outcome outcome = core::claim(view, state_, need, 0, taken);  // now it is known what is asked for, and how long it waits
  if (deadline.is_now()) return outcome;
  const std::int64_t deadline_ns = deadline.ns();
  bool slept = false;
  while (outcome == Outcome::over_quota) {
    if (endpoint_.cancelled()) return Outcome::cancelled;
    const std::int64_t before = os::monotonic_ns();
    if (before >= deadline_ns) return outcome;
    // A place that is taken comes in time; without one only a change of limits helps.
    const std::int64_t due = std::min(state_.debit.ready_ns(), deadline_ns);
    if (due - before < kSpinForQuota_ns && endpoint_.strategy() != WaitStrategy::sleep &&
        (state_.debit.slack_ns() < kLate_ns || endpoint_.strategy() == WaitStrategy::spin)) {
      while (os::monotonic_ns() < due && !endpoint_.cancelled()) __builtin_ia32_pause();
    } else {
      const std::uint32_t armed = core::arm(event);
      outcome = core::claim(view, state_, need, 0, taken);  // a change, a close may have come before the bit
      if (outcome != Outcome::over_quota || endpoint_.cancelled()) continue;
      if (!slept) core::add(endpoint_.counters().waits, 1);
      slept = true;
      endpoint_.sleep_once(event, armed, due);
    }
    core::Debit::count_wait(view, endpoint_.owner(), static_cast<std::uint64_t>(os::monotonic_ns() - before));
    outcome = core::claim(view, state_, need, 0, taken);
  }
  return outcome;
}

Outcome ProducerImpl::wait_for_room(std::uint64_t need, CallDeadline& deadline, core::ClaimTaken& taken) {
  const core::View& view = endpoint_.view();
  auto& side = view.side();
  const auto claimed_to = [&] {
    const std::uint64_t position = view.exclusive()
                                       ? state_.position
                                       : side.claim.claim_position.load(std::memory_order_relaxed);  // relaxed: a hint
    return position + need + view.alignment;
  };
  // Consumers that wait for more messages than there is room for take what is there, when they see that somebody is short.
  const auto announce = [&] {
    const std::uint32_t armed = core::arm(side.space);
    core::publish_fenced(side.data);
    return armed;
  };
  announce();
  // Who waits a moment at most, or not at all, meets no backstop in one call: so every call that is short looks when due.
  endpoint_.look_if_due(os::monotonic_ns());
  // Free some, then look once more: `full` is answered only after a look that follows an attempt to free room.
  core::RoomFreed freed = free_room(claimed_to());
  Outcome outcome = core::claim(view, state_, need, 0, taken);
  const std::int64_t deadline_ns = deadline.is_now() ? 0 : deadline.ns();
  bool slept = false;
  bool stirred = true;
  while (outcome == Outcome::full || outcome == Outcome::blocked) {
    if (endpoint_.cancelled()) return Outcome::cancelled;
    if (outcome == Outcome::full && freed.rejects) return Outcome::full;
    std::int64_t now = deadline.is_now() ? 0 : os::monotonic_ns();
    if (now >= deadline_ns) return outcome;

    if (outcome == Outcome::blocked) {
      // A stopped process holds the producer side: wait for its mutex itself, a backstop at a time.
      outcome =
          core::claim(view, state_, need, deadline_ns < now + kBackstop_ns ? deadline_ns : now + kBackstop_ns, taken);
      endpoint_.look_if_due(os::monotonic_ns());
      continue;
    }

    // Spin: acks do not retire by themselves, so a look now and then must.
    const std::int64_t spin_until = endpoint_.spin_until(now, deadline_ns, stirred);
    for (std::uint32_t looks = 1; now < spin_until; ++looks) {
      __builtin_ia32_pause();
      if (looks % kLooksPerTry == 0) {
        announce();
        freed = free_room(claimed_to());
        outcome = core::claim(view, state_, need, 0, taken);
        if ((outcome != Outcome::full && outcome != Outcome::blocked) || freed.rejects || endpoint_.cancelled()) break;
        now = os::monotonic_ns();
        endpoint_.look_if_due(now);
      }
    }
    if (outcome != Outcome::full && outcome != Outcome::blocked) return outcome;
    if (now >= deadline_ns || (freed.rejects && outcome == Outcome::full)) continue;

    // Sleep: first the bit, then retire and look again (somebody's ack may have come before the bit).
    const std::uint32_t armed = announce();
    freed = free_room(claimed_to());
    outcome = core::claim(view, state_, need, 0, taken);
    if ((outcome == Outcome::full || outcome == Outcome::blocked) && !freed.rejects && !endpoint_.cancelled()) {
      const std::int64_t before = os::monotonic_ns();
      if (!slept) core::add(endpoint_.counters().waits, 1);
      slept = true;
      stirred = endpoint_.sleep_once(side.space, armed, deadline_ns);
      core::add(endpoint_.counters().wait_ns, static_cast<std::uint64_t>(os::monotonic_ns() - before));
      freed = free_room(claimed_to());
      outcome = core::claim(view, state_, need, 0, taken);
    }
  }
  return outcome;
}

// Frees what others have finished; and what is parked, if it goes to the dead-letter queue now.
core::RoomFreed ProducerImpl::free_room(std::uint64_t end) {
  const core::View& view = endpoint_.view();
  const core::RoomFreed freed = core::free_room(view, end);
  if (view.max_deliveries == 0 || view.drop_after || use_ == Use::dead_letters) return freed;
  bool moved = false;
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    const auto& row = view.group(i);
    if (core::state_of(row) != layout::GroupState::active || !core::parked_due(view, i)) continue;
    const core::GroupId group{i, row.incarnation.load(std::memory_order_relaxed)};  // relaxed: checked under the mutex
    const core::LeaseTaken taken = core::lease_parked(view, i, group.incarnation, state_.owner);
    if (taken.step != core::LeaseStep::to_dead_letter) continue;
    if (dead_letters_ == nullptr) dead_letters_ = std::make_unique<DeadLetters>(endpoint_.segment());
    dead_letters_->move(group, taken);
    moved = true;
  }
  return moved ? core::free_room(view, end) : freed;
}

std::shared_ptr<const BlockedBy> ProducerImpl::who_holds_room(std::uint64_t need) const {
  const core::View& view = endpoint_.view();
  // A report, taken without locks: relaxed and acquire loads of words that may change under us.
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    auto& row = view.group(i);
    if (core::state_of(row) != layout::GroupState::active) continue;
    const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
    if (retired + view.capacity >=
        view.side().claim.claim_position.load(std::memory_order_relaxed) + need + view.alignment)
      continue;
    if (core::is_exclusive_group(view, i)) {
      const core::Owner owner = row.owner.load(std::memory_order_relaxed);
      if (owner != 0) return describe(view, owner, "lease", 0);
      continue;
    }
    for (std::uint32_t number = 0; number < view.ledger_entries; ++number) {
      const layout::LedgerEntry& entry = view.entries(i)[number];
      const std::uint64_t word = entry.word.load(std::memory_order_relaxed);
      if (core::word_state(word) != core::EntryState::leased || entry.begin.load(std::memory_order_relaxed) != retired)
        continue;
      return describe(view, core::word_owner(word), "lease",
                      view.stamp_difference_ns(entry.leased_at.load(std::memory_order_relaxed), view.stamp()));
    }
  }
  if (view.side().producer_lock.mutex.holder() != 0) {
    auto by = std::make_shared<BlockedBy>();
    by->what = "producer mutex";
    by->pid = view.side().producer_lock.mutex.holder();
    by->command = os::command_of(by->pid);
    return by;
  }
  return nullptr;
}

Outcome ProducerImpl::commit(Claim& claim) {
  if (claim.messages() == 0) return abort(claim);
  const core::View& view = endpoint_.view();
  os::poison(claim.base_, claim.need_);  // before it is published: its room may be another's claim before we are back
  const std::uint64_t first_head = with_run(claim.first_head_, claim.unlike_ ? 0 : claim.messages() - 1);
  const Outcome outcome = core::commit(view, state_, claim.position_, claim.need_, claim.used_, first_head);
  if (outcome == Outcome::ok) {
    auto& counters = endpoint_.counters();
    core::add(counters.messages, claim.messages());
    core::add(counters.bytes, claim.bytes());
    core::add(counters.batches, 1);
  }
  if (state_.debit.paid()) state_.debit.settle(claim.messages(), claim.bytes());
  finish(claim);
  return outcome;
}

Outcome ProducerImpl::abort(Claim& claim) noexcept {
  os::poison(claim.base_, claim.need_);  // as in commit
  const Outcome outcome = core::abort(endpoint_.view(), state_, claim.position_, claim.need_);
  if (state_.debit.paid()) state_.debit.settle(0, 0);
  finish(claim);
  return outcome;
}

void ProducerImpl::forget(Claim& claim) noexcept {
  state_.debit.forget();
  finish(claim);
}

void ProducerImpl::finish(Claim& claim) noexcept {
  claim.impl_ = nullptr;
  claim.finished_ = true;
  // What was appended stays told; nothing more fits.
  claim.messages_room_ -= claim.messages_left_;
  claim.messages_left_ = 0;
  open_ = false;
  delete_if_unused();
}

void ProducerImpl::release_handle() noexcept {
  if (set_ != nullptr) leave_set();
  handle_ = false;
  delete_if_unused();
}

void ProducerImpl::delete_if_unused() noexcept {
  if (!handle_ && !open_) delete this;
}

}  // namespace ipcq::detail
