// History: what every process did, in memory that outlives it, and the judgement at the end.
//
// Producer p numbers its messages from 0; (p, sequence) decides size and bytes of a message, so a reader can tell every
// wrong byte. Before a commit the producer writes down how far its numbers will then have been used, afterwards that they
// have been: of a producer that was killed between the two, the last batch may be there or not, but only as a whole.
// Likewise a consumer marks each message before and after its ack: of one that was killed between the two, the messages
// may come again or not.
//
// The balance, for each group: committed = acked + dropped + moved to the dead-letter queue + parked. A group that drops
// nothing acks everything that kills nobody; of one that drops the oldest, what it did not ack is what it says that it
// dropped. A dead letter was never acked, and never comes again; a message that kills whoever reads it is never acked.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace ipcq::stress {

/// Throws std::runtime_error{what()} unless `condition`. The text is made only then: this is asked for every message.
template <class What>
void check(bool condition, What what) {
  if (!condition) throw std::runtime_error(what());
}

/// A message's place in history. No padding: it is copied into messages as it is.
struct Origin {
  std::uint64_t producer = 0;
  std::uint64_t sequence = 0;

  [[nodiscard]] std::string text() const {
    return "message " + std::to_string(producer) + "/" + std::to_string(sequence);
  }
};

constexpr std::uint64_t mix(std::uint64_t value) noexcept {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

constexpr std::uint64_t key(Origin origin) noexcept { return mix((origin.sequence << 8) + origin.producer + 1); }

/// Mostly small; one in 64 up to 4 KiB, one in 4096 up to a quarter of the ring of 64 KiB.
constexpr std::size_t payload_bytes(Origin origin) noexcept {
  const std::uint64_t value = key(origin);
  const std::uint64_t most = value % 4096 == 0 ? 16384 : value % 64 == 0 ? 4096 : 256;
  return sizeof(Origin) + (value >> 16) % (most - sizeof(Origin));
}

/// Whether it kills the consumers that read it, where there are such. Large ones, so that some thirty fill a ring.
constexpr bool is_poison(Origin origin) noexcept { return key(origin) % 64 == 0 && (key(origin) >> 40) % 8 == 0; }

inline void write_payload(std::span<std::byte> to, Origin origin) {
  std::memcpy(to.data(), &origin, sizeof origin);
  std::uint64_t word = key(origin);
  for (std::size_t at = sizeof origin; at < to.size(); at += sizeof word) {
    word = mix(word + at);
    std::memcpy(to.data() + at, &word, std::min(sizeof word, to.size() - at));
  }
}

/// Throws unless every byte is what write_payload() wrote for the origin that the message names.
inline Origin check_payload(std::span<const std::byte> from) {
  Origin origin;
  check(from.size() >= sizeof origin, [&] { return "a message of " + std::to_string(from.size()) + " bytes"; });
  std::memcpy(&origin, from.data(), sizeof origin);
  check(from.size() == payload_bytes(origin),
        [&] { return origin.text() + " has " + std::to_string(from.size()) + " bytes"; });
  std::uint64_t word = key(origin);
  for (std::size_t at = sizeof origin; at < from.size(); at += sizeof word) {
    word = mix(word + at);
    check(std::memcmp(from.data() + at, &word, std::min(sizeof word, from.size() - at)) == 0,
          [&] { return origin.text() + " is torn at byte " + std::to_string(at); });
  }
  return origin;
}

/// How far a group is with a message.
enum class Mark : std::uint8_t { unseen, leased, acking, acked, dead_letter };

/// What workers do to themselves; counted, to show that it took place.
enum class Disturbance : std::uint8_t { exit, quick_exit, exec, fork, vfork, closefrom, thread_end };
inline constexpr std::array<const char*, 7> kDisturbanceNames = {"exit",  "quick_exit", "exec",      "fork",
                                                                 "vfork", "closefrom",  "thread_end"};

class History {
 public:
  static constexpr std::uint32_t kProducers = 3;
  static constexpr std::uint32_t kGroups = 3;

  /// A new history in the file `path`, for up to `limit` messages of each producer.
  History(const std::string& path, std::uint64_t limit) : History(path, O_CREAT | O_EXCL, limit) {
    shared_->limit = limit;
  }
  /// The history that another process made.
  explicit History(const std::string& path) : History(path, 0, 0) {}
  History(const History&) = delete;
  History& operator=(const History&) = delete;
  ~History() { munmap(shared_, bytes_); }

  [[nodiscard]] std::uint64_t limit() const noexcept { return shared_->limit; }
  [[nodiscard]] bool stopped() const noexcept { return shared_->stop.load(std::memory_order_relaxed); }
  void stop() noexcept { shared_->stop.store(true, std::memory_order_relaxed); }

  // A process that dies leaves its stores in order: the kill is between two instructions, and the order of these two is
  // kept by the release.
  void about_to_commit(std::uint32_t producer, std::uint64_t end) noexcept {
    shared_->producers[producer].about_to.store(end, std::memory_order_release);
  }
  void committed(std::uint32_t producer) noexcept {
    ProducerLog& log = shared_->producers[producer];
    log.committed.store(log.about_to.load(std::memory_order_relaxed), std::memory_order_release);
  }
  /// First number that is free.
  [[nodiscard]] std::uint64_t next(std::uint32_t producer) const noexcept {
    return shared_->producers[producer].committed.load(std::memory_order_acquire);
  }

  [[nodiscard]] std::atomic<Mark>& mark(std::uint32_t group, Origin origin) {
    check(group < kGroups && origin.producer < kProducers && origin.sequence < limit(),
          [&] { return origin.text() + " was never sent"; });
    return marks_[(group * kProducers + origin.producer) * limit() + origin.sequence];
  }
  void count(Disturbance disturbance) noexcept {
    shared_->disturbances[static_cast<std::size_t>(disturbance)].fetch_add(1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t disturbances(std::size_t number) const noexcept {
    return shared_->disturbances[number].load(std::memory_order_relaxed);
  }
  void count_letter() noexcept { shared_->letters.fetch_add(1, std::memory_order_relaxed); }
  /// Dead letters, those that came twice counted twice.
  [[nodiscard]] std::uint64_t letters() const noexcept { return shared_->letters.load(std::memory_order_relaxed); }
  void count_visit() noexcept { shared_->visits.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t visits() const noexcept { return shared_->visits.load(std::memory_order_relaxed); }

  /// A group that comes and goes was given `next` of a producer and after it `come`: judge() finds out whether what lies
  /// between was ever committed.
  void gap(std::uint64_t producer, std::uint64_t next, std::uint64_t come) {
    const std::uint64_t number = shared_->gaps_used.fetch_add(1, std::memory_order_relaxed);
    check(number < kGaps, [] { return std::string("more gaps than there can be deaths in a commit"); });
    Gap& gap = shared_->gaps[number];  // killed in here: an empty gap, of a process that cannot complain any more
    gap.producer = producer;
    gap.begin = next;
    gap.end = come;
  }

  /// Of a group with one consumer at a time: one more than the highest number that it was given for the first time.
  [[nodiscard]] std::atomic<std::uint64_t>& freshest(std::uint32_t group, std::uint64_t producer) noexcept {
    return shared_->freshest[group][producer];
  }

  /// The producer is dead: from here on its last batch, if its fate is not known, is one of `doubtful()`.
  void producer_died(std::uint32_t producer) {
    ProducerLog& log = shared_->producers[producer];
    const std::uint64_t begin = log.committed.load(std::memory_order_relaxed);
    const std::uint64_t end = log.about_to.load(std::memory_order_relaxed);
    if (end > begin) {
      doubtful_.push_back({producer, begin, end});
      committed(producer);
    }
  }

  /// What the groups of this queue are like.
  struct Groups {
    std::uint32_t count = 2;  ///< the first so many are there
    bool last_drops = false;  ///< the last of them drops the oldest
    bool poison = false;      ///< some messages kill their consumers
  };
  struct Totals {
    std::uint64_t committed = 0;         ///< messages whose commit is known, and batches in doubt that had been
    std::uint64_t doubtful_batches = 0;  ///< whose producer died in the commit
    std::uint64_t in_doubt_acked = 0;    ///< message acks (all groups) in which the consumer died
    std::uint64_t not_acked = 0;         ///< by the group that drops: what it must have dropped
    std::uint64_t may_be_dropped = 0;    ///< of that group: its consumer died in the ack, so dropped or not
    std::uint64_t dead_letters = 0;      ///< message and group
  };
  /// What of a group's messages is neither acked nor a dead letter: so it must be parked when the group has drained the
  /// queue and nobody lives.
  struct Open {
    std::uint64_t least = 0;  ///< certainly committed, and its end is not known
    std::uint64_t most = 0;   ///< with those whose end is in doubt, and letters whose mover died before it was done
  };
  [[nodiscard]] Open open_messages(std::uint32_t group) {
    Open open;
    for (std::uint32_t producer = 0; producer < kProducers; ++producer) {
      for (std::uint64_t sequence = 0; sequence < next(producer); ++sequence) {
        const Mark mark = at(group, {producer, sequence});
        const bool in_doubt = std::any_of(doubtful_.begin(), doubtful_.end(), [&](const Batch& batch) {
          return batch.producer == producer && batch.begin <= sequence && sequence < batch.end;
        });
        if (!in_doubt && (mark == Mark::unseen || mark == Mark::leased)) ++open.least;
        if (mark != Mark::acked) ++open.most;
      }
    }
    return open;
  }
  /// Call when all processes have ended and all groups have drained the queue. Throws if a committed message was not
  /// acked by every group that may not drop it, one was seen that had not been committed, or a batch in doubt was there
  /// in parts.
  Totals judge(Groups groups) {
    Totals totals;
    for (std::uint32_t producer = 0; producer < kProducers; ++producer) {
      std::uint64_t sequence = 0;
      for (const Batch& batch : doubtful_) {
        if (batch.producer != producer) continue;
        totals.committed += expect_acked(groups, producer, sequence, batch.begin, totals);
        ++totals.doubtful_batches;
        totals.committed += expect_all_or_none(groups, batch, totals);
        sequence = batch.end;
      }
      totals.committed += expect_acked(groups, producer, sequence, next(producer), totals);
      for (sequence = next(producer); sequence < limit(); ++sequence) {
        for (std::uint32_t group = 0; group < groups.count; ++group) {
          const Origin origin{producer, sequence};
          check(at(group, origin) == Mark::unseen, [&] { return origin.text() + " was not committed and came"; });
        }
      }
    }
    for (std::uint64_t number = 0; number < shared_->gaps_used; ++number) {
      const Gap& gap = shared_->gaps[number];
      for (Origin origin{gap.producer, gap.begin}; origin.sequence < gap.end; ++origin.sequence) {
        check(at(0, origin) == Mark::unseen, [&] {
          return origin.text() + " was committed and left out in a group that came and went (it was given none of " +
                 std::to_string(gap.begin) + " to " + std::to_string(gap.end - 1) + ")";
        });
      }
    }
    return totals;
  }

 private:
  struct alignas(64) ProducerLog {
    std::atomic<std::uint64_t> about_to;
    std::atomic<std::uint64_t> committed;
  };
  struct Gap {
    std::uint64_t producer;
    std::uint64_t begin;
    std::uint64_t end;
  };
  static constexpr std::size_t kGaps = 65536;
  struct Shared {
    std::uint64_t limit;
    std::atomic<bool> stop;
    ProducerLog producers[kProducers];
    std::atomic<std::uint64_t> freshest[kGroups][kProducers];
    std::atomic<std::uint64_t> disturbances[kDisturbanceNames.size()];
    std::atomic<std::uint64_t> visits;
    std::atomic<std::uint64_t> letters;
    std::atomic<std::uint64_t> gaps_used;
    Gap gaps[kGaps];
  };
  struct Batch {
    std::uint32_t producer;
    std::uint64_t begin;
    std::uint64_t end;
  };

  History(const std::string& path, int flags, std::uint64_t limit) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), path);
    bytes_ = sizeof(Shared) + limit * kProducers * kGroups;
    // Sparse: pages come as messages do.
    const bool sized = flags != 0 ? ftruncate(fd, static_cast<off_t>(bytes_)) == 0 : (bytes_ = size_of(fd)) > 0;
    void* memory = sized ? mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    const int error = errno;
    close(fd);
    if (memory == MAP_FAILED) throw std::system_error(error, std::generic_category(), path);
    shared_ = static_cast<Shared*>(memory);
    marks_ = reinterpret_cast<std::atomic<Mark>*>(static_cast<std::byte*>(memory) + sizeof(Shared));
  }

  static std::size_t size_of(int fd) {
    const off_t end = lseek(fd, 0, SEEK_END);
    return end > 0 ? static_cast<std::size_t>(end) : 0;
  }

  Mark at(std::uint32_t group, Origin origin) { return mark(group, origin).load(std::memory_order_relaxed); }

  std::uint64_t expect_acked(Groups groups, std::uint32_t producer, std::uint64_t begin, std::uint64_t end,
                             Totals& totals) {
    for (std::uint64_t sequence = begin; sequence < end; ++sequence) {
      for (std::uint32_t group = 0; group < groups.count; ++group) {
        const Origin origin{producer, sequence};
        const Mark mark = at(group, origin);
        if (groups.last_drops && group + 1 == groups.count) {
          if (mark == Mark::unseen || mark == Mark::leased) ++totals.not_acked;
          if (mark == Mark::acking) ++totals.may_be_dropped;
          continue;
        }
        check(mark != Mark::unseen,
              [&] { return origin.text() + " was committed and never came to group " + std::to_string(group); });
        check(mark != Mark::leased,
              [&] { return origin.text() + " was leased and did not come again to group " + std::to_string(group); });
        check(!groups.poison || !is_poison(origin) || mark == Mark::dead_letter,
              [&] { return origin.text() + " kills whoever reads it and was acked by group " + std::to_string(group); });
        if (mark == Mark::acking) ++totals.in_doubt_acked;
        if (mark == Mark::dead_letter) ++totals.dead_letters;
      }
    }
    return end - begin;
  }

  std::uint64_t expect_all_or_none(Groups groups, const Batch& batch, Totals& totals) {
    if (at(0, {batch.producer, batch.begin}) != Mark::unseen) {
      return expect_acked(groups, batch.producer, batch.begin, batch.end, totals);
    }
    for (std::uint64_t sequence = batch.begin; sequence < batch.end; ++sequence) {
      for (std::uint32_t group = 0; group < groups.count; ++group) {
        const Origin origin{batch.producer, sequence};
        check(at(group, origin) == Mark::unseen,
              [&] { return origin.text() + " came without the batch it was in, or to one group only"; });
      }
    }
    return 0;
  }

  Shared* shared_ = nullptr;
  std::atomic<Mark>* marks_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<Batch> doubtful_;  // of each producer in order
};

}  // namespace ipcq::stress
