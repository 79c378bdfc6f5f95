// Limits of the machine for a stream: a bare ring in shared memory with one cursor a side, and memcpy.
//
// The ring moves exactly the bytes that ipcq's ring moves: a 16-byte header and the payload, padded to 16. It has no
// names, no claims, no recovery, no waiting but polling, and wraps only between batches.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "clock.hpp"
#include "raw_rows.hpp"
#include "traffic.hpp"

namespace ipcq::bench {
namespace {

constexpr std::size_t kHeaderBytes = 16;
constexpr std::size_t kTakenAsLease = 256;     // as the ipcq rows' leases
constexpr std::uint64_t kGetAhead_ns = 1'500;  // as an ipcq consumer pauses behind a stream

/// What a message costs beside its bytes.
enum class Cost {
  cursor,  // a store of the cursor
  promise,  // what ipcq's promises need at least: a stamp, and an exchange, which is the fence before the look at who sleeps
};

struct Cursors {
  alignas(kLineApart) std::atomic<std::uint64_t> written;  // bytes since the beginning
  alignas(kLineApart) std::atomic<std::uint64_t> read;
};

template <std::size_t PayloadBytes, std::size_t Messages>
struct RingShape {
  static constexpr std::size_t kRecord = kHeaderBytes + (PayloadBytes + 15) / 16 * 16;
  static constexpr std::size_t kBatchBytes = kRecord * Messages;
};

template <std::size_t PayloadBytes, std::size_t Messages, Cost Of = Cost::cursor>
class RingSender {
 public:
  using Shape = RingShape<PayloadBytes, Messages>;

  RingSender(Cursors& cursors, std::byte* data, std::size_t capacity)
      : cursors_(cursors), data_(data), capacity_(capacity) {}

  static constexpr std::uint64_t batch() noexcept { return Messages; }
  void send(std::uint64_t sequence) noexcept {
    std::byte* at = room();
    for (std::size_t i = 0; i < Messages; ++i, at += Shape::kRecord) write(at, sequence + i);
    publish();
  }
  /// A batch of one message and emptiness: nobody reads behind the end of the run.
  void send_end() noexcept {
    write(room(), kEndOfRun);
    publish();
  }
  static constexpr bool has_more_to_show() noexcept { return false; }

 private:
  std::byte* room() noexcept {
    while (written_ + Shape::kBatchBytes - read_ > capacity_) read_ = cursors_.read.load(std::memory_order_acquire);
    if (offset_ == capacity_) offset_ = 0;
    return data_ + offset_;
  }
  static void write(std::byte* record, std::uint64_t sequence) noexcept {
    const std::uint64_t size = PayloadBytes;
    const std::uint64_t second = Of == Cost::promise ? __builtin_ia32_rdtsc() : sequence;
    std::memcpy(record, &size, 8);
    std::memcpy(record + 8, &second, 8);
    write_payload<PayloadBytes>(record + kHeaderBytes, sequence);
  }
  void publish() noexcept {
    offset_ += Shape::kBatchBytes;
    written_ += Shape::kBatchBytes;
    if constexpr (Of == Cost::promise) {
      cursors_.written.exchange(written_, std::memory_order_seq_cst);
    } else {
      cursors_.written.store(written_, std::memory_order_release);
    }
  }

  Cursors& cursors_;
  std::byte* data_;
  std::uint64_t capacity_;
  std::uint64_t written_ = 0;
  std::uint64_t read_ = 0;  // as last seen
  std::uint64_t offset_ = 0;
};

/// Takes up to `Taken` messages, or one batch if that is more, for one cursor store.
template <std::size_t PayloadBytes, std::size_t Messages, std::size_t Taken, Cost Of = Cost::cursor>
class RingReceiver {
 public:
  using Shape = RingShape<PayloadBytes, Messages>;

  RingReceiver(Cursors& cursors, const std::byte* data, std::size_t capacity)
      : cursors_(cursors), data_(data), capacity_(capacity) {}

