#include "api/consumer_impl.hpp"

#include "api/names.hpp"
#include "core/closing.hpp"
#include "core/event_count.hpp"
#include "core/producer_side.hpp"
#include "core/ring.hpp"
#include "core/stats.hpp"
#include "core/without.hpp"

namespace ipcq::detail {
namespace {

constexpr std::uint32_t kDefaultMaxShared = 64;
constexpr std::uint32_t kDefaultMaxExclusive = 256;
constexpr std::uint32_t kMaxMessages = 4096;
// A claim in progress is given so many pauses (about a microsecond) before its owner is probed.
constexpr int kClaimPauses = 40;
// A consumer that spins watches the frontier; what comes by other ways (requeues) it looks for so often.
constexpr std::uint32_t kLooksPerAttempt = 1024;
// The first looks, about a microsecond, come without a pause between them: it takes 10 to 60 ns, and an answer that is on
// its way would wait for the end of it.
constexpr std::uint32_t kHotLooks = core::has(core::Idea::hot_looks) ? 512 : 0;
constexpr std::uint32_t kLooksPerClock = 16;
// Some fifty nanoseconds: less than a round trip takes.
constexpr std::uint32_t kSoonLooks = 16;
// A claim that appears at the frontier is most often committed a moment later: until then nothing can be taken.
constexpr std::uint32_t kLooksPerClaim = 64;
constexpr std::int64_t kEntryLook_ns = 1'000'000;

core::AttachRequest request_of(core::GroupId group) noexcept {
  return {layout::RowKind::consumer, group.row, group.incarnation};
}

bool nothing_yet(core::LeaseStep step) noexcept {
  return step == core::LeaseStep::nothing || step == core::LeaseStep::claimed ||
         step == core::LeaseStep::too_many_leases || step == core::LeaseStep::lock_held ||
         step == core::LeaseStep::parked;
}

}  // namespace

ConsumerImpl::ConsumerImpl(const std::shared_ptr<Segment>& segment, const ConsumerOptions& options, core::GroupId group)
    : endpoint_(segment, segment->view(), request_of(group), options.wait),
      reader_(segment->lent_reads()),
      group_name_(options.group),
      group_(group) {
  const core::View& view = endpoint_.view();
  state_.owner = endpoint_.owner();
  exclusive_ = core::is_exclusive_group(view, group_.row);
  if (!exclusive_) {
    // The row names the group. A remover counts rows and marks under the group's mutex, so that from here on either he has
    // seen our row or we see his mark.
    bool moved = false;
    const bool locked = core::lock_group(view, group_.row, 0, moved) == core::Locked::yes;
    const bool there = core::group_is(view, group_.row, group_.incarnation);
    if (locked) core::unlock_group(view, group_.row);
    if (moved) core::publish_retired(view);
    if (!there) {
      segment->fail(Errc::no_such_group, "group '" + group_name_ + "' was removed", "add it again: ipcq group add");
    }
    return;
  }
  core::Owner holder = 0;
  switch (core::join_exclusive(view, group_.row, group_.incarnation, state_, holder)) {
    case core::Join::ok:
      open_.reserve(kOpenExclusive);
      return;
    case core::Join::in_use:
      segment->fail(Errc::in_use,
                    "the exclusive consumer of group '" + group_name_ + "' lives: " + process_text(view, holder),
                    "end that one first, or create the group with shared consumers");
    case core::Join::group_removed:
      segment->fail(Errc::no_such_group, "group '" + group_name_ + "' was removed", "add it again: ipcq group add");
    case core::Join::timed_out:
      segment->fail(Errc::timed_out, "a stopped process holds group '" + group_name_ + "'",
                    "let it continue, or end it");
    case core::Join::poisoned:
      segment->fail(Errc::poisoned, "a repair met a state it cannot mend", kHowToMend);
    case core::Join::damaged:
      segment->fail(Errc::damaged, "positions of group '" + group_name_ + "' contradict themselves",
                    "remove the group and add it again, or create the queue again");
  }
}

ConsumerImpl::~ConsumerImpl() {
  if (endpoint_.segment().forked()) return;
  const core::View& view = endpoint_.view();
  if (exclusive_) core::leave_exclusive(view, group_.row, state_);
  endpoint_.detach();
  core::remove_if_abandoned(view, group_);
}

// What is taken is filled in where the caller has it: a copy would wait for stores that are on their way.
inline core::LeaseTaken ConsumerImpl::attempt_shared(const core::LeaseRequest& request, std::int64_t deadline_ns) {
  const core::View& view = endpoint_.view();
  core::LeaseRequest probing = request;
  probing.probe_front_at_ns = front_probed_ns_ + kBackstop_ns;
  core::LeaseTaken taken = core::lease(view, group_.row, group_.incarnation, state_.owner, probing, deadline_ns);
  if (taken.step == core::LeaseStep::probe_front) {
    front_probed_ns_ = os::monotonic_ns();
    if (core::judge(view, taken.front_owner) == core::Verdict::dead) core::redeliver_dead(view, group_.row);
    taken = core::lease(view, group_.row, group_.incarnation, state_.owner, request, deadline_ns);
  }
  return taken;
}

[[gnu::always_inline]] inline core::LeaseTaken ConsumerImpl::attempt_once(const core::LeaseRequest& request,
                                                                          std::int64_t deadline_ns) {
  const core::View& view = endpoint_.view();
  // relaxed: removal wakes and is looked for again after every wake.
  const std::uint32_t flags = view.frozen().flags.load(std::memory_order_relaxed);
  if ((flags & layout::flag::kPoisoned) != 0) return core::LeaseTaken(core::LeaseStep::poisoned);
  if ((flags & layout::flag::kRemoved) != 0) return core::LeaseTaken(core::LeaseStep::removed);
  if (!exclusive_) return attempt_shared(request, deadline_ns);
  if (open_.size() == kOpenExclusive) return core::LeaseTaken(core::LeaseStep::too_many_leases, state_.owner);
  return core::lease_exclusive(view, group_.row, group_.incarnation, state_, request, open_.empty());
}

core::LeaseTaken ConsumerImpl::attempt(const core::LeaseRequest& request, std::int64_t deadline_ns) {
  core::LeaseTaken taken = attempt_once(request, deadline_ns);
  if (taken.step == core::LeaseStep::to_dead_letter) move_dead_letters(request, deadline_ns, taken);
  return taken;
}

// Messages past max_deliveries go to the dead-letter queue on the way.
void ConsumerImpl::move_dead_letters(const core::LeaseRequest& request, std::int64_t deadline_ns,
                                     core::LeaseTaken& taken) {
  while (taken.step == core::LeaseStep::to_dead_letter) {
    if (dead_letters_ == nullptr) dead_letters_ = std::make_unique<DeadLetters>(endpoint_.segment());
    if (exclusive_) {
      dead_letters_->move_exclusive(group_, state_, taken);
    } else {
      dead_letters_->move(group_, taken);
    }
    taken = attempt_once(request, deadline_ns);
  }
}

void ConsumerImpl::note_look(const core::LeaseTaken& taken) noexcept {
  took_all_ = taken.took_all;
  if (!core::has(core::Idea::getting_ahead)) return;
  const std::uint64_t bytes = taken.step == core::LeaseStep::leased ? taken.end - taken.begin : 0;
  if (!took_all_) return ahead_.took_some(taken.messages, bytes);
  // relaxed: advice.
  if (ahead_.took_all(taken.messages, bytes, waited_looks_ <= kSoonLooks, [] { return __builtin_ia32_rdtsc(); }))
    endpoint_.view().side().data.streaming.store(ahead_.streaming() ? 1 : 0, std::memory_order_relaxed);
}

void ConsumerImpl::look_at_claim(const core::LeaseTaken& taken) {
  const core::View& view = endpoint_.view();
  for (int pause = 0; pause < kClaimPauses; ++pause) {
    if (core::peek_head(view, taken.stop) != taken.head) return;
    __builtin_ia32_pause();
  }
  const std::int64_t now = os::monotonic_ns();
  if (probed_position_ == taken.stop && probed_head_ == taken.head && now - probed_ns_ < kBackstop_ns) return;
  probed_position_ = taken.stop;
  probed_head_ = taken.head;
  probed_ns_ = now;
  const core::Owner claimer = detail::head_high(taken.head);
  const bool dead = core::judge(view, claimer) == core::Verdict::dead;
  living_claimer_ = dead ? 0 : claimer;
  if (dead) core::abandon(view, taken.stop, claimer);
}

// Whether something was resolved that makes another attempt worth it at once.
bool ConsumerImpl::retry_after_step(const core::LeaseTaken& taken) {
  if (taken.step != core::LeaseStep::claimed) return false;
  look_at_claim(taken);
  return core::peek_head(endpoint_.view(), taken.stop) != taken.head;
}

// What most leases need, in a straight line; what few need is apart.
Lease ConsumerImpl::lease(const Take& take) {
  endpoint_.segment().check_usable();
  const core::View& view = endpoint_.view();
  core::LeaseRequest request;
  request.max_messages = take.max_messages != 0 ? take.max_messages
                         : exclusive_           ? kDefaultMaxExclusive
                                                : kDefaultMaxShared;
  request.min_messages = take.min_messages == 0 ? 1 : take.min_messages;
  request.max_bytes = take.max_bytes;
  if (take.max_messages == 0 && request.min_messages > request.max_messages)
    request.max_messages = request.min_messages;
  if (request.max_messages > kMaxMessages || request.min_messages > request.max_messages) [[unlikely]]
    cannot_take(request);
  const bool waits = take.deadline.kind() != Deadline::Kind::now;
  request.take_what_is_there = !waits;
  const bool sampled = view.metrics && leases_ % core::kSampling == 0;
  const std::uint64_t asked = sampled ? view.stamp() : 0;
  if (endpoint_.cancelled()) [[unlikely]]
    return none(Outcome::cancelled);
  if (took_all_ && ahead_.streaming() && waits) pause_units(GettingAhead::kUnits);
  waited_looks_ = 0;
  core::LeaseTaken taken = attempt_once(request, 0);  // in place: copied, it would be read before its stores have arrived
  if (taken.step == core::LeaseStep::to_dead_letter) [[unlikely]]
    move_dead_letters(request, 0, taken);
  if (nothing_yet(taken.step)) wait_for_lease(request, take.deadline, taken);
  if (taken.step != core::LeaseStep::leased) [[unlikely]]
    return none(taken);
  note_look(taken);
  if (exclusive_) {
    taken.word = next_serial_++;
    open_.push_back({taken.word, taken.begin, taken.end});
  }
  ++leases_;
  auto& counters = endpoint_.counters();
  core::add(counters.messages, taken.messages);
  core::add(counters.bytes, taken.bytes);
  core::add(counters.batches, 1);
  acquire();
  lend(taken.begin, taken.end);
  return Lease(this, view.data, view.mask, view.alignment, taken.begin, taken.end, taken.word, asked,
               sampled ? view.stamp() : 0, taken.first_time, taken.entry, taken.messages, taken.deliveries, exclusive_,
               sampled);
}

void ConsumerImpl::cannot_take(const core::LeaseRequest& request) const {
  if (request.max_messages > kMaxMessages || request.min_messages > kMaxMessages) {
    endpoint_.segment().fail(Errc::invalid_option,
                             "a lease takes at most " + std::to_string(kMaxMessages) + " messages", "ask for less");
  }
  endpoint_.segment().fail(Errc::invalid_option, "min_messages is more than max_messages",
                           "ask for no more than you take");
}

Lease ConsumerImpl::none(Outcome outcome) noexcept {
  Lease lease;
  lease.outcome_ = outcome;
  return lease;
}

Lease ConsumerImpl::none(const core::LeaseTaken& taken) {
  Lease lease = none(outcome_of(taken));
  if (lease.outcome_ == Outcome::blocked || lease.outcome_ == Outcome::too_many_leases)
    lease.blocked_by_ = who_blocks(taken);
  return lease;
}

void ConsumerImpl::wait_for_lease(const core::LeaseRequest& asked, const Deadline& until, core::LeaseTaken& taken) {
  const core::View& view = endpoint_.view();
  note_look(taken);
  if (retry_after_step(taken)) taken = attempt(asked, 0);
  if (!nothing_yet(taken.step)) return;
  waited_looks_ = UINT32_MAX;
  core::LeaseRequest request = asked;
  CallDeadline deadline(until);
  auto& side = view.side();
  const std::int64_t deadline_ns = deadline.is_now() ? 0 : deadline.ns();
  core::finish_close(view);
  // Who waits a moment at most, or not at all, meets no backstop in one call: so every call that found nothing looks when due.
  endpoint_.look_if_due(os::monotonic_ns());
  if (deadline.is_now()) {
    if (taken.step == core::LeaseStep::nothing) {
      taken = attempt(request, 0);
      return;
    }
  }
  const auto again = [&] {
    // Producers short of room would wait for what we wait to get more of.
    if (core::somebody_waits(side.space)) request.take_what_is_there = true;
    taken = attempt(request, 0);
    if (nothing_yet(taken.step) && retry_after_step(taken)) taken = attempt(request, 0);
    return nothing_yet(taken.step);
  };
  bool slept = false;
  bool stirred = true;
  for (;;) {
    std::int64_t now = deadline.is_now() ? 0 : os::monotonic_ns();
    if (endpoint_.cancelled()) return;
    // An exclusive consumer that has as many leases open as it may would wait for itself.
    if (exclusive_ && taken.step == core::LeaseStep::too_many_leases) return;
    if (now >= deadline_ns) {
      request.take_what_is_there = true;
      again();
      return;
    }
    const std::int64_t spin_until = endpoint_.spin_until(now, deadline_ns, stirred);
    for (std::uint32_t looks = 1; now < spin_until; ++looks) {
      if (looks > kHotLooks) __builtin_ia32_pause();
      const std::uint64_t head = core::peek_head(view, taken.stop);
      const bool filled = detail::head_state(head) != core::RecordState::claimed || looks % kLooksPerClaim == 0;
      if ((head != taken.head && filled) || looks % kLooksPerAttempt == 0) {
        if (!again() || endpoint_.cancelled()) {
          waited_looks_ = looks;
          return;
        }
      }
      if (looks > kHotLooks && looks % kLooksPerClock == 0) {
        now = os::monotonic_ns();
        endpoint_.look_if_due(now);
      }
    }
    if (now >= deadline_ns) continue;
    const std::uint32_t armed = core::arm(side.data);
    core::finish_close(view);
    if (!again() || endpoint_.cancelled()) return;
    if (!slept) core::add(endpoint_.counters().waits, 1);
    slept = true;
    // An ack publishes no data, so whoever waits for a ledger entry looks again every millisecond.
    const bool for_entry = taken.step == core::LeaseStep::too_many_leases;
    const std::int64_t look_ns = for_entry ? os::monotonic_ns() + kEntryLook_ns : os::kNoDeadline;
    stirred = endpoint_.sleep_once(side.data, armed, deadline_ns, look_ns);
    if (!again()) return;
  }
}

Outcome ConsumerImpl::ack(Lease& lease) {
  const core::View& view = endpoint_.view();
  Outcome outcome = Outcome::ok;
  take_back(lease, lease.end_);
  if (exclusive_) {
    if (open_.empty() || open_.front().serial != lease.word_) {
      for (const Open& open : open_) {
        if (open.serial != lease.word_) continue;
        lend(lease.begin_, lease.end_);
        endpoint_.segment().fail(Errc::out_of_order, "an exclusive consumer's leases are acked in order",
                                 "ack the older ones first");
      }
      outcome = Outcome::disowned;  // given back with an older one
    } else {
      outcome = core::ack_exclusive(view, group_.row, state_, lease.end_);
      open_.erase(open_.begin());
    }
  } else {
    outcome = core::ack(view, group_.row, group_.incarnation, lease.entry_, lease.word_);
  }
  if (outcome == Outcome::ok) note_finished(lease, lease.messages_);
  finish(lease);
  return outcome;
}

Outcome ConsumerImpl::ack_first(Lease& lease, std::uint32_t first_messages, Deadline deadline) {
  const core::View& view = endpoint_.view();
  const auto keep = [&](Outcome outcome) {
    lend(lease.begin_, lease.end_);
    lease.taken_.store(false, std::memory_order_release);  // R:handle, with A:handle: the lease stays, changed or not
    return outcome;
  };
  if (first_messages == 0) return keep(Outcome::ok);
  if (first_messages > lease.messages_) {
    const std::uint32_t have = lease.messages_;
    keep(Outcome::ok);
    endpoint_.segment().fail(
        Errc::invalid_option,
        "the lease has " + std::to_string(have) + " messages left, not " + std::to_string(first_messages),
        "ack no more than there are");
  }
  if (first_messages == lease.messages_) return ack(lease);
  const core::Walk first = core::walk(view, lease.begin_, lease.end_, first_messages, UINT64_MAX);
  if (first.messages != first_messages) return keep(Outcome::damaged);
  const core::Walk rest = core::walk(view, first.end, lease.end_, 1, UINT64_MAX);
  take_back(lease, first.end);
  Outcome outcome = Outcome::ok;
  core::LeaseTaken taken;
  taken.begin = lease.begin_;
  taken.end = lease.end_;
  taken.entry = lease.entry_;
  taken.word = lease.word_;
  if (exclusive_) {
    if (open_.empty() || open_.front().serial != lease.word_)
      return ack(lease);  // out of order, or given back: as there
    outcome = core::ack_exclusive(view, group_.row, state_, first.end);
    if (outcome == Outcome::ok) open_.front().begin = first.end;
  } else {
    CallDeadline call(deadline);
    const std::int64_t deadline_ns = call.is_now() ? 0 : call.ns();
    outcome = core::ack_first(view, group_.row, group_.incarnation, first.end, deadline_ns, taken);
  }
  if (outcome == Outcome::timed_out || outcome == Outcome::too_many_leases) return keep(outcome);
  if (outcome != Outcome::ok) {
    if (exclusive_) open_.erase(open_.begin());
    finish(lease);
    return outcome;
  }
  note_finished(lease, first_messages);
  lease.begin_ = first.end;
  lease.entry_ = taken.entry;
  lease.word_ = taken.word;
  lease.messages_ -= first_messages;
  lease.first_time_ = rest.first_time;
  return keep(Outcome::ok);
}

Outcome ConsumerImpl::requeue(Lease& lease) {
  const core::View& view = endpoint_.view();
  take_back(lease, lease.end_);
  Outcome outcome = Outcome::disowned;
  if (exclusive_) {
    for (std::size_t i = 0; i < open_.size(); ++i) {
      if (open_[i].serial != lease.word_) continue;
      // This one and all later ones are delivered again, one message at a time.
      core::requeue_exclusive(view, group_.row, state_, open_[i].begin, lease.deliveries_, i == 0);
      open_.resize(i);
      outcome = Outcome::ok;
      break;
    }
  } else {
    outcome = core::requeue(view, group_.row, lease.entry_, lease.word_);
  }
  finish(lease);
  return outcome;
}

void ConsumerImpl::note_finished(const Lease& lease, std::uint32_t messages) noexcept {
  if (!lease.sampled_) return;
  const core::View& view = endpoint_.view();
  const std::uint64_t created = lease.first_time_;
  const std::uint64_t acked = view.stamp();
  if (acked <= lease.leased_) return;  // stamps are off, or two processors' counters differ by a tick
  // relaxed: a lease may be acked from several threads' hands.
  endpoint_.counters().processing_ticks.fetch_add((acked - lease.leased_) * core::kSampling, std::memory_order_relaxed);
  auto& histograms = view.histograms(group_.row);
  // queue + transfer + processing = latency, exactly: c ≤ max(a, c) ≤ l ≤ k on the queue's one clock.
  const std::uint64_t arrived = lease.asked_ > created ? lease.asked_ : created;
  const std::uint64_t queue = view.stamp_difference_ns(created, arrived);
  const std::uint64_t transfer = view.stamp_difference_ns(arrived, lease.leased_);
  const std::uint64_t processing = view.stamp_difference_ns(lease.leased_, acked);
  core::record(histograms.queue, queue, messages);
  core::record(histograms.transfer, transfer, messages);
  core::record(histograms.processing, processing, messages);
  core::record(histograms.latency, queue + transfer + processing, messages);
}

void ConsumerImpl::forget(Lease& lease) noexcept { finish(lease); }

void ConsumerImpl::finish(Lease& lease) noexcept {
  lease.impl_ = nullptr;
  lease.finished_ = true;
  lease.messages_ = 0;
  release();
}

void ConsumerImpl::acquire() noexcept {
  // relaxed: this thread holds a reference already.
  if (exclusive_) {
    references_.store(references_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // one thread
  } else {
    references_.fetch_add(1, std::memory_order_relaxed);
  }
}

void ConsumerImpl::release() noexcept {
  if (exclusive_) {
    const std::int64_t left = references_.load(std::memory_order_relaxed) - 1;  // relaxed: one thread
    references_.store(left, std::memory_order_relaxed);
    if (left == 0) delete this;
    return;
  }
  // acq_rel: R:references before the last one's delete, A:references in it; it sees what all others did.
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace ipcq::detail
