// The facts without which a figure means nothing.
#pragma once

#include <string>

namespace ipcq::bench {

struct Machine {
  std::string cpu;    ///< model, and whether it is virtual
  unsigned cpus = 0;  ///< online
  std::string kernel;
  std::string compiler;  ///< with what this program was built, and a warning if without optimisation
  std::string date;      ///< UTC
  std::string clock;     ///< the kernel's clock source, and what single trips are timed by
};

[[nodiscard]] Machine describe_machine();

}  // namespace ipcq::bench
