// redis over a Unix socket: LPUSH and BRPOP, one message a request.
#include <hiredis/hiredis.h>
#include <sys/time.h>
#include <unistd.h>

#include <stdexcept>

#include "daemon.hpp"
#include "peer.hpp"

namespace ipcq::bench {
namespace {

struct FreeContext {
  void operator()(redisContext* context) const noexcept { redisFree(context); }
};
struct FreeReply {
  void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using Context = std::unique_ptr<redisContext, FreeContext>;
using Reply = std::unique_ptr<redisReply, FreeReply>;

Context connect(const std::string& path) {
  Context context(redisConnectUnix(path.c_str()));
  if (context == nullptr || context->err != 0) throw std::runtime_error("cannot connect to redis at " + path);
  return context;
}

Reply checked(const Context& context, void* reply) {
  if (reply == nullptr) throw std::runtime_error(std::string("redis: ") + context->errstr);
  Reply checked_reply(static_cast<redisReply*>(reply));
  if (checked_reply->type == REDIS_REPLY_ERROR) throw std::runtime_error("redis: " + std::string(checked_reply->str));
  return checked_reply;
}

class RedisOutlet : public CopyingOutlet {
 public:
  RedisOutlet(const std::string& path, unsigned channel) : context_(connect(path)), key_(std::to_string(channel)) {}
  void publish(std::size_t bytes) override {
    // A list grows without end, so the sender looks after it.
    constexpr long long kLongest = 1000;
    Reply reply =
        checked(context_, redisCommand(context_.get(), "LPUSH %s %b", key_.c_str(), written(bytes).data(), bytes));
    while (reply->integer > kLongest) {
      usleep(100);
      reply = checked(context_, redisCommand(context_.get(), "LLEN %s", key_.c_str()));
    }
  }

 private:
  Context context_;
  std::string key_;
};

class RedisInlet : public Inlet {
 public:
  RedisInlet(const std::string& path, unsigned channel) : context_(connect(path)), key_(std::to_string(channel)) {}
  [[nodiscard]] std::span<const std::byte> take() override {
    reply_ = checked(context_, redisCommand(context_.get(), "BRPOP %s 0", key_.c_str()));
    if (reply_->type != REDIS_REPLY_ARRAY || reply_->elements != 2) throw std::runtime_error("redis: no element");
    return std::as_bytes(std::span(reply_->element[1]->str, reply_->element[1]->len));
  }

 private:
  Context context_;
  std::string key_;
  Reply reply_;
};

class RedisChannels : public Channels {
 public:
  explicit RedisChannels(const ChannelUse& use)
      : path_(use.directory + "/redis"),
        server_({"redis-server", "--port", "0", "--unixsocket", path_, "--save", "", "--appendonly", "no", "--dir",
                 use.directory}) {
    for (int i = 0; access(path_.c_str(), F_OK) != 0; ++i) {
      server_.check();
      if (i == 500) throw std::runtime_error("redis-server has made no socket in 5 s");
      usleep(10'000);
    }
  }
  ~RedisChannels() override { unlink(path_.c_str()); }
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool) override {
    return std::make_unique<RedisOutlet>(path_, channel);
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool) override {
    return std::make_unique<RedisInlet>(path_, channel);
  }

 private:
  std::string path_;
  Daemon server_;
};

}  // namespace

Peer redis_peer() {
  return {.name = "redis",
          .system = "redis, Unix socket",
          .version = "redis over a Unix socket, LPUSH and BRPOP, hiredis " + std::to_string(HIREDIS_MAJOR) + "." +
                     std::to_string(HIREDIS_MINOR),
          .open = [](const ChannelUse& use) { return std::make_unique<RedisChannels>(use); }};
}

}  // namespace ipcq::bench
