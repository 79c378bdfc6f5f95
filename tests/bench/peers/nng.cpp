// nng: PUSH and PULL over ipc.
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>

#include <stdexcept>

#include "peer.hpp"

namespace ipcq::bench {
namespace {

void check(int error, const char* what) {
  if (error != 0) throw std::runtime_error(std::string(what) + ": " + nng_strerror(error));
}

class Socket {
 public:
  Socket(int (*open)(nng_socket*), const std::string& address, bool listens) {
    check(open(&socket_), "nng open");
    check(listens ? nng_listen(socket_, address.c_str(), nullptr, 0) : nng_dial(socket_, address.c_str(), nullptr, 0),
          "nng_listen or nng_dial");
  }
  ~Socket() { nng_close(socket_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] nng_socket get() const noexcept { return socket_; }

 private:
  nng_socket socket_{};
};

class NngOutlet : public CopyingOutlet {
 public:
  NngOutlet(const std::string& address, bool listens) : socket_(nng_push0_open, address, listens) {}
  void publish(std::size_t bytes) override {
    check(nng_send(socket_.get(), room(bytes), bytes, 0), "nng_send");  // it copies, and does not write there
  }

 private:
  Socket socket_;
};

class NngInlet : public Inlet {
 public:
  NngInlet(const std::string& address, bool listens, std::size_t bytes)
      : socket_(nng_pull0_open, address, listens), buffer_(bytes) {}
  [[nodiscard]] std::span<const std::byte> take() override {
    std::size_t got = buffer_.size();
    check(nng_recv(socket_.get(), buffer_.data(), &got, 0), "nng_recv");
    return std::span<const std::byte>(buffer_).first(got);
  }

 private:
  Socket socket_;
  std::vector<std::byte> buffer_;
};

class NngChannels : public Channels {
 public:
  explicit NngChannels(const ChannelUse& use) : use_(use) {}
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool first_side) override {
    return std::make_unique<NngOutlet>(address(channel), first_side);
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool first_side) override {
    return std::make_unique<NngInlet>(address(channel), first_side, use_.message_bytes);
  }

 private:
  [[nodiscard]] std::string address(unsigned channel) const {
    return "ipc://" + use_.directory + "/nng." + std::to_string(channel);
  }

  ChannelUse use_;
};

}  // namespace

Peer nng_peer() {
  return {.name = "nng",
          .system = "nng ipc",
          .version = std::string("nng ") + nng_version() + ", PUSH and PULL over ipc",
          .open = [](const ChannelUse& use) { return std::make_unique<NngChannels>(use); }};
}

}  // namespace ipcq::bench
