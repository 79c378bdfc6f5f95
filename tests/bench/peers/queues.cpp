// Queues with names: POSIX message queues, Boost.Interprocess.
#include <fcntl.h>
#include <mqueue.h>
#include <unistd.h>

#include <algorithm>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/version.hpp>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "../clock.hpp"
#include "peer.hpp"

namespace ipcq::bench {
namespace {

/// Unique on this machine while the bench runs.
std::string queue_name(unsigned channel) {
  static const pid_t kBench = getpid();  // of the parent: asked for before the forks
  return "ipcq-bench." + std::to_string(kBench) + "." + std::to_string(channel);
}

long number_in(const char* path, long otherwise) {
  long number = otherwise;
  std::ifstream(path) >> number;
  return number;
}

long posix_messages_max() { return number_in("/proc/sys/fs/mqueue/msg_max", 10); }

class PosixOutlet : public CopyingOutlet {
 public:
  PosixOutlet(mqd_t queue) : queue_(queue) {}
  ~PosixOutlet() override { mq_close(queue_); }
  void publish(std::size_t bytes) override {
    while (mq_send(queue_, reinterpret_cast<const char*>(written(bytes).data()), bytes, 0) != 0) {
      if (errno != EAGAIN && errno != EINTR) throw std::system_error(errno, std::generic_category(), "mq_send");
      relax();
    }
  }

 private:
  mqd_t queue_;
};

class PosixInlet : public Inlet {
 public:
  PosixInlet(mqd_t queue, std::size_t bytes) : queue_(queue), buffer_(bytes) {}
  ~PosixInlet() override { mq_close(queue_); }
  [[nodiscard]] std::span<const std::byte> take() override {
    ssize_t got = 0;
    while ((got = mq_receive(queue_, reinterpret_cast<char*>(buffer_.data()), buffer_.size(), nullptr)) < 0) {
      if (errno != EAGAIN && errno != EINTR) throw std::system_error(errno, std::generic_category(), "mq_receive");
      relax();
    }
    return std::span<const std::byte>(buffer_).first(static_cast<std::size_t>(got));
  }

 private:
  mqd_t queue_;
  std::vector<std::byte> buffer_;
};

class PosixChannels : public Channels {
 public:
  explicit PosixChannels(const ChannelUse& use) : use_(use) { remove_all(); }
  ~PosixChannels() override { remove_all(); }
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool) override {
    return std::make_unique<PosixOutlet>(open(channel));
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool) override {
    return std::make_unique<PosixInlet>(open(channel), use_.message_bytes);
  }

 private:
  [[nodiscard]] mqd_t open(unsigned channel) const {
    mq_attr attributes{};
    attributes.mq_maxmsg = posix_messages_max();
    attributes.mq_msgsize = static_cast<long>(use_.message_bytes);
    const mqd_t queue = mq_open(("/" + queue_name(channel)).c_str(),
                                O_RDWR | O_CREAT | O_CLOEXEC | (use_.spin ? O_NONBLOCK : 0), 0600, &attributes);
    if (queue < 0) throw std::system_error(errno, std::generic_category(), "mq_open");
    return queue;
  }
  static void remove_all() {
    for (const unsigned channel : {0U, 1U}) mq_unlink(("/" + queue_name(channel)).c_str());
  }

  ChannelUse use_;
};

namespace boost_ipc = boost::interprocess;

class BoostOutlet : public CopyingOutlet {
 public:
  BoostOutlet(unsigned channel, bool spin) : queue_(boost_ipc::open_only, queue_name(channel).c_str()), spin_(spin) {}
  void publish(std::size_t bytes) override {
    if (!spin_) return queue_.send(written(bytes).data(), bytes, 0);
    while (!queue_.try_send(written(bytes).data(), bytes, 0)) relax();
  }

 private:
  boost_ipc::message_queue queue_;
  bool spin_;
};

class BoostInlet : public Inlet {
 public:
  BoostInlet(unsigned channel, const ChannelUse& use)
      : queue_(boost_ipc::open_only, queue_name(channel).c_str()), spin_(use.spin), buffer_(use.message_bytes) {}
  [[nodiscard]] std::span<const std::byte> take() override {
    boost_ipc::message_queue::size_type got = 0;
    unsigned priority = 0;
    if (!spin_) {
      queue_.receive(buffer_.data(), buffer_.size(), got, priority);
    } else {
      while (!queue_.try_receive(buffer_.data(), buffer_.size(), got, priority)) relax();
    }
    return std::span<const std::byte>(buffer_).first(got);
  }

 private:
  boost_ipc::message_queue queue_;
  bool spin_;
  std::vector<std::byte> buffer_;
};

/// Queues of 1000 messages, or 8 MiB.
class BoostChannels : public Channels {
 public:
  explicit BoostChannels(const ChannelUse& use) : use_(use) {
    constexpr std::size_t kMessages = 1000, kBytes = std::size_t{8} << 20;
    remove_all();
    for (const unsigned channel : {0U, 1U}) {
      const boost_ipc::message_queue made(boost_ipc::create_only, queue_name(channel).c_str(),
                                          std::min(kMessages, kBytes / use.message_bytes), use.message_bytes);
    }
  }
  ~BoostChannels() override { remove_all(); }
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool) override {
    return std::make_unique<BoostOutlet>(channel, use_.spin);
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool) override {
    return std::make_unique<BoostInlet>(channel, use_);
  }

 private:
  static void remove_all() {
    for (const unsigned channel : {0U, 1U}) boost_ipc::message_queue::remove(queue_name(channel).c_str());
  }

  ChannelUse use_;
};

}  // namespace

Peer posix_mq_peer() {
  return {.name = "posix-mq",
          .system = "POSIX message queue",
          .version = "POSIX message queue of the kernel, " + std::to_string(posix_messages_max()) + " messages",
          .message_bytes_max = static_cast<std::size_t>(number_in("/proc/sys/fs/mqueue/msgsize_max", 8192)),
          .spins = true,
          .open = [](const ChannelUse& use) { return std::make_unique<PosixChannels>(use); }};
}

Peer boost_mq_peer() {
  return {.name = "boost-mq",
          .system = "Boost message_queue",
          .version = "Boost.Interprocess message_queue " + std::to_string(BOOST_VERSION / 100000) + "." +
                     std::to_string(BOOST_VERSION / 100 % 1000),
          .spins = true,
          .open = [](const ChannelUse& use) { return std::make_unique<BoostChannels>(use); }};
}

}  // namespace ipcq::bench
