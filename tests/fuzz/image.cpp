#include "image.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "core/exclusive_consumer.hpp"
#include "core/lease.hpp"
#include "core/ledger.hpp"
#include "core/parking.hpp"
#include "core/ring.hpp"
#include "layout/format.hpp"

namespace ipcq::fuzz {
namespace {

using detail::make_head;
using detail::RecordState;

constexpr std::uint32_t kEndpoints = 16;
constexpr std::uint32_t kGroups = 2;
constexpr std::uint32_t kEntries = 8;
// So that the traffic goes over the ring's end.
constexpr std::uint64_t kBegin = 3 * kCapacity - 640;

layout::Plan plan_of(const Shape& shape) {
  layout::Plan plan;
  plan.capacity = kCapacity;
  plan.alignment = shape.alignment;
  plan.endpoints_max = kEndpoints;
  plan.groups_max = kGroups;
  plan.ledger_entries = kEntries;
  plan.producers = static_cast<std::uint8_t>(shape.producers);
  plan.max_deliveries = shape.max_deliveries;
  if (shape.max_deliveries > 0) plan.dead_letter = "dead";
  return plan;
}

os::UniqueFd make_file(std::uint64_t bytes) {
  os::UniqueFd file(::memfd_create("ipcq-fuzz", MFD_CLOEXEC));
  expect(file && ::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0, "no memory for the image");
  return file;
}

std::uint64_t control_bytes_of(const Shape& shape) {
  const layout::Plan plan = plan_of(shape);
  return layout::control_bytes(plan.endpoints_max, plan.groups_max, plan.ledger_entries);
}

constexpr std::uint64_t group_part() { return sizeof(layout::GroupRow) + layout::ledger_bytes(kEntries); }

}  // namespace

Image::Image(const Shape& shape)
    : file_(make_file(layout::segment_bytes(plan_of(shape)))), mapping_(control_bytes_of(shape), kCapacity) {
  core::View view;
  view.control = mapping_.map_control(file_.get(), true);
  expect(layout::format(view.control, plan_of(shape)) == 0, "the image cannot be formatted");
  const layout::Header& header = view.header();
  view.set_ring(kCapacity, shape.alignment);
  view.control_bytes = header.control_bytes;
  view.rows_offset = header.rows_offset;
  view.groups_offset = header.groups_offset;
  view.group_stride = header.group_stride;
  view.life_begin = layout::kLifeBegin;
  view.endpoints_max = kEndpoints;
  view.groups_max = kGroups;
  view.ledger_entries = kEntries;
  view.producers = shape.producers;
  view.max_deliveries = shape.max_deliveries;
  view.data = mapping_.map_data_read_only(file_.get());
  view.data_dormant = mapping_.map_data_dormant(file_.get());
  consumer_ = view;
  producer_ = view;
  producer_.data_writable = mapping_.map_data_writable(file_.get());

  core::ProducerState producer;
  producer.owner = attach(row::kProducer, layout::RowKind::producer);
  producer.position = kBegin;
  view.side().claim.claim_position.store(kBegin);
  view.side().close.exclusive_owner.store(shape.producers == ProducerMode::exclusive ? producer.owner : 0);
  expect(core::add_group(producer_, {.name = "shared", .start = Start::newest}, shared_) == core::AddGroup::ok &&
             core::add_group(producer_, {.name = "alone", .start = Start::newest, .consumers = ConsumerMode::exclusive},
                             exclusive_) == core::AddGroup::ok,
         "the image's groups cannot be added");
  fill(producer);
  editor_.emplace(producer_, shared_.row, positions_);
  sound_control_.assign(view.control, view.control + view.control_bytes);
  sound_data_.assign(producer_.data_writable, producer_.data_writable + kCapacity);
}

core::Owner Image::attach(std::uint32_t number, layout::RowKind kind, core::GroupId group) noexcept {
  auto& row = producer_.row(number);
  row.incarnation.store(number + 1);
  row.kind.store(static_cast<std::uint32_t>(kind));
  row.group.store(group.row);
  row.group_incarnation.store(group.incarnation);
  row.open_claim.store(core::kNoPosition);
  row.state.store(static_cast<std::uint32_t>(layout::RowState::attached));
  return core::make_owner(number, number + 1);
}

void Image::end(std::uint32_t number) noexcept {
  producer_.row(number).state.store(static_cast<std::uint32_t>(layout::RowState::free));
}

core::Owner Image::owner(std::uint32_t number) const noexcept { return core::make_owner(number, number + 1); }

void Image::send(core::ProducerState& producer, std::uint64_t bytes) {
  const std::uint64_t need = detail::record_bytes(bytes, producer_.alignment);
  core::ClaimTaken taken;
  expect(core::claim(producer_, producer, need, 0, taken) == Outcome::ok, "no claim in the image");
  positions_.push_back(taken.position);
  std::memset(producer_.data_writable + (taken.position & producer_.mask) + producer_.alignment, 'x',
              static_cast<std::size_t>(bytes));
  expect(core::commit(producer_, producer, taken.position, need, need, make_head(RecordState::committed, bytes, 7)) ==
             Outcome::ok,
         "no commit in the image");
}

// In the shared group: a range of a dead consumer, a leased one, one given back, one done; unread messages, a skipped
// record, a claim of a dead producer with messages behind it. In the exclusive group: a consumer that died with a lease.
void Image::fill(core::ProducerState& producer) {
  for (const std::uint64_t bytes : {0U, 8U, 100U, 24U, 200U, 1U, 64U, 500U, 16U}) send(producer, bytes);
  const bool shared = !producer_.exclusive();
  if (shared) {
    core::ClaimTaken taken;
    expect(core::claim(producer_, producer, 256, 0, taken) == Outcome::ok &&
               core::abort(producer_, producer, taken.position, 256) == Outcome::ok,
           "no abort in the image");
    positions_.push_back(taken.position);
    send(producer, 40);
    core::ProducerState dead;
    dead.owner = attach(row::kDeadProducer, layout::RowKind::producer);
    expect(core::claim(producer_, dead, 128, 0, taken) == Outcome::ok, "no claim of the dead in the image");
    positions_.push_back(taken.position);
    end(row::kDeadProducer);
    send(producer, 80);
  }
  send(producer, 10);
  positions_.push_back(producer_.side().claim.claim_position.load());

  const core::Owner dead = attach(row::kDeadConsumer, layout::RowKind::consumer, shared_);
  const core::Owner other = attach(row::kOther, layout::RowKind::consumer, shared_);
  attach(row::kConsumer, layout::RowKind::consumer, shared_);
  const auto lease = [&](core::Owner owner, std::uint32_t messages) {
    const core::LeaseTaken taken =
        core::lease(consumer_, shared_.row, shared_.incarnation, owner, {.max_messages = messages}, 0);
    expect(taken.step == core::LeaseStep::leased, "no lease in the image");
    return taken;
  };
  lease(dead, 2);
  lease(other, 1);
  const core::LeaseTaken back = lease(other, 2);
  const core::LeaseTaken done = lease(other, 1);
  expect(core::requeue(consumer_, shared_.row, back.entry, back.word) == Outcome::ok &&
             core::ack(consumer_, shared_.row, shared_.incarnation, done.entry, done.word) == Outcome::ok,
         "no ack in the image");
  if (producer_.max_deliveries > 0) {
    core::LeaseTaken parked = lease(other, 1);
    parked.word =
        core::make_word(core::EntryState::leased, producer_.max_deliveries, core::word_sequence(parked.word), other);
    producer_.entries(shared_.row)[parked.entry].word.store(parked.word);
    expect(core::park(consumer_, shared_.row, parked, core::Parked::full) == Outcome::ok,
           "nothing parked in the image");
  }
  end(row::kDeadConsumer);

  core::ExclusiveState state;
  core::Owner holder = 0;
  state.owner = attach(row::kExclusive, layout::RowKind::consumer, exclusive_);
  expect(
      core::join_exclusive(consumer_, exclusive_.row, exclusive_.incarnation, state, holder) == core::Join::ok &&
          core::lease_exclusive(consumer_, exclusive_.row, exclusive_.incarnation, state, {.max_messages = 3}, true).step ==
              core::LeaseStep::leased,
      "no exclusive lease in the image");
  end(row::kExclusive);
  attach(row::kSuccessor, layout::RowKind::consumer, exclusive_);
}

void Image::restore() noexcept {
  if (editor_->rare) {
    std::memcpy(producer_.control, sound_control_.data(), sound_control_.size());
  } else {
    // Histograms and quotas are most of the control area, and nothing here but a rare edit writes there.
    std::memcpy(producer_.control, sound_control_.data(), producer_.groups_offset);
    for (std::uint32_t i = 0; i < kGroups; ++i) {
      const std::uint64_t at = producer_.groups_offset + i * producer_.group_stride;
      std::memcpy(producer_.control + at, sound_control_.data() + at, group_part());
    }
  }
  std::memcpy(producer_.data_writable, sound_data_.data(), kCapacity);
  editor_->rare = false;
}

void Image::expect_unlocked() const noexcept {
  for (std::uint32_t i = 0; i < editor_->mutexes(); ++i) {
    expect(editor_->mutex(i).holder() == 0, "a call returned with a mutex held");
  }
}

Image& image_for(const Step& step) {
  static Image shared({});
  static Image aligned({.alignment = 64, .max_deliveries = 3});
  static Image exclusive({.producers = ProducerMode::exclusive});
  return step.where % 3 == 0 ? shared : step.where % 3 == 1 ? aligned : exclusive;
}

}  // namespace ipcq::fuzz
