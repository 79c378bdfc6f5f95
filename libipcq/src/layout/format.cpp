#include "layout/format.hpp"

#include <bit>
#include <cstring>
#include <new>

#include "os/mapping.hpp"

namespace ipcq::layout {
namespace {

constexpr std::size_t kHeaderBytes = kHeaderOffset + sizeof(Header);

// FNV-1a over the sizes that the format is made of: a build with other structs refuses the segment.
constexpr std::uint64_t struct_hash() noexcept {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const std::uint64_t size :
       {sizeof(FrozenHeader), sizeof(Header), sizeof(Side), sizeof(EndpointRow), sizeof(GroupRow), sizeof(LedgerEntry),
        sizeof(Histograms), sizeof(QuotaBucket), kCacheLine, sizeof(detail::RecordHeader)}) {
    hash = (hash ^ size) * 1099511628211ULL;
  }
  return hash;
}

}  // namespace

std::uint64_t control_bytes(std::uint32_t endpoints_max, std::uint32_t groups_max, std::uint32_t ledger_entries) noexcept {
  const std::uint64_t bytes = kRowsOffset + std::uint64_t{endpoints_max} * sizeof(EndpointRow) +
                              std::uint64_t{groups_max} * group_bytes(ledger_entries) +
                              (1 + std::uint64_t{kUidBuckets} + endpoints_max) * sizeof(QuotaBucket);
  return round_up(bytes, os::page_bytes());
}

std::uint64_t segment_bytes(const Plan& plan) noexcept {
  return control_bytes(plan.endpoints_max, plan.groups_max, plan.ledger_entries) + plan.capacity;
}

Fingerprint own_fingerprint() noexcept {
  Fingerprint print{};
  print.byte_order = 0x01020304;
  print.word_bytes = sizeof(void*);
  print.cache_line = kCacheLine;
  print.page_bytes = static_cast<std::uint32_t>(os::page_bytes());
  print.mutex_bytes = sizeof(os::RobustMutex);
  print.structs = struct_hash();
  std::strncpy(print.c_library, "glibc", sizeof print.c_library - 1);
  return print;
}

int format(std::byte* control, const Plan& plan) noexcept {
  auto* frozen = new (control) FrozenHeader{};
  std::memcpy(frozen->magic, kMagic, sizeof kMagic);
  frozen->layout_version = kLayoutVersion;
  frozen->segment_bytes = segment_bytes(plan);
  frozen->life_begin = kLifeBegin;
  frozen->life_count = plan.endpoints_max;
  frozen->owner_uid = plan.owner_uid;
  frozen->pid_namespace_dev = plan.namespaces.pid.dev;
  frozen->pid_namespace_ino = plan.namespaces.pid.ino;
  frozen->time_namespace_dev = plan.namespaces.time.dev;
  frozen->time_namespace_ino = plan.namespaces.time.ino;
  frozen->created_unix_ns = plan.created_unix_ns;

  auto* header = new (control + kHeaderOffset) Header{};
  header->fingerprint = own_fingerprint();
  header->capacity = plan.capacity;
  header->control_bytes = control_bytes(plan.endpoints_max, plan.groups_max, plan.ledger_entries);
  header->rows_offset = kRowsOffset;
  header->groups_offset = kRowsOffset + std::uint64_t{plan.endpoints_max} * sizeof(EndpointRow);
  header->group_stride = group_bytes(plan.ledger_entries);
  header->quota_offset = header->groups_offset + std::uint64_t{plan.groups_max} * header->group_stride;
  header->clock_mult = plan.clock_mult;
  header->clock_shift = plan.clock_shift;
  header->alignment = plan.alignment;
  header->endpoints_max = plan.endpoints_max;
  header->groups_max = plan.groups_max;
  header->ledger_entries = plan.ledger_entries;
  header->uid_buckets = kUidBuckets;
  header->producers = plan.producers;
  header->consumers = plan.consumers;
  header->overflow = plan.overflow;
  header->metrics = plan.metrics ? 1 : 0;
  header->clock = plan.clock;
  std::strncpy(header->type, plan.type.c_str(), kTypeBytes - 1);
  header->max_deliveries = plan.max_deliveries;
  header->drop_after = plan.drop_after ? 1 : 0;
  header->lifetime = plan.lifetime;
  header->grace_s = plan.grace_s;
  std::strncpy(header->dead_letter, plan.dead_letter.c_str(), kNameBytes - 1);

  auto* side = new (control + kSideOffset) Side{};
  side->close.closed_at.store(kNoPosition, std::memory_order_relaxed);
  if (const int error = side->producer_lock.mutex.init(); error != 0) return error;
  if (const int error = side->table_lock.mutex.init(); error != 0) return error;
  for (std::uint32_t i = 0; i < plan.endpoints_max; ++i) {
    auto* row = new (control + header->rows_offset + i * sizeof(EndpointRow)) EndpointRow{};
    row->open_claim.store(kNoPosition, std::memory_order_relaxed);
  }
  for (std::uint32_t i = 0; i < plan.groups_max; ++i) {
    auto* row = new (control + header->groups_offset + i * header->group_stride) GroupRow{};
    if (const int error = row->mutex.init(); error != 0) return error;
  }
  return 0;
}

