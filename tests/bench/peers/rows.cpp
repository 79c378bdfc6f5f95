// The rows of the other systems.
#include <cstring>

#include "../peer_rows.hpp"
#include "../raw_rows.hpp"
#include "../traffic.hpp"
#include "peer.hpp"

namespace ipcq::bench {
namespace {

template <std::size_t PayloadBytes>
class PeerSender {
 public:
  PeerSender(std::unique_ptr<Outlet> outlet, std::size_t batch) : outlet_(std::move(outlet)), batch_(batch) {}

  [[nodiscard]] std::uint64_t batch() const noexcept { return batch_; }
  void send(std::uint64_t sequence) { send(sequence, batch_); }
  void send_end() { send(kEndOfRun, 1); }
  static constexpr bool has_more_to_show() noexcept { return false; }

 private:
  void send(std::uint64_t sequence, std::size_t messages) {
    std::byte* const to = outlet_->room(messages * PayloadBytes);
    for (std::size_t i = 0; i < messages; ++i) write_payload<PayloadBytes>(to + i * PayloadBytes, sequence + i);
    outlet_->publish(messages * PayloadBytes);
  }

  std::unique_ptr<Outlet> outlet_;
  std::size_t batch_;
};

/// Checks each message of what was taken, which is one or, of a system that carries bytes, several.
template <std::size_t PayloadBytes>
class PeerReceiver {
 public:
  explicit PeerReceiver(std::unique_ptr<Inlet> inlet) : inlet_(std::move(inlet)) {}

  bool receive(std::uint64_t& sequence) {
    const std::span<const std::byte> taken = inlet_->take();
    if (taken.empty() || taken.size() % PayloadBytes != 0) wrong_size(sequence, PayloadBytes, taken.size());
    for (std::size_t at = 0; at < taken.size(); at += PayloadBytes) {
      if (!payload_is<PayloadBytes>(taken.data() + at, sequence)) [[unlikely]] {
        return !is_end_of_run<PayloadBytes>(taken.data() + at, sequence);
      }
      ++sequence;
    }
    return true;
  }

 private:
  std::unique_ptr<Inlet> inlet_;
};

template <std::size_t PayloadBytes>
struct PeerLink {
  PeerSender<PayloadBytes> sender;
  PeerReceiver<PayloadBytes> receiver;
  void send(std::uint64_t trip) { sender.send(trip); }
  bool receive(std::uint64_t trip) { return receiver.receive(trip); }
};

template <std::size_t PayloadBytes>
Run round_trips(const Plan& plan, const Peer& peer, const ChannelUse& use) {
  const std::unique_ptr<Channels> channels = peer.open(use);
  const auto link = [&](unsigned out, bool first_side) {
    std::unique_ptr<Outlet> outlet = channels->outlet(out, first_side);
    return PeerLink<PayloadBytes>{{std::move(outlet), 1},
                                  PeerReceiver<PayloadBytes>(channels->inlet(1 - out, first_side))};
  };
  return run_pair(
      plan,
      [&](Side& side) {
        auto first = link(0, true);
        side.meet();
        side.meet();
        ping(side, first);
        side.meet();
      },
      [&](Side& side) {
        side.meet();
        auto second = link(1, false);
        side.meet();
        pong(side, second);
        side.meet();
      });
}

template <std::size_t PayloadBytes>
Run stream(const Plan& plan, const Peer& peer, const ChannelUse& use) {
  const std::unique_ptr<Channels> channels = peer.open(use);
  return run_pair(
      plan,
      [&](Side& side) {
        PeerSender<PayloadBytes> sender(channels->outlet(0, true), use.batch);
        side.meet();
        side.meet();
        stream_out(side, sender);
        side.meet();  // what the sender's end holds back goes with it, so it stays until all has been received
      },
      [&](Side& side) {
        side.meet();
        PeerReceiver<PayloadBytes> receiver(channels->inlet(0, false));
        side.meet();
        stream_in(side, receiver);
        side.meet();
      });
}

template <std::size_t PayloadBytes>
void append_stream(std::vector<Row>& rows, const Peer& peer, const std::string& directory, std::size_t batch) {
  if (PayloadBytes > peer.message_bytes_max) return;
  // Those that have a wait sleep in it; the others can only be asked again and again.
  const ChannelUse use{.directory = directory, .message_bytes = PayloadBytes, .batch = batch, .spin = !peer.sleeps};
  const std::string many = batch == 1 ? "one by one" : std::to_string(batch) + " in one call";
  rows.push_back({.name = "peer/" + peer.name + "/stream-" + size_name(PayloadBytes) + "-b" + std::to_string(batch),
                  .what = peer.version + ": messages of " + size_text(PayloadBytes) + ", " + many,
                  .payload_bytes = PayloadBytes,
                  .busy = {false, false},
                  .facts = {{"system", peer.system}, {"version", peer.version}, {"batch", std::uint64_t{batch}}},
                  .run = [peer, use](const Plan& plan) { return stream<PayloadBytes>(plan, peer, use); }});
}

void append_round_trip(std::vector<Row>& rows, const Peer& peer, const std::string& directory, bool spin) {
  const ChannelUse use{.directory = directory, .message_bytes = 64, .batch = 1, .spin = spin};
  const std::string wait = spin ? "spin" : "sleep";
  rows.push_back({.name = "peer/" + peer.name + "/rtt-64B-" + wait,
                  .what = peer.version + ", " + (spin ? "spinning" : "sleeping") + ": 64 bytes there and back",
                  .measure = Measure::round_trip,
                  .payload_bytes = 64,
                  .limit = spin ? kRawRoundTrip64 : kRawFutex,
                  .busy = {false, false},
                  .facts = {{"system", peer.system}, {"version", peer.version}, {"wait", wait}},
                  .run = [peer, use](const Plan& plan) { return round_trips<64>(plan, peer, use); }});
}

std::vector<Peer> all_peers() {
  return {
      pipe_peer(),     unix_stream_peer(),  unix_seqpacket_peer(), posix_mq_peer(), boost_mq_peer(),
      zeromq_peer(),   nng_peer(),          iceoryx_peer(),
#ifdef ICEORYX2_VERSION
      iceoryx2_peer(),
#endif
      redis_peer(),    python_queue_peer(), faster_fifo_peer(),
  };
}

}  // namespace

std::vector<Row> peer_rows(const std::string& directory) {
  std::vector<Row> rows;
  for (const Peer& peer : all_peers()) {
    if (peer.spins) append_round_trip(rows, peer, directory, true);
    if (peer.sleeps) append_round_trip(rows, peer, directory, false);
    append_stream<8>(rows, peer, directory, 1);
    append_stream<64>(rows, peer, directory, 1);
    append_stream<1024>(rows, peer, directory, 1);
    append_stream<65536>(rows, peer, directory, 1);
    if (peer.batch > 1) append_stream<64>(rows, peer, directory, peer.batch);
  }
  return rows;
}

}  // namespace ipcq::bench
