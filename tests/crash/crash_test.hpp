// CrashTest: a directory of its own for each test, which its child processes find by the environment.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <string>

#include "messages.hpp"
#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"

namespace ipcq::crash {

using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::Ending;
using support::require;

inline std::int64_t monotonic_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

class CrashTest : public testing::Test {
 protected:
  CrashTest() { ::setenv("IPCQ_DIR", scratch_.path().c_str(), 1); }
  ~CrashTest() override { ::unsetenv("IPCQ_DIR"); }

  [[nodiscard]] const std::string& directory() const noexcept { return scratch_.path(); }
  /// A queue with the ring of all crash tests.
  static Queue create(CreateOptions options = {}) {
    options.capacity_bytes = kCapacity;
    return Queue::create(kQueue, options);
  }

 private:
  support::ScratchDirectory scratch_;
};

}  // namespace ipcq::crash
