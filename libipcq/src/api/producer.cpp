#include "ipcq/producer.hpp"

#include <utility>

#include "api/names.hpp"
#include "api/producer_impl.hpp"
#include "core/closing.hpp"
#include "core/event_count.hpp"
#include "core/ledger.hpp"
#include "core/ring.hpp"
#include "core/room.hpp"
#include "core/stats.hpp"

namespace ipcq {
namespace detail {
namespace {

// A producer that spins for room tries to free some so often: each try takes groups' mutexes, which members fight for.
constexpr std::uint32_t kLooksPerTry = 256;

}  // namespace

ProducerImpl::ProducerImpl(std::shared_ptr<Segment> segment, const ProducerOptions& options)
    : endpoint_(segment, segment->writable_view(), {layout::RowKind::producer, 0, 0}, options.wait) {
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
      segment->fail(Errc::poisoned, "a repair met a state it cannot mend", "remove the queue and create it again");
    case core::TakeOver::damaged:
      segment->fail(Errc::damaged, "its newest records contradict themselves", "remove the queue and create it again");
  }
}

ProducerImpl::~ProducerImpl() {
  if (endpoint_.view().exclusive() && !endpoint_.segment().forked()) core::leave_producer(endpoint_.view(), state_);
}

Claim ProducerImpl::claim(Room room, Deadline deadline) {
  endpoint_.segment().check_usable();
  const core::View& view = endpoint_.view();
  if (open_) {
    endpoint_.segment().fail(Errc::claim_open, "this producer has a claim open", "commit or abort it first");
  }
  const std::uint64_t messages = room.messages == 0 ? 1 : room.messages;
  const std::uint64_t need = core::need_of(view, messages, room.bytes, room.bytes_each);
  const std::uint64_t largest = room.bytes_each != 0 ? room.bytes_each : room.bytes / messages;
  if (need > view.need_max() || largest > view.message_bytes_max()) {
    endpoint_.segment().fail(
        Errc::too_big,
        "a claim of " + std::to_string(messages) + " messages and " + std::to_string(room.bytes) + " bytes can never fit (a claim: " +
            size_text(view.need_max()) + " with headers, a message: " + size_text(view.message_bytes_max()) + ")",
        "send less at once, or create the queue with a larger capacity");
  }
  Claim claim;
  core::ClaimTaken taken;
  CallDeadline call(deadline);
  Outcome outcome = endpoint_.cancelled() ? Outcome::cancelled : core::claim(view, state_, need, 0, taken);
  if (outcome == Outcome::full || outcome == Outcome::blocked) {
    outcome = wait_for_claim(need, call, taken);
    if (outcome == Outcome::full || outcome == Outcome::blocked) {
      core::add(endpoint_.counters().refusals, 1);
      claim.blocked_by_ = who_holds_room(need);
    }
  } else if (outcome == Outcome::closed) {
    core::finish_close(view);
  }
  claim.outcome_ = outcome;
  if (outcome != Outcome::ok) return claim;
  claim.impl_ = this;
  claim.base_ = view.data_writable + (taken.position & view.mask);
  claim.need_ = need;
  claim.alignment_ = view.alignment;
  claim.time_ = taken.time;
  claim.position_ = taken.position;
  claim.bytes_left_ = claim.bytes_room_ = room.bytes_each != 0 ? messages * room.bytes_each : room.bytes;
  claim.bytes_each_ = room.bytes_each != 0 ? room.bytes_each : view.message_bytes_max();
  claim.messages_left_ = static_cast<std::uint32_t>(messages);
  open_ = true;
  return claim;
}

Outcome ProducerImpl::wait_for_claim(std::uint64_t need, CallDeadline& deadline, core::ClaimTaken& taken) {
  const core::View& view = endpoint_.view();
  auto& side = view.side();
  const auto claimed_to = [&] {
    const std::uint64_t position = view.exclusive() ? state_.position : side.claim.claim_position.load(std::memory_order_relaxed);  // relaxed: a hint
    return position + need + view.alignment;
  };
  // Consumers that wait for more messages than there is room for take what is there, when they see that somebody is short.
  const auto announce = [&] {
    const std::uint32_t armed = core::arm(side.space);
    core::publish_fenced(side.data);
    return armed;
  };
  announce();
  if (deadline.is_now()) {
    // Who never sleeps meets no backstop: so a poll that found no room looks for the dead, at most as often as a sleeper.
    const std::int64_t now = os::monotonic_ns();
    if (now - polled_ns_ >= kBackstop_ns) {
      polled_ns_ = now;
      endpoint_.backstop();
    }
  }
  // Free some, then look once more: `full` is answered only after a look that follows an attempt to free room.
  core::RoomFreed freed = core::free_room(view, claimed_to());
  Outcome outcome = core::claim(view, state_, need, 0, taken);
  const std::int64_t deadline_ns = deadline.is_now() ? 0 : deadline.ns();
  bool slept = false;
  while (outcome == Outcome::full || outcome == Outcome::blocked) {
    if (endpoint_.cancelled()) return Outcome::cancelled;
    if (outcome == Outcome::full && freed.rejects) return Outcome::full;
    std::int64_t now = deadline.is_now() ? 0 : os::monotonic_ns();
    if (now >= deadline_ns) return outcome;

    if (outcome == Outcome::blocked) {
      // A stopped process holds the producer side: wait for its mutex itself, a backstop at a time.
      endpoint_.backstop();
      outcome = core::claim(view, state_, need, deadline_ns < now + kBackstop_ns ? deadline_ns : now + kBackstop_ns, taken);
      continue;
    }

    // Spin: acks do not retire by themselves, so a look now and then must.
    const std::int64_t spin_until = endpoint_.spin_until(now, deadline_ns);
    std::int64_t backstop = now + kBackstop_ns;
    for (std::uint32_t looks = 1; now < spin_until; ++looks) {
      __builtin_ia32_pause();
      if (looks % kLooksPerTry == 0) {
        announce();
        freed = core::free_room(view, claimed_to());
        outcome = core::claim(view, state_, need, 0, taken);
        if ((outcome != Outcome::full && outcome != Outcome::blocked) || freed.rejects || endpoint_.cancelled()) break;
        now = os::monotonic_ns();
        if (now >= backstop) {
          endpoint_.backstop();
          backstop = now + kBackstop_ns;
        }
      }
    }
    if (outcome != Outcome::full && outcome != Outcome::blocked) return outcome;
    if (now >= deadline_ns || (freed.rejects && outcome == Outcome::full)) continue;

    // Sleep: first the bit, then retire and look again (somebody's ack may have come before the bit).
    const std::uint32_t armed = announce();
    freed = core::free_room(view, claimed_to());
    outcome = core::claim(view, state_, need, 0, taken);
    if ((outcome == Outcome::full || outcome == Outcome::blocked) && !freed.rejects && !endpoint_.cancelled()) {
      const std::int64_t before = os::monotonic_ns();
      if (!slept) core::add(endpoint_.counters().waits, 1);
      slept = true;
      endpoint_.sleep_once(side.space, armed, deadline_ns);
      core::add(endpoint_.counters().wait_ns, static_cast<std::uint64_t>(os::monotonic_ns() - before));
      freed = core::free_room(view, claimed_to());
      outcome = core::claim(view, state_, need, 0, taken);
    }
  }
  return outcome;
}

std::shared_ptr<const BlockedBy> ProducerImpl::who_holds_room(std::uint64_t need) const {
  const core::View& view = endpoint_.view();
  // A report, taken without locks: relaxed and acquire loads of words that may change under us.
  for (std::uint32_t i = 0; i < view.groups_max; ++i) {
    auto& row = view.group(i);
    if (row.state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(layout::GroupState::active)) continue;  // A:group, with R:group
    const std::uint64_t retired = row.retired.load(std::memory_order_relaxed);
    if (retired + view.capacity >= view.side().claim.claim_position.load(std::memory_order_relaxed) + need + view.alignment) continue;
    if (core::is_exclusive_group(view, i)) {
      const core::Owner owner = row.owner.load(std::memory_order_relaxed);
      if (owner != 0) return describe(view, owner, "lease", 0);
      continue;
    }
    for (std::uint32_t number = 0; number < view.ledger_entries; ++number) {
      const layout::LedgerEntry& entry = view.entries(i)[number];
      const std::uint64_t word = entry.word.load(std::memory_order_relaxed);
      if (core::word_state(word) != core::EntryState::leased || entry.begin.load(std::memory_order_relaxed) != retired) continue;
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
  if (claim.messages_ == 0) return abort(claim);
  const core::View& view = endpoint_.view();
  const Outcome outcome = core::commit(view, state_, claim.position_, claim.need_, claim.used_, claim.first_head_);
  if (outcome == Outcome::ok) {
    auto& counters = endpoint_.counters();
    core::add(counters.messages, claim.messages_);
    core::add(counters.bytes, claim.bytes());
    core::add(counters.batches, 1);
  }
  finish(claim);
  return outcome;
}

Outcome ProducerImpl::abort(Claim& claim) noexcept {
  const Outcome outcome = core::abort(endpoint_.view(), state_, claim.position_, claim.need_);
  finish(claim);
  return outcome;
}

void ProducerImpl::forget(Claim& claim) noexcept { finish(claim); }

void ProducerImpl::finish(Claim& claim) noexcept {
  claim.impl_ = nullptr;
  claim.finished_ = true;
  claim.bytes_left_ = 0;
  claim.messages_left_ = 0;
  open_ = false;
  delete_if_unused();
}

void ProducerImpl::release_handle() noexcept {
  handle_ = false;
  delete_if_unused();
}

void ProducerImpl::delete_if_unused() noexcept {
  if (!handle_ && !open_) delete this;
}

}  // namespace detail

void Claim::take(Claim& other) noexcept {
  impl_ = std::exchange(other.impl_, nullptr);
  base_ = other.base_;
  used_ = other.used_;
  need_ = other.need_;
  alignment_ = other.alignment_;
  time_ = other.time_;
  first_head_ = other.first_head_;
  last_offset_ = other.last_offset_;
  last_size_ = other.last_size_;
  position_ = other.position_;
  bytes_left_ = other.bytes_left_;
  bytes_room_ = other.bytes_room_;
  bytes_each_ = other.bytes_each_;
  retry_after_ns_ = other.retry_after_ns_;
  blocked_by_ = std::move(other.blocked_by_);
  messages_left_ = other.messages_left_;
  messages_ = other.messages_;
  outcome_ = other.outcome_;
  finished_ = std::exchange(other.finished_, false);
  other.outcome_ = Outcome::empty;
}

Claim& Claim::operator=(Claim&& other) noexcept {
  if (this != &other) {
    if (impl_ != nullptr) abandon_open();
    take(other);
  }
  return *this;
}

void Claim::abandon_open() noexcept {
  if (impl_->endpoint().segment().forked()) {
    impl_->forget(*this);
  } else {
    impl_->abort(*this);
  }
}

void Claim::not_open() const {
  throw finished_ ? Error(Errc::already_finished, "this claim is committed or aborted already; claim again")
                  : Error(Errc::not_open, "there is no claim in this handle; check outcome() before using it");
}

void Claim::overrun(std::size_t size) const {
  if (impl_ == nullptr) throw Error(Errc::not_open, "there is no open claim to append to; check outcome(), or claim again");
  impl_->endpoint().segment().fail(
      Errc::claim_overrun,
      "a message of " + std::to_string(size) + " bytes does not fit the claim (" + std::to_string(messages_left_) + " messages and " +
          std::to_string(bytes_left_) + " bytes are left, " + std::to_string(bytes_each_) + " bytes at most each)",
      "commit and claim again, or claim more room");
}

void Claim::shrink_last(std::size_t size) {
  if (impl_ == nullptr) throw Error(Errc::not_open, "there is no open claim to change; check outcome(), or claim again");
  if (messages_ == 0) throw Error(Errc::not_open, "nothing was appended to this claim that could be made smaller");
  if (size > last_size_) overrun(size);
  const std::uint64_t before = detail::record_bytes(last_size_, alignment_);
  const std::uint64_t tag_and_flags =
      last_offset_ == 0 ? first_head_
                        // relaxed: our own store, inside the claim
                        : reinterpret_cast<detail::RecordHeader*>(base_ + last_offset_)->head.load(std::memory_order_relaxed);
  const std::uint64_t head = detail::make_head(detail::RecordState::committed, size, detail::head_high(tag_and_flags));
  if (last_offset_ == 0) {
    first_head_ = head;
  } else {
    reinterpret_cast<detail::RecordHeader*>(base_ + last_offset_)->head.store(head, std::memory_order_relaxed);  // relaxed: as in append
  }
  used_ -= before - detail::record_bytes(size, alignment_);
  bytes_left_ += last_size_ - size;
  last_size_ = size;
}

Outcome Claim::commit() {
  if (impl_ == nullptr) not_open();
  impl_->endpoint().segment().check_usable();
  return impl_->commit(*this);
}

Outcome Claim::abort() {
  if (impl_ == nullptr) not_open();
  impl_->endpoint().segment().check_usable();
  return impl_->abort(*this);
}

std::optional<BlockedBy> Claim::blocked_by() const {
  if (blocked_by_ == nullptr) return std::nullopt;
  return *blocked_by_;
}

namespace {

[[noreturn]] void producer_not_open() {
  throw Error(Errc::not_open, "this producer is not attached (detached or moved from); attach anew with Queue::producer()");
}

}  // namespace

Producer::Producer() noexcept = default;
Producer::Producer(Producer&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
Producer& Producer::operator=(Producer&& other) noexcept {
  if (this != &other) {
    if (impl_ != nullptr) impl_->release_handle();
    impl_ = std::exchange(other.impl_, nullptr);
  }
  return *this;
}
Producer::~Producer() {
  if (impl_ != nullptr) impl_->release_handle();
}

Claim Producer::claim(Room room, Deadline deadline) {
  if (impl_ == nullptr) producer_not_open();
  return impl_->claim(room, deadline);
}

Outcome Producer::send(std::span<const std::byte> payload, std::uint16_t tag, Deadline deadline) {
  Claim one = claim({.messages = 1, .bytes = payload.size()}, deadline);
  if (!one) return one.outcome();
  one.append_copy(payload, tag);
  return one.commit();
}

void Producer::cancel() noexcept {
  if (impl_ != nullptr) impl_->endpoint().cancel();
}
void Producer::reset() noexcept {
  if (impl_ != nullptr) impl_->endpoint().reset();
}

void Producer::detach() {
  if (impl_ == nullptr) producer_not_open();
  impl_->endpoint().segment().check_usable();
  if (impl_->claim_open()) {
    impl_->endpoint().segment().fail(Errc::claim_open, "this producer has a claim open", "commit or abort it first");
  }
  std::exchange(impl_, nullptr)->release_handle();
}

std::uint32_t Producer::row() const {
  if (impl_ == nullptr) producer_not_open();
  return core::owner_row(impl_->endpoint().owner());
}

}  // namespace ipcq
