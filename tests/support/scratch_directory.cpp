#include "scratch_directory.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace ipcq::support {

namespace {

// Not "ipcq.…": a scratch directory must not look like a queue to a listing of where it is.
std::string pattern() {
  const char* directory = ::getenv("IPCQ_DIR");
  return std::string(directory == nullptr || *directory == '\0' ? "/dev/shm" : directory) + "/ipcq-test-XXXXXX";
}

}  // namespace

ScratchDirectory::ScratchDirectory() : path_(pattern()), maker_(::getpid()) {
  if (::mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path_);
}

ScratchDirectory::~ScratchDirectory() {
  if (::getpid() != maker_) return;
  std::error_code ignored;  // a destructor has nobody to tell, and the next run makes another directory
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace ipcq::support
