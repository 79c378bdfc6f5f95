#include "ipcq/producer.hpp"

#include <utility>

#include "api/producer_impl.hpp"
#include "core/quota_table.hpp"

namespace ipcq {

void Claim::take(Claim& other) noexcept {
  impl_ = std::exchange(other.impl_, nullptr);
  base_ = other.base_;
  used_ = other.used_;
  need_ = other.need_;
  alignment_ = other.alignment_;
  time_ = other.time_;
  first_head_ = other.first_head_;
  unlike_ = other.unlike_;
  known_offset_ = other.known_offset_;
  room_ahead_ = other.room_ahead_;
  position_ = other.position_;
  bytes_left_ = other.bytes_left_;
  bytes_room_ = other.bytes_room_;
  bytes_each_ = other.bytes_each_;
  retry_after_ns_ = other.retry_after_ns_;
  blocked_by_ = std::move(other.blocked_by_);
  messages_room_ = std::exchange(other.messages_room_, 0);
  messages_left_ = std::exchange(other.messages_left_, 0);
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
  if (impl_ == nullptr)
    throw Error(Errc::not_open, "there is no open claim to append to; check outcome(), or claim again");
  impl_->endpoint().segment().fail(Errc::claim_overrun,
                                   "a message of " + std::to_string(size) + " bytes does not fit the claim (" +
                                       std::to_string(messages_left_) + " messages and " + std::to_string(bytes_left_) +
                                       " bytes are left, " + std::to_string(bytes_each_) + " bytes at most each)",
                                   "commit and claim again, or claim more room");
}

void Claim::shrink_last(std::size_t size) {
  if (impl_ == nullptr)
    throw Error(Errc::not_open, "there is no open claim to change; check outcome(), or claim again");
  if (messages() == 0) throw Error(Errc::not_open, "nothing was appended to this claim that could be made smaller");
  const auto head_at = [this](std::uint64_t offset) {
    return offset == 0 ? first_head_
                       // relaxed: our own store, inside the claim
                       : reinterpret_cast<detail::RecordHeader*>(base_ + offset)->head.load(std::memory_order_relaxed);
  };
  const auto end_of = [&](std::uint64_t offset) {
    return offset + detail::record_bytes(detail::head_length(head_at(offset)), alignment_);
  };
  while (end_of(known_offset_) < used_) known_offset_ = end_of(known_offset_);
  const std::uint64_t last = head_at(known_offset_);
  const std::uint64_t last_size = detail::head_length(last);
  if (size > last_size) overrun(size);
  const std::uint64_t before = detail::record_bytes(last_size, alignment_);
  const std::uint64_t head = detail::make_head(detail::RecordState::committed, size, detail::head_high(last));
  if (known_offset_ == 0) {
    first_head_ = head;
  } else {
    reinterpret_cast<detail::RecordHeader*>(base_ + known_offset_)->head.store(head, std::memory_order_relaxed);  // relaxed: as in append
    unlike_ = true;
  }
  used_ -= before - detail::record_bytes(size, alignment_);
  bytes_left_ += last_size - size;
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
  throw Error(Errc::not_open,
              "this producer is not attached (detached or moved from); attach anew with Queue::producer()");
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

Claim Producer::claim(const Room& room, Deadline deadline) {
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

Quota Producer::quota() const {
  if (impl_ == nullptr) producer_not_open();
  impl_->endpoint().segment().check_usable();
  return core::quota_of_row(impl_->endpoint().view(), core::owner_row(impl_->endpoint().owner()));
}

std::uint32_t Producer::row() const {
  if (impl_ == nullptr) producer_not_open();
  return core::owner_row(impl_->endpoint().owner());
}

}  // namespace ipcq
