// Random: repeatable choices for tests, from IPCQ_TEST_SEED.
#pragma once

#include <cstdint>
#include <random>

#include "support/waiting.hpp"

namespace ipcq::contract {

class Random {
 public:
  /// `stream` tells the threads of one test apart.
  explicit Random(std::uint64_t stream = 0) : engine_(support::seed() + 0x9e3779b97f4a7c15U * stream) {}

  /// At least 0, less than `limit`.
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(engine_() % limit); }
  /// From `least` to `most`, both included.
  std::uint32_t between(std::uint32_t least, std::uint32_t most) { return least + below(most - least + 1); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace ipcq::contract
