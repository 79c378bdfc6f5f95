// The segment's bytes: every struct that processes share, with each offset and size asserted as a literal.
// docs/layout.md shows the same numbers and is checked against this file by a test.
//
//   file:  [control area, whole pages][data area = capacity]
//   control area:  FrozenHeader | Header | Side | EndpointRow × endpoints_max | (GroupRow, Ledger, histograms) × groups_max | QuotaBucket × …
//
// Shared atomics are declared here and operated on in core/ only. No pointer lives here but glibc's own in its mutexes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ipcq/detail/record.hpp"
#include "os/robust_mutex.hpp"

namespace ipcq::layout {

inline constexpr std::size_t kCacheLine = 64;  // part of the format; not what the compiler thinks the machine has
inline constexpr std::uint32_t kLayoutVersion = detail::kLayoutVersion;
inline constexpr std::uint64_t kNoPosition = UINT64_MAX;
inline constexpr std::size_t kNameBytes = 72;  // 64 characters, a zero, and room to a multiple of 8
inline constexpr std::size_t kTypeBytes = 64;
inline constexpr char kMagic[8] = {'i', 'p', 'c', 'q', 's', 'e', 'g', '\0'};

using AtomicU8 = std::atomic<std::uint8_t>;
using AtomicU32 = std::atomic<std::uint32_t>;
using AtomicU64 = std::atomic<std::uint64_t>;
static_assert(AtomicU8::is_always_lock_free && sizeof(AtomicU8) == 1);
static_assert(AtomicU32::is_always_lock_free && AtomicU64::is_always_lock_free);

// ---- bytes 0-127: frozen for ever. Any version lists, tells liveness, closes and removes any other by these alone.
namespace flag {
inline constexpr std::uint32_t kClosed = 1;
inline constexpr std::uint32_t kRemoved = 2;
inline constexpr std::uint32_t kPoisoned = 4;
}  // namespace flag

struct FrozenHeader {
  char magic[8];
  std::uint32_t layout_version;
  AtomicU32 flags;              // flag::…; bits are only added, but for kClosed (reopen) and kPoisoned (repair)
  std::uint64_t segment_bytes;  // size of the file
  std::uint64_t life_begin;     // first life byte in the file's lock space; the byte before it is the remover's
  std::uint32_t life_count;
  std::uint32_t owner_uid;
  std::uint64_t pid_namespace_dev;
  std::uint64_t pid_namespace_ino;
  std::uint64_t time_namespace_dev;
  std::uint64_t time_namespace_ino;
  std::uint64_t created_unix_ns;
  std::uint64_t reserved[6];
};
static_assert(sizeof(FrozenHeader) == 128);
static_assert(offsetof(FrozenHeader, magic) == 0);
static_assert(offsetof(FrozenHeader, layout_version) == 8);
static_assert(offsetof(FrozenHeader, flags) == 12);
static_assert(offsetof(FrozenHeader, segment_bytes) == 16);
static_assert(offsetof(FrozenHeader, life_begin) == 24);
static_assert(offsetof(FrozenHeader, life_count) == 32);
static_assert(offsetof(FrozenHeader, owner_uid) == 36);
static_assert(offsetof(FrozenHeader, pid_namespace_dev) == 40);
static_assert(offsetof(FrozenHeader, pid_namespace_ino) == 48);
static_assert(offsetof(FrozenHeader, time_namespace_dev) == 56);
static_assert(offsetof(FrozenHeader, time_namespace_ino) == 64);
static_assert(offsetof(FrozenHeader, created_unix_ns) == 72);
static_assert(offsetof(FrozenHeader, reserved) == 80);

// ---- bytes 128-511: fingerprint and creation options. Written before the segment is visible, never changed.
enum class ClockKind : std::uint8_t { off = 0, tsc = 1, monotonic = 2 };

struct Fingerprint {
  std::uint32_t byte_order;  // 0x01020304 as the creator stores it
  std::uint16_t word_bytes;
  std::uint16_t cache_line;
  std::uint32_t page_bytes;
  std::uint32_t mutex_bytes;  // sizeof(pthread_mutex_t): differs between C libraries
  std::uint64_t structs;      // a hash of the struct sizes below
  char c_library[24];         // "glibc": its mutexes are what both sides must agree on
};
static_assert(sizeof(Fingerprint) == 48);

struct Header {
  Fingerprint fingerprint;
  std::uint64_t capacity;       // of the data area; a power of two
  std::uint64_t control_bytes;  // of the control area; where the data area begins
  std::uint64_t rows_offset;
  std::uint64_t groups_offset;
  std::uint64_t group_stride;  // a GroupRow, its Ledger and its Histograms
  std::uint64_t quota_offset;
  std::uint64_t clock_mult;  // ns = ticks * mult >> shift
  std::uint32_t clock_shift;
  std::uint32_t alignment;
  std::uint32_t endpoints_max;
  std::uint32_t groups_max;
  std::uint32_t ledger_entries;
  std::uint32_t max_deliveries;  // a message is handed out so often at most; 0: without limit
  std::uint32_t uid_buckets;
  std::uint8_t producers;  // ProducerMode
  std::uint8_t consumers;  // ConsumerMode
  std::uint8_t overflow;   // Overflow
  std::uint8_t metrics;
  ClockKind clock;
  std::uint8_t lifetime;    // Lifetime
  std::uint8_t drop_after;  // past max_deliveries: dropped, instead of moved to the dead-letter queue
  std::uint8_t reserved0;
  std::uint32_t grace_s;  // of ephemeral queues
  char type[kTypeBytes];
  char dead_letter[kNameBytes];
  std::uint64_t reserved[13];
};
static_assert(sizeof(Header) == 384);
static_assert(offsetof(Header, capacity) == 48);
static_assert(offsetof(Header, control_bytes) == 56);
static_assert(offsetof(Header, rows_offset) == 64);
static_assert(offsetof(Header, groups_offset) == 72);
static_assert(offsetof(Header, group_stride) == 80);
static_assert(offsetof(Header, quota_offset) == 88);
static_assert(offsetof(Header, clock_mult) == 96);
static_assert(offsetof(Header, clock_shift) == 104);
static_assert(offsetof(Header, alignment) == 108);
static_assert(offsetof(Header, endpoints_max) == 112);
static_assert(offsetof(Header, groups_max) == 116);
static_assert(offsetof(Header, ledger_entries) == 120);
static_assert(offsetof(Header, max_deliveries) == 124);
static_assert(offsetof(Header, uid_buckets) == 128);
static_assert(offsetof(Header, producers) == 132);
static_assert(offsetof(Header, clock) == 136);
static_assert(offsetof(Header, grace_s) == 140);
static_assert(offsetof(Header, type) == 144);
static_assert(offsetof(Header, dead_letter) == 208);

// ---- the producer side and the two event counts. One writer's words a line.
struct alignas(kCacheLine) LockLine {
  os::RobustMutex mutex;
};
static_assert(sizeof(LockLine) == 64);

/// Epoch << 1 | somebody waits. The futex word.
struct alignas(kCacheLine) EventLine {
  AtomicU32 word;
  AtomicU32 streaming;  // advice to the producer: the consumer streams (beside the word it reads anyway)
};
static_assert(sizeof(EventLine) == 64);

struct alignas(kCacheLine) ClaimLine {
  AtomicU64 claim_position;  // end of everything claimed; exclusive: of everything committed
  AtomicU64 last_time;       // stamp of the newest claim
  AtomicU64 least_retired;   // least `retired` of all groups as last computed, under the mutex
};
static_assert(sizeof(ClaimLine) == 64);
static_assert(offsetof(ClaimLine, claim_position) == 0);
static_assert(offsetof(ClaimLine, last_time) == 8);
static_assert(offsetof(ClaimLine, least_retired) == 16);

struct alignas(kCacheLine) CloseLine {
  AtomicU64 closed_at;        // kNoPosition, or where the stream ends
  AtomicU32 exclusive_owner;  // of an exclusive producer side: row and incarnation; 0: nobody
  AtomicU32 reserved;
  AtomicU64 abandoned_claims;  // statistics
  AtomicU64 recoveries;
};
static_assert(sizeof(CloseLine) == 64);
static_assert(offsetof(CloseLine, closed_at) == 0);
static_assert(offsetof(CloseLine, exclusive_owner) == 8);

struct Side {
  LockLine producer_lock;  // shared: claims. exclusive: take-over, group table, refresh of the least retired
  ClaimLine claim;
  CloseLine close;
  EventLine data;       // consumers wait here
  EventLine space;      // producers wait here
  LockLine table_lock;  // the endpoint table
};
static_assert(sizeof(Side) == 384);
static_assert(offsetof(Side, producer_lock) == 0);
static_assert(offsetof(Side, claim) == 64);
static_assert(offsetof(Side, close) == 128);
static_assert(offsetof(Side, data) == 192);
static_assert(offsetof(Side, space) == 256);
static_assert(offsetof(Side, table_lock) == 320);

// ---- the endpoint table
enum class RowState : std::uint32_t { free = 0, attached = 1 };
enum class RowKind : std::uint32_t { none = 0, producer = 1, consumer = 2 };
inline constexpr std::uint32_t kRevoked = 1;
inline constexpr std::uint32_t kLimited = 2;  // a quota binds it: derived from the buckets, under the table's mutex

/// Written by the endpoint alone. The sums over all rows, free ones too, are the queue's totals: a row's counters go on
/// when it is used again, apart for producers and consumers; `base` is what they were at attach.
struct alignas(kCacheLine) Counters {
  AtomicU64 messages;
  AtomicU64 bytes;
  AtomicU64 batches;
  AtomicU64 waits;
  AtomicU64 refusals;
  AtomicU64 wait_ns;
  AtomicU64 processing_ticks;  // of sampled leases, times the sampling
  AtomicU64 reserved;
};
static_assert(sizeof(Counters) == 64);

struct alignas(kCacheLine) EndpointRow {
  AtomicU32 state;        // RowState; stored last at attach
  AtomicU32 incarnation;  // 24 bits; how often the row has been used
  AtomicU32 pid;
  AtomicU32 uid;
  AtomicU64 start_time;  // of the process: a reused pid is another process
  AtomicU32 kind;        // RowKind
  AtomicU32 group;       // of a consumer: group row
  AtomicU32 group_incarnation;
  AtomicU32 flags;        // kRevoked, kLimited
  AtomicU64 attached_ns;  // CLOCK_MONOTONIC
  AtomicU64 image;        // a random number of the program image: after exec the same process is another owner
  AtomicU64 left_ns;      // CLOCK_MONOTONIC when the row was last freed; 0: never
  // The claim's line, written by the producer at every claim.
  alignas(kCacheLine) AtomicU64 open_claim;  // where to look for an open claim of this row
  std::uint64_t reserved1[7];
  Counters produced;
  Counters consumed;
  Counters base;
};
static_assert(sizeof(EndpointRow) == 320);
static_assert(offsetof(EndpointRow, state) == 0);
static_assert(offsetof(EndpointRow, incarnation) == 4);
static_assert(offsetof(EndpointRow, pid) == 8);
static_assert(offsetof(EndpointRow, uid) == 12);
static_assert(offsetof(EndpointRow, start_time) == 16);
static_assert(offsetof(EndpointRow, kind) == 24);
static_assert(offsetof(EndpointRow, group) == 28);
static_assert(offsetof(EndpointRow, group_incarnation) == 32);
static_assert(offsetof(EndpointRow, flags) == 36);
static_assert(offsetof(EndpointRow, attached_ns) == 40);
static_assert(offsetof(EndpointRow, image) == 48);
static_assert(offsetof(EndpointRow, left_ns) == 56);
static_assert(offsetof(EndpointRow, open_claim) == 64);
static_assert(offsetof(EndpointRow, produced) == 128);
static_assert(offsetof(EndpointRow, consumed) == 192);
static_assert(offsetof(EndpointRow, base) == 256);

// ---- groups
enum class GroupState : std::uint32_t { free = 0, active = 1, marked = 2 };  // marked: leases are refused; to be freed

struct alignas(kCacheLine) GroupRow {
  AtomicU64 retired;  // positions before it are finished for this group
  AtomicU32 state;    // GroupState; stored last when the group is added
  AtomicU32 incarnation;
  alignas(kCacheLine) os::RobustMutex mutex;
  // Under the mutex: the drop being made. It has taken place if `retired` has come to drop_to; then drop_count counts.
  AtomicU64 drop_to;
  AtomicU64 drop_count;  // what dropped_messages is with it
  // Under the mutex: the ledger's index (derived; rebuilt by every repair) and statistics.
  alignas(kCacheLine) AtomicU32 index_first;
  AtomicU32 index_count;
  AtomicU64 leased_messages;
  AtomicU64 redelivered_messages;
  AtomicU64 dropped_messages;
  AtomicU64 recovered_leases;
  AtomicU64 dead_lettered_messages;  // without the mutex too
  AtomicU64 purged_messages;
  AtomicU64 parked_tried_ns;  // CLOCK_MONOTONIC of the last try to move what is parked; 0: nothing was ever parked
  // Exclusive consumer: written by it alone while it lives.
  alignas(kCacheLine) AtomicU32 owner;  // row and incarnation; 0: nobody
  AtomicU32 takeover_count;             // how often the record at takeover_retired was handed out
  AtomicU64 takeover_retired;
  AtomicU64 leased_to;   // end of what this consumer was handed
  AtomicU64 again_to;    // end of what was handed out and came back: one at a time up to here
  AtomicU64 parked_at;   // if it is `retired`: the record there could not be moved to the dead-letter queue
  AtomicU32 parked_why;  // core::Parked
  AtomicU32 reserved0;
  // Written before the group is visible. Atomic, since a look that found no lock to hold may meet the row's next group.
  alignas(kCacheLine) AtomicU64 name[kNameBytes / 8];
  AtomicU8 start;
  AtomicU8 overflow;
  AtomicU8 consumers;
  AtomicU8 lifetime;
  std::uint32_t reserved2;
  std::uint64_t reserved3[6];
};
static_assert(sizeof(GroupRow) == 384);
static_assert(offsetof(GroupRow, retired) == 0);
static_assert(offsetof(GroupRow, state) == 8);
static_assert(offsetof(GroupRow, incarnation) == 12);
static_assert(offsetof(GroupRow, mutex) == 64);
static_assert(offsetof(GroupRow, drop_to) == 104);
static_assert(offsetof(GroupRow, drop_count) == 112);
static_assert(offsetof(GroupRow, index_first) == 128);
static_assert(offsetof(GroupRow, index_count) == 132);
static_assert(offsetof(GroupRow, leased_messages) == 136);
static_assert(offsetof(GroupRow, dead_lettered_messages) == 168);
static_assert(offsetof(GroupRow, parked_tried_ns) == 184);
static_assert(offsetof(GroupRow, owner) == 192);
static_assert(offsetof(GroupRow, takeover_count) == 196);
static_assert(offsetof(GroupRow, takeover_retired) == 200);
static_assert(offsetof(GroupRow, leased_to) == 208);
static_assert(offsetof(GroupRow, again_to) == 216);
static_assert(offsetof(GroupRow, parked_at) == 224);
static_assert(offsetof(GroupRow, parked_why) == 232);
static_assert(offsetof(GroupRow, name) == 256);
static_assert(offsetof(GroupRow, start) == 328);

/// A range of the ring that a group has handed out, or has back. `word` decides everything about it; begin and end are
/// written before the store that takes the entry from free.
struct LedgerEntry {
  AtomicU64 begin;
  AtomicU64 end;
  AtomicU64 word;       // bits 0-2 state, 3-15 deliveries, 16-31 sequence, 32-63 owner (parked: why)
  AtomicU64 leased_at;  // stamp, for reports
};
static_assert(sizeof(LedgerEntry) == 32);
static_assert(offsetof(LedgerEntry, begin) == 0);
static_assert(offsetof(LedgerEntry, end) == 8);
static_assert(offsetof(LedgerEntry, word) == 16);
static_assert(offsetof(LedgerEntry, leased_at) == 24);

inline constexpr std::uint32_t kHistogramBuckets = 320;  // 8 an octave, to 2^40 ns
struct alignas(kCacheLine) Histogram {
  AtomicU64 messages;  // weight of all samples
  AtomicU64 sum_ns;    // weighted
  AtomicU64 max_ns;
  std::uint64_t reserved[5];
  AtomicU64 buckets[kHistogramBuckets];
};
static_assert(sizeof(Histogram) == 64 + 8 * 320);

struct Histograms {
  Histogram queue;
  Histogram transfer;
  Histogram processing;
  Histogram latency;
};
static_assert(sizeof(Histograms) == 10496);

/// A rate limit (GCRA). `*_time` is when the bucket will be full again, in sixteenths of a nanosecond of CLOCK_MONOTONIC;
/// an interval is what one message or byte costs, in 2^-20 ns; 0: no limit. Limits are those of QuotaSource: the creator's,
/// the operator's, the policy's; the lowest rate holds. They change under the table's mutex, the times without.
/// The first bucket is the queue's, then come those of users, then one an endpoint row.
struct alignas(kCacheLine) QuotaBucket {
  AtomicU32 whose;  // a user's: the uid, or kEachProducer. A row's: user's bucket | bucket of kEachProducer << 8; 0: none
  AtomicU32 change;  // number of changes of its limits; odd: one is being made
  AtomicU64 message_time;
  AtomicU64 byte_time;
  AtomicU64 message_interval[3];
  AtomicU64 byte_interval[3];
  AtomicU64 byte_burst[3];     // 0: what the default of time allows
  AtomicU32 message_burst[3];  // likewise
  AtomicU32 event;             // the queue's: who waits for a quota sleeps on it
  AtomicU64 refusals;          // statistics
  AtomicU64 wait_ns;
};
static_assert(sizeof(QuotaBucket) == 128);
static_assert(offsetof(QuotaBucket, whose) == 0);
static_assert(offsetof(QuotaBucket, change) == 4);
static_assert(offsetof(QuotaBucket, message_time) == 8);
static_assert(offsetof(QuotaBucket, byte_time) == 16);
static_assert(offsetof(QuotaBucket, message_interval) == 24);
static_assert(offsetof(QuotaBucket, byte_interval) == 48);
static_assert(offsetof(QuotaBucket, byte_burst) == 72);
static_assert(offsetof(QuotaBucket, message_burst) == 96);
static_assert(offsetof(QuotaBucket, event) == 108);
static_assert(offsetof(QuotaBucket, refusals) == 112);
static_assert(offsetof(QuotaBucket, wait_ns) == 120);
inline constexpr std::uint32_t kEachProducer = UINT32_MAX;  // no uid: the limits of every row's bucket beside its own

inline constexpr std::size_t kHeaderOffset = 128;
inline constexpr std::size_t kSideOffset = 512;
inline constexpr std::size_t kRowsOffset = 896;
static_assert(kHeaderOffset == sizeof(FrozenHeader));
static_assert(kSideOffset == kHeaderOffset + sizeof(Header));
static_assert(kRowsOffset == kSideOffset + sizeof(Side));

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t multiple) noexcept {
  return (value + multiple - 1) / multiple * multiple;
}
/// A ledger: its entries, then the index, a circular permutation of entry numbers.
constexpr std::uint64_t ledger_bytes(std::uint64_t entries) noexcept {
  return round_up(entries * sizeof(LedgerEntry) + entries * sizeof(std::uint16_t), kCacheLine);
}
constexpr std::uint64_t group_bytes(std::uint64_t ledger_entries) noexcept {
  return sizeof(GroupRow) + ledger_bytes(ledger_entries) + sizeof(Histograms);
}

}  // namespace ipcq::layout
