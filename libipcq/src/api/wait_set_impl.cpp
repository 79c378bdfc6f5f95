#include "api/wait_set_impl.hpp"

#include <sched.h>

#include <algorithm>
#include <string>

#include "api/consumer_impl.hpp"
#include "api/producer_impl.hpp"
#include "core/closing.hpp"
#include "core/event_count.hpp"
#include "core/stats.hpp"

namespace ipcq::detail {
namespace {

// What comes by other ways than the frontier (requeues, room) a set that spins looks for so often.
constexpr std::uint32_t kRoundsPerLookAtAll = 1024;
// A round looks at every endpoint's frontier; the clock is read once in so many of these.
constexpr std::size_t kFrontiersPerClock = 16;
// A producer's look may find its quota used up where it had found no room before, and the other way round.
constexpr int kEventChanges = 4;

static_assert(WaitSet::kEndpointsMax == os::kFutexWaitsMax);

std::string most(std::size_t endpoints) { return "at most " + std::to_string(endpoints) + " producers and consumers"; }

}  // namespace

/// A call of the set's thread. Throws Error{forked}, and Error{in_use} where another one is under way.
class WaitSetImpl::InUse {
 public:
  explicit InUse(WaitSetImpl& set) : set_(set) {
    set.check_not_forked();
    // acquire: A:set_use, with R:set_use: what the last call left, should the set have been handed to another thread.
    if (set.busy_.exchange(true, std::memory_order_acquire)) {
      throw Error(Errc::in_use, "another thread is in a call of this wait set; only cancel() may come from anywhere");
    }
  }
  ~InUse() { set_.busy_.store(false, std::memory_order_release); }  // R:set_use, with A:set_use
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

 private:
  WaitSetImpl& set_;
};

Endpoint& WaitSetImpl::Member::endpoint() const noexcept {
  return consumer != nullptr ? consumer->endpoint() : producer->endpoint();
}

bool WaitSetImpl::Member::unchanged() const noexcept {
  return event->load(std::memory_order_seq_cst) == armed;  // A:wake, with R:wake
}

void WaitSetImpl::Member::look(bool announce) {
  last = consumer != nullptr ? consumer->readiness() : producer->readiness(wanted, announce);
  if (last.ready || last.event != event) quiet = false;
}

// First the bit, then the look; the word that it is to be is known by the look before.
void WaitSetImpl::Member::arm() {
  for (int changes = 0; changes < kEventChanges; ++changes) {
    event = last.event;
    // Whoever set the bit has told the consumers. Told again by each, two that wait for messages and for room alike would
    // wake each other for ever.
    const bool announce = event == &endpoint().view().side().space.word && !core::somebody_waits(*event);
    armed = core::arm(*event);
    core::finish_close(endpoint().view());
    look(announce);
    quiet = !last.ready && last.event == event;
    if (last.ready || quiet) return;
  }
  quiet = true;
  last.look_ns = 0;  // it goes to and fro: no sleep
}

WaitSetImpl::WaitSetImpl(WaitStrategy wait) noexcept : wait_(wait), fork_generation_(os::fork_generation()) {}

WaitSetImpl::~WaitSetImpl() {
  if (forked() && descriptor_ != nullptr) descriptor_->disown();
  for (const Member& member : members_) {
    if (member.consumer != nullptr) member.consumer->enter(nullptr);
    if (member.producer != nullptr) member.producer->enter(nullptr);
  }
}

void WaitSetImpl::check_not_forked() const {
  if (!forked()) return;
  throw Error(Errc::forked, "this wait set was inherited through fork(); make one in the child");
}

void WaitSetImpl::check_room_for_one(const Endpoint& endpoint) const {
  const std::size_t limit = WaitSet::kEndpointsMax - (descriptor_ != nullptr ? 1 : 0);
  if (members_.size() < limit) return;
  endpoint.segment().fail(
      Errc::invalid_option,
      "a wait set" + std::string(descriptor_ != nullptr ? " with a descriptor" : "") + " holds " + most(limit),
      "use several sets, each in a thread of its own");
}

WaitSet::Token WaitSetImpl::enter(Member member) {
  member.token = next_token_;
  ready_.reserve(members_.size() + 1);
  waits_.reserve(members_.size() + 1);
  members_.push_back(member);
  ++next_token_;
  if (member.consumer != nullptr) member.consumer->enter(this);
  if (member.producer != nullptr) member.producer->enter(this);
  if (descriptor_ != nullptr) descriptor_->stand_down();  // the new one is not watched yet
  return member.token;
}

WaitSet::Token WaitSetImpl::add(ConsumerImpl& consumer) {
  const InUse use(*this);
  const Segment& segment = consumer.endpoint().segment();
  segment.check_usable();
  if (consumer.set() != nullptr) segment.fail(Errc::in_use, "this consumer is in a wait set", "remove it there first");
  check_room_for_one(consumer.endpoint());
  Member member;
  member.consumer = &consumer;
  return enter(member);
}

WaitSet::Token WaitSetImpl::add(ProducerImpl& producer, const Room& room) {
  const InUse use(*this);
  const Segment& segment = producer.endpoint().segment();
  segment.check_usable();
  if (producer.set() != nullptr) segment.fail(Errc::in_use, "this producer is in a wait set", "remove it there first");
  check_room_for_one(producer.endpoint());
  Member member;
  member.producer = &producer;
  member.wanted = producer.wanted(room);
  return enter(member);
}

bool WaitSetImpl::remove(WaitSet::Token token) {
  const InUse use(*this);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].token != token) continue;
    if (members_[i].consumer != nullptr) members_[i].consumer->enter(nullptr);
    if (members_[i].producer != nullptr) members_[i].producer->enter(nullptr);
    erase(i);
    return true;
  }
  return false;
}

