// The kernel's byte streams and packets: pipe, Unix sockets.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "../clock.hpp"
#include "peer.hpp"

namespace ipcq::bench {
namespace {

[[noreturn]] void failed(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

void set_nonblocking(int fd) {
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) failed("fcntl");
}

/// Whether a call is to be tried again: interrupted, or spinning and not ready.
bool again() {
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    relax();
    return true;
  }
  return errno == EINTR;
}

class FileOutlet : public CopyingOutlet {
 public:
  explicit FileOutlet(int fd) : fd_(fd) {}
  void publish(std::size_t bytes) override {
    std::span<const std::byte> left = written(bytes);
    while (!left.empty()) {
      const ssize_t sent = write(fd_, left.data(), left.size());
      if (sent < 0) {
        if (!again()) failed("write");
        continue;
      }
      left = left.subspan(static_cast<std::size_t>(sent));
    }
  }

 private:
  int fd_;
};

/// Takes whole messages: as many as there are when several go in a call, one else.
class FileInlet : public Inlet {
 public:
  FileInlet(int fd, const ChannelUse& use)
      : fd_(fd), message_bytes_(use.message_bytes), buffer_(use.batch * use.message_bytes) {}

  [[nodiscard]] std::span<const std::byte> take() override {
    std::size_t have = 0;
    do {
      const ssize_t got = read(fd_, buffer_.data() + have, buffer_.size() - have);
      if (got == 0) throw std::runtime_error("the other end is closed");
      if (got < 0) {
        if (!again()) failed("read");
        continue;
      }
      have += static_cast<std::size_t>(got);
      // A part of a message is left: the rest of it comes.
    } while (have == 0 || have % message_bytes_ != 0);
    return std::span<const std::byte>(buffer_).first(have);
  }

 private:
  int fd_;
  std::size_t message_bytes_;
  std::vector<std::byte> buffer_;
};

/// Two channels of which [i][0] is read and [i][1] written.
class FileChannels : public Channels {
 public:
  template <class Make>
  FileChannels(const ChannelUse& use, Make make) : use_(use) {
    for (auto& pair : fds_) {
      make(pair.data());
      if (!use.spin) continue;
      for (const int fd : pair) set_nonblocking(fd);
    }
  }
  ~FileChannels() override {
    for (const auto& pair : fds_) {
      for (const int fd : pair) close(fd);
    }
  }
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool) override {
    return std::make_unique<FileOutlet>(fds_[channel][1]);
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool) override {
    return std::make_unique<FileInlet>(fds_[channel][0], use_);
  }

 private:
  ChannelUse use_;
  std::array<std::array<int, 2>, 2> fds_{};
};

constexpr int kBufferBytes = 1 << 20;

void make_pipe(int* fds) {
  if (pipe2(fds, O_CLOEXEC) != 0) failed("pipe2");
  (void)fcntl(fds[1], F_SETPIPE_SZ, kBufferBytes);  // as much as the system allows
}

template <int Type>
void make_sockets(int* fds) {
  if (socketpair(AF_UNIX, Type | SOCK_CLOEXEC, 0, fds) != 0) failed("socketpair");
  for (const int fd : {fds[0], fds[1]}) {
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kBufferBytes, sizeof kBufferBytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
  }
}

Peer peer_of(const char* name, const char* system, std::size_t batch, void (*make)(int*)) {
  return {.name = name,
          .system = system,
          .version = std::string(system) + " of the kernel",
          .spins = true,
          .batch = batch,
          .open = [make](const ChannelUse& use) { return std::make_unique<FileChannels>(use, make); }};
}

}  // namespace

Peer pipe_peer() { return peer_of("pipe", "pipe", 64, make_pipe); }
Peer unix_stream_peer() { return peer_of("unix-stream", "Unix stream socket", 64, make_sockets<SOCK_STREAM>); }
Peer unix_seqpacket_peer() {
  return peer_of("unix-seqpacket", "Unix seqpacket socket", 1, make_sockets<SOCK_SEQPACKET>);
}

}  // namespace ipcq::bench
