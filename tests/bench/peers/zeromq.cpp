// ZeroMQ: PUSH and PULL over ipc.
#include <zmq.h>

#include <cerrno>
#include <stdexcept>

#include "peer.hpp"

namespace ipcq::bench {
namespace {

[[noreturn]] void failed(const char* what) { throw std::runtime_error(std::string(what) + ": " + zmq_strerror(errno)); }

class Socket {
 public:
  Socket(int type, const std::string& address, bool binds)
      : context_(zmq_ctx_new()), socket_(zmq_socket(context_, type)) {
    if (socket_ == nullptr) failed("zmq_socket");
    const int done = binds ? zmq_bind(socket_, address.c_str()) : zmq_connect(socket_, address.c_str());
    if (done != 0) failed("zmq_bind or zmq_connect");
  }
  ~Socket() {
    const int linger_ms = 0;  // everything has been received when an end goes
    zmq_setsockopt(socket_, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] void* get() const noexcept { return socket_; }

 private:
  void* context_;
  void* socket_;
};

class ZmqOutlet : public CopyingOutlet {
 public:
  ZmqOutlet(const std::string& address, bool binds) : socket_(ZMQ_PUSH, address, binds) {}
  void publish(std::size_t bytes) override {
    while (zmq_send(socket_.get(), written(bytes).data(), bytes, 0) < 0) {
      if (errno != EINTR) failed("zmq_send");
    }
  }

 private:
  Socket socket_;
};

class ZmqInlet : public Inlet {
 public:
  ZmqInlet(const std::string& address, bool binds, std::size_t bytes)
      : socket_(ZMQ_PULL, address, binds), buffer_(bytes) {}
  [[nodiscard]] std::span<const std::byte> take() override {
    int got = 0;
    while ((got = zmq_recv(socket_.get(), buffer_.data(), buffer_.size(), 0)) < 0) {
      if (errno != EINTR) failed("zmq_recv");
    }
    return std::span<const std::byte>(buffer_).first(static_cast<std::size_t>(got));
  }

 private:
  Socket socket_;
  std::vector<std::byte> buffer_;
};

class ZmqChannels : public Channels {
 public:
  explicit ZmqChannels(const ChannelUse& use) : use_(use) {}
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool first_side) override {
    return std::make_unique<ZmqOutlet>(address(channel), first_side);
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool first_side) override {
    return std::make_unique<ZmqInlet>(address(channel), first_side, use_.message_bytes);
  }

 private:
  [[nodiscard]] std::string address(unsigned channel) const {
    return "ipc://" + use_.directory + "/zeromq." + std::to_string(channel);
  }

  ChannelUse use_;
};

}  // namespace

Peer zeromq_peer() {
  int major = 0, minor = 0, patch = 0;
  zmq_version(&major, &minor, &patch);
  return {.name = "zeromq",
          .system = "ZeroMQ ipc",
          .version = "ZeroMQ " + std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch) +
                     ", PUSH and PULL over ipc",
          .open = [](const ChannelUse& use) { return std::make_unique<ZmqChannels>(use); }};
}

}  // namespace ipcq::bench
