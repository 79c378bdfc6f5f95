#include "ipcq/repair.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <ctime>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "api/endpoint.hpp"
#include "api/names.hpp"
#include "api/segment.hpp"
#include "core/repair.hpp"
#include "core/verify.hpp"
#include "ipcq/error.hpp"
#include "os/life_lock.hpp"
#include "os/mapping.hpp"

namespace ipcq {
namespace {

using detail::Access;
using detail::Depth;
using detail::OpenedFile;
using detail::Place;
using detail::Segment;

constexpr std::uint64_t kFlagsOffset = offsetof(layout::FrozenHeader, flags);

std::vector<Finding> public_findings(const std::vector<core::Finding>& findings) {
  std::vector<Finding> result;
  result.reserve(findings.size());
  for (const core::Finding& finding : findings) {
    result.push_back({finding.invariant, finding.offset, finding.text, finding.recoverable});
  }
  return result;
}

void add_steps(RepairReport& report, const std::vector<core::RepairStep>& steps) {
  for (const core::RepairStep& step : steps) {
    report.steps.push_back({step.invariant, step.offset, step.text, step.given_up});
  }
}

// "producer pid 123 (cat), …"; empty if nobody lives.
std::string who_lives(const core::View& view) {
  std::string text;
  int shown = 0;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const core::Owner owner = core::owner_of_row(view, i);
    if (!core::row_attached(view, i) || core::judge(view, owner) == core::Verdict::dead) continue;
    if (++shown > 8) return text + ", …";
    text += (shown == 1 ? "" : ", ") + detail::process_text(view, owner);
  }
  return text;
}

bool any_byte_held(const core::View& view) {
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    if (os::probe_byte(view.fd, view.life_begin + i) != os::ByteState::free) return true;
  }
  return false;
}

// The locks under which a queue is repaired: the remover's byte, so that no two mix; and, if nobody lives, the whole life
// range, so that nobody attaches.
class RepairLocks {
 public:
  RepairLocks(const Segment& segment, const OpenedFile& file) : life_begin_(segment.view().life_begin) {
    const auto fail = [&](Errc code, const char* what, const char* to_do, int error = 0) {
      segment.fail(code, what, to_do, error);
    };
    locks_ = os::reopen(segment.view().fd, O_RDWR);
    if (!locks_) fail(Errc::system, "no descriptor for the locks", "raise the limit of open files (ulimit -n)", errno);
    for (int attempt = 0; attempt < 1000; ++attempt) {
      if (os::lock_bytes(locks_.get(), life_begin_ - 1, 1)) {
        take_life_range(segment, file);
        return;
      }
      const timespec nap{0, 1'000'000};
      ::nanosleep(&nap, nullptr);
    }
    fail(Errc::in_use, "another process is removing or repairing it", "let it finish");
  }

  [[nodiscard]] bool alone() const noexcept { return alone_; }
  [[nodiscard]] int fd() const noexcept { return locks_.get(); }
  [[nodiscard]] const std::string& in_use_by() const noexcept { return in_use_by_; }

 private:
  // Who lost his life lock holds no byte, but lives: so the rows are judged too, by the description that has the locks.
  void take_life_range(const Segment& segment, const OpenedFile& file) {
    core::View view = segment.view();
    if (os::lock_bytes(locks_.get(), life_begin_, file.header.life_count)) {
      view.fd = locks_.get();
      in_use_by_ = who_lives(view);
      alone_ = in_use_by_.empty();
      if (!alone_) os::unlock_bytes(locks_.get(), life_begin_, file.header.life_count);
      return;
    }
    in_use_by_ = who_lives(view);
    if (in_use_by_.empty()) in_use_by_ = "somebody who is attaching just now";
  }

  os::UniqueFd locks_;
  std::uint64_t life_begin_;
  bool alone_ = false;
  std::string in_use_by_;
};

