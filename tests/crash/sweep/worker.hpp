// Worker: the process in which survivors run, so that one that crashes or hangs is an outcome and not the end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "crash/sweep/expectation.hpp"
#include "crash/sweep/image.hpp"
#include "crash/sweep/survivor.hpp"

namespace ipcq::sweep {

/// What somebody who came after the dead did, and died of too.
enum class Recoverer : std::uint8_t {
  none,
  recover,   ///< core::recover
  attach,    ///< takes every row that is left, then sends kMiddle
  consumer,  ///< leases four messages of "default"
};
inline constexpr std::uint64_t kMiddle = 600;  ///< plus how many died before him

struct Death {
  Recoverer recoverer = Recoverer::none;
  std::uint32_t reached = 0;
};

/// One job: everything is a value, since it crosses processes.
struct Job {
  enum class Kind : std::uint8_t { survive, work_beside, settle } kind = Kind::survive;
  Mode mode = Mode::recover;
  std::uint32_t operation = 0;  ///< place in operations()
  std::uint32_t reached = 0;
  Death later[2];  ///< of those who died after it
};
/// What operations()[job.operation] and those who died later leave to others.
[[nodiscard]] Expectation expectation_of(const Job& job);

enum class Verdict : std::uint8_t { ok, wrong, hung };

struct Answer {
  Verdict verdict = Verdict::ok;
  std::string text;
  Ids got;  ///< survive: what "default" got. work_beside: what was acked
  bool sent = false;
};

class Worker {
 public:
  Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  /// Runs a job on a queue, to whose file `images` is written first unless it is null. `before`: of settle.
  Answer run(const Job& job, const QueueAt& at, const Images* images, const Interlude* before = nullptr);

 private:
  struct Desk;
  [[nodiscard]] bool await_answer() const;
  void start();
  void stop();

  Desk* desk_;
  pid_t pid_ = -1;
  int to_worker_ = -1;
  int from_worker_ = -1;
};

}  // namespace ipcq::sweep
