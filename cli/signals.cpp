#include "signals.hpp"

#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "exit_code.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array<int, 3> kInterrupts{SIGINT, SIGTERM, SIGHUP};
constexpr long kTickNs = 50'000'000;

std::atomic<int> g_count{0};
std::atomic<Producer*> g_producer{nullptr};
std::atomic<Consumer*> g_consumer{nullptr};
timer_t g_timer{};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<Producer*>::is_always_lock_free);

void cancel_waiting() noexcept {
  if (Producer* producer = g_producer.load()) producer->cancel();
  if (Consumer* consumer = g_consumer.load()) consumer->cancel();
}

extern "C" void on_interrupt(int) {
  const int saved_errno = errno;
  if (g_count.fetch_add(1) >= 2) ::_exit(static_cast<int>(Exit::interrupted));
  cancel_waiting();
  itimerspec ticks{};
  ticks.it_value.tv_nsec = kTickNs;
  ticks.it_interval.tv_nsec = kTickNs;
  ::timer_settime(g_timer, 0, &ticks, nullptr);
  errno = saved_errno;
}

extern "C" void on_tick(int) {}  // its whole effect is EINTR

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;  // no SA_RESTART: what blocks shall end
  ::sigemptyset(&action.sa_mask);
  for (const int other : kInterrupts) ::sigaddset(&action.sa_mask, other);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void catch_interrupts() {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;
  if (::timer_create(CLOCK_MONOTONIC, &event, &g_timer) != 0) {
    throw Failure(Exit::error, std::string("cannot make a timer: ") + std::strerror(errno));
  }
  handle(SIGALRM, on_tick);
  for (const int signal : kInterrupts) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) handle(signal, on_interrupt);
  }
}

bool interrupted() noexcept { return g_count.load() > 0; }
bool interrupted_again() noexcept { return g_count.load() > 1; }

// Registered first, looked at afterwards; the handler counts first and cancels afterwards. So one of the two cancels.
CancelOnInterrupt::CancelOnInterrupt(Producer& producer) noexcept {
  g_producer.store(&producer);
  if (interrupted()) producer.cancel();
}

CancelOnInterrupt::CancelOnInterrupt(Consumer& consumer) noexcept {
  g_consumer.store(&consumer);
  if (interrupted()) consumer.cancel();
}

CancelOnInterrupt::~CancelOnInterrupt() {
  g_producer.store(nullptr);
  g_consumer.store(nullptr);
}

SignalsHeldBack::SignalsHeldBack() noexcept {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : kInterrupts) ::sigaddset(&signals, signal);
  ::sigaddset(&signals, SIGALRM);
  ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
}

SignalsHeldBack::~SignalsHeldBack() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace ipcq::cli
