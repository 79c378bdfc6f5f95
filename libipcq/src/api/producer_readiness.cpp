// What a wait set asks of a producer.
#include "api/names.hpp"
#include "api/producer_impl.hpp"
#include "api/wait_set_impl.hpp"
#include "core/event_count.hpp"
#include "core/quota.hpp"
#include "core/ready.hpp"

namespace ipcq::detail {

WantedRoom ProducerImpl::wanted(const Room& room) const {
  const core::View& view = endpoint_.view();
  const std::uint64_t messages = room.messages == 0 ? 1 : room.messages;
  const std::uint64_t need = core::need_of(view, messages, room.bytes, room.bytes_each);
  const std::uint64_t largest = view.message_bytes_max;
  if (need > view.need_max || (room.bytes_each != 0 ? room.bytes_each > largest : room.bytes > messages * largest)) {
    endpoint_.segment().fail(Errc::too_big,
                             "room for " + std::to_string(messages) + " messages and " + std::to_string(room.bytes) +
                                 " bytes can never be there (a claim: " + size_text(view.need_max) +
                                 " with headers, a message: " + size_text(largest) + ")",
                             "wait for less, or create the queue with a larger capacity");
  }
  return {need, messages, room.bytes_each != 0 ? messages * room.bytes_each : room.bytes};
}

Readiness ProducerImpl::readiness(const WantedRoom& wanted, bool announce) {
  const core::View& view = endpoint_.view();
  auto& side = view.side();
  Readiness readiness;
  readiness.event = &side.space.word;
  if (open_) return readiness;
  if (endpoint_.cancelled()) {
    readiness.ready = true;
    return readiness;
  }
  if (announce) core::publish_fenced(side.data);
  Outcome outcome = core::look_for_room(view, state_, wanted.need);
  if (outcome == Outcome::full) {
    // relaxed: a hint of how far to free.
    const std::uint64_t position =
        view.exclusive() ? state_.position : side.claim.claim_position.load(std::memory_order_relaxed);
    free_room(position + wanted.need + view.alignment);
    outcome = core::look_for_room(view, state_, wanted.need);
  }
  if (outcome == Outcome::full || outcome == Outcome::blocked) return readiness;
  if (outcome == Outcome::ok) {
    const std::int64_t turn_ns = core::quota_turn_ns(view, endpoint_.owner(), wanted.messages, wanted.bytes);
    if (turn_ns > 0 && turn_ns > os::monotonic_ns()) {
      readiness.event = &core::quota_event(view);
      readiness.look_ns = turn_ns;
      return readiness;
    }
  }
  readiness.ready = true;
  return readiness;
}

void ProducerImpl::leave_set() noexcept { set_->left(this); }

}  // namespace ipcq::detail
