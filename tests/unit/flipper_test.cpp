// Somebody writes to a queue's memory while others use it: every call comes back with an outcome that has a name, and nobody
// reads or writes outside the mapping. The sanitizer builds run this too.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fixture.hpp"
#include "layout/layout.hpp"
#include "support/scratch_directory.hpp"

namespace ipcq::unit {
namespace {

using support::ScratchDirectory;

/// All of a queue's file, mapped, for a thread that flips bits in it and, most often, flips them back at once. Left alone:
/// mutexes, whose list pointers are glibc's (whoever may write a queue is trusted with that), and the flags, which would
/// end the queue with the first flip.
class Flipper {
 public:
  explicit Flipper(const Queue& queue) {
    const os::UniqueFd fd(::open(queue.path().c_str(), O_RDWR | O_CLOEXEC));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) throw std::system_error(errno, std::generic_category(), queue.path());
    size_ = static_cast<std::size_t>(info.st_size);
    void* at = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    bytes_ = static_cast<std::byte*>(at);
    const auto& header = *reinterpret_cast<const layout::Header*>(bytes_ + layout::kHeaderOffset);
    spare(offsetof(layout::FrozenHeader, flags), 4);
    spare(layout::kSideOffset + offsetof(layout::Side, producer_lock), sizeof(layout::LockLine));
    spare(layout::kSideOffset + offsetof(layout::Side, table_lock), sizeof(layout::LockLine));
    for (std::uint32_t i = 0; i < header.groups_max; ++i) {
      spare(header.groups_offset + i * header.group_stride + offsetof(layout::GroupRow, mutex), sizeof(os::RobustMutex));
    }
    control_bytes_ = header.control_bytes;
    busy_bytes_ = header.groups_offset + sizeof(layout::GroupRow) + layout::ledger_bytes(header.ledger_entries);
  }
  ~Flipper() { ::munmap(bytes_, size_); }
  Flipper(const Flipper&) = delete;
  Flipper& operator=(const Flipper&) = delete;

  void flip(std::mt19937_64& random) {
    // Half of them where the words are that everything turns on, a quarter in the first records.
    const std::uint64_t choice = random() % 8;
    const std::size_t limit = choice < 4 ? busy_bytes_ : size_;
    const std::size_t at = choice < 6 && choice >= 4 ? control_bytes_ + random() % 4096 : random() % limit;
    for (const auto& [begin, end] : spared_) {
      if (at >= begin && at < end) return;
    }
    const std::uint8_t bits = random() % 2 == 0 ? static_cast<std::uint8_t>(1U << random() % 8) : std::uint8_t{0xff};
    auto* byte = reinterpret_cast<std::uint8_t*>(bytes_ + at);
    __atomic_fetch_xor(byte, bits, __ATOMIC_RELAXED);
    for (std::uint64_t pauses = random() % 256; pauses > 0; --pauses) __builtin_ia32_pause();
    __atomic_fetch_xor(byte, bits, __ATOMIC_RELAXED);
  }

 private:
  void spare(std::size_t at, std::size_t bytes) { spared_.emplace_back(at, at + bytes); }

  std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
  std::size_t control_bytes_ = 0;
  std::size_t busy_bytes_ = 0;
  std::vector<std::pair<std::size_t, std::size_t>> spared_;
};

struct Kinds {
  ProducerMode producers;
  ConsumerMode consumers;
  const char* name;
};
void PrintTo(const Kinds& kinds, std::ostream* out) { *out << kinds.name; }

class FlippedUnderWay : public ::testing::TestWithParam<Kinds> {
 protected:
  /// A new queue: one that flips have damaged for good answers nothing but that.
  void make_queue(std::uint32_t number) {
    CreateOptions options;
    options.capacity_bytes = kCapacity;
    options.producers = GetParam().producers;
    options.consumers = GetParam().consumers;
    options.endpoints_max = 16;
    options.groups_max = 2;
    options.ledger_entries = 8;
    options.directory = scratch_.path();
    queue_ = Queue::create("flipped-" + std::to_string(number), options);
    stop_.store(false);
  }

