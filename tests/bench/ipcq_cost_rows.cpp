// The rows about what it costs to be there: to wait, to attach, to create a queue, to list many, and the memory beside the
// ring. They say one figure each, and do not depend on how far apart the two cpus are.
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <new>
#include <string>
#include <system_error>

#include "clock.hpp"
#include "ipcq_runs.hpp"
#include "runner.hpp"

namespace ipcq::bench {
namespace {

constexpr std::uint64_t kIdleLeast_ns = 2'000'000'000;
constexpr useconds_t kBackstop_us = 50'000;  // docs/waiting.md

std::string reserve_name(std::size_t bytes) { return "raw/reserve-" + size_name(bytes); }

/// Works until the measuring phase is over, at least once; tells the median time in units of `unit_ns`. `clean_up` after
/// each work is not timed.
template <class Work, class CleanUp>
void time_again_and_again(Side& side, double unit_ns, Work work, CleanUp clean_up) {
  std::vector<double> times;
  do {
    if (!side.warmed_up()) times.clear();
    const std::uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    work();
    times.push_back(static_cast<double>(clock_ns(CLOCK_MONOTONIC) - begin) / unit_ns);
    clean_up();
  } while (side.running(times.size()));
  side.tell(median(times));
}

void keep_company(Side& side) {
  side.start();
  side.finish(std::nullopt);
}

/// One side works, the other keeps it company.
Run run_alone(const Plan& plan, const std::function<void(Side&)>& work) {
  return run_pair(
      plan,
      [&](Side& side) {
        work(side);
        side.finish(std::nullopt);
      },
      keep_company);
}

Row cost_row(const std::string& name, const std::string& what, const std::string& unit, const QueueUse& use,
             std::function<Run(const Plan&)> run) {
  return {.name = name,
          .what = what,
          .measure = Measure::told,
          .unit = unit,
          .less_is_better = true,
          .busy = {false, false},
          .placed = false,
          .facts = facts_of(use, 1),
          .run = std::move(run)};
}

/// The cpu time that a process has used.
std::uint64_t cpu_ns_of(pid_t pid) {
  clockid_t clock{};
  if (const int error = clock_getcpuclockid(pid, &clock); error != 0) {
    throw std::system_error(error, std::generic_category(), "the cpu time of a consumer");
  }
  return clock_ns(clock);
}

/// The cpu time of the side `pid`, which does nothing but sleep, in percent of a cpu.
void watch_sleeper(Side& side, const std::atomic<pid_t>& pid) {
  side.start();
  while (side.running(0) && !side.warmed_up()) usleep(100);
  const std::uint64_t begin = clock_ns(CLOCK_MONOTONIC);
  const std::uint64_t cpu_begin = cpu_ns_of(pid.load(std::memory_order_relaxed));
  // A run may have room for a few of its looks only; their number would be chance.
  while (side.running(0) || clock_ns(CLOCK_MONOTONIC) - begin < kIdleLeast_ns) usleep(500);
  const std::uint64_t cpu_end = cpu_ns_of(pid.load(std::memory_order_relaxed));
  const std::uint64_t end = clock_ns(CLOCK_MONOTONIC);
  side.tell(100 * static_cast<double>(cpu_end - cpu_begin) / static_cast<double>(end - begin));
}

/// The first side looks at the second, which sleeps all the time, and wakes it at the end by closing the queue.
Run run_idle(const Plan& plan, const QueueUse& use) {
  const SharedMemory memory(sizeof(std::atomic<pid_t>));
  auto& consumer_pid = *new (memory.data()) std::atomic<pid_t>(0);
  return one_queue(
      plan, use,
      [&](Side& side, const Queue& queue) {
        watch_sleeper(side, consumer_pid);
        queue.close();
        side.finish(std::nullopt);
      },
      [&](Side& side, const Queue& queue) {
        consumer_pid.store(getpid(), std::memory_order_relaxed);  // relaxed: the sides meet before it is read
        Consumer consumer = attach_consumer(use, queue);
        side.start();
        const Lease lease = consumer.lease();
        if (lease.outcome() != Outcome::closed) unexpected("lease", lease.outcome());
        side.finish(std::nullopt);
      });
}

/// The same with a process that does nothing but `sleep_once`, again and again. What it needs is made where it runs.
template <class Sleep>
Run run_bare_idle(const Plan& plan) {
  struct Sleeper {
    std::atomic<pid_t> pid{0};
    std::atomic<bool> over{false};
  };
  const SharedMemory memory(sizeof(Sleeper));
  auto& sleeper = *new (memory.data()) Sleeper;
  return run_pair(
      plan,
      [&](Side& side) {
        watch_sleeper(side, sleeper.pid);
        sleeper.over.store(true, std::memory_order_relaxed);  // relaxed: nothing comes with it
        side.finish(std::nullopt);
      },
      [&](Side& side) {
        sleeper.pid.store(getpid(), std::memory_order_relaxed);  // relaxed: the sides meet before it is read
        Sleep sleep;
        side.start();
        while (!sleeper.over.load(std::memory_order_relaxed)) sleep.once();
        side.finish(std::nullopt);
      });
}

/// As long as a consumer does, and that is all.
struct BareSleep {
  void once() { usleep(kBackstop_us); }
};

/// Likewise with the system calls that a consumer cannot do without at an empty queue with no other endpoint: it sleeps on
/// a futex up to a time, and then looks whether its two descriptors still are the queue's file and its life lock is there.
class SleepAndLook {
 public:
  void once() {
    timespec until{};
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += std::int64_t{kBackstop_us} * 1000;
    if (until.tv_nsec >= 1'000'000'000) {
      until.tv_nsec -= 1'000'000'000;
      ++until.tv_sec;
    }
    syscall(SYS_futex, word_.data(), FUTEX_WAIT_BITSET, 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY);
    struct stat life {};
    struct stat probe {};
    struct flock lock = whole_byte();
    if (fstat(life_, &life) != 0 || fstat(probe_, &probe) != 0 || life.st_ino != probe.st_ino ||
        fcntl(probe_, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
      throw std::system_error(errno, std::generic_category(), "a look of the bare sleeper");
    }
  }

 private:
  static struct flock whole_byte() {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_len = 1;
    return lock;
  }

  SharedMemory word_{sizeof(std::uint32_t)};
  // Both end with the side.
  int probe_ = memfd_create("look", MFD_CLOEXEC);
  int life_ = [this] {  // a description of its own: asked through the one that has the lock, there is none
    const int life = open(("/proc/self/fd/" + std::to_string(probe_)).c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock = whole_byte();
    if (fcntl(life, F_OFD_SETLK, &lock) != 0) {
      throw std::system_error(errno, std::generic_category(), "the life lock of the bare sleeper");
    }
    return life;
  }();
};

Row idle_row(QueueUse use, WaitStrategy wait) {
  use.wait = wait;
  return cost_row(std::string("ipcq/idle-") + wait_name(wait),
                  std::string("the cpu time of a consumer at an empty queue, ") + wait_text(wait), "% of a cpu", use,
                  [use](const Plan& plan) { return run_idle(plan, use); });
}

template <class Sleep>
Row bare_idle_row(const std::string& name, const std::string& what, const std::string& calls) {
  Row row = cost_row(name, "the cpu time of a process that sleeps 50 ms at a time, as a consumer does, and " + what,
                     "% of a cpu", {}, run_bare_idle<Sleep>);
  row.facts = {{"system", calls}};
  return row;
}

Row attach_row(const QueueUse& use) {
  return cost_row("ipcq/attach", "to open a queue of 8 MiB by its name, attach a consumer and detach it", "us", use,
                  [use](const Plan& plan) {
                    return one_queue(
                        plan, use, [](Side& side, const Queue&) { keep_company(side); },
                        [&](Side& side, const Queue&) {
                          side.start();
                          const auto attach = [&] {
                            const Queue queue = open_queue(use, "stream");
                            const Consumer consumer = attach_consumer(use, queue);
                          };
                          time_again_and_again(side, 1e3, attach, [] {});
                          side.finish(std::nullopt);
                        });
                  });
}

Row create_row(QueueUse use, std::size_t capacity_bytes) {
  use.capacity_bytes = capacity_bytes;
  const auto create = [use] { (void)create_queue(use, "created"); };
  const auto clean_up = [use] { remove("created", {.directory = use.directory}); };
  Row row = cost_row("ipcq/create-" + size_name(capacity_bytes),
                     "to create a queue of " + size_text(capacity_bytes) + ", its memory reserved", "ms", use,
                     [=](const Plan& plan) {
                       return run_alone(plan, [&](Side& side) {
                         side.start();
                         time_again_and_again(side, 1e6, create, clean_up);
                       });
                     });
  row.limit = reserve_name(capacity_bytes);
  return row;
}

enum class Half : std::uint8_t { claim, lease };

void tell_alone(Side& side, const QueueUse& use, Half half) {
  constexpr std::uint64_t kRound = 256;
  const Queue queue = create_queue(use, "alone");
  QueueSender<64> sender(attach_producer(use, queue), 1);
  QueueReceiver<64> receiver(attach_consumer(use, queue), 1);
  std::vector<double> times;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  side.start();
  do {
    if (!side.warmed_up()) times.clear();
    const std::uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    for (std::uint64_t i = 0; i < kRound; ++i) sender.send(sent++);
    const std::uint64_t middle = clock_ns(CLOCK_MONOTONIC);
    while (received < sent) receiver.receive(received);
    const std::uint64_t end = clock_ns(CLOCK_MONOTONIC);
    times.push_back(static_cast<double>(half == Half::claim ? middle - begin : end - middle) / kRound);
  } while (side.running(sent));
  side.tell(median(times));
}

/// One process sends and receives in turn, a few hundred messages at a time: what a message takes of a processor when no
/// line of the ring has to come from another one. Twice both halves and the bare round trip are what a round trip can be.
Row alone_row(QueueUse use, Half half) {
  use.wait = WaitStrategy::spin;
  const bool exclusive = use.producers == ProducerMode::exclusive;
  const std::string name = half == Half::claim ? "claim-commit" : "lease-ack";
  const std::string what = half == Half::claim ? "claim, write, commit" : "lease, read, ack";
  const std::string mode = exclusive ? "exclusive" : "shared";
  return cost_row("ipcq/alone-" + name + "-64B-" + mode,
                  "one process alone: " + what + " of one 64-byte message, " + mode, "ns", use, [=](const Plan& plan) {
                    return run_alone(plan, [&](Side& side) {
                      tell_alone(side, use, half);
                      remove("alone", {.directory = use.directory});
                    });
                  });
}

/// What the kernel takes for the memory alone: a file of so many bytes whose pages are there.
Row reserve_row(const QueueUse& use, std::size_t bytes) {
  Row row = cost_row(reserve_name(bytes), "to reserve a file of " + size_text(bytes) + " in the same tmpfs", "ms", use,
                     [=](const Plan& plan) {
                       return run_alone(plan, [&](Side& side) {
                         int fd = -1;
                         const auto reserve = [&] {
                           fd = open(use.directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
                           const int error = fd < 0 ? errno : posix_fallocate(fd, 0, static_cast<off_t>(bytes));
                           if (error != 0) throw std::system_error(error, std::generic_category(), "reserving memory");
                         };
                         side.start();
                         time_again_and_again(side, 1e6, reserve, [&] { close(fd); });
                       });
                     });
  row.facts = {{"system", "a file"}};
  return row;
}

Row list_row(const QueueUse& use, std::uint32_t queues) {
  return cost_row("ipcq/ls-" + std::to_string(queues), "to list " + std::to_string(queues) + " queues of 64 KiB", "ms",
                  use, [=](const Plan& plan) {
                    QueueUse many = use;
                    many.directory += "/many";
                    many.capacity_bytes = std::size_t{64} << 10;
                    return run_alone(plan, [&](Side& side) {
                      const std::uint32_t number = plan.smoke ? 20 : queues;
                      std::filesystem::create_directory(many.directory);
                      for (std::uint32_t i = 0; i < number; ++i) (void)create_queue(many, "queue" + std::to_string(i));
                      const auto list_all = [&] {
                        const std::size_t seen = list({.directory = many.directory}).size();
                        if (seen != number)
                          throw std::runtime_error("list() found " + std::to_string(seen) + " queues");
                      };
                      side.start();
                      time_again_and_again(side, 1e6, list_all, [] {});
                      std::filesystem::remove_all(many.directory);
                    });
                  });
}

/// Of a queue with nothing but default options, so that it is what a user sees.
Row memory_row(const QueueUse& use) {
  return cost_row("ipcq/memory-beside-ring", "a queue's memory but for its ring, with default options", "MiB", use,
                  [=](const Plan& plan) {
                    return run_alone(plan, [&](Side& side) {
                      const Queue queue = Queue::create("plain", {.directory = use.directory});
                      const QueueInfo info = queue.inspect();
                      side.start();
                      while (side.running(0)) usleep(100);
                      side.tell(static_cast<double>(info.segment_bytes - info.capacity_bytes) / kMi);
                      remove("plain", {.directory = use.directory});
                    });
                  });
}

}  // namespace

std::vector<Row> ipcq_cost_rows(const std::string& directory) {
  const QueueUse use{.directory = directory, .wait = WaitStrategy::adaptive};
  std::vector<Row> rows;
  for (const bool exclusive : {true, false}) {
    QueueUse alone = use;
    alone.producers = exclusive ? ProducerMode::exclusive : ProducerMode::shared;
    alone.consumers = exclusive ? ConsumerMode::exclusive : ConsumerMode::shared;
    for (const Half half : {Half::claim, Half::lease}) rows.push_back(alone_row(alone, half));
  }
  rows.push_back(bare_idle_row<BareSleep>("raw/idle", "does nothing else", "usleep"));
  rows.push_back(
      bare_idle_row<SleepAndLook>("raw/idle-look", "makes the system calls of a look", "futex, 2 fstat, F_OFD_GETLK"));
  rows.push_back(idle_row(use, WaitStrategy::adaptive));
  rows.push_back(idle_row(use, WaitStrategy::sleep));
  rows.push_back(attach_row(use));
  rows.push_back(reserve_row(use, 64 * kMi));
  rows.push_back(create_row(use, 64 * kMi));
  rows.push_back(list_row(use, 1000));
  rows.push_back(memory_row(use));
  return rows;
}

}  // namespace ipcq::bench
