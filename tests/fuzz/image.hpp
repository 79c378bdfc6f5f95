// Image: a small segment in memory of its own, made once, edited and restored at every execution.
//
// The pages before and behind its control area and its ring are not mapped, so a byte read or written outside is a fault
// where it happens. There is no descriptor to probe life bytes through: an attached row counts as alive, a free one, or one
// of another incarnation, as dead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/groups.hpp"
#include "core/producer_side.hpp"
#include "core/view.hpp"
#include "editor.hpp"
#include "os/mapping.hpp"
#include "os/unique_fd.hpp"
#include "step.hpp"

namespace ipcq::fuzz {

inline constexpr std::uint64_t kCapacity = 64 * 1024;

struct Shape {
  ProducerMode producers = ProducerMode::shared;
  std::uint32_t alignment = 16;
  std::uint32_t max_deliveries = 0;
};

/// Who is in a sound image, by row.
namespace row {
inline constexpr std::uint32_t kProducer = 0;      // alive: the target itself
inline constexpr std::uint32_t kConsumer = 1;      // alive: the target itself, in the shared group
inline constexpr std::uint32_t kOther = 2;         // alive, in the shared group, holds leases
inline constexpr std::uint32_t kExclusive = 3;     // dead, was the consumer of the exclusive group
inline constexpr std::uint32_t kDeadConsumer = 4;  // dead, held leases
inline constexpr std::uint32_t kDeadProducer = 5;  // dead, has a claim open
inline constexpr std::uint32_t kSuccessor = 6;     // alive: the target itself, to join the exclusive group
}  // namespace row

class Image {
 public:
  explicit Image(const Shape& shape);

  /// As a consumer has it: the ring read-only, and a page of it writable for the moment of a repair.
  [[nodiscard]] const core::View& consumer() const noexcept { return consumer_; }
  [[nodiscard]] const core::View& producer() const noexcept { return producer_; }
  [[nodiscard]] core::Owner owner(std::uint32_t row_number) const noexcept;
  [[nodiscard]] core::GroupId shared_group() const noexcept { return shared_; }
  [[nodiscard]] core::GroupId exclusive_group() const noexcept { return exclusive_; }

  /// The sound image again.
  void restore() noexcept;
  /// One edit, of any shared word or record.
  void edit(const Step& step) noexcept { editor_->edit(step); }

  [[nodiscard]] os::RobustMutex& mutex(std::uint32_t number) const noexcept { return editor_->mutex(number); }
  /// That no call has left a mutex held: its next user would wait for ever.
  void expect_unlocked() const noexcept;

 private:
  core::Owner attach(std::uint32_t number, layout::RowKind kind, core::GroupId group = {}) noexcept;
  void end(std::uint32_t number) noexcept;
  void send(core::ProducerState& producer, std::uint64_t bytes);
  void fill(core::ProducerState& producer);

  os::UniqueFd file_;
  os::Mapping mapping_;
  core::View producer_;
  core::View consumer_;
  core::GroupId shared_;
  core::GroupId exclusive_;
  std::vector<std::uint64_t> positions_;  // of the records, and where they end
  std::optional<Editor> editor_;
  std::vector<std::byte> sound_control_;
  std::vector<std::byte> sound_data_;
};

/// The image that an input's first step chooses: shared producers; these with an alignment of 64, a limit of deliveries and
/// something parked; an exclusive producer.
[[nodiscard]] Image& image_for(const Step& step);

}  // namespace ipcq::fuzz
