#include "api/dead_letter.hpp"

#include <algorithm>
#include <cstring>

#include "api/producer_impl.hpp"
#include "core/closing.hpp"
#include "core/crash_point.hpp"
#include "core/ring.hpp"
#include "ipcq/dead_letter.hpp"
#include "layout/dead_letter.hpp"

namespace ipcq {
namespace detail {
namespace {

core::Parked why_of(Errc code) noexcept {
  switch (code) {
    case Errc::no_such_queue:
    case Errc::removed:
      return core::Parked::missing;
    case Errc::permission_denied:
    case Errc::untrusted_owner:
      return core::Parked::not_writable;
    case Errc::too_big:
      return core::Parked::too_big;
    case Errc::closed:
      return core::Parked::closed;
    case Errc::too_many_endpoints:
    case Errc::in_use:
      return core::Parked::refused;
    case Errc::timed_out:
      return core::Parked::full;
    default:
      return core::Parked::unusable;
  }
}

core::Parked why_of(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::ok:
      return core::Parked::no;
    case Outcome::closed:
      return core::Parked::closed;
    case Outcome::removed:
      return core::Parked::missing;
    case Outcome::full:
    case Outcome::blocked:
    case Outcome::over_quota:
      return core::Parked::full;
    case Outcome::revoked:
      return core::Parked::refused;
    default:
      return core::Parked::unusable;
  }
}

void copy_name(char (&to)[layout::kNameBytes], std::string_view name) noexcept {
  std::memcpy(to, name.data(), std::min(name.size(), layout::kNameBytes - 1));
}

}  // namespace

void DeadLetters::open() {
  if (target_ != nullptr && target_->still_named()) return;
  target_.reset();
  // The name comes from the segment: its grammar is checked like a user's.
  const Place place = place_of(origin_.header().header.dead_letter, origin_.place().directory);
  OpenedFile file = open_file(place, Access::read_write, Depth::whole, origin_.trusted_owners());
  auto target = Segment::map(place, std::move(file), Access::read_write, origin_.trusted_owners());
  if (target->view().file == origin_.view().file) {
    origin_.fail(Errc::invalid_option, "it is its own dead-letter queue", "create it anew with another");
  }
  target_ = std::move(target);
}

void DeadLetters::copy_record(ProducerImpl& producer, core::GroupId group, const core::LeaseTaken& taken,
                              std::uint64_t position, std::uint64_t head, core::Parked& why) const {
  const core::View& view = origin_.view();
  const core::View& target = target_->view();
  const detail::RecordHeader& record = core::record_at(view, position);
  const std::uint64_t length = detail::head_length(head);
  const std::uint64_t time = record.time.load(std::memory_order_relaxed);  // relaxed: ordered by the head's acquire
  const auto now = static_cast<std::uint64_t>(os::unix_ns());

  layout::DeadLetterOrigin origin{};
  origin.version = layout::kDeadLetterVersion;
  origin.payload_offset = static_cast<std::uint32_t>(layout::round_up(sizeof origin, target.alignment));
  origin.position = position;
  origin.queue_created_unix_ns = origin_.header().created_unix_ns;
  origin.sent_unix_ns = time == 0 ? 0 : now - view.stamp_difference_ns(time, view.stamp());
  origin.moved_unix_ns = now;
  origin.deliveries = taken.deliveries;
  origin.tag = detail::head_tag(head);
  origin.flags = detail::head_flags(head);
  copy_name(origin.queue, origin_.place().name);
  copy_name(origin.group, core::GroupName(view.group(group.row)).view());

  Claim claim = producer.claim(Room::equal(1, origin.payload_offset + length), ipcq::now);
  why = why_of(claim.outcome());
  if (!claim) return;
  const std::span<std::byte> bytes = claim.append(origin.payload_offset + length, origin.tag);
  std::memset(bytes.data(), 0, origin.payload_offset);
  std::memcpy(bytes.data(), &origin, sizeof origin);
  if (length > 0)
    std::memcpy(bytes.data() + origin.payload_offset, view.data + (position & view.mask) + view.alignment, length);
  producer.mark(claim, layout::kFlagDeadLetter);
  why = why_of(claim.commit());
}

core::Parked DeadLetters::copy(core::GroupId group, const core::LeaseTaken& taken) noexcept {
  try {
    open();
    target_->check_alive();
    if (core::is_closed(target_->view())) return core::Parked::closed;
    ProducerImpl producer(target_, {.wait = WaitStrategy::sleep}, ProducerImpl::Use::dead_letters);
    const core::View& view = origin_.view();
    const LentReads::Loan loan(origin_.lent_reads(), view.data, view.capacity, taken.begin, taken.end - taken.begin);
    for (std::uint64_t at = taken.begin; at < taken.end;) {
      const std::uint64_t head = core::load_head(view, at);  // A:publish
      const std::uint64_t span = core::span_of(view, head);
      if (span == 0 || span > taken.end - at) return core::Parked::unusable;  // damaged
      core::Parked why = core::Parked::no;
      if (detail::head_state(head) == core::RecordState::committed) copy_record(producer, group, taken, at, head, why);
      // A range of several may be copied in part: all of it is then copied again.
      if (why != core::Parked::no) return why;
      at += span;
    }
    return core::Parked::no;
  } catch (const Error& error) {
    return why_of(error.errc());
  } catch (const std::exception&) {  // no memory
    return core::Parked::unusable;
  }
}

void DeadLetters::move(core::GroupId group, const core::LeaseTaken& taken) noexcept {
  const core::View& view = origin_.view();
  const core::Parked why = copy(group, taken);
  IPCQ_CRASH_POINT("dead.copied");  // die here → a lease of a dead owner: copied again
  if (why == core::Parked::no) {
    core::finish_dead_letter(view, group.row, group.incarnation, taken);
  } else {
    core::park(view, group.row, taken, why);
  }
}

void DeadLetters::move_exclusive(core::GroupId group, core::ExclusiveState& state,
                                 const core::LeaseTaken& taken) noexcept {
  const core::View& view = origin_.view();
  const core::Parked why = copy(group, taken);
  IPCQ_CRASH_POINT("dead.copied");  // die here → the successor copies it again
  if (why == core::Parked::no) {
    core::finish_dead_letter_exclusive(view, group.row, state, taken);
  } else {
    core::park_exclusive(view, group.row, state, why);
  }
}

}  // namespace detail

