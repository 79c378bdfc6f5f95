// iceoryx2, which needs no daemon. Its Rust half is in iceoryx2/.
#include <stdexcept>

#include "peer.hpp"

// NOLINTBEGIN(readability-identifier-naming): as in iceoryx2/src/lib.rs
extern "C" {
struct ix2_outlet_type;
struct ix2_inlet_type;
ix2_outlet_type* ix2_outlet(const char* name, std::size_t message_bytes, bool wakes);
unsigned char* ix2_room(ix2_outlet_type* outlet, std::size_t bytes);
void ix2_publish(ix2_outlet_type* outlet);
void ix2_outlet_end(ix2_outlet_type* outlet);
ix2_inlet_type* ix2_inlet(const char* name, bool sleeps);
const unsigned char* ix2_take(ix2_inlet_type* inlet, std::size_t* bytes);
void ix2_inlet_end(ix2_inlet_type* inlet);
}
// NOLINTEND(readability-identifier-naming)

namespace ipcq::bench {
namespace {

class Iceoryx2Outlet : public Outlet {
 public:
  Iceoryx2Outlet(const std::string& name, const ChannelUse& use)
      : outlet_(ix2_outlet(name.c_str(), use.message_bytes, !use.spin)) {}
  ~Iceoryx2Outlet() override { ix2_outlet_end(outlet_); }
  [[nodiscard]] std::byte* room(std::size_t bytes) override {
    return reinterpret_cast<std::byte*>(ix2_room(outlet_, bytes));
  }
  void publish(std::size_t) override { ix2_publish(outlet_); }

 private:
  ix2_outlet_type* outlet_;
};

class Iceoryx2Inlet : public Inlet {
 public:
  Iceoryx2Inlet(const std::string& name, const ChannelUse& use) : inlet_(ix2_inlet(name.c_str(), !use.spin)) {}
  ~Iceoryx2Inlet() override { ix2_inlet_end(inlet_); }
  [[nodiscard]] std::span<const std::byte> take() override {
    std::size_t bytes = 0;
    const unsigned char* const message = ix2_take(inlet_, &bytes);
    return {reinterpret_cast<const std::byte*>(message), bytes};
  }

 private:
  ix2_inlet_type* inlet_;
};

class Iceoryx2Channels : public Channels {
 public:
  explicit Iceoryx2Channels(const ChannelUse& use) : use_(use) {}
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool) override {
    return std::make_unique<Iceoryx2Outlet>(name(channel), use_);
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool) override {
    return std::make_unique<Iceoryx2Inlet>(name(channel), use_);
  }

 private:
  /// Of this run alone: a service that a killed run left keeps its name for a while.
  [[nodiscard]] std::string name(unsigned channel) const {
    return "ipcq-bench/" + std::to_string(number_) + "/" + use_.directory + "/" + std::to_string(channel);
  }
  static unsigned next_number() {
    static unsigned number = 0;
    return ++number;
  }

  ChannelUse use_;
  unsigned number_ = next_number();
};

}  // namespace

Peer iceoryx2_peer() {
  return {.name = "iceoryx2",
          .system = "iceoryx2",
          .version = "iceoryx2 " ICEORYX2_VERSION " (Rust)",
          .spins = true,
          .open = [](const ChannelUse& use) { return std::make_unique<Iceoryx2Channels>(use); }};
}

}  // namespace ipcq::bench
