// Tally: what producers have really committed, from positions and records alone; and whose the ranges were that were seen
// claimed. Nobody's counters are asked.
//
// A walk over everything claimed since the last one, by one who holds nothing: it takes no lock and waits for nobody. An open
// claim is stepped over, and counted once it is finished. What is overwritten before it is counted is told in bytes of ring:
// so a tally is never more than what there was.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/view.hpp"

namespace ipcq::core {

struct Amount {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;  // of payload

  constexpr Amount& operator+=(const Amount& other) noexcept {
    messages += other.messages;
    bytes += other.bytes;
    return *this;
  }
  friend constexpr Amount operator-(const Amount& a, const Amount& b) noexcept {
    return {a.messages - b.messages, a.bytes - b.bytes};
  }
  friend constexpr bool operator==(const Amount&, const Amount&) noexcept = default;
};
/// Of each the more, the less.
[[nodiscard]] constexpr Amount most(const Amount& a, const Amount& b) noexcept {
  return {a.messages > b.messages ? a.messages : b.messages, a.bytes > b.bytes ? a.bytes : b.bytes};
}
[[nodiscard]] constexpr Amount least(const Amount& a, const Amount& b) noexcept {
  return {a.messages < b.messages ? a.messages : b.messages, a.bytes < b.bytes ? a.bytes : b.bytes};
}

/// One count looks at no more heads: a batch of equal messages has one. A millisecond or two.
inline constexpr std::uint32_t kTallyHeadsMax = 65'536;

class RecordTally {
 public:
  /// The segment must outlive it. Begins.
  explicit RecordTally(const View& view);
  /// From here on. Of what is claimed by now that counts which is open still.
  void begin();
  /// Counts what has been committed since.
  void count();

  /// Ever.
  [[nodiscard]] const Amount& counted() const noexcept { return counted_; }
  /// Bytes of ring that were claimed and not counted: overwritten before, passed over by begin(), or damaged. Ever.
  [[nodiscard]] std::uint64_t uncounted_bytes() const noexcept { return uncounted_bytes_; }
  /// Of ring: claimed by now, and neither counted nor told as not counted; open claims too.
  [[nodiscard]] std::uint64_t pending_bytes() const noexcept;
  /// The last count() came to its end before that of the records.
  [[nodiscard]] bool behind() const noexcept { return behind_; }
  /// Of what was counted, that which stood in ranges that were seen claimed by `owner`; of an exclusive producer everything.
  /// While `owner` is attached.
  [[nodiscard]] Amount seen(Owner owner) const;
  /// The largest batch that was counted: messages and bytes of whichever had most of them. One stamp is one claim; without
  /// stamps nothing is told.
  [[nodiscard]] const Amount& largest_batch() const noexcept { return batches_.largest; }

 private:
  // Records in [begin, end). Of a claim that was seen: its owner, and what it came to before `begin`.
  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
    Owner owner = 0;
    bool claim = false;
    Amount amount{};
  };
  struct Batches {
    std::uint64_t time = 0;
    Amount running;
    Amount largest;
    void add(std::uint64_t stamp, const Amount& amount) noexcept;
  };
  // What a look at some records came to, until it is known that nobody has overwritten them meanwhile.
  struct Piece {
    std::uint64_t at;
    Amount amount;
    Batches batches;
    std::vector<Range> claims;
    bool sound = true;
  };

  [[nodiscard]] bool is_open(const Range& range) const noexcept;
  void look_for_claims(std::uint64_t from);
  void add_claim(const Range& claim);
  void read(Piece& piece, std::uint64_t end, std::uint32_t heads_max) const;
  void lose(Range& range, std::uint64_t to);
  void advance(Range& range, std::uint32_t& heads_left);
  void forget_the_gone();

  const View& view_;
  std::uint64_t counted_to_ = 0;  // but for what is in open_
  std::vector<Range> open_;       // claims that were seen, by position
  std::map<Owner, Amount> seen_;
  Amount counted_;
  Batches batches_;
  std::uint64_t uncounted_bytes_ = 0;
  Owner exclusive_owner_ = 0;
  bool behind_ = false;
};

}  // namespace ipcq::core
