// Groups: the table of consumer groups. Rows come and go only under the producer side's mutex.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/lock.hpp"
#include "core/view.hpp"
#include "ipcq/options.hpp"

namespace ipcq::core {

/// A group's name, copied out. Taken without a lock it may be a mix of two names: the state is checked again after it.
class GroupName {
 public:
  explicit GroupName(const layout::GroupRow& row) noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i)
      words_[i] = row.name[i].load(std::memory_order_relaxed);  // relaxed: see above
    words_.back() = 0;
  }
  [[nodiscard]] std::string_view view() const noexcept { return reinterpret_cast<const char*>(words_.data()); }

 private:
  std::array<std::uint64_t, layout::kNameBytes / 8> words_;
};

[[nodiscard]] inline layout::GroupState state_of(const layout::GroupRow& row) noexcept {
  // A:group, with R:group: what stands behind a state is whole.
  return static_cast<layout::GroupState>(row.state.load(std::memory_order_acquire));
}

/// The group's options. relaxed: written before the group is visible; who holds no lock checks the incarnation after it.
[[nodiscard]] inline Overflow overflow_of(const layout::GroupRow& row) noexcept {
  return static_cast<Overflow>(row.overflow.load(std::memory_order_relaxed));
}
[[nodiscard]] inline Lifetime lifetime_of(const layout::GroupRow& row) noexcept {
  return static_cast<Lifetime>(row.lifetime.load(std::memory_order_relaxed));
}

struct GroupId {
  std::uint32_t row = 0;
  std::uint32_t incarnation = 0;
};

struct GroupPlan {
  std::string_view name;
  Start start = Start::oldest;
  Overflow overflow = Overflow::block;
  ConsumerMode consumers = ConsumerMode::shared;
  Lifetime lifetime = Lifetime::persistent;
};

enum class AddGroup : std::uint8_t { ok, exists, full, timed_out, poisoned };
/// Adds a group; `id` is it, or the one that has the name already.
[[nodiscard]] AddGroup add_group(const View& view, const GroupPlan& plan, GroupId& id) noexcept;

/// Finds an active group by name. Takes no lock. False: there is none.
[[nodiscard]] bool find_group(const View& view, std::string_view name, GroupId& id) noexcept;

enum class RemoveGroup : std::uint8_t {
  ok,
  no_such_group,
  last,        // the only one
  has_member,  // a living member is attached: named in `holder`
  has_lease,   // a living owner holds a lease, or is the exclusive consumer: named in `holder`
  has_parked,  // messages are parked, and `force` was not asked for
  timed_out,
  poisoned,
};
/// Removes a group. `force` overrides idle members and parked messages, never a living lease or exclusive consumer.
/// `with_parked`: parked messages go with it.
[[nodiscard]] RemoveGroup remove_group(const View& view, GroupId id, bool force, std::uint32_t& holder,
                                       bool with_parked = false) noexcept;

/// Frees a row whose remover died between his two steps. True if it was.
bool finish_group_removal(const View& view, std::uint32_t row) noexcept;

/// Removes an ephemeral group none of whose members lives. True if it went.
bool remove_if_abandoned(const View& view, GroupId id) noexcept;

struct Members {
  std::uint32_t attached = 0;
  std::uint32_t living = 0;  // of these
  std::uint32_t one = 0;     // a living one's owner word
};
/// Who is attached to the group. Probes: called without locks.
[[nodiscard]] Members members_of(const View& view, GroupId id) noexcept;

}  // namespace ipcq::core
