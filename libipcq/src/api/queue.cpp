#include "ipcq/queue.hpp"

#include <utility>

#include "api/consumer_impl.hpp"
#include "api/inspection.hpp"
#include "api/names.hpp"
#include "api/producer_impl.hpp"
#include "api/segment.hpp"
#include "core/closing.hpp"
#include "core/groups.hpp"
#include "core/ledger.hpp"
#include "core/purge.hpp"
#include "ipcq/admin.hpp"

namespace ipcq {
namespace {

using detail::Segment;

constexpr int kOpenOrCreateTries = 20;

void check_header_layout(std::uint32_t header_layout) {
  if (header_layout == detail::kLayoutVersion) return;
  throw Error(Errc::other_layout, "this program was compiled with ipcq headers of layout " +
                                      std::to_string(header_layout) + ", the library has layout " +
                                      std::to_string(detail::kLayoutVersion) + "; compile it again");
}

[[noreturn]] void fail_exists(const detail::Place& place) {
  detail::fail(Errc::exists, place.name, place.path, "the name is taken",
               "open it, or remove it first: ipcq rm " + place.name);
}

OpenOptions open_options(const CreateOptions& options) { return {options.directory, options.trusted_owners}; }

// The promises of an existing queue against those asked for. Throws Error{incompatible}.
void check_promises(const Segment& segment, const CreateOptions& options) {
  const layout::Header& header = segment.header().header;
  const auto differ = [&](const std::string& what, const std::string& theirs, const std::string& ours) {
    if (theirs == ours) return;
    segment.fail(Errc::incompatible, what + " is " + theirs + " there, " + ours + " was asked for",
                 "ask for what is there, or recreate it");
  };
  differ("the producers' mode", to_string(static_cast<ProducerMode>(header.producers)), to_string(options.producers));
  differ("the alignment", std::to_string(header.alignment), std::to_string(options.alignment_bytes));
  differ("the type", "'" + std::string(header.type) + "'", "'" + options.type + "'");
  for (const core::GroupPlan& plan : detail::group_plans(segment.place(), options)) {
    core::GroupId id;
    if (!core::find_group(segment.view(), plan.name, id)) continue;
    const ConsumerMode theirs =
        core::is_exclusive_group(segment.view(), id.row) ? ConsumerMode::exclusive : ConsumerMode::shared;
    differ("the consumers' mode of group '" + std::string(plan.name) + "'", to_string(theirs), to_string(plan.consumers));
  }
}

core::GroupId group_of(const Segment& segment, const std::string& name) {
  core::GroupId id;
  if (!core::find_group(segment.view(), name, id)) {
    segment.fail(Errc::no_such_group, "there is no group '" + name + "'",
                 "add it (ipcq group add " + segment.place().name + " " + name + "), or attach with create_group");
  }
  return id;
}

core::GroupId make_group(const Segment& segment, const GroupOptions& options, bool may_exist) {
  const layout::Header& header = segment.header().header;
  const core::GroupPlan plan = detail::group_plan(segment.place(), options, static_cast<Overflow>(header.overflow),
                                                  static_cast<ConsumerMode>(header.consumers));
  core::GroupId id;
  switch (core::add_group(segment.view(), plan, id)) {
    case core::AddGroup::ok:
      break;
    case core::AddGroup::exists:
      if (!may_exist)
        segment.fail(Errc::group_exists, "group '" + options.name + "' exists", "use it, or remove it first");
      break;
    case core::AddGroup::full:
      segment.fail(Errc::too_many_groups, "all " + std::to_string(segment.view().groups_max) + " groups are taken",
                   "remove one (ipcq group rm), or create the queue with more (--groups-max)");
    case core::AddGroup::timed_out:
      segment.fail(Errc::timed_out, "a stopped process holds the producer side", "let it continue, or end it");
    case core::AddGroup::poisoned:
      segment.fail(Errc::poisoned, "a repair met a state it cannot mend", detail::kHowToMend);
  }
  return id;
}

[[noreturn]] void fail_to_purge(const Segment& segment, const std::string& group, core::Purged why,
                                std::uint64_t messages, core::Owner holder) {
  const std::string so_far = messages == 0 ? "" : " (" + std::to_string(messages) + " messages were purged)";
  switch (why) {
    case core::Purged::ok:
    case core::Purged::no_such_group:
      break;
    case core::Purged::has_member:
      segment.fail(Errc::in_use,
                   "group '" + group + "' has a living member: " + detail::process_text(segment.view(), holder),
                   "end it first, or force");
    case core::Purged::in_use:
      segment.fail(Errc::in_use,
                   "the exclusive consumer of group '" + group +
                       "' lives: " + detail::process_text(segment.view(), holder) + so_far,
                   "end it first");
    case core::Purged::too_many_leases:
      segment.fail(Errc::in_use, "so many leases are open in group '" + group + "' that no more can be purged" + so_far,
                   "let its members finish some");
    case core::Purged::timed_out:
      segment.fail(Errc::timed_out, "a stopped process holds group '" + group + "'" + so_far,
                   "let it continue, or end it");
    case core::Purged::poisoned:
      segment.fail(Errc::poisoned, "a repair met a state it cannot mend" + so_far, detail::kHowToMend);
    case core::Purged::damaged:
      segment.fail(Errc::damaged, "group '" + group + "' is in a state that cannot be" + so_far, detail::kHowToMend);
  }
  segment.fail(Errc::no_such_group, "there is no group '" + group + "'" + so_far, "");
}

}  // namespace

Queue::Queue(std::shared_ptr<Segment> segment, bool created) noexcept
    : segment_(std::move(segment)), created_(created) {}

Queue Queue::create_checked(std::string_view name, const CreateOptions& options, std::uint32_t header_layout) {
  check_header_layout(header_layout);
  const detail::Place place = detail::place_of(name, options.directory);
  std::shared_ptr<Segment> segment = Segment::create(place, options);
  if (segment == nullptr) {
    // Taken; but perhaps by a queue whose remover died half way: opening finishes that.
    try {
      (void)detail::open_file(place, detail::Access::read_write, detail::Depth::frozen, options.trusted_owners);
    } catch (const Error& error) {
      if (error.errc() == Errc::no_such_queue) segment = Segment::create(place, options);
    }
  }
  if (segment == nullptr) fail_exists(place);
  return Queue(std::move(segment), true);
}

Queue Queue::open_checked(std::string_view name, const OpenOptions& options, std::uint32_t header_layout) {
  check_header_layout(header_layout);
  const detail::Place place = detail::place_of(name, options.directory);
  detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_write, detail::Depth::whole, options.trusted_owners);
  return Queue(Segment::map(place, std::move(file), detail::Access::read_write, options.trusted_owners), false);
}