  /// `use` with a fresh handle, again and again: an error or an outcome that is for good ends the handle, not the loop.
  void keep_at_it(const std::function<void()>& use) {
    while (!stop_.load()) {
      try {
        use();
      } catch (const Error& error) {
        if (std::string_view(to_string(error.errc())) == "unknown") ADD_FAILURE() << error.what();
        std::this_thread::yield();
      }
    }
  }
  void produce() {
    Producer producer = queue_->producer();
    std::mt19937 random(1);
    while (!stop_.load()) {
      Claim claim = producer.claim({.messages = 4, .bytes = 400}, std::chrono::microseconds(100));
      if (!claim) {
        note(claim.outcome());
        if (!is_transient(claim.outcome())) return;
        continue;
      }
      for (int i = 0; i < 4; ++i) {
        for (std::byte& byte : claim.append(random() % 100)) byte = std::byte{1};
      }
      if (random() % 8 == 0) {
        (void)claim.abort();
      } else {
        note(claim.commit());
      }
    }
  }
  void consume() {
    Consumer consumer = queue_->consumer();
    std::mt19937 random(2);
    while (!stop_.load()) {
      Lease lease = consumer.lease(
          {.max_messages = 1 + static_cast<std::uint32_t>(random() % 16), .deadline = std::chrono::microseconds(100)});
      if (!lease) {
        note(lease.outcome());
        if (!is_transient(lease.outcome())) return;
        continue;
      }
      for (const Message& message : lease) {
        for (const std::byte& byte : message.payload) (void)*static_cast<const volatile std::byte*>(&byte);
      }
      read_.fetch_add(1);
      switch (random() % 8) {
        case 0:
          note(lease.requeue());
          break;
        case 1:
          note(lease.ack(1 + static_cast<std::uint32_t>(random() % lease.size()), now));
          break;
        default:
          note(lease.ack());
      }
    }
  }
  void note(Outcome outcome) {
    if (std::string_view(to_string(outcome)) == "unknown") ADD_FAILURE() << "an outcome without a name";
    outcomes_.at(static_cast<std::size_t>(outcome)).fetch_add(1);
  }

  ScratchDirectory scratch_;
  std::optional<Queue> queue_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> read_{0};
  std::array<std::atomic<std::uint64_t>, 32> outcomes_{};
};

TEST_P(FlippedUnderWay, EveryCallComesBackWithANameAndNothingIsTouchedOutside) {
  std::mt19937_64 random = random_numbers();
  for (std::uint32_t round = 0; round < scaled(12); ++round) {
    make_queue(round);
    Flipper flipper(*queue_);
    support::Background producer([&] { keep_at_it([&] { produce(); }); });
    support::Background consumer([&] { keep_at_it([&] { consume(); }); });
    support::Background observer([&] {
      keep_at_it([&] {
        (void)queue_->inspect();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
    });
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
    while (std::chrono::steady_clock::now() < until) flipper.flip(random);
    stop_.store(true);
    // Joined here: a call that does not come back is this test's time-out.
    producer.join();
    consumer.join();
    observer.join();
  }
  EXPECT_GT(read_.load(), 0U) << "nobody got anything: nothing was tried";
}

INSTANTIATE_TEST_SUITE_P(Kinds, FlippedUnderWay,
                         testing::Values(Kinds{ProducerMode::shared, ConsumerMode::shared, "SharedBoth"},
                                         Kinds{ProducerMode::shared, ConsumerMode::exclusive, "ExclusiveConsumer"},
                                         Kinds{ProducerMode::exclusive, ConsumerMode::shared, "ExclusiveProducer"},
                                         Kinds{ProducerMode::exclusive, ConsumerMode::exclusive, "ExclusiveBoth"}),
                         [](const auto& kinds) { return std::string(kinds.param.name); });

}  // namespace
}  // namespace ipcq::unit
