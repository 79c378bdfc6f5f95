// A producer process: maps its files and copies their lines into the ring.
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "corpus.hpp"
#include "roles.hpp"
#include "word_count.hpp"

namespace demo {
namespace {

// [snippet]
// The messages of one claim: pieces of mapped files. Gathered first, so that the claim asks for exactly the room it fills
// and is open for no longer than the copying takes: nobody sees what was committed after it before it is committed too.
class Batch {
 public:
  void add(std::string_view message) {
    messages_.push_back(message);
    bytes_ += message.size();
  }
  [[nodiscard]] std::size_t size() const noexcept { return messages_.size(); }

  void send(ipcq::Producer& producer) {
    if (messages_.empty()) return;
    ipcq::Claim claim = producer.claim({.messages = static_cast<std::uint32_t>(messages_.size()), .bytes = bytes_});
    if (!claim) throw std::runtime_error(std::string("claim: ") + ipcq::to_string(claim.outcome()));
    for (const std::string_view message : messages_) claim.append_copy(std::as_bytes(std::span(message)));
    if (const ipcq::Outcome outcome = claim.commit(); outcome != ipcq::Outcome::ok) {
      throw std::runtime_error(std::string("commit: ") + ipcq::to_string(outcome));
    }
    messages_.clear();
    bytes_ = 0;
  }

 private:
  std::vector<std::string_view> messages_;
  std::size_t bytes_ = 0;
};
// [/snippet]

}  // namespace

void run_producer(const Options& options) {
  const std::vector<File> files = read_list(options.list_fd);
  ipcq::Producer producer = ipcq::Queue::open(options.text_queue).producer();
  std::vector<MappedFile> mapped;  // those the batch has pieces of
  Batch batch;
  for (std::uint64_t i = 0; i < options.items; ++i) {
    if (producer_of(i, files.size(), options.producers) != options.index) continue;
    mapped.emplace_back(files[i % files.size()]);
    for (std::string_view rest = mapped.back().text(); !rest.empty();) {
      batch.add(take_message(rest, options.message_bytes));
      if (batch.size() < options.batch) continue;
      batch.send(producer);
      mapped.erase(mapped.begin(), mapped.end() - 1);
    }
  }
  batch.send(producer);
}

}  // namespace demo