Queue Queue::open_or_create_checked(std::string_view name, const CreateOptions& options, std::uint32_t header_layout) {
  check_header_layout(header_layout);
  const detail::Place place = detail::place_of(name, options.directory);
  (void)detail::plan_of(place, options);  // bad options are an error also where the queue exists
  for (int attempt = 0; attempt < kOpenOrCreateTries; ++attempt) {
    try {
      Queue queue = open_checked(name, open_options(options), header_layout);
      check_promises(*queue.segment_, options);
      return queue;
    } catch (const Error& error) {
      if (error.errc() != Errc::no_such_queue) throw;
    }
    std::shared_ptr<Segment> segment = Segment::create(place, options);
    if (segment != nullptr) return Queue(std::move(segment), true);
    // Somebody else created it meanwhile: open that one.
  }
  fail_exists(place);
}

Producer Queue::producer(const ProducerOptions& options) const {
  segment_->check_alive();
  if (core::is_closed(segment_->view())) {
    core::finish_close(segment_->view());
    segment_->fail(Errc::closed, "the queue is closed: no new messages", "reopen it: ipcq close --reopen " + name());
  }
  return Producer(new detail::ProducerImpl(segment_, options));
}

Consumer Queue::consumer(const ConsumerOptions& options) const {
  segment_->check_alive();
  if (!options.create_group)
    return Consumer(new detail::ConsumerImpl(segment_, options, group_of(*segment_, options.group)));
  GroupOptions made = *options.create_group;
  made.name = options.group;
  for (int attempt = 0;; ++attempt) {
    try {
      return Consumer(new detail::ConsumerImpl(segment_, options, make_group(*segment_, made, true)));
    } catch (const Error& error) {
      // An ephemeral group may go between our making it and our joining it: somebody else's last member left.
      if (error.errc() != Errc::no_such_group || attempt == kOpenOrCreateTries) throw;
    }
  }
}

