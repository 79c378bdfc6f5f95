#include "waiting.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace ipcq::support {
namespace {

double scale() {
  const char* text = std::getenv("IPCQ_TEST_SCALE");
  if (text == nullptr || *text == '\0') return 1;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (*end != '\0' || !(value > 0)) throw std::runtime_error(std::string("IPCQ_TEST_SCALE is no factor: ") + text);
  return value;
}

std::uint64_t choose_seed() {
  std::uint64_t value = 0;
  const char* text = std::getenv("IPCQ_TEST_SEED");
  if (text != nullptr && *text != '\0') {
    char* end = nullptr;
    value = std::strtoull(text, &end, 0);
    if (*end != '\0') throw std::runtime_error(std::string("IPCQ_TEST_SEED is no number: ") + text);
  } else {
    std::random_device device;
    value = (std::uint64_t{device()} << 32) | device();
  }
  std::printf("IPCQ_TEST_SEED=%llu\n", static_cast<unsigned long long>(value));
  std::fflush(stdout);
  return value;
}

// Whether the kernel has the thread in an interruptible sleep. The state is the first word after the command, which is
// in parentheses and may itself hold any character.
bool sleeps(pid_t tid) {
  std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return false;
  const std::size_t state = line.rfind(") ");
  return state != std::string::npos && state + 2 < line.size() && line[state + 2] == 'S';
}

}  // namespace

std::uint32_t scaled(std::uint32_t count) {
  static const double factor = scale();
  constexpr double kMost = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::clamp(count * factor, 1.0, kMost));
}

std::uint64_t seed() {
  static const std::uint64_t chosen = choose_seed();
  return chosen;
}

void wait_until(std::string_view what, const std::function<bool()>& condition) {
  const auto last = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > last) throw std::runtime_error("waited in vain: " + std::string(what));
    std::this_thread::yield();
  }
}

Background::Background(std::function<void()> call)
    : thread_([this, call = std::move(call)] {
        tid_.store(::gettid(), std::memory_order_release);
        try {
          call();
        } catch (...) {
          thrown_ = std::current_exception();
        }
        finished_.store(true, std::memory_order_release);
      }) {}

Background::~Background() {
  if (thread_.joinable()) thread_.join();
}

void Background::wait_until_asleep() const {
  wait_until("a thread goes to sleep", [this] {
    const pid_t tid = tid_.load(std::memory_order_acquire);
    return tid != 0 && (finished() || sleeps(tid));
  });
}

void Background::signal(int number) {
  const int error = ::pthread_kill(thread_.native_handle(), number);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_kill");
}

void Background::join() {
  if (thread_.joinable()) thread_.join();
  if (thrown_ != nullptr) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

}  // namespace ipcq::support
