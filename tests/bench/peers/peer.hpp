// What the other systems look like to the harness: one way in, one way out, whole messages. Each brings both ends of a
// channel; the loops, the payload checks and the placement probes are those of every other row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../row.hpp"

namespace ipcq::bench {

/// The end that sends. A message is written into room() and goes with publish(). The system's own memory where it lends
/// some, else a buffer that the system copies from.
class Outlet {
 public:
  Outlet() = default;
  virtual ~Outlet() = default;
  Outlet(const Outlet&) = delete;
  Outlet& operator=(const Outlet&) = delete;
  [[nodiscard]] virtual std::byte* room(std::size_t bytes) = 0;
  virtual void publish(std::size_t bytes) = 0;
};

/// The end that receives: take() waits; its bytes are valid until the next take().
class Inlet {
 public:
  Inlet() = default;
  virtual ~Inlet() = default;
  Inlet(const Inlet&) = delete;
  Inlet& operator=(const Inlet&) = delete;
  [[nodiscard]] virtual std::span<const std::byte> take() = 0;
};

/// What a channel is made for.
struct ChannelUse {
  std::string directory;          ///< for its files, and what its names begin with
  std::size_t message_bytes = 0;  ///< of each message
  std::size_t batch = 1;          ///< messages in one call, of systems that carry bytes
  bool spin = false;              ///< both ends ask again and again instead of sleeping in the system's own wait
};

/// Channels 0 (there) and 1 (back). Made by the parent before the forks; the sides make their ends in their own processes:
/// the first side makes all of its ends, then the second side its.
class Channels {
 public:
  Channels() = default;
  virtual ~Channels() = default;
  Channels(const Channels&) = delete;
  Channels& operator=(const Channels&) = delete;
  [[nodiscard]] virtual std::unique_ptr<Outlet> outlet(unsigned channel, bool first_side) = 0;
  [[nodiscard]] virtual std::unique_ptr<Inlet> inlet(unsigned channel, bool first_side) = 0;
};

struct Peer {
  std::string name;     ///< in names of rows
  std::string system;   ///< in plots
  std::string version;  ///< what was linked
  std::size_t message_bytes_max = SIZE_MAX;
  bool spins = false;     ///< whether it can be asked without sleeping
  bool sleeps = true;     ///< whether it has a wait of its own
  std::size_t batch = 1;  ///< more than 1: it carries bytes, so that many messages may go in one call
  std::function<std::unique_ptr<Channels>(const ChannelUse&)> open;
};

/// A buffer for systems that copy.
class CopyingOutlet : public Outlet {
 public:
  [[nodiscard]] std::byte* room(std::size_t bytes) override {
    if (buffer_.size() < bytes) buffer_.resize(bytes);
    return buffer_.data();
  }

 protected:
  [[nodiscard]] std::span<const std::byte> written(std::size_t bytes) const noexcept {
    return std::span(buffer_).first(bytes);
  }

 private:
  std::vector<std::byte> buffer_;
};

[[nodiscard]] Peer pipe_peer();
[[nodiscard]] Peer unix_stream_peer();
[[nodiscard]] Peer unix_seqpacket_peer();
[[nodiscard]] Peer posix_mq_peer();
[[nodiscard]] Peer boost_mq_peer();
[[nodiscard]] Peer zeromq_peer();
[[nodiscard]] Peer nng_peer();
[[nodiscard]] Peer iceoryx_peer();
[[nodiscard]] Peer iceoryx2_peer();  ///< only where Rust is
[[nodiscard]] Peer redis_peer();
[[nodiscard]] Peer python_queue_peer();
[[nodiscard]] Peer faster_fifo_peer();

}  // namespace ipcq::bench