void WaitSetImpl::left(const void* endpoint) noexcept {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].is(endpoint)) erase(i);
  }
}

void WaitSetImpl::erase(std::size_t at) noexcept {
  members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(at));
  if (descriptor_ != nullptr && !forked()) descriptor_->stand_down();  // its thread lets go of that queue
}

std::size_t WaitSetImpl::size() {
  const InUse use(*this);
  return members_.size();
}

bool WaitSetImpl::look_for_the_dead_if_due(std::int64_t now_ns) {
  const bool due = std::any_of(members_.begin(), members_.end(),
                               [&](const Member& member) { return member.endpoint().look_due_ns() <= now_ns; });
  if (!due) return false;
  // All at once, so that the backstops of many come together and not one after the other.
  for (Member& member : members_) {
    member.endpoint().look_now(now_ns);
    core::finish_close(member.endpoint().view());
    member.quiet = false;
  }
  return true;
}

void WaitSetImpl::look_at_those_that_changed(std::int64_t now_ns) {
  ready_.clear();
  for (Member& member : members_) {
    if (member.quiet && member.last.look_ns > now_ns && member.unchanged()) continue;
    member.quiet = false;
    member.look();
    if (member.last.ready) ready_.push_back(member.token);
  }
}

void WaitSetImpl::look_at_all() {
  ready_.clear();
  for (Member& member : members_) {
    member.look();
    if (member.last.ready) ready_.push_back(member.token);
  }
}

void WaitSetImpl::arm_all() {
  ready_.clear();
  for (Member& member : members_) {
    if (member.producer != nullptr && !member.quiet) member.arm();
  }
  // Behind the producers, whose being short of room is told to the consumers of their queues: these too.
  for (Member& member : members_) {
    if (member.consumer != nullptr && !(member.quiet && member.unchanged())) member.arm();
    if (member.last.ready) ready_.push_back(member.token);
  }
}

WaitSet::Ready WaitSetImpl::result() const noexcept {
  if (cancelled()) return {Outcome::cancelled, {}};
  return {ready_.empty() ? Outcome::empty : Outcome::ok, ready_};
}

// True: somebody is ready, or cancelled.
bool WaitSetImpl::spin(std::int64_t& now_ns, std::int64_t deadline_ns) {
  std::int64_t until_ns = now_ns;
  if (wait_ == WaitStrategy::spin) until_ns = deadline_ns;
  if (wait_ == WaitStrategy::adaptive) until_ns = std::min(now_ns + kAdaptiveSpin_ns, deadline_ns);
  const auto rounds_per_clock = static_cast<std::uint32_t>(1 + kFrontiersPerClock / members_.size());
  for (std::uint32_t rounds = 1; now_ns < until_ns; ++rounds) {
    __builtin_ia32_pause();
    bool stirred = rounds % kRoundsPerLookAtAll == 0;
    for (const Member& member : members_) {
      if (member.consumer != nullptr && member.consumer->stirred(member.last)) stirred = true;
    }
    if (stirred) look_at_all();
    if (!ready_.empty() || cancelled()) return true;
    if (rounds % rounds_per_clock != 0) continue;
    now_ns = os::monotonic_ns();
    look_for_the_dead_if_due(now_ns);
  }
  return false;
}