  bool receive(std::uint64_t& sequence) {
    std::uint64_t written = 0;
    while ((written = cursors_.written.load(std::memory_order_acquire)) == read_) relax();
    const std::uint64_t most = std::max<std::uint64_t>(Taken * Shape::kRecord, Shape::kBatchBytes);
    const std::uint64_t end = std::min(written, read_ + most);
    while (read_ < end) {
      const std::byte* const record = data_ + offset_;
      std::uint64_t size = 0;
      std::memcpy(&size, record, 8);
      if (size != PayloadBytes) wrong_size(sequence, PayloadBytes, size);
      if (!payload_is<PayloadBytes>(record + kHeaderBytes, sequence)) [[unlikely]] {
        return !is_end_of_run<PayloadBytes>(record + kHeaderBytes, sequence);
      }
      ++sequence;
      read_ += Shape::kRecord;
      offset_ += Shape::kRecord;
      if (offset_ == capacity_) offset_ = 0;
    }
    cursors_.read.store(read_, std::memory_order_release);
    if (Of == Cost::promise && end == written) get_ahead();
    return true;
  }

 private:
  static void get_ahead() noexcept {
    const std::uint64_t end = clock_ns(CLOCK_MONOTONIC) + kGetAhead_ns;
    while (clock_ns(CLOCK_MONOTONIC) < end) relax();
  }