Validation validate(const std::byte* bytes, std::size_t available, std::uint64_t file_bytes, HeaderCopy& copy) noexcept {
  if (file_bytes == 0) return {Verdict::not_a_queue, "the file is empty"};
  if (available < sizeof(FrozenHeader)) return {Verdict::not_a_queue, "the file is too short to be a queue"};
  // The caller's buffer is private: nothing changes under us from here on.
  if (std::memcmp(bytes, kMagic, sizeof kMagic) != 0)
    return {Verdict::not_a_queue, "the file does not begin as a queue does"};
  const auto u32 = [&](std::size_t offset) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes + offset, sizeof value);
    return value;
  };
  const auto u64 = [&](std::size_t offset) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes + offset, sizeof value);
    return value;
  };
  copy.layout_version = u32(offsetof(FrozenHeader, layout_version));
  copy.flags = u32(offsetof(FrozenHeader, flags));
  copy.segment_bytes = u64(offsetof(FrozenHeader, segment_bytes));
  copy.life_begin = u64(offsetof(FrozenHeader, life_begin));
  copy.life_count = u32(offsetof(FrozenHeader, life_count));
  copy.owner_uid = u32(offsetof(FrozenHeader, owner_uid));
  copy.namespaces.pid = {u64(offsetof(FrozenHeader, pid_namespace_dev)), u64(offsetof(FrozenHeader, pid_namespace_ino))};
  copy.namespaces.time = {u64(offsetof(FrozenHeader, time_namespace_dev)),
                          u64(offsetof(FrozenHeader, time_namespace_ino))};
  copy.created_unix_ns = u64(offsetof(FrozenHeader, created_unix_ns));
  if (file_bytes < copy.segment_bytes)
    return {Verdict::not_a_queue, "the file is shorter than its header says: it was cut",
            offsetof(FrozenHeader, segment_bytes)};
  if (file_bytes > copy.segment_bytes)
    return {Verdict::damaged, "the file is longer than its header says", offsetof(FrozenHeader, segment_bytes)};
  if (copy.life_begin == 0 || copy.life_begin > (std::uint64_t{1} << 62) || copy.life_count == 0 ||
      copy.life_count > 65536) {
    return {Verdict::damaged, "the place of the life locks is out of range", offsetof(FrozenHeader, life_begin)};
  }
  if (copy.layout_version != kLayoutVersion)
    return {Verdict::other_layout, "it was made by a version with another layout",
            offsetof(FrozenHeader, layout_version)};
  if (available < kHeaderBytes) return {Verdict::not_a_queue, "the file is too short to be a queue"};
  std::memcpy(static_cast<void*>(&copy.header), bytes + kHeaderOffset, sizeof(Header));

  const Header& header = copy.header;
  const Fingerprint own = own_fingerprint();
  if (std::memcmp(&header.fingerprint, &own, sizeof own) != 0) {
    return {Verdict::other_machine, "byte order, word size, page size or C library differ", kHeaderOffset};
  }
  if (!std::has_single_bit(header.capacity) || header.capacity < 65536 || header.capacity > kCapacityMax) {
    return {Verdict::damaged, "the capacity is out of range", kHeaderOffset + offsetof(Header, capacity)};
  }
  if (header.endpoints_max < 2 || header.endpoints_max > 255 || header.groups_max < 1 || header.groups_max > 64 ||
      header.ledger_entries < 4 || header.ledger_entries > 4096 || header.uid_buckets != kUidBuckets ||
      copy.life_count != header.endpoints_max) {
    return {Verdict::damaged, "the size of a table is out of range", kHeaderOffset + offsetof(Header, endpoints_max)};
  }
  if (!std::has_single_bit(header.alignment) || header.alignment < 16 || header.alignment > 4096) {
    return {Verdict::damaged, "the alignment is out of range", kHeaderOffset + offsetof(Header, alignment)};
  }
  const std::uint64_t control = control_bytes(header.endpoints_max, header.groups_max, header.ledger_entries);
  if (header.control_bytes != control || copy.segment_bytes != control + header.capacity ||
      header.rows_offset != kRowsOffset ||
      header.groups_offset != kRowsOffset + std::uint64_t{header.endpoints_max} * sizeof(EndpointRow) ||
      header.group_stride != group_bytes(header.ledger_entries) ||
      header.quota_offset != header.groups_offset + std::uint64_t{header.groups_max} * header.group_stride) {
    return {Verdict::damaged, "the places of the tables contradict their sizes",
            kHeaderOffset + offsetof(Header, control_bytes)};
  }
  if (header.producers > 1 || header.consumers > 1 || header.overflow > 2 ||
      static_cast<std::uint8_t>(header.clock) > 2 || header.clock_shift > 63 || header.clock_mult == 0) {
    return {Verdict::damaged, "an option is out of range", kHeaderOffset + offsetof(Header, producers)};
  }
  const bool dead_letter_ends = std::memchr(header.dead_letter, '\0', kNameBytes) != nullptr;
  if (header.max_deliveries > kMaxDeliveriesMax || header.drop_after > 1 || !dead_letter_ends ||
      (header.max_deliveries != 0) != (header.drop_after != 0 || header.dead_letter[0] != '\0')) {
    return {Verdict::damaged, "what becomes of messages past max_deliveries is out of range",
            kHeaderOffset + offsetof(Header, max_deliveries)};
  }
  if (std::memchr(header.type, '\0', kTypeBytes) == nullptr)
    return {Verdict::damaged, "the type's name has no end", kHeaderOffset + offsetof(Header, type)};
  return {};
}

}  // namespace ipcq::layout
