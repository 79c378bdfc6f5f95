// Oracle: what was promised of each message, so that a test can tell afterwards whether it was kept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace ipcq::crash {

/// `maybe`: whoever was to know died on the way, so either is right.
enum class Known : std::uint8_t { no, maybe, yes };

class Oracle {
 public:
  struct Message {
    std::uint64_t batch = 0;
    Known committed = Known::no;
    bool acked = false;
    std::uint32_t acks_begun = 0;  // and not come to their end: of the living, or of those who died on the way
    std::uint32_t handed_out = 0;
  };
  using Ids = std::vector<std::uint64_t>;

  /// New numbers for a batch that is to be written.
  Ids new_batch(std::uint32_t messages) {
    const std::lock_guard lock(mutex_);
    ++batches_;
    Ids ids;
    for (std::uint32_t i = 0; i < messages; ++i) {
      ids.push_back(++last_id_);
      messages_[last_id_].batch = batches_;
    }
    return ids;
  }
  void committed(const Ids& ids, Known known) {
    const std::lock_guard lock(mutex_);
    for (const std::uint64_t id : ids) messages_.at(id).committed = known;
  }
  void ack_begins(const Ids& ids) {
    const std::lock_guard lock(mutex_);
    for (const std::uint64_t id : ids) ++messages_.at(id).acks_begun;
  }
  void ack_ends(const Ids& ids, bool ok) {
    const std::lock_guard lock(mutex_);
    for (const std::uint64_t id : ids) {
      Message& message = messages_.at(id);
      --message.acks_begun;
      message.acked = message.acked || ok;
    }
  }
  void handed_out(const Ids& ids) {
    const std::lock_guard lock(mutex_);
    for (const std::uint64_t id : ids) {
      const auto found = messages_.find(id);
      if (found == messages_.end()) throw std::runtime_error("a message that nobody wrote: " + std::to_string(id));
      if (found->second.committed == Known::no) fail(id, "was delivered and never committed");
      if (found->second.acked) fail(id, "was delivered after its ack");
      ++found->second.handed_out;
      found->second.committed = Known::yes;  // whoever died on the way had published it
    }
  }
  /// After everything was drained and acked. `may_be_dropped`: unless it was given up to make room.
  void check(bool may_be_dropped) const {
    std::map<std::uint64_t, Known> seen;
    for (const auto& [id, message] : messages_) {
      if (may_be_dropped) continue;
      if (message.committed == Known::yes && message.handed_out == 0) fail(id, "was committed and never delivered");
      if (message.committed == Known::yes && !message.acked && message.acks_begun == 0) {
        fail(id, "was not acked, and did not come again");
      }
      // A batch whose commit was broken off is there whole or not at all.
      if (message.committed == Known::no) continue;
      const auto [batch, first] = seen.emplace(message.batch, message.committed);
      if (!first && batch->second != message.committed) fail(id, "came without the rest of its batch");
    }
  }
  [[nodiscard]] Message message(std::uint64_t id) const { return messages_.at(id); }

 private:
  [[noreturn]] static void fail(std::uint64_t id, const char* what) {
    throw std::runtime_error("message " + std::to_string(id) + " " + what);
  }

  mutable std::mutex mutex_;
  std::map<std::uint64_t, Message> messages_;
  std::uint64_t last_id_ = 0;
  std::uint64_t batches_ = 0;
};

}  // namespace ipcq::crash