// All are armed. Named for cancel(), whose flag is looked at behind that.
void WaitSetImpl::sleep(std::int64_t deadline_ns, bool& slept) {
  kicked_.store(members_.front().event, std::memory_order_seq_cst);  // R:kick, with A:kick
  if (!cancelled()) {
    waits_.clear();
    for (const Member& member : members_) {
      waits_.push_back({member.event, member.armed});
      deadline_ns = std::min({deadline_ns, member.last.look_ns, member.endpoint().look_due_ns()});
      if (!slept) core::add(member.endpoint().counters().waits, 1);
    }
    slept = true;
    os::futex_wait_any(waits_, deadline_ns);
  }
  kicked_.store(nullptr, std::memory_order_seq_cst);  // R:kick, with A:kick
  // Its queue may be gone when this thread goes on.
  while (cancelling_.load(std::memory_order_seq_cst) != 0) ::sched_yield();  // A:kick, with R:kick
}

WaitSet::Ready WaitSetImpl::wait(const Deadline& until) {
  const InUse use(*this);
  ready_.clear();
  if (members_.empty()) throw Error(Errc::not_open, "this wait set is empty: add() a consumer or a producer first");
  if (cancelled()) return result();
  for (Member& member : members_) {
    if (!member.last.only_by_event) member.quiet = false;  // a call of its own may have changed what it is
  }
  CallDeadline call(until);
  std::int64_t now_ns = os::monotonic_ns();
  look_at_those_that_changed(now_ns);
  if (!ready_.empty()) return result();
  const bool more_to_see = look_for_the_dead_if_due(now_ns);
  if (call.is_now()) {
    if (more_to_see) look_at_all();
    return result();
  }
  const std::int64_t deadline_ns = call.ns();
  bool slept = false;
  for (;;) {
    if (cancelled()) return result();
    if (now_ns >= deadline_ns) {
      look_at_all();
      return result();
    }
    if (spin(now_ns, deadline_ns)) return result();
    if (now_ns >= deadline_ns) continue;
    arm_all();
    if (!ready_.empty()) return result();
    sleep(deadline_ns, slept);
    now_ns = os::monotonic_ns();
    look_for_the_dead_if_due(now_ns);
    look_at_those_that_changed(now_ns);
    if (!ready_.empty()) return result();
  }
}

void WaitSetImpl::cancel() noexcept {
  cancelled_.store(true, std::memory_order_seq_cst);                        // R:wake, with A:wake
  cancelling_.fetch_add(1, std::memory_order_seq_cst);                      // R:kick, with A:kick
  layout::AtomicU32* const word = kicked_.load(std::memory_order_seq_cst);  // A:kick, with R:kick
  if (word != nullptr) core::kick(*word);
  cancelling_.fetch_sub(1, std::memory_order_seq_cst);                 // R:kick, with A:kick
  WaitDescriptor* const bell = bell_.load(std::memory_order_acquire);  // A:bell, with R:bell
  if (bell != nullptr) bell->ring();
}

void WaitSetImpl::make_descriptor() {
  if (descriptor_ != nullptr) return;
  if (members_.size() == WaitSet::kEndpointsMax) {
    throw Error(Errc::invalid_option, "a wait set with a descriptor holds " + most(WaitSet::kEndpointsMax - 1) +
                                          "; remove one first, or use two sets");
  }
  descriptor_ = std::make_unique<WaitDescriptor>();
  bell_.store(descriptor_.get(), std::memory_order_release);  // R:bell, with A:bell
}

int WaitSetImpl::descriptor() {
  const InUse use(*this);
  make_descriptor();
  return descriptor_->get();
}

bool WaitSetImpl::arm() {
  const InUse use(*this);
  make_descriptor();
  descriptor_->stand_down();
  ready_.clear();
  if (members_.empty() || cancelled()) return false;
  for (Member& member : members_) {
    if (!member.last.only_by_event) member.quiet = false;
  }
  const std::int64_t now_ns = os::monotonic_ns();
  look_at_those_that_changed(now_ns);
  if (!ready_.empty()) return false;
  look_for_the_dead_if_due(now_ns);
  arm_all();
  if (!ready_.empty()) return false;
  WaitDescriptor::Watch watch;
  for (const Member& member : members_) {
    watch.waits.push_back({member.event, member.armed});
    watch.look_ns = std::min(watch.look_ns, member.last.look_ns);
    const std::shared_ptr<Segment>& segment = member.endpoint().shared_segment();
    const auto same = [&](const WaitDescriptor::Queue& queue) { return queue.segment == segment; };
    if (std::none_of(watch.queues.begin(), watch.queues.end(), same))
      watch.queues.push_back({segment, member.endpoint().view()});
  }
  descriptor_->watch(std::move(watch));
  if (!cancelled()) return true;
  descriptor_->stand_down();  // cancel() may have come before the descriptor was taken back
  return false;
}

}  // namespace ipcq::detail
