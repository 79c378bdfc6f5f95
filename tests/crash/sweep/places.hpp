// Places to die of what works in a directory as much as in a segment: before and after each system call, and after each store
// that changes shared memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "crash/sweep/tracee.hpp"

namespace ipcq::sweep {

/// So many system calls after the beginning, and so many instructions after the last of these.
struct Place {
  std::uint64_t system_calls = 0;
  std::uint64_t instructions = 0;
};
[[nodiscard]] std::string text(const Place& place);

/// Steps the child through its operation once, all of it; counts the instructions. Shared memory: what it maps of files in
/// `directory`, named or not. Throws std::runtime_error if the operation fails.
[[nodiscard]] std::vector<Place> places_of(Tracee& child, const std::string& directory, std::uint64_t& instructions);
/// How many system calls the operation makes: it is led to its end. Much sooner done than places_of().
[[nodiscard]] std::uint64_t system_calls_of(Tracee& child);
/// Steps the child behind its next store that changes shared memory, or before its next system call. Returns the instructions.
std::uint64_t go_to_store(Tracee& child, const std::string& directory);
/// Of these so many, drawn by the seed; 0: all.
[[nodiscard]] std::vector<Place> chosen(std::vector<Place> places, std::uint64_t points, std::uint64_t seed);
/// Leads the child there, or to its end if it does not come so far.
void go_to(Tracee& child, const Place& place);

/// Does `work` in a process of its own, so that a child that forks later inherits no mapping. Throws std::runtime_error,
/// named `what`, if it throws.
void in_a_process(const std::function<void()>& work, const std::string& what);

}  // namespace ipcq::sweep