// What a repair would do: the same, on a copy that nobody else sees; or, while somebody lives, what can be told beforehand.
void rehearse(const Segment& segment, const OpenedFile& file, const std::vector<core::Finding>& found,
              RepairReport& report) {
  core::View view = segment.view();
  report.in_use_by = who_lives(view);
  if (report.in_use_by.empty() && any_byte_held(view)) report.in_use_by = "somebody who is attaching just now";
  if (!report.in_use_by.empty()) {
    for (const core::Finding& finding : found) {
      if (core::mends_in_use(finding)) {
        report.steps.push_back({finding.invariant, finding.offset, finding.text, false});
      } else {
        report.left.push_back({finding.invariant, finding.offset, finding.text, finding.recoverable});
      }
    }
    return;
  }
  std::optional<os::PrivateCopy> copy;
  try {
    copy.emplace(view.fd, static_cast<std::size_t>(file.header.segment_bytes));
  } catch (const std::system_error& error) {
    segment.fail(Errc::system, "a copy of the segment cannot be mapped", "check the address space limit (ulimit -v)",
                 error.code().value());
  }
  view.control = copy->at();
  view.data_writable = copy->at() + view.control_bytes;
  view.data = view.data_writable;
  view.data_dormant = nullptr;
  const std::vector<core::RepairStep> steps = core::repair_alone(view);
  const std::vector<core::Finding> left = core::verify(view);
  add_steps(report, core::recovered(found, left, steps));
  add_steps(report, steps);
  report.left = public_findings(left);
}

void perform(const std::shared_ptr<Segment>& segment, const OpenedFile& file, const std::vector<core::Finding>& found,
             RepairReport& report) {
  const RepairLocks locks(*segment, file);
  report.in_use_by = locks.in_use_by();
  core::View view = segment->writable_view();
  if (locks.alone()) view.fd = locks.fd();
  std::vector<core::RepairStep> steps;
  if (locks.alone()) {
    steps = core::repair_alone(view);
  } else {
    core::repair_in_use(view, found);
  }
  const std::vector<core::Finding> left = core::verify(view);
  add_steps(report, core::recovered(found, left, steps));
  add_steps(report, steps);
  report.left = public_findings(left);
}

}  // namespace

Verification verify(std::string_view name, const OpenOptions& options) {
  const Place place = detail::place_of(name, options.directory);
  OpenedFile file = detail::open_file(place, Access::read_only, Depth::as_is, options.trusted_owners);
  if (file.validation.verdict != layout::Verdict::ok) {
    return {{{"header.valid", file.validation.offset, std::string("the header is damaged: ") + file.validation.reason,
              false}}};
  }
  const std::shared_ptr<Segment> segment = Segment::map(place, std::move(file), Access::read_only);
  return {public_findings(core::verify(segment->view()))};
}

RepairReport repair(std::string_view name, const RepairOptions& options) {
  const Place place = detail::place_of(name, options.directory);
  OpenedFile file = detail::open_file(place, Access::read_write, Depth::as_is, options.trusted_owners);
  if (file.validation.verdict != layout::Verdict::ok) {
    detail::fail(Errc::damaged, place.name, place.path,
                 std::string("the header is damaged at offset ") + std::to_string(file.validation.offset) + ": " +
                     file.validation.reason + "; all that follows is told by it, so nothing can be mended",
                 "remove the file and create the queue again");
  }
  RepairReport report;
  if ((file.header.flags & layout::flag::kRemoved) != 0) {
    report.found.push_back({"flags.removed", kFlagsOffset, "the queue is removed, but still has its name", true});
    report.steps.push_back(
        {"flags.removed", kFlagsOffset, "the removal is finished: " + place.path + " is unlinked", false});
    if (options.dry_run) return report;
    try {
      (void)detail::open_file(place, Access::read_write, Depth::frozen, options.trusted_owners);
    } catch (const Error& error) {
      if (error.errc() != Errc::no_such_queue) throw;
    }
    return report;
  }
  // For the header, and the place of the locks, after the descriptor went to the segment.
  OpenedFile opened;
  opened.info = file.info;
  opened.header = file.header;
  const std::shared_ptr<Segment> segment = Segment::map(place, std::move(file), Access::read_write);
  const std::vector<core::Finding> found = core::verify(segment->view());
  report.found = public_findings(found);
  if (found.empty()) return report;
  if (options.dry_run) {
    rehearse(*segment, opened, found, report);
  } else {
    perform(segment, opened, found, report);
  }
  return report;
}

}  // namespace ipcq
