// Path: the instructions that an operation takes, found by stepping through it once; with it others of its children come to
// any of them at full speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "crash/sweep/tracee.hpp"

namespace ipcq::sweep {

class Path {
 public:
  /// The next instruction is at this address. The first is the operation's first.
  void add(std::uintptr_t address);

  [[nodiscard]] std::uint64_t size() const noexcept { return steps_.size(); }

  /// Moves a child that stands at the first instruction to instruction `number`; forks of one process have the same
  /// addresses. False: it took another way (it had to wait, say), and has gone past it or ended.
  [[nodiscard]] bool lead(Tracee& child, std::uint64_t number) const;

 private:
  struct Step {
    std::uintptr_t address = 0;
    std::uint32_t visits = 0;  ///< of this address before this instruction, the first one not counted
  };
  std::vector<Step> steps_;
  std::unordered_map<std::uintptr_t, std::uint32_t> visits_;
};

}  // namespace ipcq::sweep
