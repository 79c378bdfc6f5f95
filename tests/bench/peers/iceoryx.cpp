// iceoryx: one publisher and one subscriber, with its daemon. The publisher waits for a subscriber that is too slow.
#include <unistd.h>

#include <stdexcept>

#include "../clock.hpp"
#include "daemon.hpp"
#include "iceoryx_hoofs/log/logmanager.hpp"
#include "iceoryx_posh/popo/untyped_publisher.hpp"
#include "iceoryx_posh/popo/untyped_subscriber.hpp"
#include "iceoryx_posh/popo/wait_set.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"
#include "peer.hpp"

namespace ipcq::bench {
namespace {

iox::capro::ServiceDescription service(unsigned channel) {
  const iox::capro::IdString_t way(iox::cxx::TruncateToCapacity, channel == 0 ? "there" : "back");
  return {"ipcq-bench", "channel", way};
}

void join(bool first_side) {
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
  const iox::RuntimeName_t name(iox::cxx::TruncateToCapacity, first_side ? "ipcq-bench-first" : "ipcq-bench-second");
  iox::runtime::PoshRuntime::initRuntime(name);
}

class IceoryxOutlet : public Outlet {
 public:
  explicit IceoryxOutlet(unsigned channel) : publisher_(service(channel), options()) {}

  [[nodiscard]] std::byte* room(std::size_t bytes) override {
    while (loan_ == nullptr) {  // nothing free: the subscriber holds all of a pool
      publisher_.loan(static_cast<std::uint32_t>(bytes)).and_then([this](void* chunk) { loan_ = chunk; });
    }
    return static_cast<std::byte*>(loan_);
  }
  void publish(std::size_t) override {
    while (!seen_subscriber_ && !publisher_.hasSubscribers()) usleep(100);
    seen_subscriber_ = true;
    publisher_.publish(std::exchange(loan_, nullptr));
  }

 private:
  static iox::popo::PublisherOptions options() {
    iox::popo::PublisherOptions options;
    options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    return options;
  }

  iox::popo::UntypedPublisher publisher_;
  void* loan_ = nullptr;
  bool seen_subscriber_ = false;
};

class IceoryxInlet : public Inlet {
 public:
  IceoryxInlet(unsigned channel, const ChannelUse& use) : subscriber_(service(channel), options(use)), spin_(use.spin) {
    if (spin_) return;
    wait_set_.attachState(subscriber_, iox::popo::SubscriberState::HAS_DATA).or_else([](auto) {
      throw std::runtime_error("iceoryx: attachState failed");
    });
  }
  ~IceoryxInlet() override {
    if (taken_ != nullptr) subscriber_.release(taken_);
  }

  [[nodiscard]] std::span<const std::byte> take() override {
    if (taken_ != nullptr) subscriber_.release(std::exchange(taken_, nullptr));
    for (;;) {
      subscriber_.take().and_then([this](const void* chunk) { taken_ = chunk; });
      if (taken_ != nullptr) break;
      if (spin_) {
        relax();
      } else {
        wait_set_.wait();
      }
    }
    const auto* header = iox::mepoo::ChunkHeader::fromUserPayload(taken_);
    return {static_cast<const std::byte*>(taken_), header->userPayloadSize()};
  }

 private:
  static iox::popo::SubscriberOptions options(const ChannelUse& use) {
    iox::popo::SubscriberOptions options;
    options.queueCapacity = use.message_bytes > 16384 ? 16 : 256;  // the daemon's pool has 200 chunks of 128 KiB
    options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
    return options;
  }

  iox::popo::UntypedSubscriber subscriber_;
  iox::popo::WaitSet<> wait_set_;
  bool spin_;
  const void* taken_ = nullptr;
};

class IceoryxChannels : public Channels {
 public:
  explicit IceoryxChannels(const ChannelUse& use) : use_(use), daemon_({"iox-roudi", "--log-level", "off"}) {
    usleep(200'000);  // its users wait for it; this only tells one that ends at once
    daemon_.check();
  }
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool first_side) override {
    join(first_side);
    return std::make_unique<IceoryxOutlet>(channel);
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool first_side) override {
    join(first_side);
    return std::make_unique<IceoryxInlet>(channel, use_);
  }

 private:
  ChannelUse use_;
  Daemon daemon_;
};

}  // namespace

Peer iceoryx_peer() {
  return {.name = "iceoryx",
          .system = "iceoryx",
          .version = "iceoryx " ICEORYX_VERSION " with its daemon",
          .spins = true,
          .open = [](const ChannelUse& use) { return std::make_unique<IceoryxChannels>(use); }};
}

}  // namespace ipcq::bench
