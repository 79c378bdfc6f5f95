#include "run_directory.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace ipcq::bench {

RunDirectory::RunDirectory(const std::string& base)
    : path_(base + "/ipcq-bench." + std::to_string(getpid()) + ".XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "cannot make a directory for queues in " + base);
  }
}

RunDirectory::~RunDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void RunDirectory::clear() const noexcept {
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(path_, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    std::filesystem::remove_all(entry->path(), ignored);
  }
}

}  // namespace ipcq::bench
