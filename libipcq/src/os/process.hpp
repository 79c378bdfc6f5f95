// Processes and namespaces, as /proc and pidfds tell them.
#pragma once

#include <cstdint>
#include <string>

namespace ipcq::os {

struct FileId {
  std::uint64_t dev = 0;
  std::uint64_t ino = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

struct Namespaces {
  FileId pid;
  FileId time;
};
/// Of this process. A namespace that the kernel does not have is {0, 0}.
Namespaces own_namespaces() noexcept;

/// Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); 0: no such process or not readable.
std::uint64_t start_time(std::uint32_t pid) noexcept;

/// Whether the process `pid` that started at `start_time` exists, has not exited, and maps the file `id`.
/// Exited but unreaped counts as gone. `unknown` errors are answered with true: nobody is robbed for want of /proc.
bool lives_and_maps(std::uint32_t pid, std::uint64_t started, FileId id) noexcept;

/// The calling thread's number, as its PID namespace counts it.
std::uint32_t own_thread() noexcept;

/// First 15 bytes of the command name; empty: gone or not readable.
std::string command_of(std::uint32_t pid);

/// The uid that stands for unmapped owners in this user namespace (/proc/sys/kernel/overflowuid).
std::uint32_t overflow_uid() noexcept;

}  // namespace ipcq::os
