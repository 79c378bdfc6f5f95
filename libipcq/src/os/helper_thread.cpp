#include "os/helper_thread.hpp"

#include <signal.h>
#include <sys/prctl.h>

#include <utility>

namespace ipcq::os {

std::thread start_helper(const char* name, std::function<void()> run) {
  struct Blocked {  // a thread begins with its maker's mask
    Blocked() noexcept {
      sigset_t all;
      sigfillset(&all);
      ::pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~Blocked() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    Blocked(const Blocked&) = delete;
    Blocked& operator=(const Blocked&) = delete;
    sigset_t before{};
  };
  const Blocked blocked;
  return std::thread([name, run = std::move(run)] {
    ::prctl(PR_SET_NAME, name, 0, 0, 0);
    run();
  });
}

}  // namespace ipcq::os
