// Somebody attaches in the row of a dead one while another looks for the dead: between whichever two looks at the row it
// happens, the newborn's row stays its own.
//
// Steps are made of memory accesses: the page of the rows is out of reach, every access to it faults, is let through alone
// (the trap flag), and is followed by what the other process does just then.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>

#include "core/recovery.hpp"
#include "fixture.hpp"

namespace ipcq::unit {
namespace {

constexpr greg_t kTrapFlag = 0x100;

/// Calls `behind` after each access to the pages of a row, with the row in reach.
class AccessSteps {
 public:
  using Behind = void (*)();

  AccessSteps(const layout::EndpointRow& row, Behind behind) {
    const auto page = static_cast<std::uintptr_t>(::getpagesize());
    const auto first = reinterpret_cast<std::uintptr_t>(&row) & ~(page - 1);
    const auto end = (reinterpret_cast<std::uintptr_t>(&row) + sizeof(row) + page - 1) & ~(page - 1);
    pages_ = reinterpret_cast<void*>(first);
    bytes_ = end - first;
    behind_ = behind;
    set(SIGSEGV, fault, old_segv_);
    set(SIGTRAP, trap, old_trap_);
    ::mprotect(pages_, bytes_, PROT_NONE);
  }
  ~AccessSteps() {
    ::mprotect(pages_, bytes_, PROT_READ | PROT_WRITE);
    ::sigaction(SIGSEGV, &old_segv_, nullptr);
    ::sigaction(SIGTRAP, &old_trap_, nullptr);
  }
  AccessSteps(const AccessSteps&) = delete;
  AccessSteps& operator=(const AccessSteps&) = delete;

 private:
  using Handler = void (*)(int, siginfo_t*, void*);

  static void set(int signal, Handler handler, struct sigaction& old) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(signal, &action, &old);
  }
  static void fault(int /*signal*/, siginfo_t* info, void* context) {
    const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr) - reinterpret_cast<std::uintptr_t>(pages_);
    if (at >= bytes_) ::_exit(99);  // no step of ours
    ::mprotect(pages_, bytes_, PROT_READ | PROT_WRITE);
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] |= kTrapFlag;
  }
  static void trap(int /*signal*/, siginfo_t* /*info*/, void* context) {
    behind_();
    ::mprotect(pages_, bytes_, PROT_NONE);
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
  }

  static inline void* pages_ = nullptr;
  static inline std::size_t bytes_ = 0;
  static inline Behind behind_ = nullptr;
  static inline struct sigaction old_segv_ {};
  static inline struct sigaction old_trap_ {};
};

/// One who attaches in row 0: steps 2 and 4 behind the other's access `named_at`, step 5 behind `attached_at`.
struct Newborn {
  const CoreSegment* segment = nullptr;
  int named_at = 0;
  int attached_at = 0;
  int accesses = 0;
  bool named = false;
  bool attached = false;
  bool possible = true;  // he holds the table's mutex all the while: the other cannot have it
};
Newborn newborn;

void attach_now() {
  auto& row = newborn.segment->view().row(0);
  row.state.store(static_cast<std::uint32_t>(layout::RowState::attached));
  newborn.attached = true;
}

void behind_an_access() {
  const core::View& view = newborn.segment->view();
  ++newborn.accesses;
  const bool at_work = newborn.accesses >= newborn.named_at && !newborn.attached;
  if (at_work && view.side().table_lock.mutex.holder() != 0) newborn.possible = false;
  if (newborn.accesses == newborn.named_at) {
    view.row(0).state.store(static_cast<std::uint32_t>(layout::RowState::free));
    view.row(0).incarnation.fetch_add(1);
    newborn.named = true;
  }
  if (newborn.accesses == newborn.attached_at) attach_now();
}

TEST(RowOfTheDead, ItsNewOwnerIsNotTakenForDeadByItsNewNameWhereverRecoveryLooksJustThen) {
  // With no descriptor to probe through, whoever is attached lives.
  const CoreSegment segment({.endpoints_max = 1, .groups_max = 1});
  segment.add_group();
  int possible = 0;
  for (int named_at = 1, last = 0; last == 0; ++named_at) {
    for (int later = 1; later < 16; ++later) {
      segment.attach(0);  // the dead one
      newborn = {.segment = &segment, .named_at = named_at, .attached_at = named_at + later};
      {
        const AccessSteps steps(segment.view().row(0), behind_an_access);
        core::recover(segment.view());
      }
      if (!newborn.named) last = named_at;
      if (!newborn.attached) attach_now();
      if (!newborn.possible || !newborn.named) continue;
      ++possible;
      ASSERT_TRUE(core::row_attached(segment.view(), 0))
          << "freed: named behind access " << named_at << ", attached behind access " << named_at + later;
    }
  }
  EXPECT_GT(possible, 15) << "recovery never looks at the row";
}

}  // namespace
}  // namespace ipcq::unit
