#include "input.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "exit_code.hpp"
#include "signals.hpp"

namespace ipcq::cli {
namespace {

[[noreturn]] void throw_interrupted() { throw Failure(Exit::interrupted, sentence(Outcome::cancelled)); }

int open_for_reading(const std::string& path) {
  while (true) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0) return fd;
    const int error = errno;
    if (error != EINTR) throw Failure(Exit::error, "cannot open '" + path + "': " + std::strerror(error));
    if (interrupted()) throw_interrupted();
  }
}

}  // namespace

Input::Input(const std::string& path) : ours_(path != "-") {
  name_ = ours_ ? "'" + path + "'" : "standard input";
  fd_ = ours_ ? open_for_reading(path) : STDIN_FILENO;
  struct stat status {};
  if (::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode)) {
    const off_t at = ::lseek(fd_, 0, SEEK_CUR);
    regular_bytes_ = at >= 0 && at < status.st_size ? static_cast<std::uint64_t>(status.st_size - at) : 0;
  }
}

Input::~Input() {
  if (ours_) ::close(fd_);
}

std::size_t Input::read(std::span<std::byte> into) {
  while (true) {
    if (interrupted()) throw_interrupted();  // after this line a signal is followed by ticks: read does not hang
    const ssize_t count = ::read(fd_, into.data(), into.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {  // the caller made the descriptor non-blocking
      pollfd ready{fd_, POLLIN, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    throw Failure(Exit::error, "cannot read " + name_ + ": " + std::strerror(error));
  }
}

bool Input::terminal() const noexcept { return ::isatty(fd_) == 1; }

}  // namespace ipcq::cli
