#include "api/segment.hpp"

#include <fcntl.h>
#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <vector>

#include "api/names.hpp"
#include "core/crash_point.hpp"
#include "core/quota_table.hpp"
#include "core/without.hpp"
#include "ipcq/admin.hpp"

// Under ThreadSanitizer both sides use one view: it tracks addresses, and two mappings of the same bytes look unrelated.
#if defined(__SANITIZE_THREAD__)
#define IPCQ_ONE_VIEW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IPCQ_ONE_VIEW 1
#endif
#endif
#ifndef IPCQ_ONE_VIEW
#define IPCQ_ONE_VIEW 0
#endif

namespace ipcq::detail {
namespace {

constexpr std::uint64_t kCapacityMin = std::uint64_t{64} << 10;
constexpr std::uint64_t kCapacityMax = layout::kCapacityMax;
constexpr std::chrono::seconds kGraceMax(1'000'000'000);

[[noreturn]] void bad_option(const Place& place, const std::string& what) {
  detail::fail(Errc::invalid_option, place.name, "", what, "");
}

core::View make_view(const layout::HeaderCopy& header, int fd, os::FileId file) {
  core::View view;
  view.fd = fd;
  view.file = file;
  view.set_ring(header.header.capacity, header.header.alignment);
  view.control_bytes = header.header.control_bytes;
  view.rows_offset = header.header.rows_offset;
  view.groups_offset = header.header.groups_offset;
  view.group_stride = header.header.group_stride;
  view.life_begin = header.life_begin;
  view.endpoints_max = header.header.endpoints_max;
  view.groups_max = header.header.groups_max;
  view.ledger_entries = header.header.ledger_entries;
  view.producers = static_cast<ProducerMode>(header.header.producers);
  view.max_deliveries = header.header.max_deliveries;
  view.drop_after = header.header.drop_after != 0;
  view.metrics = header.header.metrics != 0;
  view.clock = header.header.clock;
  view.scale = {header.header.clock_mult, header.header.clock_shift};
  return view;
}

// Nobody else has the segment yet.
void set_creators_quota(const Segment& segment, const QuotaScope& scope, const Quota& quota) {
  if (!quota.limits()) return;
  if (core::set_quota(segment.view(), scope, QuotaSource::creator, quota) != core::SetQuota::ok) {
    segment.fail(Errc::system, "its quota cannot be set", "try again");
  }
}

gid_t group_id(const Place& place, const std::string& group) {
  gid_t id = 0;
  const auto [end, error] = std::from_chars(group.data(), group.data() + group.size(), id);
  if (error == std::errc{} && end == group.data() + group.size()) return id;
  std::vector<char> buffer(16384);
  struct group entry {};
  struct group* found = nullptr;
  if (::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    bad_option(place, "there is no group '" + group + "' on this host (file_group)");
  }
  return found->gr_gid;
}

void plan_dead_letters(const Place& place, const CreateOptions& options, layout::Plan& plan) {
  if (options.max_deliveries > layout::kMaxDeliveriesMax) {
    bad_option(place, "max_deliveries must be at most " + std::to_string(layout::kMaxDeliveriesMax) + ", not " +
                          std::to_string(options.max_deliveries));
  }
  const bool named = !options.dead_letter.empty();
  if (options.max_deliveries == 0 && (named || options.drop_after)) {
    bad_option(place, "a dead-letter queue, or drop_after, needs max_deliveries: after how many deliveries");
  }
  if (options.max_deliveries != 0 && !named && !options.drop_after) {
    bad_option(place, "max_deliveries needs a dead-letter queue, or drop_after: where messages shall go after that");
  }
  if (named && options.drop_after) bad_option(place, "a dead-letter queue and drop_after exclude each other");
  if (named && !is_valid_name(options.dead_letter)) {
    detail::fail(Errc::invalid_name, place.name, "", "dead-letter queue name '" + options.dead_letter + "' is not valid",
                 "use 1 to 64 of A-Z a-z 0-9 _ . - with no dot or dash first");
  }
  if (options.dead_letter == place.name) bad_option(place, "a queue cannot be its own dead-letter queue");
  plan.max_deliveries = options.max_deliveries;
  plan.dead_letter = options.dead_letter;
  plan.drop_after = options.drop_after;
}

}  // namespace

layout::Plan plan_of(const Place& place, const CreateOptions& options) {
  layout::Plan plan;
  if (options.capacity_bytes == 0) bad_option(place, "a capacity of 0 bytes is no queue: use 64 KiB or more");
  if (options.capacity_bytes > kCapacityMax) {
    bad_option(place, "a capacity of " + size_text(options.capacity_bytes) + " is more than the " +
                          size_text(kCapacityMax) + " that a segment can have");
  }
  plan.capacity = std::bit_ceil(std::max<std::uint64_t>(options.capacity_bytes, kCapacityMin));
  if (!std::has_single_bit(options.alignment_bytes) || options.alignment_bytes < 16 || options.alignment_bytes > 4096) {
    bad_option(place,
               "the alignment must be a power of two from 16 to 4096, not " + std::to_string(options.alignment_bytes));
  }
  if (options.endpoints_max < 2 || options.endpoints_max > 255) {
    bad_option(place, "endpoints must be from 2 to 255, not " + std::to_string(options.endpoints_max));
  }
  if (options.groups_max < 1 || options.groups_max > 64) {
    bad_option(place, "groups must be from 1 to 64, not " + std::to_string(options.groups_max));
  }
  if (options.ledger_entries < 4 || options.ledger_entries > 4096) {
    bad_option(place, "ledger entries must be from 4 to 4096, not " + std::to_string(options.ledger_entries));
  }
  if ((options.mode & ~static_cast<mode_t>(0777)) != 0) bad_option(place, "the mode has bits beyond 0777");
  if (options.type.size() >= layout::kTypeBytes) bad_option(place, "the type's name has more than 63 bytes");
  if (options.type.find('\0') != std::string::npos) bad_option(place, "the type's name has a zero byte");
  plan.alignment = options.alignment_bytes;
  plan.endpoints_max = options.endpoints_max;
  plan.groups_max = options.groups_max;
  plan.ledger_entries = options.ledger_entries;
  plan.producers = static_cast<std::uint8_t>(options.producers);
  plan.consumers = static_cast<std::uint8_t>(options.consumers);
  plan.overflow = static_cast<std::uint8_t>(options.overflow);
  plan.metrics = options.metrics;
  plan.type = options.type;
  plan_dead_letters(place, options, plan);
  for (const Quota& quota : {options.quota, options.producer_quota}) {
    if (const char* why = core::why_not(quota); why != nullptr) bad_option(place, why);
  }
  plan.lifetime = static_cast<std::uint8_t>(options.lifetime);
  if (options.grace.count() < 0 || options.grace > kGraceMax) {
    bad_option(place, "the grace time must be from 0 to " + std::to_string(kGraceMax.count()) + " seconds, not " +
                          std::to_string(options.grace.count()));
  }
  if (options.lifetime == Lifetime::ephemeral) plan.grace_s = static_cast<std::uint32_t>(options.grace.count());
  return plan;
}

core::GroupPlan group_plan(const Place& place, const GroupOptions& options, Overflow overflow, ConsumerMode consumers) {
  if (!is_valid_name(options.name)) {
    detail::fail(Errc::invalid_name, place.name, "", "group name '" + options.name + "' is not valid",
                 "use 1 to 64 of A-Z a-z 0-9 _ . - with no dot or dash first");
  }
  const core::GroupPlan plan{options.name, options.start, options.overflow.value_or(overflow),
                             options.consumers.value_or(consumers), options.lifetime};
  if (plan.overflow == Overflow::drop_oldest && plan.consumers == ConsumerMode::exclusive) {
    bad_option(
        place,
        "group '" + options.name +
            "': drop-oldest cannot see what an exclusive consumer reads; use shared consumers, or block or reject");
  }
  return plan;
}

std::vector<core::GroupPlan> group_plans(const Place& place, const CreateOptions& options) {
  static const GroupOptions kDefault;
  std::vector<core::GroupPlan> plans;
  for (const GroupOptions& group : options.groups)
    plans.push_back(group_plan(place, group, options.overflow, options.consumers));
  if (plans.empty()) plans.push_back(group_plan(place, kDefault, options.overflow, options.consumers));
  if (plans.size() > options.groups_max) {
    bad_option(place, std::to_string(plans.size()) + " groups are named, but only " +
                          std::to_string(options.groups_max) + " fit");
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (plans[i].name == plans[j].name)
        bad_option(place, "group '" + std::string(plans[i].name) + "' is named twice");
    }
  }
  return plans;
}

Segment::Segment(Place place, os::UniqueFd fd, os::FileId file, const layout::HeaderCopy& header, Access access)
    : place_(std::move(place)),
      fd_(std::move(fd)),
      header_(header),
      mapping_(header.header.control_bytes, header.header.capacity),
      view_(make_view(header, fd_.get(), file)),
      generation_(os::fork_generation()) {
  os::disown_number(fd_.get());
  view_.control = mapping_.map_control(fd_.get(), access == Access::read_write);
  if (IPCQ_ONE_VIEW && access == Access::read_write) {
    writable_ = mapping_.map_data_writable(fd_.get());
    view_.data_writable = writable_;
    view_.data = writable_;
    return;
  }
  // The standing view comes from a descriptor that could not map it writable: a guard against bugs.
  os::UniqueFd read_only = os::reopen(fd_.get(), O_RDONLY);
  view_.data = mapping_.map_data_read_only(read_only ? read_only.get() : fd_.get());
  if (access == Access::read_write) view_.data_dormant = mapping_.map_data_dormant(fd_.get());
}

Segment::~Segment() {
  if (forked()) mapping_.disown();
  // Somebody closed it (closefrom): the number is another's by now.
  if (!is_this_file(fd_.get()) || os::is_life_descriptor(fd_.get())) static_cast<void>(fd_.release());
}

std::shared_ptr<Segment> Segment::map(const Place& place, OpenedFile file, Access access,
                                      const std::vector<uid_t>& trusted_owners) {
  os::watch_forks();
  if (access == Access::read_write && !os::robust_mutexes_work()) {
    detail::fail(
        Errc::no_robust_mutex, place.name, place.path, "robust mutexes do not work in this process",
        "a library may have replaced the thread's robust list (set_robust_list): attach from a program without it");
  }
  const os::FileId id = file_id(file.info);
  try {
    std::shared_ptr<Segment> segment(new Segment(place, std::move(file.fd), id, file.header, access));
    segment->trusted_owners_ = trusted_owners;
    return segment;
  } catch (const std::system_error& error) {
    if (dynamic_cast<const Error*>(&error) != nullptr) throw;
    detail::fail(Errc::system, place.name, place.path, "the segment cannot be mapped",
                 "check the address space limit (ulimit -v)", error.code().value());
  }
}

std::shared_ptr<Segment> Segment::create(const Place& place, const CreateOptions& options) {
  layout::Plan plan = plan_of(place, options);
  const std::vector<core::GroupPlan> groups = group_plans(place, options);
  plan.owner_uid = ::geteuid();
  plan.namespaces = os::own_namespaces();
  plan.created_unix_ns = static_cast<std::uint64_t>(os::unix_ns());
  plan.clock = !options.timestamps                                         ? layout::ClockKind::off
               : core::has(core::Idea::ticks) && os::tsc_is_clock_source() ? layout::ClockKind::tsc
                                                                           : layout::ClockKind::monotonic;
  if (plan.clock == layout::ClockKind::tsc) {
    const os::TickScale scale = os::measure_tsc();
    plan.clock_mult = scale.mult;
    plan.clock_shift = scale.shift;
  }

  std::string temporary;
  OpenedFile file;
  file.fd = make_file(place, layout::segment_bytes(plan), temporary);
  const int fd = file.fd.get();
  const auto give_up = [&](Errc code, const char* what, int error) {
    if (!temporary.empty()) ::unlink(temporary.c_str());
    detail::fail(code, place.name, place.path, what, "see the system's error", error);
  };
  try {
    os::Mapping mapping(layout::control_bytes(plan.endpoints_max, plan.groups_max, plan.ledger_entries), plan.capacity);
    const int error = layout::format(mapping.map_control(fd, true), plan);
    if (error != 0) give_up(Errc::no_robust_mutex, "the segment's mutexes cannot be made", error);
  } catch (const Error&) {
    throw;
  } catch (const std::system_error& error) {
    give_up(Errc::system, "the segment cannot be mapped (the address space limit, ulimit -v?)", error.code().value());
  }
  IPCQ_CRASH_POINT("create.formatted");
  if (::fchmod(fd, options.mode) != 0) give_up(Errc::system, "the file's mode cannot be set", errno);
  if (!options.file_group.empty() && ::fchown(fd, static_cast<uid_t>(-1), group_id(place, options.file_group)) != 0) {
    give_up(errno == EPERM ? Errc::permission_denied : Errc::system,
            "the file cannot be given to the group (be its member)", errno);
  }
  if (::fstat(fd, &file.info) != 0) give_up(Errc::system, "the file cannot be looked at", errno);
  std::array<std::byte, layout::kSideOffset> bytes;
  if (::pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()) ||
      layout::validate(bytes.data(), bytes.size(), layout::segment_bytes(plan), file.header).verdict !=
          layout::Verdict::ok) {
    give_up(Errc::system, "the new segment cannot be read back", errno);
  }
  std::shared_ptr<Segment> segment = map(place, std::move(file), Access::read_write, options.trusted_owners);
  for (const core::GroupPlan& group : groups) {
    core::GroupId id;
    if (core::add_group(segment->view(), group, id) != core::AddGroup::ok)
      give_up(Errc::system, "a group cannot be made", 0);
  }
  set_creators_quota(*segment, QuotaScope::queue(), options.quota);
  set_creators_quota(*segment, QuotaScope::each_producer(), options.producer_quota);
  // The last step makes it visible, whole   (die before → the file goes with its descriptor)
  if (!link_file(place, fd, temporary)) return nullptr;
  IPCQ_CRASH_POINT("create.linked");
  return segment;
}

