// ProducerImpl: a producer behind its handle. Lives as long as the handle or its open claim.
#pragma once

#include <memory>

#include "api/dead_letter.hpp"
#include "api/endpoint.hpp"
#include "api/readiness.hpp"
#include "core/producer_side.hpp"
#include "core/room.hpp"
#include "ipcq/producer.hpp"

namespace ipcq::detail {

class WaitSetImpl;

class ProducerImpl {
 public:
  /// What it is for. One that moves dead letters itself moves no others when it is short of room: two queues may be each
  /// other's dead-letter queue.
  enum class Use : std::uint8_t { messages, dead_letters };
  /// Throws Error as Queue::producer.
  ProducerImpl(const std::shared_ptr<Segment>& segment, const ProducerOptions& options, Use use = Use::messages);
  ~ProducerImpl();
  ProducerImpl(const ProducerImpl&) = delete;
  ProducerImpl& operator=(const ProducerImpl&) = delete;

  Claim claim(const Room& room, Deadline deadline);
  Outcome commit(Claim& claim);
  Outcome abort(Claim& claim) noexcept;
  /// Sets flags of the one message that was appended to the claim.
  static void mark(Claim& claim, std::uint16_t flags) noexcept { claim.first_head_ |= std::uint64_t{flags} << 48; }
  /// The claim's end without a word to the segment: an inherited copy in a forked child.
  void forget(Claim& claim) noexcept;
  /// The handle is gone; an open claim keeps us.
  void release_handle() noexcept;
  [[nodiscard]] bool claim_open() const noexcept { return open_; }
  [[nodiscard]] Endpoint& endpoint() noexcept { return endpoint_; }

  /// For the wait set that it is in; null: none.
  [[nodiscard]] WaitSetImpl* set() const noexcept { return set_; }
  void enter(WaitSetImpl* set) noexcept { set_ = set; }
  /// Throws Error{too_big}.
  [[nodiscard]] WantedRoom wanted(const Room& room) const;
  /// Looks once; see Readiness. `announce`: tells consumers first that somebody is short of room, should they wait for more
  /// messages than there is room for.
  [[nodiscard]] Readiness readiness(const WantedRoom& wanted, bool announce);

 private:
  /// What becomes of a claim that is not granted at once.
  [[nodiscard]] Claim claim_later(Outcome outcome, std::uint64_t need, const Room& room, Deadline deadline);
  [[nodiscard]] Claim granted(const core::ClaimTaken& taken, std::uint64_t need, const Room& room) noexcept;
  [[noreturn]] void too_big(const Room& room) const;
  /// Room first, then quota, as often as either fails.
  [[nodiscard]] Outcome wait_for_claim(Outcome outcome, std::uint64_t need, CallDeadline& deadline,
                                       core::ClaimTaken& taken);
  [[nodiscard]] Outcome wait_for_room(std::uint64_t need, CallDeadline& deadline, core::ClaimTaken& taken);
  [[nodiscard]] Outcome wait_for_quota(std::uint64_t need, CallDeadline& deadline, core::ClaimTaken& taken);
  core::RoomFreed free_room(std::uint64_t end);
  [[nodiscard]] std::shared_ptr<const BlockedBy> who_holds_room(std::uint64_t need) const;
  void leave_set() noexcept;
  void finish(Claim& claim) noexcept;
  void delete_if_unused() noexcept;

  Endpoint endpoint_;
  core::ProducerState state_;
  std::unique_ptr<DeadLetters> dead_letters_;  // made at the first one
  Use use_;
  bool open_ = false;
  bool handle_ = true;
  WaitSetImpl* set_ = nullptr;
};

}  // namespace ipcq::detail
