#include "ipcq/wait_set.hpp"

#include <utility>

#include "api/consumer_impl.hpp"
#include "api/producer_impl.hpp"
#include "api/wait_set_impl.hpp"

namespace ipcq {

WaitSet::WaitSet(WaitStrategy wait) : impl_(std::make_unique<detail::WaitSetImpl>(wait)) { os::watch_forks(); }
WaitSet::WaitSet(WaitSet&&) noexcept = default;
WaitSet& WaitSet::operator=(WaitSet&&) noexcept = default;
WaitSet::~WaitSet() = default;

detail::WaitSetImpl& WaitSet::impl() const {
  if (impl_ == nullptr) throw Error(Errc::not_open, "this wait set was moved from; make a new one");
  return *impl_;
}

WaitSet::Token WaitSet::add(Consumer& consumer) {
  if (consumer.impl_ == nullptr)
    throw Error(Errc::not_open, "this consumer is not attached; add it after Queue::consumer()");
  return impl().add(*consumer.impl_);
}

WaitSet::Token WaitSet::add(Producer& producer, Room room) {
  if (producer.impl_ == nullptr)
    throw Error(Errc::not_open, "this producer is not attached; add it after Queue::producer()");
  return impl().add(*producer.impl_, room);
}

bool WaitSet::remove(Token token) { return impl().remove(token); }
std::size_t WaitSet::size() const { return impl().size(); }
WaitSet::Ready WaitSet::wait(Deadline deadline) { return impl().wait(deadline); }
int WaitSet::descriptor() { return impl().descriptor(); }
bool WaitSet::arm() { return impl().arm(); }

void WaitSet::cancel() noexcept {
  if (impl_ != nullptr) impl_->cancel();
}
void WaitSet::reset() noexcept {
  if (impl_ != nullptr) impl_->reset();
}

}  // namespace ipcq
