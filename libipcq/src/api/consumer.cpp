#include "ipcq/consumer.hpp"

#include <utility>

#include "api/consumer_impl.hpp"

namespace ipcq {

void Lease::take(Lease& other) noexcept {
  impl_ = std::exchange(other.impl_, nullptr);
  base_ = other.base_;
  mask_ = other.mask_;
  alignment_ = other.alignment_;
  begin_ = other.begin_;
  end_ = other.end_;
  word_ = other.word_;
  asked_ = other.asked_;
  leased_ = other.leased_;
  first_time_ = other.first_time_;
  blocked_by_ = std::move(other.blocked_by_);
  entry_ = other.entry_;
  messages_ = std::exchange(other.messages_, 0);
  deliveries_ = other.deliveries_;
  taken_.store(other.taken_.load(std::memory_order_relaxed), std::memory_order_relaxed);  // relaxed: no hand-over
  other.taken_.store(false, std::memory_order_relaxed);                                   // relaxed: no hand-over
  outcome_ = std::exchange(other.outcome_, Outcome::empty);
  finished_ = std::exchange(other.finished_, false);
  one_thread_ = other.one_thread_;
  sampled_ = other.sampled_;
}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    if (impl_ != nullptr) requeue_open();
    take(other);
  }
  return *this;
}

void Lease::requeue_open() noexcept {
  if (impl_->endpoint().segment().forked()) {
    impl_->forget(*this);
  } else if (take_first()) {
    impl_->requeue(*this);
  }
}

// Whether this is the one attempt.
bool Lease::take_first() noexcept {
  // Of a lease of one thread impl_ says it: nobody else is on his way.
  return one_thread_ || !taken_.exchange(true, std::memory_order_acquire);  // A:handle, with R:handle
}

namespace {

[[noreturn]] void lease_not_open(bool finished) {
  throw finished ? Error(Errc::already_finished, "this lease is acked or given back already; lease again")
                 : Error(Errc::not_open, "there is no lease in this handle; check outcome() before using it");
}

}  // namespace

// One attempt per handle, whichever thread makes it: who comes second touches nothing else, the first may be deleting it.
void Lease::take_handle() {
  if (!take_first()) lease_not_open(true);
  try {
    if (impl_ == nullptr) lease_not_open(finished_);
    impl_->endpoint().segment().check_usable();
  } catch (...) {
    taken_.store(false, std::memory_order_release);  // R:handle, with A:handle
    throw;
  }
}

Outcome Lease::ack() {
  take_handle();
  return impl_->ack(*this);
}

Outcome Lease::ack(std::uint32_t first_messages, Deadline deadline) {
  take_handle();
  return impl_->ack_first(*this, first_messages, deadline);
}

Outcome Lease::requeue() {
  take_handle();
  return impl_->requeue(*this);
}

std::chrono::nanoseconds Lease::age(const Message& message) const {
  if (impl_ == nullptr) lease_not_open(finished_);
  const core::View& view = impl_->endpoint().view();
  return std::chrono::nanoseconds(view.stamp_difference_ns(message.time, view.stamp()));
}

std::optional<BlockedBy> Lease::blocked_by() const {
  if (blocked_by_ == nullptr) return std::nullopt;
  return *blocked_by_;
}

namespace {

[[noreturn]] void consumer_not_open() {
  throw Error(Errc::not_open,
              "this consumer is not attached (detached or moved from); attach anew with Queue::consumer()");
}

// One message: `copy` gets it, then it is acked.
template <class Copy>
Outcome receive_one(Consumer& consumer, Deadline deadline, std::uint16_t* tag, Copy&& copy) {
  Lease lease = consumer.lease({.max_messages = 1, .deadline = deadline});
  if (!lease) return lease.outcome();
  const Lease::Iterator first = lease.begin();
  if (first == lease.end()) return Outcome::damaged;  // its head was written over since; given back
  const Message message = *first;
  copy(message.payload);
  if (tag != nullptr) *tag = message.tag;
  return lease.ack();
}

}  // namespace

Consumer::Consumer() noexcept = default;
Consumer::Consumer(Consumer&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
Consumer& Consumer::operator=(Consumer&& other) noexcept {
  if (this != &other) {
    if (impl_ != nullptr) impl_->release_handle();
    impl_ = std::exchange(other.impl_, nullptr);
  }
  return *this;
}
Consumer::~Consumer() {
  if (impl_ != nullptr) impl_->release_handle();
}

Lease Consumer::lease(const Take& take) {
  if (impl_ == nullptr) consumer_not_open();
  return impl_->lease(take);
}

Outcome Consumer::receive(std::vector<std::byte>& payload, Deadline deadline, std::uint16_t* tag) {
  return receive_one(*this, deadline, tag,
                     [&](std::span<const std::byte> bytes) { payload.assign(bytes.begin(), bytes.end()); });
}

Outcome Consumer::receive(std::string& payload, Deadline deadline, std::uint16_t* tag) {
  return receive_one(*this, deadline, tag, [&](std::span<const std::byte> bytes) {
    payload.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
}

void Consumer::cancel() noexcept {
  if (impl_ != nullptr) impl_->endpoint().cancel();
}
void Consumer::reset() noexcept {
  if (impl_ != nullptr) impl_->endpoint().reset();
}

void Consumer::detach() {
  if (impl_ == nullptr) consumer_not_open();
  impl_->endpoint().segment().check_usable();
  if (impl_->leases_open()) {
    impl_->endpoint().segment().fail(Errc::in_use, "this consumer has leases open", "ack or give them back first");
  }
  std::exchange(impl_, nullptr)->release_handle();
}

const std::string& Consumer::group() const {
  if (impl_ == nullptr) consumer_not_open();
  return impl_->group_name();
}

std::uint32_t Consumer::row() const {
  if (impl_ == nullptr) consumer_not_open();
  return core::owner_row(impl_->endpoint().owner());
}

}  // namespace ipcq
