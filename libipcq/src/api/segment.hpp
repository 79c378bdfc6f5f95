// Segment: a queue as this process has it open: descriptors, mapping, view. Shared by all handles of one Queue.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/lent.hpp"
#include "api/segment_file.hpp"
#include "core/groups.hpp"
#include "core/view.hpp"
#include "ipcq/options.hpp"
#include "os/life_lock.hpp"
#include "os/mapping.hpp"

namespace ipcq::detail {

class Segment {
 public:
  /// Creates the file, formats it, adds its groups, gives it its name. Throws Error.
  static std::shared_ptr<Segment> create(const Place& place, const CreateOptions& options);
  /// Maps an opened file. Throws Error.
  static std::shared_ptr<Segment> map(const Place& place, OpenedFile file, Access access,
                                      const std::vector<uid_t>& trusted_owners = {});
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  [[nodiscard]] const Place& place() const noexcept { return place_; }
  [[nodiscard]] const layout::HeaderCopy& header() const noexcept { return header_; }
  /// Whose queues the opener trusts: for queues that this one names.
  [[nodiscard]] const std::vector<uid_t>& trusted_owners() const noexcept { return trusted_owners_; }
  /// Without a writable view of the data.
  [[nodiscard]] const core::View& view() const noexcept { return view_; }
  /// With one; maps it at the first call. Throws Error.
  [[nodiscard]] core::View writable_view();

  /// Of the consumers' view.
  [[nodiscard]] LentReads& lent_reads() const noexcept { return lent_reads_; }

  /// Throws Error{forked} in a child that inherited this.
  void check_usable() const {
    if (forked()) [[unlikely]]
      fail_forked();
  }
  /// And Error{removed | poisoned}.
  void check_alive() const;
  [[nodiscard]] bool forked() const noexcept { return os::fork_generation() != generation_; }

  /// A description of its own for a life lock. Throws Error.
  [[nodiscard]] os::LifeDescriptor open_life_descriptor() const;
  /// Whether the descriptor is of this queue's file.
  [[nodiscard]] bool is_this_file(int fd) const noexcept;
  /// Whether the queue's name still is this file.
  [[nodiscard]] bool still_named() const noexcept;

  [[noreturn]] void fail(Errc code, std::string_view what, std::string_view to_do, int system_errno = 0) const;

 private:
  [[noreturn]] void fail_forked() const;
  Segment(Place place, os::UniqueFd fd, os::FileId file, const layout::HeaderCopy& header, Access access);
  // A new description of the file, whatever has become of our descriptor. Throws Error.
  [[nodiscard]] os::UniqueFd open_again() const;

  Place place_;
  os::UniqueFd fd_;
  layout::HeaderCopy header_;
  os::Mapping mapping_;
  core::View view_;
  mutable LentReads lent_reads_;
  std::mutex writable_mutex_;
  std::byte* writable_ = nullptr;
  std::uint32_t generation_;
  std::vector<uid_t> trusted_owners_;
};

/// What to do with a queue that is poisoned, or whose contents contradict themselves.
inline constexpr const char* kHowToMend =
    "mend it while nobody uses it (ipcq repair, ipcq::repair), or remove it and create it again";

/// Checked options as a plan of the segment. Throws Error{invalid_name | invalid_option}.
[[nodiscard]] layout::Plan plan_of(const Place& place, const CreateOptions& options);
/// The groups to create: those named, else "default". Throws Error{invalid_name | invalid_option}.
[[nodiscard]] std::vector<core::GroupPlan> group_plans(const Place& place, const CreateOptions& options);
[[nodiscard]] core::GroupPlan group_plan(const Place& place, const GroupOptions& options, Overflow overflow,
                                         ConsumerMode consumers);

}  // namespace ipcq::detail