core::View Segment::writable_view() {
  const std::lock_guard lock(writable_mutex_);
  if (writable_ == nullptr) {
    try {
      const os::UniqueFd again = is_this_file(fd_.get()) ? os::UniqueFd() : open_again();
      writable_ = mapping_.map_data_writable(again ? again.get() : fd_.get());
    } catch (const Error&) {
      throw;
    } catch (const std::system_error& error) {
      fail(Errc::system, "the ring cannot be mapped writable", "check the address space limit (ulimit -v)",
           error.code().value());
    }
  }
  core::View view = view_;
  view.data_writable = writable_;
  return view;
}

void Segment::fail_forked() const {
  fail(Errc::forked, "this handle was inherited through fork()", "open the queue anew in the child");
}

void Segment::check_alive() const {
  check_usable();
  const std::uint32_t flags = view_.frozen().flags.load(std::memory_order_acquire);  // A:flags, with R:flags
  if ((flags & layout::flag::kRemoved) != 0) fail(Errc::removed, "the queue is removed", "create it again");
  if ((flags & layout::flag::kPoisoned) != 0) {
    fail(Errc::poisoned, "a repair met a state it cannot mend", kHowToMend);
  }
}

bool Segment::is_this_file(int fd) const noexcept {
  struct stat info {};
  return fd >= 0 && ::fstat(fd, &info) == 0 && file_id(info) == view_.file;
}

os::UniqueFd Segment::open_again() const {
  os::UniqueFd fd = os::reopen(fd_.get(), O_RDWR);
  if (!is_this_file(fd.get())) {  // no /proc, or somebody closed our descriptor: by name, if that still is this file
    fd.reset(::open(place_.path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!is_this_file(fd.get())) {
      fail(Errc::system, "no descriptor for the queue's file", "raise the limit of open files (ulimit -n)", errno);
    }
  }
  return fd;
}

os::LifeDescriptor Segment::open_life_descriptor() const { return os::LifeDescriptor(open_again()); }

bool Segment::still_named() const noexcept {
  struct stat info {};
  return ::lstat(place_.path.c_str(), &info) == 0 && file_id(info) == view_.file;
}

void Segment::fail(Errc code, std::string_view what, std::string_view to_do, int system_errno) const {
  detail::fail(code, place_.name, place_.path, what, to_do, system_errno);
}

}  // namespace ipcq::detail
