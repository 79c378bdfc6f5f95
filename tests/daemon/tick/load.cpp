#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <ipcq/ipcq.hpp>
#include <new>
#include <stdexcept>
#include <thread>

#include "crash/sweep/messages.hpp"
#include "daemon/tick/scene.hpp"

namespace ipcq::daemon::tick {
namespace {

using sweep::require;

pid_t started(const std::function<void()>& work, const char* what) {
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid != 0) return pid;
  try {
    work();
    ::_exit(0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", what, error.what());
  }
  ::_exit(1);
}

void nap() { std::this_thread::sleep_for(std::chrono::microseconds(100)); }

}  // namespace

void Load::Unmap::operator()(Shared* shared) const noexcept { ::munmap(shared, sizeof(Shared)); }

Load::Load(const Scene& scene) {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
  shared_.reset(new (memory) Shared);
  producer_ = started([&] { produce(scene.directory(), *shared_); }, "the producer beside it");
  consumer_ = started([&] { consume(scene.directory(), *shared_); }, "the consumer beside it");
  while (shared_->attached.load() < 2) nap();
}

Load::~Load() {
  for (const pid_t pid : {producer_, consumer_}) {
    if (pid <= 0) continue;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
}

void Load::produce(const std::string& directory, Shared& shared) {
  Producer producer = Queue::open("busy", {.directory = directory}).producer({.wait = WaitStrategy::sleep});
  ++shared.attached;
  while (!shared.go.load()) nap();
  std::uint64_t id = 0;
  while (!shared.stop.load()) {
    for (int i = 0; i < 8; ++i) sweep::send(producer, {++id});
    shared.sent.store(id);
    nap();
  }
  shared.sent_all.store(true);
}

void Load::consume(const std::string& directory, Shared& shared) {
  Consumer consumer = Queue::open("busy", {.directory = directory}).consumer({.wait = WaitStrategy::sleep});
  ++shared.attached;
  std::uint64_t got = 0;
  for (;;) {
    const bool last = shared.sent_all.load();
    const bool stepped = !shared.watchdog_dead.load();
    Lease lease =
        consumer.lease({.max_messages = 16, .deadline = last ? Deadline(now) : Deadline(std::chrono::milliseconds(20))});
    if (!lease) {
      // A watchdog that is stepped may stand still for long with the group's lock.
      require(lease.outcome() == Outcome::empty || (stepped && lease.outcome() == Outcome::blocked),
              std::string("lease: ") + to_string(lease.outcome()));
      if (last) break;
      continue;
    }
    for (const Message& message : lease) {
      ++got;
      const std::uint64_t id = sweep::id_of(message);
      require(id == got, "message " + std::to_string(id) + " came, not " + std::to_string(got));
    }
    sweep::ok(lease.ack(), "ack");
  }
  shared.got.store(got);
}

void Load::finish() {
  shared_->watchdog_dead.store(true);
  shared_->go.store(true);
  const std::uint64_t before = shared_->sent.load();
  // It goes on: the watchdog's death has taken nothing from it.
  for (int naps = 0; shared_->sent.load() < before + 16; ++naps) {
    require(naps < 300'000 && ::waitpid(producer_, nullptr, WNOHANG) == 0, "the producer beside it sends no more");
    nap();
  }
  shared_->stop.store(true);
  for (pid_t* const pid : {&producer_, &consumer_}) {
    int status = 0;
    const pid_t ended = ::waitpid(*pid, &status, 0);
    require(ended == *pid && status == 0, "who works beside it failed");
    *pid = -1;
  }
  require(shared_->got.load() == shared_->sent.load(), std::to_string(shared_->sent.load()) +
                                                           " messages were sent beside it, and " +
                                                           std::to_string(shared_->got.load()) + " came");
}

}  // namespace ipcq::daemon::tick
