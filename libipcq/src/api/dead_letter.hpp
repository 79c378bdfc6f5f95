// DeadLetters: moves messages past max_deliveries to the dead-letter queue, another queue of the same directory.
//
// The queue is opened when the first message goes there, with all checks of any open, and kept; a queue of that name that
// was made anew is opened anew. A row there is taken for each move and freed after it: hundreds of consumers may have
// messages to move once a day, and the dead-letter queue's rows are for those who drain it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "api/segment.hpp"
#include "core/groups.hpp"
#include "core/lease.hpp"
#include "core/parking.hpp"

namespace ipcq::detail {

class DeadLetters {
 public:
  /// `origin` outlives this.
  explicit DeadLetters(const Segment& origin) noexcept : origin_(origin) {}

  /// Moves what was leased with LeaseStep::to_dead_letter in a shared group, or parks it. Holds no lock while it copies,
  /// waits for nothing but a mutex (core::kLockPatience_ns). Killed in here: see core/parking.hpp.
  void move(core::GroupId group, const core::LeaseTaken& taken) noexcept;
  /// The same for the front of an exclusive group, by its consumer.
  void move_exclusive(core::GroupId group, core::ExclusiveState& state, const core::LeaseTaken& taken) noexcept;

 private:
  [[nodiscard]] core::Parked copy(core::GroupId group, const core::LeaseTaken& taken) noexcept;
  void open();
  void copy_record(class ProducerImpl& producer, core::GroupId group, const core::LeaseTaken& taken,
                   std::uint64_t position, std::uint64_t head, core::Parked& why) const;

  const Segment& origin_;
  std::shared_ptr<Segment> target_;
};

}  // namespace ipcq::detail
