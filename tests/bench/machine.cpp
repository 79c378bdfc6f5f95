#include "machine.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <fstream>

#include "clock.hpp"

namespace ipcq::bench {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  std::string model, family, number;
  bool is_virtual = false;
  for (std::string line; std::getline(file, line) && !line.empty();) {  // the first cpu's paragraph
    const auto colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(colon + 2);
    if (line.starts_with("model name")) {
      model = value;
    } else if (line.starts_with("cpu family")) {
      family = value;
    } else if (line.starts_with("model\t")) {
      number = value;
    } else if (line.starts_with("flags")) {
      is_virtual = (" " + value + " ").find(" hypervisor ") != std::string::npos;
    }
  }
  if (model.empty()) model = "unknown";
  if (!family.empty()) model += " (family " + family + ", model " + number + ")";
  return is_virtual ? model + ", virtual" : model;
}

std::string compiler() {
#if defined(__clang__)
  std::string text = "clang " __clang_version__;
#else
  std::string text = "gcc " __VERSION__;
#endif
  while (text.ends_with(' ')) text.pop_back();
#if !defined(__OPTIMIZE__)
  text += ", WITHOUT OPTIMISATION: these figures say nothing";
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  text += ", WITH A SANITIZER: these figures say nothing";
#endif
  return text;
}

}  // namespace

Machine describe_machine() {
  Machine machine;
  machine.cpu = cpu_model();
  machine.cpus = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
  utsname name{};
  if (uname(&name) == 0) machine.kernel = std::string(name.sysname) + " " + name.release + " " + name.machine;
  machine.compiler = compiler();
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc);
  machine.date = text;
  machine.clock = tick_clock().describe();
  return machine;
}

}  // namespace ipcq::bench
