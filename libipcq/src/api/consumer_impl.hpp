// ConsumerImpl: a consumer behind its handle. Lives as long as the handle or an open lease.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/dead_letter.hpp"
#include "api/endpoint.hpp"
#include "api/getting_ahead.hpp"
#include "api/readiness.hpp"
#include "core/exclusive_consumer.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "ipcq/consumer.hpp"

namespace ipcq::detail {

class WaitSetImpl;

class ConsumerImpl {
 public:
  /// Throws Error as Queue::consumer.
  ConsumerImpl(const std::shared_ptr<Segment>& segment, const ConsumerOptions& options, core::GroupId group);
  ~ConsumerImpl();
  ConsumerImpl(const ConsumerImpl&) = delete;
  ConsumerImpl& operator=(const ConsumerImpl&) = delete;

  Lease lease(const Take& take);
  // Each ends the lease (ack of the first n: unless it answers that nothing changed). Throw as the Lease's functions.
  Outcome ack(Lease& lease);
  Outcome ack_first(Lease& lease, std::uint32_t first_messages, Deadline deadline);
  Outcome requeue(Lease& lease);
  /// The lease's end without a word to the segment: an inherited copy in a forked child.
  void forget(Lease& lease) noexcept;
  void release_handle() noexcept {
    if (set_ != nullptr) leave_set();
    release();
  }

  /// For the wait set that it is in; null: none.
  [[nodiscard]] WaitSetImpl* set() const noexcept { return set_; }
  void enter(WaitSetImpl* set) noexcept { set_ = set; }
  /// Looks once; see Readiness. Throws nothing but what memory for a repair's window may cost.
  [[nodiscard]] Readiness readiness();
  /// Whether the frontier where the last look ended has changed: a load, for whoever spins.
  [[nodiscard]] bool stirred(const Readiness& last) const noexcept;

  [[nodiscard]] bool leases_open() const noexcept { return references_.load(std::memory_order_relaxed) > 1; }
  [[nodiscard]] const std::string& group_name() const noexcept { return group_name_; }
  [[nodiscard]] Endpoint& endpoint() noexcept { return endpoint_; }

 private:
  // An exclusive consumer's open leases: it keeps no ledger, but it allocates nothing after attach.
  static constexpr std::size_t kOpenExclusive = 1024;

  // An exclusive consumer's open leases, oldest first.
  struct Open {
    std::uint64_t serial;
    std::uint64_t begin;
    std::uint64_t end;
  };

  [[nodiscard]] inline core::LeaseTaken attempt_shared(const core::LeaseRequest& request, std::int64_t deadline_ns);
  [[nodiscard]] inline core::LeaseTaken attempt_once(const core::LeaseRequest& request, std::int64_t deadline_ns);
  [[nodiscard]] core::LeaseTaken attempt(const core::LeaseRequest& request, std::int64_t deadline_ns);
  /// And attempts again, as long as it meets any. `taken`: the attempt that met one, then the last.
  void move_dead_letters(const core::LeaseRequest& request, std::int64_t deadline_ns, core::LeaseTaken& taken);
  [[noreturn]] void cannot_take(const core::LeaseRequest& request) const;
  /// What becomes of a lease that took nothing.
  [[nodiscard]] static Lease none(Outcome outcome) noexcept;
  [[nodiscard]] Lease none(const core::LeaseTaken& taken);
  /// `taken`: the last attempt, which found nothing; then the one that ends the wait.
  void wait_for_lease(const core::LeaseRequest& asked, const Deadline& until, core::LeaseTaken& taken);
  /// For GettingAhead.
  void note_look(const core::LeaseTaken& taken) noexcept;
  void look_at_claim(const core::LeaseTaken& taken);
  [[nodiscard]] bool retry_after_step(const core::LeaseTaken& taken);
  [[nodiscard]] Outcome outcome_of(const core::LeaseTaken& taken) const noexcept;
  [[nodiscard]] std::shared_ptr<const BlockedBy> who_blocks(const core::LeaseTaken& taken) const;
  void note_finished(const Lease& lease, std::uint32_t messages) noexcept;
  [[nodiscard]] core::LeaseTaken look_ahead();
  void leave_set() noexcept;
  void finish(Lease& lease) noexcept;
  void acquire() noexcept;
  void release() noexcept;

  /// The lease's memory, for AddressSanitizer.
  void lend(std::uint64_t begin, std::uint64_t end) const noexcept {
    if (!os::address_sanitizer()) return;
    const core::View& view = endpoint_.view();
    endpoint_.segment().lent_reads().lend(view.data, view.capacity, begin, end - begin);
  }
  void take_back(const Lease& lease, std::uint64_t end) const noexcept {
    if (!os::address_sanitizer()) return;
    endpoint_.segment().lent_reads().take_back(lease.base_, lease.mask_ + 1, lease.begin_, end - lease.begin_);
  }

  Endpoint endpoint_;
  LentReads::Reader reader_;
  std::string group_name_;
  core::GroupId group_;
  bool exclusive_ = false;
  core::ExclusiveState state_;
  std::vector<Open> open_;                     // reserved at attach; exclusive only
  std::unique_ptr<DeadLetters> dead_letters_;  // made at the first one
  std::uint64_t next_serial_ = 1;
  std::uint64_t leases_ = 0;
  GettingAhead ahead_;
  bool took_all_ = false;           // the last look that took something left nothing
  std::uint32_t waited_looks_ = 0;  // of this call, until there was something; UINT32_MAX: it did more than look
  // Probes are rationed: a claim in progress is no reason for a system call each look.
  std::uint64_t probed_position_ = core::kNoPosition;
  std::uint64_t probed_head_ = 0;
  std::int64_t probed_ns_ = 0;
  std::int64_t front_probed_ns_ = 0;
  core::Owner living_claimer_ = 0;           // whom the last probe found alive
  std::atomic<std::int64_t> references_{1};  // the handle, and each open lease
  WaitSetImpl* set_ = nullptr;
};

}  // namespace ipcq::detail
