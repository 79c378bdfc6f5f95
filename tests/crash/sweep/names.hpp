// Making, opening and removing a queue, killed at every system call and at every store to shared memory: for real, since
// what a death leaves is in the directory as much as in the segment.
#pragma once

#include "crash/sweep/sweep.hpp"

namespace ipcq::sweep {

enum class Naming : std::uint8_t { create, open_or_create, open, remove };
inline constexpr Naming kNamings[] = {Naming::create, Naming::open_or_create, Naming::open, Naming::remove};
[[nodiscard]] const char* name_of(Naming what) noexcept;

[[nodiscard]] Row sweep_naming(const std::string& directory, Naming what, const Sampling& sampling,
                               const std::function<void(const std::string&)>& report);

}  // namespace ipcq::sweep