std::optional<DeadLetter> dead_letter(const Message& message) noexcept {
  if ((message.flags & layout::kFlagDeadLetter) == 0) return std::nullopt;
  const std::span<const std::byte> bytes = message.payload;
  // Copied once: a hostile writer may change it under us.
  layout::DeadLetterOrigin origin;
  if (bytes.size() < sizeof origin) return std::nullopt;
  std::memcpy(&origin, bytes.data(), sizeof origin);
  if (origin.version != layout::kDeadLetterVersion || origin.payload_offset < sizeof origin ||
      origin.payload_offset > bytes.size()) {
    return std::nullopt;
  }
  const auto name = [&](const char(&text)[layout::kNameBytes], std::size_t offset) {
    const auto* in_place = reinterpret_cast<const char*>(bytes.data()) + offset;
    return std::string_view(in_place, ::strnlen(text, sizeof text));
  };
  DeadLetter letter;
  letter.queue = name(origin.queue, offsetof(layout::DeadLetterOrigin, queue));
  letter.group = name(origin.group, offsetof(layout::DeadLetterOrigin, group));
  letter.position = origin.position;
  letter.queue_created_unix_ns = origin.queue_created_unix_ns;
  letter.sent_unix_ns = origin.sent_unix_ns;
  letter.moved_unix_ns = origin.moved_unix_ns;
  letter.deliveries = origin.deliveries;
  letter.tag = origin.tag;
  letter.payload = bytes.subspan(origin.payload_offset);
  letter.inner = {letter.payload, message.time, origin.position, origin.tag, origin.flags};
  return letter;
}

}  // namespace ipcq
