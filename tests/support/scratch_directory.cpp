#include "scratch_directory.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace ipcq::support {

// Not "ipcq.…": a scratch directory in /dev/shm must not look like a queue to a listing of /dev/shm.
ScratchDirectory::ScratchDirectory() : path_("/dev/shm/ipcq-test-XXXXXX"), maker_(::getpid()) {
  if (::mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path_);
}

ScratchDirectory::~ScratchDirectory() {
  if (::getpid() != maker_) return;
  std::error_code ignored;  // a destructor has nobody to tell, and the next run makes another directory
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace ipcq::support
