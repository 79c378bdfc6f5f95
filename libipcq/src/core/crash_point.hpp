// Named places between two steps of a shared update, where tests let a process die or stop. Nothing in the shipped library.
#pragma once

#ifdef IPCQ_CRASH_POINTS
namespace ipcq::core {
/// SIGKILLs or SIGSTOPs this process if the environment's IPCQ_CRASH_AT or IPCQ_STOP_AT names this point ("name", or
/// "name:N" for the N-th visit).
void crash_point(const char* name) noexcept;
}  // namespace ipcq::core
#define IPCQ_CRASH_POINT(name) ::ipcq::core::crash_point(name)
#else
#define IPCQ_CRASH_POINT(name) static_cast<void>(0)
#endif
