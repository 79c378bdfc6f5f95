// Limits of the machine for who writes again what another processor has read: what a ring's producer does after each lap.
#include <new>

#include "clock.hpp"
#include "payload.hpp"
#include "raw_rows.hpp"
#include "turns.hpp"

namespace ipcq::bench {
namespace {

constexpr std::size_t kRewritten = 64;
constexpr std::size_t kRewrittenRecord = 80;  // with a header, as in ipcq's ring
constexpr std::uint64_t kRewrittenRecords = (8 * kMi) / kRewrittenRecord;

/// The first side writes all records, which alone is timed; then the second reads them so many times.
Run rewrite(const Plan& plan, std::uint32_t reads) {
  const SharedMemory turns_memory(sizeof(Turns));
  const SharedMemory data(kRewrittenRecords * kRewrittenRecord);
  auto& turns = *new (turns_memory.data()) Turns{};
  return run_pair(
      plan,
      [&](Side& side) {
        const TickClock& clock = tick_clock();
        std::uint64_t round = 0, sequence = 0, timed_messages = 0, timed_ticks = 0;
        side.start();
        do {
          const std::uint64_t begin = clock.ticks();
          for (std::uint64_t i = 0; i < kRewrittenRecords; ++i, ++sequence) {
            std::byte* const at = data.data() + i * kRewrittenRecord;
            std::memcpy(at, &kRewritten, sizeof kRewritten);
            std::memcpy(at + 8, &sequence, sizeof sequence);
            write_payload<kRewritten>(at + 16, sequence);
          }
          const std::uint64_t end = clock.ticks();
          turns.begun.store(++round, std::memory_order_release);
          await_turn(turns.done, round - 1);
          if (!side.warmed_up() && round > 1) continue;
          timed_messages += kRewrittenRecords;
          timed_ticks += end - begin;
        } while (side.running(sequence));
        turns.begun.store(kNoMoreTurns, std::memory_order_release);
        side.tell(static_cast<double>(timed_messages) / clock.ns(static_cast<double>(timed_ticks)) * 1e3);
        side.finish(Passed{.messages = sequence});
      },
      [&](Side& side) {
        std::uint64_t first = 0;
        side.start();
        for (std::uint64_t round = 0; (round = await_turn(turns.begun, round)) != kNoMoreTurns;
             first += kRewrittenRecords) {
          for (std::uint32_t read = 0; read < reads; ++read) {
            for (std::uint64_t i = 0; i < kRewrittenRecords; ++i) {
              if (!payload_is<kRewritten>(data.data() + i * kRewrittenRecord + 16, first + i))
                throw PayloadError("a record is not what was written");
            }
          }
          turns.done.store(round, std::memory_order_release);
          side.running(first);
        }
        side.finish(Passed{.messages = first});
      });
}

Row rewrite_row(std::uint32_t reads) {
  return {.name = "raw/rewrite-read-" + std::to_string(reads),
          .what = "what a process writes to 8 MiB of which another has read every line since, so many times: " +
                  std::to_string(reads) + "; 64 bytes with a 16-byte header",
          .measure = Measure::told,
          .unit = "million messages/s",
          .payload_bytes = kRewritten,
          .facts = {{"system", "memory"}, {"reads", std::uint64_t{reads}}},
          .run = [reads](const Plan& plan) { return rewrite(plan, reads); }};
}

}  // namespace

std::vector<Row> raw_rewrite_rows() {
  std::vector<Row> rows;
  for (const std::uint32_t reads : {1U, 2U, 4U, 8U}) rows.push_back(rewrite_row(reads));
  return rows;
}

}  // namespace ipcq::bench
