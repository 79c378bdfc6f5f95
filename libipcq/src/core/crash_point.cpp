#include "core/crash_point.hpp"

#ifdef IPCQ_CRASH_POINTS

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#ifdef IPCQ_COVERAGE
extern "C" void __gcov_dump(void);  // of libgcov; its own header lacks the linkage
#endif

namespace ipcq::core {
namespace {

// Read once, before the first visit of any point: getenv is no part of what is tested.
struct Trigger {
  explicit Trigger(const char* variable) noexcept {
    const char* text = std::getenv(variable);
    if (text == nullptr) return;
    std::strncpy(name, text, sizeof name - 1);
    if (char* colon = std::strchr(name, ':'); colon != nullptr) {
      *colon = '\0';
      visit = std::strtol(colon + 1, nullptr, 10);
    }
  }
  [[nodiscard]] bool hits(const char* point) noexcept {
    return name[0] != '\0' && std::strcmp(name, point) == 0 &&
           visits.fetch_add(1, std::memory_order_relaxed) + 1 == visit;
  }
  char name[64] = {};
  long visit = 1;
  std::atomic<long> visits{0};
};

thread_local CrashPointVisitor* t_visitor = nullptr;

}  // namespace

void visit_crash_points_of_this_thread(CrashPointVisitor* visitor) noexcept { t_visitor = visitor; }

void crash_point(const char* name) noexcept {
  if (t_visitor != nullptr) t_visitor->visit(name);
  static Trigger crash("IPCQ_CRASH_AT");
  static Trigger stop("IPCQ_STOP_AT");
  if (crash.hits(name)) {
#ifdef IPCQ_COVERAGE
    __gcov_dump();  // counters go with the process
#endif
    ::kill(::getpid(), SIGKILL);
  }
  if (stop.hits(name)) ::kill(::getpid(), SIGSTOP);
}

}  // namespace ipcq::core

#endif
