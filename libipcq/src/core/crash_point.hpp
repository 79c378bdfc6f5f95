// Named places between two steps of a shared update, where tests let a process die or stop. Nothing in the shipped library.
#pragma once

#ifdef IPCQ_CRASH_POINTS
namespace ipcq::core {

/// SIGKILLs or SIGSTOPs this process if the environment's IPCQ_CRASH_AT or IPCQ_STOP_AT names this point ("name", or
/// "name:N" for the N-th visit). Before that, tells the calling thread's visitor.
void crash_point(const char* name) noexcept;

/// Who is told of the points that a thread comes to: a test, which records them, or stops or ends the thread there.
class CrashPointVisitor {
 public:
  CrashPointVisitor() = default;
  CrashPointVisitor(const CrashPointVisitor&) = delete;
  CrashPointVisitor& operator=(const CrashPointVisitor&) = delete;
  virtual ~CrashPointVisitor() = default;
  virtual void visit(const char* name) noexcept = 0;
};
/// Sets the visitor of the calling thread; null: none. It must outlive its use.
void visit_crash_points_of_this_thread(CrashPointVisitor* visitor) noexcept;

}  // namespace ipcq::core
#define IPCQ_CRASH_POINT(name) ::ipcq::core::crash_point(name)
#else
#define IPCQ_CRASH_POINT(name) static_cast<void>(0)
#endif
