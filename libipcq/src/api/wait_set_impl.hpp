// WaitSetImpl: a wait set behind its handle.
//
// Each endpoint sleeps on one word, by the protocol of a single waiter: arm the word, look again, sleep on the value that was
// armed (core/event_count.hpp). Here all are armed and looked at, one after the other, and then slept on together.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "api/endpoint.hpp"
#include "api/readiness.hpp"
#include "api/wait_descriptor.hpp"
#include "ipcq/wait_set.hpp"

namespace ipcq::detail {

class ConsumerImpl;
class ProducerImpl;

class WaitSetImpl {
 public:
  explicit WaitSetImpl(WaitStrategy wait) noexcept;
  ~WaitSetImpl();
  WaitSetImpl(const WaitSetImpl&) = delete;
  WaitSetImpl& operator=(const WaitSetImpl&) = delete;

  WaitSet::Token add(ConsumerImpl& consumer);
  WaitSet::Token add(ProducerImpl& producer, const Room& room);
  bool remove(WaitSet::Token token);
  /// The endpoint's handle ends.
  void left(const void* endpoint) noexcept;
  [[nodiscard]] std::size_t size();
  [[nodiscard]] WaitSet::Ready wait(const Deadline& until);
  [[nodiscard]] int descriptor();
  [[nodiscard]] bool arm();

  /// Async-signal-safe.
  void cancel() noexcept;
  void reset() noexcept { cancelled_.store(false, std::memory_order_relaxed); }  // relaxed: the owner's thread

 private:
  struct Member {
    WaitSet::Token token = 0;
    ConsumerImpl* consumer = nullptr;  // one of both
    ProducerImpl* producer = nullptr;
    WantedRoom wanted;
    Readiness last;
    layout::AtomicU32* event = nullptr;
    std::uint32_t armed = 0;
    bool quiet = false;  // looked at after `event` was armed, and not ready: while the word is `armed`, it is not

    [[nodiscard]] Endpoint& endpoint() const noexcept;
    [[nodiscard]] bool is(const void* endpoint) const noexcept { return endpoint == consumer || endpoint == producer; }
    [[nodiscard]] bool unchanged() const noexcept;
    void look(bool announce = false);
    void arm();
  };
  class InUse;

  [[nodiscard]] bool forked() const noexcept { return os::fork_generation() != fork_generation_; }
  void check_not_forked() const;
  void check_room_for_one(const Endpoint& endpoint) const;
  WaitSet::Token enter(Member member);
  void erase(std::size_t at) noexcept;
  bool look_for_the_dead_if_due(std::int64_t now_ns);
  void look_at_those_that_changed(std::int64_t now_ns);
  void look_at_all();
  void arm_all();
  [[nodiscard]] bool spin(std::int64_t& now_ns, std::int64_t deadline_ns);
  void sleep(std::int64_t deadline_ns, bool& slept);
  void make_descriptor();
  [[nodiscard]] WaitSet::Ready result() const noexcept;
  [[nodiscard]] bool cancelled() const noexcept {
    return cancelled_.load(std::memory_order_seq_cst);  // A:wake, with R:wake
  }

  std::vector<Member> members_;
  std::vector<WaitSet::Token> ready_;
  std::vector<os::FutexWait> waits_;
  WaitSet::Token next_token_ = 1;
  WaitStrategy wait_;
  std::uint32_t fork_generation_;
  std::unique_ptr<WaitDescriptor> descriptor_;
  std::atomic<WaitDescriptor*> bell_{nullptr};  // for cancel(): the same, once it is there
  std::atomic<bool> busy_{false};
  std::atomic<bool> cancelled_{false};
  std::atomic<layout::AtomicU32*> kicked_{nullptr};  // for cancel(): a word that wait() sleeps on
  std::atomic<std::uint32_t> cancelling_{0};         // calls of cancel() that may hold that word
};

}  // namespace ipcq::detail
