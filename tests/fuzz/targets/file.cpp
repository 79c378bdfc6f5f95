// Target: a damaged file, through the public interface: opened, listed, inspected, attached to, read and written.
#include <cstring>
#include <optional>

#include "queue_file.hpp"

namespace {

using namespace ipcq;

void consume(const Queue& queue, const char* group, std::uint32_t messages) {
  Consumer consumer = queue.consumer(group);
  for (int i = 0; i < 3; ++i) {
    Lease lease = consumer.lease({.max_messages = messages, .deadline = now});
    if (!lease) break;
    volatile unsigned sum = 0;
    for (const Message& message : lease) {
      if (!message.payload.empty()) sum = sum + std::to_integer<unsigned>(message.payload.back());
    }
    if (i == 1) (void)lease.requeue();
    if (i != 1) (void)lease.ack();
  }
}

void produce(const Queue& queue, std::size_t bytes) {
  Producer producer = queue.producer();
  Claim claim = producer.claim({.messages = 2, .bytes = bytes}, now);
  if (!claim) return;
  std::memset(claim.append(bytes).data(), 'z', bytes);
  claim.append(0);
  (void)claim.commit();
}

// Each thing that is done with a queue, whatever became of the others.
template <class Do>
void attempt(Do&& what) {
  try {
    what();
  } catch (const Error& error) {
    fuzz::expect(std::strcmp(to_string(error.errc()), "unknown") != 0, "an error without a name");
    fuzz::expect(std::strlen(error.what()) > 20, "an error that says nothing");
    fuzz::expect(error.errc() != Errc::system, error.what());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static fuzz::QueueFile file;
  const fuzz::Steps steps(bytes, size);
  file.restore();
  fuzz::Step last;
  std::optional<std::uint64_t> cut;
  for (std::size_t i = 0; i < steps.count(); ++i) {
    last = steps[i];
    if (last.code >= 64) {
      file.edit(last);
    } else if (last.code >= 8) {
      file.edit_header(last);
    } else if (last.code == 0) {
      cut = last.number % (2 * file.size());
    }
  }
  if (cut) file.resize(*cut);
  attempt([&] { (void)list(file.options()); });
  attempt([&] { (void)inspect(fuzz::QueueFile::kName, file.options()); });
  attempt([&] {
    const Queue queue = Queue::open(fuzz::QueueFile::kName, file.options());
    attempt([&] { consume(queue, "default", 1 + last.number % 64); });
    attempt([&] { produce(queue, last.number % 4096); });
    attempt([&] { consume(queue, "alone", 1 + last.number % 64); });
    attempt([&] { produce(queue, queue.message_bytes_max() / 2); });
    attempt([&] { (void)queue.inspect(); });
    if (last.where % 4 == 0) attempt([&] { queue.close(); });
    if (last.where % 4 == 1) attempt([&] { queue.remove_group("alone", true); });
    if (last.where % 4 == 2) attempt([&] { queue.add_group({.name = "another"}); });
    if (last.where % 4 == 3) attempt([&] { queue.reopen(); });
    attempt([&] { consume(queue, "default", 64); });
  });
  if (last.how % 4 == 0)
    attempt([&] { remove(std::string_view(fuzz::QueueFile::kName), {.directory = file.directory()}); });
  if (!cut) file.expect_unlocked();
  return 0;
}