Consumer Queue::consumer(std::string_view group) const {
  ConsumerOptions options;
  options.group = std::string(group);
  return consumer(options);
}

void Queue::add_group(const GroupOptions& options) const {
  segment_->check_alive();
  (void)make_group(*segment_, options, false);
}

void Queue::remove_group(std::string_view group, bool force) const {
  segment_->check_alive();
  const std::string name(group);
  const core::GroupId id = group_of(*segment_, name);
  std::uint32_t holder = 0;
  switch (core::remove_group(segment_->view(), id, force, holder)) {
    case core::RemoveGroup::ok:
      return;
    case core::RemoveGroup::no_such_group:
      segment_->fail(Errc::no_such_group, "there is no group '" + name + "'", "");
    case core::RemoveGroup::last:
      segment_->fail(Errc::last_group, "'" + name + "' is its last group",
                     "remove the queue, or add another group first");
    case core::RemoveGroup::has_member:
      segment_->fail(Errc::in_use,
                     "group '" + name + "' has a living member: " + detail::process_text(segment_->view(), holder),
                     "end it first, or force");
    case core::RemoveGroup::has_lease:
      segment_->fail(Errc::in_use,
                     "group '" + name +
                         "' has a living lease or exclusive consumer: " + detail::process_text(segment_->view(), holder),
                     "let it finish first");
    case core::RemoveGroup::has_parked:
      segment_->fail(Errc::in_use, "messages are parked in group '" + name + "'",
                     "make room in the dead-letter queue, purge them (ipcq purge --parked), or force");
    case core::RemoveGroup::timed_out:
      segment_->fail(Errc::timed_out, "a stopped process holds group '" + name + "'", "let it continue, or end it");
    case core::RemoveGroup::poisoned:
      segment_->fail(Errc::poisoned, "a repair met a state it cannot mend", detail::kHowToMend);
  }
}

std::uint64_t Queue::purge_parked(std::string_view group) const {
  segment_->check_alive();
  const std::string name(group);
  std::uint64_t messages = 0;
  core::Owner holder = 0;
  const core::Purged purged = core::purge_parked(segment_->view(), group_of(*segment_, name), messages, holder);
  if (purged != core::Purged::ok) fail_to_purge(*segment_, name, purged, messages, holder);
  return messages;
}

std::uint64_t Queue::purge(std::string_view group, bool force) const {
  segment_->check_alive();
  const std::string name(group);
  std::uint64_t messages = 0;
  core::Owner holder = 0;
  const core::Purged purged = core::purge(segment_->view(), group_of(*segment_, name), force, messages, holder);
  if (purged != core::Purged::ok) fail_to_purge(*segment_, name, purged, messages, holder);
  return messages;
}

void Queue::close() const {
  segment_->check_alive();
  core::close(segment_->view());
}

void Queue::reopen() const {
  segment_->check_alive();
  if (!core::reopen(segment_->view())) {
    segment_->fail(Errc::timed_out, "a stopped process holds the producer side", "let it continue, or end it");
  }
}

bool Queue::closed() const {
  segment_->check_usable();
  return core::is_closed(segment_->view());
}

QueueInfo Queue::inspect() const {
  segment_->check_usable();
  return detail::inspect_segment(*segment_);
}

const std::string& Queue::name() const noexcept { return segment_->place().name; }
const std::string& Queue::path() const noexcept { return segment_->place().path; }
std::size_t Queue::capacity_bytes() const noexcept { return segment_->view().capacity; }
std::size_t Queue::message_bytes_max() const noexcept { return segment_->view().message_bytes_max; }
bool Queue::created() const noexcept { return created_; }

}  // namespace ipcq