  Cursors& cursors_;
  const std::byte* data_;
  std::uint64_t capacity_;
  std::uint64_t read_ = 0;
  std::uint64_t offset_ = 0;
};

template <std::size_t PayloadBytes, std::size_t Messages, std::size_t Taken, Cost Of = Cost::cursor>
Run stream(const Plan& plan, std::size_t ring_bytes) {
  const std::size_t batch_bytes = RingShape<PayloadBytes, Messages>::kBatchBytes;
  const std::size_t capacity = ring_bytes / batch_bytes * batch_bytes;
  const SharedMemory cursor_memory(sizeof(Cursors));
  const SharedMemory data(capacity);
  auto& cursors = *new (cursor_memory.data()) Cursors{};
  return run_pair(
      plan,
      [&](Side& side) {
        RingSender<PayloadBytes, Messages, Of> sender(cursors, data.data(), capacity);
        stream_out(side, sender);
      },
      [&](Side& side) {
        RingReceiver<PayloadBytes, Messages, Taken, Of> receiver(cursors, data.data(), capacity);
        stream_in(side, receiver);
      });
}

template <std::size_t PayloadBytes, std::size_t Messages>
Row stream_row(std::size_t ring_bytes) {
  return {
      .name = raw_stream_name(PayloadBytes, Messages, ring_bytes),
      .what = "a bare ring: " + size_name(PayloadBytes) + " messages with 16-byte headers, one cursor store for " +
              std::to_string(Messages),
      .payload_bytes = PayloadBytes,
      .facts = {{"system", "bare ring"}, {"batch", Messages}, {"ring_bytes", ring_bytes}},
      .run = [ring_bytes](const Plan& plan) { return stream<PayloadBytes, Messages, kTakenAsLease>(plan, ring_bytes); }};
}

template <std::size_t PayloadBytes>
Row one_by_one_row(std::size_t ring_bytes) {
  return {.name = raw_one_by_one_name(PayloadBytes, ring_bytes),
          .what = "so too, with a cursor store a message on both sides, as queues between threads do it: " +
                  size_text(PayloadBytes),
          .payload_bytes = PayloadBytes,
          .facts = {{"system", "bare ring, one by one"}, {"batch", std::uint64_t{1}}, {"ring_bytes", ring_bytes}},
          .run = [ring_bytes](const Plan& plan) { return stream<PayloadBytes, 1, 1>(plan, ring_bytes); }};
}

template <std::size_t PayloadBytes>
Row promise_row(std::size_t ring_bytes) {
  return {
      .name = raw_promise_name(PayloadBytes, ring_bytes),
      .what = "so too, with a stamp and an exchange a message, and a receiver that pauses 1.5 us when it has all: " +
              size_text(PayloadBytes),
      .payload_bytes = PayloadBytes,
      .facts = {{"system", "bare ring, stamped"}, {"batch", std::uint64_t{1}}, {"ring_bytes", ring_bytes}},
      .run = [ring_bytes](const Plan& plan) {
        return stream<PayloadBytes, 1, kTakenAsLease, Cost::promise>(plan, ring_bytes);
      }};
}

/// One cpu copies a block over and over; the other sleeps.
Run copy_block(const Plan& plan, std::size_t bytes) {
  const SharedMemory from(bytes);
  const SharedMemory to(bytes);
  return run_pair(
      plan,
      [&](Side& side) {
        std::memset(from.data(), 1, bytes);
        side.start();
        std::uint64_t copies = 0;
        do {
          // Each copy differs in one word, so that none can be left out.
          std::memcpy(from.data(), &copies, sizeof copies);
          std::memcpy(to.data(), from.data(), bytes);
          asm volatile("" : : "r"(to.data()) : "memory");
          ++copies;
        } while (side.running(copies));
        if (std::memcmp(from.data(), to.data(), bytes) != 0) throw PayloadError("memcpy: the copy differs");
        side.finish(Passed{.messages = copies});
      },
      [](Side& side) {
        side.start();
        side.finish(std::nullopt);
      });
}

Row copy_row(std::size_t bytes) {
  return {.name = "raw/memcpy-" + size_name(bytes),
          .what = "one cpu copies a block of " + size_text(bytes) + "; a message is one copy",
          .payload_bytes = bytes,
          .busy = {true, false},
          .facts = {{"system", "memcpy"}},
          .run = [bytes](const Plan& plan) { return copy_block(plan, bytes); }};
}

}  // namespace

std::string size_name(std::size_t bytes) {
  if (bytes >= kKi * kKi && bytes % (kKi * kKi) == 0) return std::to_string(bytes / (kKi * kKi)) + "M";
  if (bytes >= kKi && bytes % kKi == 0) return std::to_string(bytes / kKi) + "K";
  return std::to_string(bytes) + "B";
}

std::string size_text(std::size_t bytes) {
  std::string text = size_name(bytes);
  const char unit = text.back();
  text.pop_back();
  return text + (unit == 'M' ? " MiB" : unit == 'K' ? " KiB" : " bytes");
}

std::string raw_stream_name(std::size_t payload_bytes, std::size_t batch, std::size_t ring_bytes) {
  return "raw/stream-" + size_name(payload_bytes) + "-b" + std::to_string(batch) + "-" + size_name(ring_bytes);
}

std::string raw_one_by_one_name(std::size_t payload_bytes, std::size_t ring_bytes) {
  return "raw/one-by-one-" + size_name(payload_bytes) + "-" + size_name(ring_bytes);
}

std::string raw_promise_name(std::size_t payload_bytes, std::size_t ring_bytes) {
  return "raw/promise-" + size_name(payload_bytes) + "-" + size_name(ring_bytes);
}

std::vector<Row> raw_stream_rows() {
  std::vector<Row> rows;
  rows.push_back(stream_row<8, 64>(8 * kMi));
  rows.push_back(stream_row<256, 64>(8 * kMi));
  rows.push_back(stream_row<kKi, 64>(8 * kMi));
  rows.push_back(stream_row<4 * kKi, 64>(8 * kMi));
  for (const std::size_t ring : kRingSweep) rows.push_back(stream_row<64, 64>(ring));
  for (const std::size_t ring : {8 * kMi, 16 * kMi}) rows.push_back(stream_row<64 * kKi, 1>(ring));
  rows.push_back(one_by_one_row<8>(8 * kMi));
  rows.push_back(one_by_one_row<64>(8 * kMi));
  rows.push_back(promise_row<8>(8 * kMi));
  rows.push_back(promise_row<64>(8 * kMi));
  rows.push_back(copy_row(kMi));
  rows.push_back(copy_row(8 * kMi));
  return rows;
}

}  // namespace ipcq::bench
